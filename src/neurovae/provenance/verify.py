"""Compare every digest: are the results unchanged, and made from the scans and tables that are there now?

Snakemake sees a file as changed by its time, or by its content where that is small. It does not notice a scan
that was replaced by one of the same name, size and time: this command reads every byte.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from neurovae.cli import cli
from neurovae.cohort import folds
from neurovae.errors import InputError
from neurovae.io.files import sha256
from neurovae.io.progress import steps
from neurovae.provenance import record
from neurovae.provenance.images import changed_images, changed_rows, changed_scans, rows, sidecars, sources

Digests = dict[str, str | None]  # of each file as it is now, by path; None: not there
Records = dict[str, dict[str, Any]]  # by path of the result
ADVICE = [
    "First run snakemake as usual: it makes outdated results again. For files that are still named here, add the",
    "--forcerun of the line. A result that your configuration no longer makes may be deleted.",
]
BESIDE = {"logs", "benchmarks", "bids", "truth", "derivatives", ".state", record.FOLDER}  # folders without records


def run(*, cohort: Path, restore_times: bool = False) -> None:
    """Compare every result, every file it was made from, every scan and every packed image with its recorded digest.

    Example:
        python -m neurovae verify results/demo

    Args:
        cohort: folder of results (results/<cohort>).
        restore_times: if nothing differs, give results their recorded times of change back, which a copy has lost.

    Raises:
        InputError: files that differ, each with its remedy; or a folder without any record.
    """
    all_records = records(cohort)
    if not all_records:
        raise InputError(
            f"{cohort}: no records of how results were made; give results/<cohort> of a run of this version of neurovae"
        )
    root = root_of(cohort, all_records)
    scans = {
        os.path.relpath(root / path, root): entry for path, entry in sources(cohort).items()
    }  # as records have them
    images, packed = sidecars(cohort), rows(cohort)
    inputs = {path for entry in all_records.values() for path in entry["inputs"]}
    current = digests(root, sorted({*all_records, *inputs, *scans}), all_records)
    problems = [
        *changed_results(all_records, current),
        *changed_inputs(to_compare(all_records, root), all_records, current),
        *changed_scans({path: entry for path, entry in scans.items() if path not in inputs}, current),
        *changed_images(images),
        *changed_rows(packed, images),
    ]
    without_record = unrecorded(cohort, root, all_records, inputs)
    if without_record:
        print(
            f"{len(without_record)} files have no record and are not compared: {', '.join(without_record[:5])}",
            flush=True,
        )
    if problems:
        differ = "1 file differs" if len(problems) == 1 else f"{len(problems)} files differ"
        raise InputError([f"{cohort}: {differ} from what was recorded:", *problems, "", *ADVICE])
    raw = len(inputs - set(all_records))
    print(
        f"{cohort}: as recorded: {len(all_records)} results, {raw} files that they were made from "
        f"(of these {len(scans)} scans), {len(images)} preprocessed images, {len(packed)} packed rows",
        flush=True,
    )
    if restore_times:
        changed = sum(restore(root / path, entry) for path, entry in all_records.items())
        print(f"{cohort}: {changed} files have their recorded time again", flush=True)


def restore(path: Path, entry: dict[str, Any]) -> int:
    """Give a file, or the files of a folder, the recorded times of change; how many had another."""
    if "files" in entry:
        return sum(restore(path / name, file) for name, file in entry["files"].items())
    if path.stat().st_mtime_ns == entry["mtime_ns"]:
        return 0
    os.utime(path, ns=(path.stat().st_atime_ns, entry["mtime_ns"]))
    return 1


def records(cohort: Path) -> Records:
    """Read every record below the folder, by the path of its result."""
    by_path = {}
    for path in sorted(cohort.rglob(f"{record.FOLDER}/*.json")):
        if path.name.startswith("."):  # an incomplete record, of a job that was killed or is running
            continue
        recorded = record.read(path.parents[1] / path.name.removesuffix(".json"))
        if not isinstance(recorded, dict) or not {"path", "inputs", "sha256"} <= recorded.keys():
            raise InputError(f"{path}: a record that cannot be read; delete it and make its result again")
        by_path[recorded["path"]] = recorded
    return by_path


def root_of(cohort: Path, all_records: Records) -> Path:
    """Return the folder that the records' paths start from: results/<cohort> lies in it, even if it was moved."""
    result = next(iter(all_records))
    full = cohort.absolute()
    for parent in [full, *full.parents]:
        if full in (parent / result).parents and ((parent / result).exists() or record.read(parent / result)):
            return parent
    raise InputError(
        f"{cohort}: holds records of {result}, which is elsewhere; give the folder that it is in, by its name"
    )


