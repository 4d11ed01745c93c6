"""Ways to write the same cohort as files, which must give the same table: `make invariances`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from inference import World

from neurovae.cohort import check, table
from neurovae.plan import index

PERSON, SCAN = ["site", "sex", "fixed"], ["age", "motor", "rate", "falls", "ill", "stage", "mmse"]
Write = Callable[[Path, str], None]


def plain(path: Path, text: str) -> None:
    """Tab-separated, UTF-8, as the base is written."""
    path.write_bytes(text.encode())


def commas(path: Path, text: str) -> None:
    """Semicolons between cells, commas in numbers."""
    plain(path, text.replace(".", ",").replace("\t", ";"))


def quoted(path: Path, text: str) -> None:
    """Commas between cells, all of them in quotes."""
    plain(path, "".join(",".join(f'"{cell}"' for cell in line.split("\t")) + "\n" for line in text.splitlines()))


def unused(path: Path, text: str) -> None:
    """A column that nobody uses, with text of another alphabet."""
    plain(path, "".join(f"{line}\t{'note' if k == 0 else 'Größe 7'}\n" for k, line in enumerate(text.splitlines())))


def turned(path: Path, text: str) -> None:
    """People and columns in another order; sessions of a person stay, since their order is that in time."""
    header, *rows = [line.split("\t") for line in text.splitlines()]
    order = np.random.default_rng(2).permutation(len(header))
    place = dict(zip(sorted({row[0] for row in rows}), np.random.default_rng(3).permutation(len(rows)), strict=False))
    rows = [header, *sorted(rows, key=lambda row: place[row[0]])]
    plain(path, "".join("\t".join(row[k] for k in order) + "\n" for row in rows))


FORMS: dict[str, Write] = {
    "semicolons and decimal commas": commas,
    "commas and quotes": quoted,
    "UTF-16": lambda path, text: path.write_bytes(text.encode("utf-16")) and None,
    "a byte-order mark, CRLF": lambda path, text: plain(path, "\ufeff" + text.replace("\n", "\r\n")),
    "CR, blanks around cells": lambda path, text: plain(path, text.replace("\t", " \t ").replace("\n", "\r")),
    "other words for missing": lambda path, text: plain(path, text.replace("n/a", "NaN")),
    "an unused column": unused,
    "rows and columns in another order": turned,
    "a person's sessions in a file of their own": plain,
}


def read(world: World, root: Path, write: Write, split: bool = False) -> pd.DataFrame:
    """The cohort's table from a BIDS folder that is written in this form; some values are missing.

    split: each person's sessions in `sub-*_sessions.tsv`, not all of them in `sessions.tsv`.
    """
    rows = world.cohort.assign(
        **{name: world.cohort[name].mask(np.arange(len(world.cohort)) % 11 == 5) for name in SCAN[1:]}
    )
    for person, session in zip(rows["person"], rows["session"], strict=True):
        folder = root / person / f"ses-{session}" / "anat"
        folder.mkdir(parents=True)
        (folder / f"{person}_ses-{session}_T1w.nii.gz").touch()
    rows = rows.rename(columns={"person": "participant_id", "session": "session_id"}).assign(path=None)
    people = rows.drop_duplicates("participant_id")[["participant_id", *PERSON]]
    write(root / "participants.tsv", text(people))
    if split:
        for person, part in rows.groupby("participant_id"):
            write(root / person / f"{person}_sessions.tsv", text(part[["session_id", *SCAN]]))
    else:
        write(root / "sessions.tsv", text(rows[["participant_id", "session_id", *SCAN]]))
    section = {"name": "x", "bids": str(root), "folds": {"n": 3, "seed": 0, "validation": 0.125, "by": "person"}}
    section |= {"scores": world.scores, "confounds": world.confounds, "site": "site"}
    found = index.look(section)
    if problems := check.check(section, found):
        raise ValueError("; ".join(problems[:3]))
    return table.build(section, found, {scan.person: 0 for scan in found.scans})


def text(rows: pd.DataFrame) -> str:
    """Tab-separated lines with n/a for what is missing."""
    return rows.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def apart(world: World, folder: Path, name: str) -> list[str]:
    """Columns of the cohort's table in which this form differs from the base, to the last bit."""
    base = read(world, folder / "base", plain)
    other = read(world, folder / name, FORMS[name], split="file of their own" in name)
    if list(base.columns) != list(other.columns) or len(base) != len(other):
        return ["other columns or rows"]
    return [column for column in base if not base[column].equals(other[column])]
