"""Tables of latents that would be read without an error and be wrong: fifteen bad inputs with their messages.

Those that were refused before are in `test_latent_tables.py`. Each is read in a cohort without images.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from neurovae.errors import InputError
from neurovae.plan import index, latent_tables
from neurovae.plan.config import load_schema, validate
from neurovae.train import inputs

PEOPLE = [f"sub-{k:02d}" for k in range(40)]
Frame = Callable[[pd.DataFrame], pd.DataFrame]


def frame() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(len(PEOPLE), 5)).round(4)
    return pd.DataFrame(values, columns=[f"r{k}" for k in range(5)]).assign(participant_id=PEOPLE)


def cell(row: int, column: str, value: Any) -> Frame:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        return table.astype({column: object}).assign(
            **{column: [value if k == row else old for k, old in enumerate(table[column])]}
        )

    return changed


def problems(folder: Path, table: pd.DataFrame, **entry: Any) -> tuple[list[str], list[str], dict[str, int]]:
    """Of a table beside a participants table with one row per person."""
    pd.DataFrame({"participant_id": PEOPLE, "age": range(40)}).to_csv(folder / "p.tsv", sep="\t", index=False)
    table.to_csv(folder / "v.tsv", sep="\t", index=False)
    model = {"name": "given", "kind": "table", "path": str(folder / "v.tsv"), **entry}
    config = validate(
        {
            "cohort": {
                "name": "x",
                "participants": str(folder / "p.tsv"),
                "scores": [{"name": "age", "type": "count"}],
            },
            "train": {"models": [model]},
        },
        load_schema(),
    )
    return latent_tables.problems(config, index.look(config["cohort"]))


def by_session(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(session_id=1)


def mixed_sessions(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(session_id=["1" if k % 2 else None for k in range(len(table))])


NOBODY = "rows name a session (sub-{}_ses-1, sub-{}_ses-1, sub-{}_ses-1 and {} more), and the cohort has no sessions of these "
NOBODY += "people; leave session_id out, or give the sessions in the cohort"
REFUSED: list[tuple[str, Frame, str]] = [
    ("infinite", cell(4, "r1", "inf"), "v.tsv, row 6: r1 is 'inf'; give a number or n/a"),
    ("beyond double precision", cell(4, "r1", "1e400"), "v.tsv, row 6: r1 is '1e400'; give a number or n/a"),
    ("an infinite square", cell(4, "r1", "1e300"), "v.tsv, row 6: r1 is 1e+300; latents are numbers of at most 1e+100: "
     "correct it"),
    ("a session of nobody", by_session, f"v.tsv: 40 of 40 {NOBODY.format('00', '01', '02', 37)}"),
    ("sessions in some rows", mixed_sessions, f"v.tsv: 20 of 40 {NOBODY.format('01', '03', '05', 17)}"),
    ("few people", lambda table: table.head(9), "v.tsv: 9 of 40 people have a row, too few for 5 folds (folds.n); give more "
     "rows"),
    ("a score among the columns", lambda table: table.rename(columns={"r2": "AGE"}), "v.tsv: column 'AGE' is a score or "
     "confound of the cohort, too; name the latents alone in columns"),
    ("a column twice", lambda table: table.set_axis(["r0", "r0", *table.columns[2:]], axis=1), "v.tsv, row 1: two columns "
     "are called 'r0' (from 'r0', 'r0'); keep one or rename one"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_it_is_refused(tmp_path: Path, change: Frame, message: str) -> None:
    assert problems(tmp_path, change(frame()))[0] == [message]


def zeros(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: [0.0, *table[name][1:]] for name in ("r1", "r2", "r3", "r4")})


def rare(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(fifth=[1.5, 2.5, *[0.0] * 38])


def test_a_column_that_few_people_have_is_refused_as_a_latent_and_may_be_left_out(tmp_path: Path) -> None:
    message = "v.tsv: column 'fifth' is 0 for all but 2 of 40 rows, and so may be for all training people of a fold; "
    message += "leave it out (columns: '!fifth'), or take components (n_latent)"
    assert problems(tmp_path, rare(frame()))[0] == [message]
    assert problems(tmp_path, rare(frame()), n_latent=2)[0] == []
    for wanted in ("!fifth", ["!fif*"], ["r*", "!r9*"], ["*", "!fifth"]):
        faults, _, sizes = problems(tmp_path, rare(frame()), columns=wanted)
        unknown = "v.tsv, row 1: no column to leave out is or begins with 'r9'; correct columns"
        assert (faults, sizes["given"]) == (([unknown], 0) if "!r9*" in wanted else ([], 5))


NOTED: list[tuple[str, Frame, str]] = [
    ("a failed segmentation", zeros, "v.tsv, row 2: 4 of 5 values are 0; if the segmentation has failed, leave the row out"),
    ("equal columns", lambda table: table.assign(copy=table["r0"]), "v.tsv: columns 'copy' and 'r0' hold the same numbers; "
     "leave one of the two out (columns)"),
    ("numbers of people", lambda table: table.assign(Subject_ID=range(1000, 1120, 3)), "v.tsv: column 'Subject_ID' is left "
     "out: by its name no latent"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in NOTED], ids=[case[0] for case in NOTED])
def test_it_is_noted(tmp_path: Path, change: Frame, message: str) -> None:
    faults, notes, sizes = problems(tmp_path, change(frame()))
    assert (faults, notes) == ([], [message]) and sizes["given"] == (6 if "copy" in message else 5)
    assert problems(tmp_path, frame())[:2] == ([], [])


def test_a_row_that_holds_for_several_sessions_is_noted(tmp_path: Path) -> None:
    scans = [(f"{one}_ses-{visit}", f"{one}_ses-{visit}", one) for one in PEOPLE for visit in (1, 2)]
    frame().to_csv(tmp_path / "v.tsv", sep="\t", index=False)
    found = latent_tables.latents(*latent_tables.text_table(str(tmp_path / "v.tsv")), scans, None)
    assert (found.problems, found.notes) == ([], [
        "v.tsv: a row without a session holds for all sessions of its person, so that the latents of 40 people (sub-00, "
        "sub-01, sub-02 and 37 more) do not change over time"
    ])  # fmt: skip


def objects(path: Path) -> None:
    np.savez(path, participant_id=np.array(PEOPLE), emb=np.array([{"a": 1}] * 40, dtype=object))


def infinite(path: Path) -> None:
    np.savez(path, participant_id=np.array(PEOPLE), emb=np.r_[np.inf, np.arange(39.0)][:, None] * np.ones((1, 2)))


def unequal(path: Path) -> None:
    np.savez(path, participant_id=np.array(PEOPLE), emb=np.ones((39, 2)))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (objects, "v.npz: cannot be read .*allow_pickle=False.; write it again"),
        (infinite, "v.npz, row 1: emb_000 is 'inf'; give a number or n/a"),
        (unequal, "v.npz: arrays participant_id .40,., emb .39, 2.; give one row per scan in each"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut"), "v.npz: cannot be read .*; write it again"),
    ],
    ids=["pickled objects", "infinite", "arrays of unequal length", "damaged"],
)
def test_a_file_that_jobs_read_is_refused_by_them(tmp_path: Path, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / "v.npz")
    rows = pd.DataFrame({"scan": PEOPLE, "person": PEOPLE, "session": "", "preproc_sha256": ""})
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match=message):
        inputs.read(Path(""), tmp_path / "rows.parquet", str(tmp_path / "v.npz"))