def digests(root: Path, paths: list[str], all_records: Records) -> Digests:
    """Return the present digest of each file, or folder of a record: every byte is read."""
    print(f"{len(paths)} files are read", flush=True)
    return {path: digest(root / path, all_records.get(path)) for path in steps(paths, "files")}


def digest(path: Path, recorded: dict[str, Any] | None) -> str | None:
    """Return the digest of a file, or of a folder that is one result; None where it is missing."""
    if path.is_dir() and recorded and "files" in recorded:
        return record.of_folder({name: sha256(path / name) for name in record.files_below(path)})
    return sha256(path) if path.is_file() else None


def changed_results(all_records: Records, current: Digests) -> Iterator[str]:
    """Yield results that are missing, or differ from what the command wrote."""
    for path, entry in all_records.items():
        if current[path] is None:
            yield f"{path}: missing; run snakemake"
        elif current[path] != entry["sha256"]:
            yield f"{path}: changed since {entry['command']} wrote it; {forcerun([path], all_records)}"


def to_compare(all_records: Records, root: Path) -> Records:
    """Return the results whose files are compared: not those that are valid although their files have changed.

    These are folds that would be assigned in the same way (ages and scores are not used), and a model that is frozen.
    """
    frozen = any(entry["command"] == "latents" and "--freeze" in entry["arguments"] for entry in all_records.values())
    exempt = {
        path for path, entry in all_records.items() if entry["command"] == "cohort.folds" and same_folds(entry, root)
    }
    if frozen:
        exempt |= {
            path for path, entry in all_records.items() if entry["command"].startswith(("train.", "cohort.folds"))
        }
        print("the models are frozen: they are not compared with the present scans and tables", flush=True)
    return {path: entry for path, entry in all_records.items() if path not in exempt}


def same_folds(entry: dict[str, Any], root: Path) -> bool:
    """Whether the people in the present tables would be assigned to the same folds."""
    cohort = json.loads(entry["arguments"][entry["arguments"].index("--cohort") + 1])
    places = {
        key: str(root / cohort[key]) for key in ("bids", "volumes", "participants", "table", "files") if cohort.get(key)
    }
    with TemporaryDirectory() as folder:
        try:
            folds.run(cohort={**cohort, **places}, out=Path(folder, "folds.tsv"))
        except InputError:
            return False
        return sha256(Path(folder, "folds.tsv")) == entry["sha256"]


def changed_inputs(results: Records, all_records: Records, current: Digests) -> Iterator[str]:
    """Yield files that have changed since a result was made from them, with the first results that used them."""
    users_of: dict[str, list[str]] = {}
    for path, entry in results.items():
        for name, recorded in entry["inputs"].items():
            if recorded is None:
                yield f"{path}: {name} was changed while {entry['command']} read it; {forcerun([path], all_records)}"
            elif current[name] != recorded and (
                name not in all_records or current[name] == all_records[name]["sha256"]
            ):
                users_of.setdefault(name, []).append(path)
    for name, users in users_of.items():
        first = [path for path in users if not set(users) & all_inputs(path, all_records)]
        change = "missing" if current[name] is None else "changed since results were made from it"
        yield f"{name}: {change}; {forcerun(first, all_records)}"


def all_inputs(path: str, all_records: Records) -> set[str]:
    """Return everything that a result was made from."""
    inputs: set[str] = set()
    waiting = [path]
    while waiting:
        new_inputs = set(all_records.get(waiting.pop(), {}).get("inputs", {})) - inputs
        inputs |= new_inputs
        waiting += new_inputs
    return inputs


def forcerun(results: list[str], all_records: Records) -> str:
    """Return the option that makes results again; it names one result of each job."""
    jobs = {
        json.dumps([all_records[path]["command"], all_records[path]["arguments"]]): path
        for path in sorted(results)[::-1]
    }
    return f"--forcerun {' '.join(sorted(jobs.values()))}"


def unrecorded(cohort: Path, root: Path, all_records: Records, inputs: set[str]) -> list[str]:
    """List files below the folder that are in no record and no manifest."""
    folders = tuple(f"{path}/" for path, entry in all_records.items() if "files" in entry)
    paths = [path for path in sorted(cohort.rglob("*")) if path.is_file() and not BESIDE & set(path.parts)]
    names = [str(path.absolute().relative_to(root)) for path in paths if path.suffix != ".list"]
    return [name for name in names if name not in {*all_records, *inputs} and not name.startswith(folders)]


if __name__ == "__main__":
    cli(run, first="cohort")
