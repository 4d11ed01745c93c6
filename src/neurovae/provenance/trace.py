"""How a result came about: the command, its files and their digests, parameters, versions, back to the raw scans."""

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
SHOWN = 2  # inputs of one kind that are shown; how many more there are is said
WIDTH = 150  # characters of a line of parameters
SAME = ("python", "packages", "processor", "commit")  # said once, and again where they differ
Record = dict[str, Any]


def run(*, file: Path, json: bool = False) -> None:
    """Print how a result came about: what made it from which files, with which parameters, versions and code.

    Example:
        python -m neurovae provenance results/demo/findings/associations.tsv

    Args:
        file: any result (a table, weights, a map, a picture, the report) or a folder of maps.
        json: print all of it as JSON in place of a tree.

    Raises:
        InputError: there is no such file, or no record of it.
    """
    root, name = locate(file)
    found = chain(root, name)
    lines = [*part(Path(os.path.abspath(file)), Path(os.path.normpath(root / name))), *told(found)]
    print(text_of.dumps(found, indent=2, ensure_ascii=False) if json else "\n".join(lines))


def locate(file: Path) -> tuple[Path, str]:
    """The folder that the paths of a record start from, and the result's path from there.

    For a file in a folder that is one result, and for an image of one scan, the result is the folder or the manifest.

    Raises:
        InputError: no such file, or no record.
    """
    path = Path(os.path.abspath(file))
    for result in [path, *path.parents, *manifests(path)]:
        known = record.read(result)
        if known:
            up = len(Path(known["path"]).parts)
            ours = Path(*result.parts[-up:]) == Path(known["path"])
            if not file.exists():
                raise InputError(f"{file}: not there any more; there is a record that {known['command']} made it")
            return (result.parents[up - 1], known["path"]) if ours else (Path.cwd(), os.path.relpath(result))
    if not file.exists():
        raise InputError(f"{file}: there is no such file; give a file in results/<cohort>")
    raise InputError(
        f"{file}: nothing says how it was made ({record.place(file)} is not there): it is raw data, a log, or was made "
        "by an earlier version of neurovae; give another file, or make it again (snakemake --forcerun RULE)"
    )


def manifests(path: Path) -> list[Path]:
    """The manifests that speak of an image in results/<cohort>/preprocess/derivatives, the last step first."""
    stage = next(
        (up.parent for up in path.parents if up.name == "derivatives" and up.parent.name == "preprocess"), None
    )
    if stage is None or not path.is_file():
        return []
    digest = record.contents(path)["sha256"]
    scan = path.name.split("_space-")[0].split("_desc-")[0].split("_from-")[0]
    tables = [table for step in ("normalise", "register", "extract") for table in sorted((stage / step).glob("*.tsv"))]
    naming = [table for table in tables if f"\n{scan}\t" in table.read_text(encoding="utf-8")]
    return sorted(naming, key=lambda table: digest not in table.read_text(encoding="utf-8"))


def part(file: Path, result: Path) -> list[str]:
    """What is to be said first where the record is that of a folder, or of the manifest of a scan's image."""
    if file == result:
        return []
    if result in file.parents:
        return [f"{file.name} is one of the files of this result:"]
    sidecars = [text_of.loads(path.read_text(encoding="utf-8")) for path in sorted(file.parent.glob("*.json"))]
    noted = [one["Images"][file.name] for one in sidecars if file.name in one.get("Images", {})]
    same = "as its sidecar says" if record.sha256(file) in noted else "CHANGED since its sidecar was written"
    return [f"{file.name} ({same}) belongs to a scan; this is the manifest of its batch:"]


def chain(root: Path, name: str) -> Record:
    """Everything that a result came from: {file, results: {path: record, and its state now}, raw: {path: digest}}."""
    results: dict[str, Record] = {}
    raw: dict[str, str | None] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        known = record.read(root / one)
        if known and one not in results:
            results[one] = {**known, "now": state(root / one, known)}
            waiting += known["inputs"]
            raw |= {path: digest for path, digest in known["inputs"].items() if not record.read(root / path)}
    return {"file": name, "results": results, "raw": dict(sorted(raw.items()))}


