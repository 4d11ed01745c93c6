"""Are the results still what they were made as, from the scans and tables that are there now? Every digest is compared.

Snakemake sees a file as changed by its time, or by its content where that is small. A scan replaced by one of the same
name, size and time is beyond it: this command reads every byte.
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
    "Run snakemake as always first: it makes again what it sees to be out of date. What is still named here it cannot",
    "see: add the --forcerun of the line. A result that your configuration makes no more may be deleted.",
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
        InputError: something differs: each file by name, with what to do. A folder without any record is refused too.
    """
    known = records(cohort)
    if not known:
        raise InputError(
            f"{cohort}: no records of how results were made; give results/<cohort> of a run of this version of neurovae"
        )
    root = root_of(cohort, known)
    scans = {os.path.relpath(root / path, root): one for path, one in sources(cohort).items()}  # as records have them
    images, packed = sidecars(cohort), rows(cohort)
    inputs = {path for one in known.values() for path in one["inputs"]}
    now = digests(root, sorted({*known, *inputs, *scans}), known)
    problems = [
        *changed_results(known, now),
        *changed_inputs(compared(known, root), known, now),
        *changed_scans({path: one for path, one in scans.items() if path not in inputs}, now),
        *changed_images(images),
        *changed_rows(packed, images),
    ]
    left = unrecorded(cohort, root, known, inputs)
    if left:
        print(f"{len(left)} files have no record and are not compared: {', '.join(left[:5])}", flush=True)
    if problems:
        raise InputError([f"{cohort}: {len(problems)} differ from what was recorded:", *problems, "", *ADVICE])
    raw = len(inputs - set(known))
    print(
        f"{cohort}: as recorded: {len(known)} results, {raw} files that they were made from (of these {len(scans)} "
        f"scans), {len(images)} preprocessed images, {len(packed)} packed rows",
        flush=True,
    )
    if restore_times:
        changed = sum(restored(root / path, one) for path, one in known.items())
        print(f"{cohort}: {changed} files have their recorded time again", flush=True)


def restored(path: Path, known: dict[str, Any]) -> int:
    """Give a file, or the files of a folder, the recorded times of change; how many had another."""
    if "files" in known:
        return sum(restored(path / name, file) for name, file in known["files"].items())
    if path.stat().st_mtime_ns == known["mtime_ns"]:
        return 0
    os.utime(path, ns=(path.stat().st_atime_ns, known["mtime_ns"]))
    return 1


def records(cohort: Path) -> Records:
    """Every record below the folder, by the path of its result."""
    found = {}
    for path in sorted(cohort.rglob(f"{record.FOLDER}/*.json")):
        if path.name.startswith("."):  # half a record, of a job that was killed or is at work
            continue
        known = record.read(path.parents[1] / path.name.removesuffix(".json"))
        if not isinstance(known, dict) or not {"path", "inputs", "sha256"} <= known.keys():
            raise InputError(f"{path}: a record that cannot be read; delete it and make its result again")
        found[known["path"]] = known
    return found


def root_of(cohort: Path, known: Records) -> Path:
    """The folder that the records' paths start from: results/<cohort> lies in it, wherever it was moved to."""
    one = next(iter(known))
    full = cohort.absolute()
    for up in [full, *full.parents]:
        if full in (up / one).parents and ((up / one).exists() or record.read(up / one)):
            return up
    raise InputError(
        f"{cohort}: holds records of {one}, which is elsewhere; give the folder that it is in, by its name"
    )


def digests(root: Path, paths: list[str], known: Records) -> Digests:
    """The digest of each file, or folder of a record, as it is now: every byte is read."""
    print(f"{len(paths)} files are read", flush=True)
    return {path: digest(root / path, known.get(path)) for path in steps(paths, "files")}


def digest(path: Path, known: dict[str, Any] | None) -> str | None:
    """Of a file, or of a folder that is one result; None where it is not there."""
    if path.is_dir() and known and "files" in known:
        return record.of_folder({name: sha256(path / name) for name in record.listed(path)})
    return sha256(path) if path.is_file() else None


def changed_results(known: Records, now: Digests) -> Iterator[str]:
    """Results that are gone, or other than what the command wrote."""
    for path, one in known.items():
        if now[path] is None:
            yield f"{path}: not there any more; run snakemake"
        elif now[path] != one["sha256"]:
            yield f"{path}: changed since {one['command']} wrote it; {again([path], known)}"


def compared(known: Records, root: Path) -> Records:
    """The results whose files are compared: not those that stand although a file that they were made from has changed.

    These are folds that would be dealt as they are (ages and scores are not looked at), and a model that is frozen.
    """
    frozen = any(one["command"] == "latents" and "--freeze" in one["arguments"] for one in known.values())
    kept = {path for path, one in known.items() if one["command"] == "cohort.folds" and dealt_alike(one, root)}
    if frozen:
        kept |= {path for path, one in known.items() if one["command"].startswith(("train.", "cohort.folds"))}
        print("the models are frozen: they are not compared with the scans and tables of today", flush=True)
    return {path: one for path, one in known.items() if path not in kept}


def dealt_alike(one: dict[str, Any], root: Path) -> bool:
    """Would the people that the tables name today be dealt to folds as they were?"""
    cohort = json.loads(one["arguments"][one["arguments"].index("--cohort") + 1])
    places = {
        key: str(root / cohort[key]) for key in ("bids", "volumes", "participants", "table", "files") if cohort.get(key)
    }
    with TemporaryDirectory() as folder:
        try:
            folds.run(cohort={**cohort, **places}, out=Path(folder, "folds.tsv"))
        except InputError:
            return False
        return sha256(Path(folder, "folds.tsv")) == one["sha256"]


def changed_inputs(compared: Records, known: Records, now: Digests) -> Iterator[str]:
    """Files that are other than when a result was made from them, with the first results that used them."""
    used: dict[str, list[str]] = {}
    for path, one in compared.items():
        for name, noted in one["inputs"].items():
            if noted is None:
                yield f"{path}: {name} was changed while {one['command']} read it; {again([path], known)}"
            elif now[name] != noted and (name not in known or now[name] == known[name]["sha256"]):
                used.setdefault(name, []).append(path)
    for name, users in used.items():
        first = [path for path in users if not set(users) & before(path, known)]
        what = "not there any more" if now[name] is None else "other than when results were made from it"
        yield f"{name}: {what}; {again(first, known)}"


def before(path: str, known: Records) -> set[str]:
    """Everything that a result came from."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        new = set(known.get(waiting.pop(), {}).get("inputs", {})) - found
        found |= new
        waiting += new
    return found


def again(results: list[str], known: Records) -> str:
    """What makes results again: one of each job's is named."""
    jobs = {json.dumps([known[path]["command"], known[path]["arguments"]]): path for path in sorted(results)[::-1]}
    return f"--forcerun {' '.join(sorted(jobs.values()))}"


def unrecorded(cohort: Path, root: Path, known: Records, inputs: set[str]) -> list[str]:
    """Files below the folder that neither a record nor a manifest speaks of."""
    folders = tuple(f"{path}/" for path, one in known.items() if "files" in one)
    paths = [path for path in sorted(cohort.rglob("*")) if path.is_file() and not BESIDE & set(path.parts)]
    names = [str(path.absolute().relative_to(root)) for path in paths if path.suffix != ".list"]
    return [name for name in names if name not in {*known, *inputs} and not name.startswith(folders)]


if __name__ == "__main__":
    cli(run, first="cohort")
