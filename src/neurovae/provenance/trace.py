"""Trace a result: the command, its files and their digests, parameters and versions, back to the raw scans."""

import json as text_of
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.provenance import record

RULES = Path(__file__).parents[3] / "workflow" / "rules"
RULE = re.compile(r"^ *rule (\w+):$(.*?)(?=^ *rule \w+:$|\Z)", re.MULTILINE | re.DOTALL)
RUN = re.compile(r"-m neurovae\.([\w.]+)|launch\} neurovae\.([\w.]+)")  # the module that a rule runs
MAX_INPUTS = 2  # inputs of one kind that are shown; the number of others follows
WIDTH = 150  # characters of a line of parameters
SAME = ("python", "packages", "processor", "commit")  # shown once, and again where they differ
Record = dict[str, Any]


def run(*, file: Path, json: bool = False) -> None:
    """Print how a result was made: from which files, by which command, with which parameters, versions and code.

    Example:
        python -m neurovae provenance results/demo/findings/associations.tsv

    Args:
        file: any result (a table, weights, a map, a picture, the report) or a folder of maps.
        json: print everything as JSON instead of a tree.

    Raises:
        InputError: there is no such file, or no record of it.
    """
    root, name = locate(file)
    history = chain(root, name)
    lines = [*preface(Path(os.path.abspath(file)), Path(os.path.normpath(root / name))), *tree_lines(history)]
    print(text_of.dumps(history, indent=2, ensure_ascii=False) if json else "\n".join(lines))


def locate(file: Path) -> tuple[Path, str]:
    """Return the folder that the paths of a record start from, and the result's path from there.

    For a file in a folder that is one result, and for an image of one scan, the result is the folder or the manifest.

    Raises:
        InputError: no such file, or no record.
    """
    path = Path(os.path.abspath(file))
    for result in [path, *path.parents, *manifests(path)]:
        recorded = record.read(result)
        if recorded:
            depth = len(Path(recorded["path"]).parts)
            in_place = Path(*result.parts[-depth:]) == Path(recorded["path"])
            if not file.exists():
                raise InputError(f"{file}: missing; by its record, {recorded['command']} made it")
            return (result.parents[depth - 1], recorded["path"]) if in_place else (Path.cwd(), os.path.relpath(result))
    if not file.exists():
        raise InputError(f"{file}: there is no such file; give a file in results/<cohort>")
    raise InputError(
        f"{file}: no record of how it was made ({record.place(file)} is missing): it is raw data, a log, or was made "
        "by an earlier version of neurovae; give another file, or make it again (snakemake --forcerun RULE)"
    )


def manifests(path: Path) -> list[Path]:
    """List the manifests with an image in results/<cohort>/preprocess/derivatives, the last step first."""
    stage = next(
        (
            parent.parent
            for parent in path.parents
            if parent.name == "derivatives" and parent.parent.name == "preprocess"
        ),
        None,
    )
    if stage is None or not path.is_file():
        return []
    digest = record.contents(path)["sha256"]
    scan = path.name.split("_space-")[0].split("_desc-")[0].split("_from-")[0]
    tables = [table for step in ("normalise", "register", "extract") for table in sorted((stage / step).glob("*.tsv"))]
    naming = [table for table in tables if f"\n{scan}\t" in table.read_text(encoding="utf-8")]
    return sorted(naming, key=lambda table: digest not in table.read_text(encoding="utf-8"))


def preface(file: Path, result: Path) -> list[str]:
    """Return lines to print first where the record is that of a folder, or of the manifest of a scan's image."""
    if file == result:
        return []
    if result in file.parents:
        return [f"{file.name} is one of the files of this result:"]
    sidecars = [text_of.loads(path.read_text(encoding="utf-8")) for path in sorted(file.parent.glob("*.json"))]
    recorded = [sidecar["Images"][file.name] for sidecar in sidecars if file.name in sidecar.get("Images", {})]
    change = "as in its sidecar" if record.sha256(file) in recorded else "CHANGED since its sidecar was written"
    return [f"{file.name} ({change}) belongs to a scan; this is the manifest of its batch:"]


def chain(root: Path, name: str) -> Record:
    """Return the history of a result: {file, results: {path: record, and its state now}, raw: {path: digest}}."""
    results: dict[str, Record] = {}
    raw: dict[str, str | None] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        recorded = record.read(root / current)
        if recorded and current not in results:
            results[current] = {**recorded, "now": state(root / current, recorded)}
            waiting += recorded["inputs"]
            raw |= {path: digest for path, digest in recorded["inputs"].items() if not record.read(root / path)}
    return {"file": name, "results": results, "raw": dict(sorted(raw.items()))}