def state(path: Path, known: Record) -> str:
    """Is the result still the one that the record speaks of?"""
    if not path.exists():
        return "not there any more"
    same = record.unchanged(path, known) or record.contents(path)["sha256"] == known["sha256"]
    return "as recorded" if same else "CHANGED since it was recorded"


def told(found: Record) -> Iterator[str]:
    """The lines of the tree, with what made the result itself first."""
    top = found["results"][found["file"]]
    yield f"{found['file']}: {top['now']}"
    yield f"  sha256      {top['sha256']}"
    yield f"  made by     python -m neurovae {top['command']}{rule(top['command'])}"
    yield from (f"  {'parameters' if not k else '':<12}{line}" for k, line in enumerate(parameters(top)))
    packages = ", ".join(f"{name} {version}" for name, version in top["packages"].items())
    yield f"  with        Python {top['python']}, {packages}"
    yield f"  on          {top['processor']}"
    yield f"  code        {top['commit']}"
    yield f"  from        {len(found['results']) - 1} results and {len(found['raw'])} files of raw data:"
    yield from branches(found, found["file"], "  ", set())


def rule(command: str) -> str:
    """The rule of the workflow that runs a command, in brackets; nothing where none does."""
    name = rules().get(command)
    return f" (rule {name})" if name else ""


def rules() -> dict[str, str]:
    """The rule that runs each command; empty where the package stands without the workflow."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(RULES.glob("*.smk"))]
    pairs = [(RUN.search(body), name) for text in texts for name, body in RULE.findall(text)]
    return {run[1] or run[2]: name for run, name in pairs if run}


def branches(found: Record, name: str, margin: str, seen: set[str]) -> Iterator[str]:
    """What one result was made from, as a tree; a job that was told of before is not told of again."""
    results, inputs = found["results"], found["results"][name]["inputs"]
    kinds: dict[str, list[str]] = {}
    for path in inputs:
        kinds.setdefault(results[path]["command"] if path in results else "raw", []).append(path)
    for kind, paths in kinds.items():
        for path in paths[:SHOWN]:
            job = text_of.dumps([kind, results.get(path, {}).get("arguments")])
            told_of = "  (job told of above)" if job in seen else "" if path in results else "  (raw)"
            yield f"{margin}- {path}  {str(inputs[path])[:12]}{told_of}{remark(found, name, path)}"
            if not told_of:
                seen.add(job)
                yield f"{margin}    {' '.join([kind, *parameters(results[path])])[:WIDTH]}"
                yield from (f"{margin}    {line}" for line in differences(results[path], results[found["file"]]))
                yield from branches(found, path, f"{margin}    ", seen)
        if len(paths) > SHOWN:
            yield f"{margin}- ... and {len(paths) - SHOWN} more {'raw files' if kind == 'raw' else f'from {kind}'}"


def remark(found: Record, name: str, path: str) -> str:
    """What is to be said of an input beyond its digest."""
    noted, known = found["results"][name]["inputs"][path], found["results"].get(path)
    if noted is None:
        return "  CHANGED while it was read: nobody knows what was read"
    if known is None:
        return ""
    if known["sha256"] != noted:
        return f"  MADE ANEW since: it is {known['sha256'][:12]} now; run snakemake again"
    return "" if known["now"] == "as recorded" else f"  {known['now']}"


def parameters(known: Record) -> list[str]:
    """The arguments that are no files: "--name value" each."""
    files = {known["path"], *known["inputs"]}
    pairs = zip(known["arguments"][::2], known["arguments"][1::2], strict=False)
    return [f"{name} {value}" for name, value in pairs if not is_file(value, files)]


def is_file(value: str, files: set[str]) -> bool:
    """Is an argument a path, or a list of paths?"""
    first = value.strip("[]").split(",")[0].strip(" '\"")
    return (
        first in files or first.startswith(("results/", "../")) or any(path.startswith(f"{first}/") for path in files)
    )


def differences(known: Record, top: Record) -> list[str]:
    """Versions, processor and code where they are not those of the result itself."""
    lines = [f"{name}: {known[name]}" for name in SAME if name != "packages" and known[name] != top[name]]
    common = known["packages"].keys() & top["packages"].keys()
    other = [f"{name} {known['packages'][name]}" for name in common if known["packages"][name] != top["packages"][name]]
    return lines + ([f"with {', '.join(sorted(other))}"] if other else [])


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    cli(run, first="file")
