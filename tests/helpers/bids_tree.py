"""BIDS folders of empty files, and what the index finds in them."""

import os
from pathlib import Path

from neurovae.plan import index

DATA = Path(__file__).resolve().parents[4] / "shared/data"


ENV = {**os.environ, "PYTHONPATH": str(Path(index.__file__).parents[2])}


def plant(root: Path, people: list[str], *, ending: str = "_T1w.nii.gz", table: str | None = None) -> dict:
    """Make an empty BIDS tree with a participants table and give the config section that reads it."""
    for person in people:
        (root / person / "anat").mkdir(parents=True, exist_ok=True)
        (root / person / "anat" / f"{person}{ending}").touch()
    if table is None:
        table = "participant_id\tage\n" + "".join(f"{person}\t{30 + turn}\n" for turn, person in enumerate(people))
    root.mkdir(exist_ok=True)
    (root / "participants.tsv").write_bytes(table.encode() if isinstance(table, str) else table)
    return {"name": "x", "bids": str(root), "folds": {"n": 3, "seed": 0, "validation": 0.125, "by": "person"}}


def ids(count: int) -> list[str]:
    """`sub-0000` and so on."""
    return [f"sub-{number:04d}" for number in range(count)]


def only(problems: list[str]) -> str:
    """The one problem that there is."""
    assert len(problems) == 1, problems
    return problems[0]
