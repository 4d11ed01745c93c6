"""The reference of the results: files that rules write, and the columns of tables, each with its entry.

    python docs/extension/outputs.py results/demo results/other

notes in docs/reference/written.yaml which tables with which columns these finished runs hold.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from neurovae.plan.config import refuse_repeats

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PLACES = (
    "bids",
    "truth",
    "logs",
    "benchmarks",
    "derivatives",
    ".provenance",
    ".state",
)  # no tables of results in these
VARIABLE = (  # parts of paths and columns that depend on the configuration
    (r"fold-(\d+|\{fold\}|\{\{fold\}\})_seed-(\d+|\{seed\}|\{\{seed\}\})|\{fit\}|\{\{fit\}\}", "<fit>"),
    (r"\{+cohort\}+", "<cohort>"),
    (r"\{+model\}+", "<model>"),
    (r"\{+person\}+(?=_person)", "<person>"),
    (r"\{+block\}+|(?<=^blocks/)[a-z][a-z0-9_]*(?=/)", "<block>"),
    (r"\{+bucket\}+|\{+batch\}+|(?<=/)\d{4}(?=\.)", "<batch>"),
    (r"fold-(\d+|\{+fold\}+)", "fold-<fold>"),
    (r"seed-(\d+|\{+seed\}+)", "seed-<seed>"),
    (r"trial-(\d+|\{+trial\}+)", "trial-<trial>"),
)
MODEL = re.compile(
    r"^(train|latents|associate|predict|trajectory|norm|audit|interpret|supervised)/(?!voxels/)[^/]+/(?=.)"
)
COLUMN = ((r"^(mu|logvar|kl)_\d.*$", r"\1_<id>"), (r"^split_\d+$", "split_<fold>"))


def general(path: str) -> str:
    """A path below results/<cohort> with its variable parts named."""
    for pattern, name in VARIABLE:
        path = re.sub(pattern, name, path)
    return path


def from_rules(rules: Path = ROOT / "workflow" / "rules") -> set[str]:
    """Every path that a rule names as output, below results/<cohort>."""
    found: set[str] = set()
    for file in rules.glob("*.smk"):
        for body in re.findall(r"^    output:\n((?:(?:        .*)?\n)+)", file.read_text(encoding="utf-8"), flags=re.M):
            found |= set(re.findall(r'"results/\{+cohort\}+/([^"]+)"', body))
    return {general(path) for path in found}


def paired(paths: Iterable[str]) -> set[str]:
    """Paths without the TSV that stands beside a Parquet of the same name."""
    every = set(paths)
    return {path for path in every if not (path.endswith(".tsv") and f"{path[:-4]}.parquet" in every)}


def of_run(folder: Path) -> dict[str, list[str]]:
    """The columns of every table of a finished run, by its general path."""
    found: dict[str, list[str]] = {}
    for path in sorted([*folder.rglob("*.parquet"), *folder.rglob("*.tsv")]):
        within = path.relative_to(folder)
        if not set(PLACES) & set(within.parts):
            name = MODEL.sub(r"\1/<model>/", general(str(within)))
            found[name] = [*dict.fromkeys([*found.get(name, []), *columns(path, str(within))])]
    return {name: found[name] for name in sorted(paired(found))}


def columns(path: Path, name: str) -> list[str]:
    """Column names with their variable parts named; those of scores and confounds stand for all of them."""
    text = (
        pq.read_schema(path).names
        if path.suffix == ".parquet"
        else path.read_text(encoding="utf-8").partition("\n")[0].split("\t")
    )
    if name == "cohort/cohort.parquet":
        text = [*text[: text.index("fold") + 1], "<score or confound>"]
    if "/training_scores/" in name:
        text = ["scan", "person", "<score or confound>"]
    for pattern, general_name in COLUMN:
        text = [re.sub(pattern, general_name, column) for column in text]
    return list(dict.fromkeys(text))


def read(name: str) -> Any:
    """One of the YAML files beside the reference's pages."""
    refuse_repeats([str(REFERENCE / name)])
    return yaml.safe_load((REFERENCE / name).read_text(encoding="utf-8"))


def meaning(column: str, path: str, entries: dict[str, Any]) -> str:
    """The entry of a column: the table's own, or that which holds for all tables; empty if there is none."""
    return str(entries["tables"].get(path, {}).get(column) or entries["common"].get(column, ""))


def problems(
    outputs: dict[str, Any], entries: dict[str, Any], written: dict[str, list[str]], rules: set[str]
) -> list[str]:
    """What is written without an entry, and entries of what is not written."""
    known = {path for files in outputs.values() for path in files}
    made = paired(rules | set(written))
    lines = [f"docs/reference/outputs.yaml: no entry for {path}" for path in sorted(made - known)]
    lines += [f"docs/reference/outputs.yaml: no rule writes {path}" for path in sorted(known - made)]
    asked = {(column, path) for path, names in written.items() for column in names}
    lines += [
        f"docs/reference/columns.yaml: no entry for column {column} of {path}"
        for column, path in sorted(asked, key=lambda pair: (pair[1], pair[0]))
        if not meaning(column, path, entries)
    ]
    names = {column for column, _ in asked}
    lines += [f"docs/reference/columns.yaml: no table has {name}" for name in sorted(set(entries["common"]) - names)]
    own = {(column, path) for path, table in entries["tables"].items() for column in table}
    return lines + [f"docs/reference/columns.yaml: {path} has no column {name}" for name, path in sorted(own - asked)]


def page(outputs: dict[str, Any], entries: dict[str, Any], written: dict[str, list[str]]) -> str:
    """Every file by stage, each table with its columns, as MyST."""
    parts = []
    for stage, files in outputs.items():
        parts.append(f"## {stage}\n")
        for path, text in files.items():
            parts += [f"### `{path}`\n", f"{text.strip()}\n"]
            rows = [f"| `{column}` | {meaning(column, path, entries)} |" for column in written.get(path, [])]
            parts += ["| column | meaning |", "| --- | --- |", *rows, ""] if rows else []
    return "\n".join(parts)


def main(folders: list[str]) -> None:
    """Write docs/reference/written.yaml from finished runs, of which the first comes first."""
    whole: dict[str, list[str]] = {}
    for folder in folders:
        for name, found in of_run(Path(folder)).items():
            whole[name] = [*dict.fromkeys([*whole.get(name, []), *found])]
    text = yaml.safe_dump(dict(sorted(whole.items())), sort_keys=False, width=120, default_flow_style=None)
    heading = "# Made by docs/extension/outputs.py from finished runs: the columns of every table. Do not edit.\n"
    (REFERENCE / "written.yaml").write_text(heading + text, encoding="utf-8")
    print(f"{len(whole)} tables, {sum(map(len, whole.values()))} columns")


if __name__ == "__main__":
    main(sys.argv[1:])