def state(path: Path, recorded: Record) -> str:
    """Say whether the result is still the one that was recorded."""
    if not path.exists():
        return "missing"
    is_unchanged = record.unchanged(path, recorded) or record.contents(path)["sha256"] == recorded["sha256"]
    return "as recorded" if is_unchanged else "CHANGED since it was recorded"


def tree_lines(history: Record) -> Iterator[str]:
    """Yield the lines of the tree, with the result itself first."""
    top = history["results"][history["file"]]
    yield f"{history['file']}: {top['now']}"
    yield f"  sha256      {top['sha256']}"
    yield f"  made by     python -m neurovae {top['command']}{rule(top['command'])}"
    yield from (f"  {'parameters' if not k else '':<12}{line}" for k, line in enumerate(parameters(top)))
    packages = ", ".join(f"{name} {version}" for name, version in top["packages"].items())
    yield f"  with        Python {top['python']}, {packages}"
    yield f"  on          {top['processor']}"
    yield f"  code        {top['commit']}"
    yield f"  from        {len(history['results']) - 1} results and {len(history['raw'])} files of raw data:"
    yield from branches(history, history["file"], "  ", set())


def rule(command: str) -> str:
    """Return the rule of the workflow that runs a command, in brackets; empty where none does."""
    name = rules().get(command)
    return f" (rule {name})" if name else ""


def rules() -> dict[str, str]:
    """Return the rule that runs each command; empty where the package is installed without the workflow."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(RULES.glob("*.smk"))]
    pairs = [(RUN.search(body), name) for text in texts for name, body in RULE.findall(text)]
    return {run[1] or run[2]: name for run, name in pairs if run}


def branches(history: Record, name: str, margin: str, jobs_shown: set[str]) -> Iterator[str]:
    """Yield the inputs of one result as a tree; a job is expanded only once."""
    results, inputs = history["results"], history["results"][name]["inputs"]
    kinds: dict[str, list[str]] = {}
    for path in inputs:
        kinds.setdefault(results[path]["command"] if path in results else "raw", []).append(path)
    for kind, paths in kinds.items():
        for path in paths[:MAX_INPUTS]:
            job = text_of.dumps([kind, results.get(path, {}).get("arguments")])
            mark = "  (job shown above)" if job in jobs_shown else "" if path in results else "  (raw)"
            yield f"{margin}- {path}  {str(inputs[path])[:12]}{mark}{remark(history, name, path)}"
            if not mark:
                jobs_shown.add(job)
                yield f"{margin}    {' '.join([kind, *parameters(results[path])])[:WIDTH]}"
                yield from (f"{margin}    {line}" for line in differences(results[path], results[history["file"]]))
                yield from branches(history, path, f"{margin}    ", jobs_shown)
        if len(paths) > MAX_INPUTS:
            yield f"{margin}- ... and {len(paths) - MAX_INPUTS} more {'raw files' if kind == 'raw' else f'from {kind}'}"


def remark(history: Record, name: str, path: str) -> str:
    """Return a remark on an input beyond its digest."""
    recorded, input_record = history["results"][name]["inputs"][path], history["results"].get(path)
    if recorded is None:
        return "  CHANGED while it was read: it is unknown what was read"
    if input_record is None:
        return ""
    if input_record["sha256"] != recorded:
        return f"  MADE AGAIN since: it is {input_record['sha256'][:12]} now; run snakemake again"
    return "" if input_record["now"] == "as recorded" else f"  {input_record['now']}"


def parameters(recorded: Record) -> list[str]:
    """Return the arguments that are no files: "--name value" each."""
    files = {recorded["path"], *recorded["inputs"]}
    pairs = zip(recorded["arguments"][::2], recorded["arguments"][1::2], strict=False)
    return [f"{name} {value}" for name, value in pairs if not is_file(value, files)]


def is_file(value: str, files: set[str]) -> bool:
    """Whether an argument is a path, or a list of paths."""
    first = value.strip("[]").split(",")[0].strip(" '\"")
    return (
        first in files or first.startswith(("results/", "../")) or any(path.startswith(f"{first}/") for path in files)
    )


def differences(recorded: Record, top: Record) -> list[str]:
    """List versions, processor and code that differ from those of the result itself."""
    lines = [f"{name}: {recorded[name]}" for name in SAME if name != "packages" and recorded[name] != top[name]]
    common = recorded["packages"].keys() & top["packages"].keys()
    other = [
        f"{name} {recorded['packages'][name]}" for name in common if recorded["packages"][name] != top["packages"][name]
    ]
    return lines + ([f"with {', '.join(sorted(other))}"] if other else [])


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    cli(run, first="file")
