"""Bad times and events are refused before the first job, by row; warnings; and the columns of the cohort table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bids_tree import ids, only, plant

from neurovae.cohort.check import check
from neurovae.cohort.table import build
from neurovae.cohort.warn import warnings
from neurovae.design.design import NOT_MADE, design, survival_values
from neurovae.errors import InputError
from neurovae.plan.index import look

SCORE = {"name": "conversion", "type": "survival", "time": "years", "event": "converted"}
PEOPLE = ids(40)


def cohort(root: Path, rows: dict[int, str], score: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    """A cohort of 40 people with years and events; rows: of a person (from 0), its cells instead."""
    lines = ["participant_id\tage\tyears\tconverted\tage_end"]
    for k, person in enumerate(PEOPLE):
        lines.append(f"{person}\t" + rows.get(k, f"{60 + k}\t{1 + k / 4}\t{k % 2}\t{62 + k}"))
    found = plant(root, PEOPLE, table="\n".join(lines) + "\n")
    return found | {"scores": [SCORE | (score or {})], "confounds": [], **other}


def test_a_good_table_has_no_problem_and_three_columns(tmp_path: Path):
    section = cohort(tmp_path, {5: "65\tn/a\tn/a\tn/a"}, {"entry": "age", "time": "age_end"})
    index = look(section)
    assert check(section, index) == []
    table = build(section, index, dict.fromkeys(PEOPLE, 0))
    y = survival_values(table, section["scores"][0])
    assert y[1].tolist() == [61, 63, 1] and np.isnan(y[5]).all()
    assert {"conversion", "conversion_event", "conversion_entry"} <= set(table)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("60\t-2\t1\t62", "row 2: conversion: years is -2: it lies before the scan, and the event has happened"),
        ("60\t0\t1\t62", "row 2: conversion: years is 0: it lies at the scan, and the event has happened"),
        ("60\t-2\t0\t62", "row 2: conversion: years is -2: it lies before the scan; observation cannot end before"),
        ("60\t3\t2\t62", "row 2: conversion: converted is 2; give 1 (the event happened) or 0"),
        ("60\t3\tyes\t62", "row 2: conversion: converted is 'yes'; give a number"),
        ("60\tsoon\t1\t62", "row 2: conversion: years is 'soon'; give a number"),
        ("60\t3\tn/a\t62", "row 2: conversion: years is '3', but converted missing; give all of them or none (n/a)"),
        ("60\tn/a\t0\t62", "row 2: conversion: converted is '0', but years missing"),
    ],
)
def test_rows_that_cannot_be(tmp_path: Path, cells: str, words: str):
    assert words in only(check(cohort(tmp_path, {0: cells})))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("60\t3\t1\t59", "age_end (59) lies before age (60), and the event has happened; who had it before the scan"),
        ("60\t3\t1\t60", "age_end (60) lies at age (60), and the event has happened"),
        ("60\t3\t0\t59", "age_end (59) lies before age (60); observation cannot end before it begins"),
        ("n/a\t3\t0\t59", "age_end is '59', converted is '0', but age missing"),
    ],
)
def test_entry_after_exit(tmp_path: Path, cells: str, words: str):
    assert words in only(check(cohort(tmp_path, {0: cells}, {"time": "age_end", "entry": "age"})))


def test_no_event_at_all(tmp_path: Path):
    section = cohort(tmp_path, {k: "60\t3\t0\t62" for k in range(40)})
    assert "conversion has no event among 40 scans (converted is 0 for everyone)" in only(check(section))


def test_every_row_is_named(tmp_path: Path):
    found = check(cohort(tmp_path, {k: "60\t-1\t1\t62" for k in range(30)}))
    assert [line.split(":")[0] for line in found] == [f"participants.tsv, row {k}" for k in range(2, 32)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"event": None}, "conversion is a survival score, event is missing; name the columns"),
        ({"event": "years"}, "time, event are of one column"),
        ({"column": "years"}, "conversion is a survival score, where column is not used"),
        ({"plausible": [0, 9]}, "where plausible is not used"),
        ({"type": "continuous", "column": "years"}, "conversion is continuous, where time, event is not used"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, change: dict[str, Any], words: str):
    assert any(words in problem for problem in check(cohort(tmp_path, {}, change)))


def test_a_name_of_its_own_columns_is_taken(tmp_path: Path):
    section = cohort(tmp_path, {}, confounds=[{"name": "conversion_event", "column": "age", "type": "continuous"}])
    assert "'conversion_event' is needed for its own column" in only(check(section))


def test_warnings_of_too_few_events_and_of_no_follow_up(tmp_path: Path):
    rows = {k: f"60\t3\t{int(k < 8)}\t62" for k in range(39)} | {39: "60\t0\t0\t60"}
    section = cohort(tmp_path, rows)
    assert check(section) == []
    found = [line for line in warnings(section, look(section)) if "conversion" in line]
    assert found[0].startswith("score 'conversion': 8 of 40 people have the event; with 1 confound column at least 10")
    assert "at least 20 are needed: it will not be predicted" in found[1]
    assert "1 people have no follow-up" in found[2]


def test_what_is_not_made_for_survival_says_so_instead_of_taking_the_time_for_a_number(tmp_path: Path):
    section = cohort(tmp_path, {})
    table = build(section, look(section), dict.fromkeys(PEOPLE, 0)).assign(latents_split="test")
    found = design(table, section["scores"][0], [])
    assert found.status == NOT_MADE and not len(found.rows) and "not made for a time to event" in found.reason
    assert len(design(table, section["scores"][0], [], survival=True).y) == 40


def test_a_cohort_table_that_was_not_checked_is_refused(tmp_path: Path):
    section = cohort(tmp_path, {})
    table = build(section, look(section), dict.fromkeys(PEOPLE, 0)).assign(conversion=-1.0)
    with pytest.raises(InputError, match="40 rows end before they begin"):
        survival_values(table, section["scores"][0])
