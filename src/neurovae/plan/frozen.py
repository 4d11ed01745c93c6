"""With cohort.freeze nothing is trained: the trained models must exist, with the same settings.

Standard library only: it runs when the Snakefile is read.
"""

import json
from pathlib import Path
from typing import Any

from neurovae.errors import InputError
from neurovae.io.exported import header
from neurovae.plan.kinds import NOT_OPTIONS, Entries

FILES = ("weights.safetensors", "history.parquet", "health.json")


def problems(cohort: dict[str, Any], entries: Entries, fits: list[str], results: Path = Path("results")) -> list[str]:
    """List the problems of a frozen run; none where the cohort is not frozen."""
    if not cohort["freeze"]:
        return []
    folder = results / cohort["name"]
    required = [folder / "cohort" / "folds.tsv"]
    required += [folder / "train" / name / fit / file for name in entries for fit in fits for file in FILES]
    missing = [str(path) for path in required if not path.is_file()]
    if missing:
        others = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return [
            f"cohort.freeze: true needs the models that an earlier run trained; not there: {', '.join(missing[:3])}"
            f"{others}; run once with freeze: false"
        ]
    return [
        line
        for name, entry in entries.items()
        for fit in fits
        for line in _other(name, entry, folder / "train" / name / fit / FILES[0])
    ]


def _other(name: str, entry: dict[str, Any], path: Path) -> list[str]:
    """Report values of an entry that differ from those of its model's training; searched ones are the search's."""
    meta, chosen_path = description(path), path.parents[1] / f"{path.parent.name.split('_')[0]}_search" / "chosen.json"
    if meta["searched"] and not chosen_path.is_file():
        return [f"train.models {name!r}: a search chose values of {path}, and {chosen_path} is not there; restore it"]
    values, trained_values = {key: value for key, value in entry.items() if key not in NOT_OPTIONS}, meta["options"]
    values |= json.loads(chosen_path.read_text(encoding="utf-8")) if meta["searched"] else {}
    differ = sorted(key for key in values if values[key] != trained_values.get(key))
    if meta["kind"] == entry["kind"] and not differ:
        return []
    differences = (
        ", ".join(f"{key} is {values[key]}, was {trained_values.get(key)}" for key in differ)
        or f"kind was {meta['kind']}"
    )
    return [
        f"train.models {name!r}: {differences} in {path}; cohort.freeze keeps models as they are: restore the values"
    ]


def description(path: Path) -> dict[str, Any]:
    """Read the description in a safetensors file's header: 8 bytes of length, then JSON."""
    meta = header(path)
    if meta is None:
        raise InputError(f"{path}: not weights of neurovae; restore them, or set cohort.freeze: false")
    return meta
