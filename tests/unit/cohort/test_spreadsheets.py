"""Numbers, ids and codes as spreadsheets write them: the right value, or words; never another value in silence."""

from pathlib import Path

import numpy as np
import pytest
from bids_tree import ids, only, plant

from neurovae.cohort.check import check
from neurovae.cohort.table import build
from neurovae.cohort.warn import warnings
from neurovae.io import tables
from neurovae.plan import index

ICV = [{"name": "icv", "type": "continuous"}]
PEOPLE = ids(24)


def cohort(root: Path, cell, mark: str = "\t", header: str = "icv", **more) -> dict:
    """A cohort whose table has one column, the cells of each person's row."""
    table = "".join([f"participant_id{mark}{header}\n", *(f"{p}{mark}{cell(k)}\n" for k, p in enumerate(PEOPLE))])
    return {**plant(root, PEOPLE, table=table), "scores": ICV, "confounds": [], **more}


def values(section: dict) -> np.ndarray:
    found = index.look(section)
    assert check(section, found) == []
    return build(section, found, {scan.person: 0 for scan in found.scans})["icv"].to_numpy()


@pytest.mark.parametrize(
    "cells, meant",
    [
        (["1,234", "950"], True),
        (["1.234", "900", "12", "0"], True),
        (["1,234", "2,345"], False),  # the same unit for all
        (["1,234", "1,5", "950"], False),
        (["27.844", "60", "132"], False),  # a prorated total among whole ones
        (["2.412", "3"], False),
        (["0.123", "950"], False),
    ],
)
def test_separators_of_thousands(cells, meant):
    """1,234 beside 950 is 1234; beside 1,5 it is not."""
    assert bool(tables.thousands(cells)) == meant


def test_thousands_are_never_read_as_decimals(tmp_path):
    """With semicolons, 1,234 beside 950 was read as 1.234; with a point the dry run says how it is read."""
    comma = cohort(tmp_path / "a", lambda k: f"1,{100 + k}" if k % 2 else 900 + k, ";")
    problems = check(comma, index.look(comma))
    assert len(problems) == 12 and "row 3: icv is '1,101'" in problems[0] and "separators of thousands" in problems[0]
    point = cohort(tmp_path / "b", lambda k: f"1.{100 + k}" if k % 2 else 900 + k)
    said = [line for line in warnings(point, index.look(point)) if "thousands" in line]
    assert "row 3 (and 11 more): icv is read as 1.101" in only(said)
    plain = cohort(tmp_path / "c", lambda k: f"1,{100 + k}", ";")
    assert values(plain).tolist() == [(1100 + k) / 1000 for k in range(24)]


def test_decimal_commas_in_every_form(tmp_path):
    """Excel writes 1,5E-04 where commas are decimal."""
    forms = cohort(tmp_path, lambda k: ("1,5E-04", "-0,25", ",75")[k % 3], ";")
    assert values(forms).tolist() == [1.5e-4, -0.25, 0.75] * 8


def test_commas_in_names_of_columns(tmp_path):
    """Semicolons separate where each line has one, whatever the header says."""
    section = cohort(tmp_path, lambda k: k, ";", "volume, in ml, of the head")
    section["scores"] = [{**ICV[0], "column": "volume, in ml, of the head"}]
    assert values(section).tolist() == list(range(24))


def test_ids_that_a_spreadsheet_turned_into_decimals(tmp_path):
    """3001.0 is 3001."""
    people = [f"sub-{3001 + k}" for k in range(24)]
    table = "participant_id\ticv\n" + "".join(f"{3001 + k}.0\t{k}\n" for k in range(24))
    assert values({**plant(tmp_path, people, table=table), "scores": ICV}).tolist() == list(range(24))


@pytest.mark.parametrize(
    "code, cell", [(999, "9.99E+02"), (-9, "\u22129"), (0.5, ".5"), (1e-5, "0.00001"), ("1e16", "10000000000000000")]
)
def test_codes_have_one_spelling(tmp_path, code, cell):
    """A code is the number, however it is written."""
    section = cohort(tmp_path, lambda k: cell if k < 3 else k, missing=[code])
    assert np.isnan(values(section)[:3]).all() and values(section)[3:].tolist() == list(range(3, 24))


def test_codes_among_items(tmp_path):
    """A 9 among items of 0 to 4 stands for missing: it was added to the total."""
    section = cohort(tmp_path, lambda k: f"{9 if k == 3 else k % 5}\t1\t2", header="a\tb\tc")
    section["scores"] = [{"name": "t", "type": "bounded", "bounds": [0, 12], "sum_of": ["a", "b", "c"]}]
    assert "row 5: a is 9, the median of the items of 't' is 2" in only(check(section, index.look(section)))


def test_counts_that_are_none(tmp_path):
    """27 to 30 right answers out of 30 vary far less than a Poisson."""
    section = cohort(tmp_path, lambda k: 27 + k % 4, scores=[{"name": "icv", "type": "count"}])
    assert any("its variance is 1.25, its mean 28.5" in line for line in warnings(section, index.look(section)))
    poisson = cohort(tmp_path / "p", lambda k: (0, 1, 1, 3)[k % 4], scores=[{"name": "icv", "type": "count"}])
    assert not any("its variance" in line for line in warnings(poisson, index.look(poisson)))


def test_an_index_is_no_column(tmp_path):
    """`Unnamed: 0`, which pandas writes and reads, is the number of the row."""
    (tmp_path / "t.csv").write_text("Unnamed: 0,participant_id,icv\n0,sub-01,3\n")
    table, problems = tables.read(str(tmp_path / "t.csv"), file="t.csv", rename={})
    assert not problems and table.columns == ["participant_id", "icv"]
