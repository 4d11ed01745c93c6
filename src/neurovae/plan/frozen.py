"""With cohort.freeze nothing is trained: what training made has to lie there, made with the values asked for.

Standard library only: it runs when the Snakefile is read.
"""

import json
from pathlib import Path
from typing import Any

from neurovae.errors import InputError
from neurovae.plan.entries import SAID, Entries

MADE = ("weights.safetensors", "history.parquet", "health.json")
LONGEST = 2**30  # bytes of a header, beyond which the file is not what it seems


def problems(cohort: dict[str, Any], entries: Entries, fits: list[str], results: Path = Path("results")) -> list[str]:
    """What keeps a frozen run from being done; nothing where the cohort is not frozen."""
    if not cohort["freeze"]:
        return []
    folder = results / cohort["name"]
    wanted = [folder / "cohort" / "folds.tsv"]
    wanted += [folder / "train" / name / fit / made for name in entries for fit in fits for made in MADE]
    missing = [str(path) for path in wanted if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return [
            f"cohort.freeze: true needs the models that an earlier run trained; not there: {', '.join(missing[:3])}"
            f"{more}; run once with freeze: false"
        ]
    return [
        line
        for name, entry in entries.items()
        for fit in fits
        for line in _other(name, entry, folder / "train" / name / fit / MADE[0])
    ]


def _other(name: str, entry: dict[str, Any], path: Path) -> list[str]:
    """Values of an entry that are not those which its model was trained with; searched ones are the search's."""
    meta, chosen = described(path), path.parents[1] / f"{path.parent.name.split('_')[0]}_search" / "chosen.json"
    if meta["searched"] and not chosen.is_file():
        return [f"train.models {name!r}: a search chose values of {path}, and {chosen} is not there; restore it"]
    now, then = {key: value for key, value in entry.items() if key not in SAID}, meta["options"]
    now |= json.loads(chosen.read_text(encoding="utf-8")) if meta["searched"] else {}
    differ = sorted(key for key in now if now[key] != then.get(key))
    if meta["kind"] == entry["kind"] and not differ:
        return []
    said = ", ".join(f"{key} is {now[key]}, was {then.get(key)}" for key in differ) or f"kind was {meta['kind']}"
    return [f"train.models {name!r}: {said} in {path}; cohort.freeze keeps models as they are: restore the values"]


def described(path: Path) -> dict[str, Any]:
    """The description in a safetensors file's header: 8 bytes of length, then JSON."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size < LONGEST else {}
        described: dict[str, Any] = json.loads(header["__metadata__"]["neurovae"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not weights of neurovae; restore them, or set cohort.freeze: false") from error
    return described
