"""Tables from public bug reports, by number: what is read, and what is refused with which words."""

import pytest
from bids_tree import ids, only, plant

from neurovae.cohort.check import check
from neurovae.cohort.table import build
from neurovae.plan import index

AGE = {"name": "age", "type": "continuous"}


def cohort(root, header: str, cells, people: list[str] | None = None, **more) -> dict:
    """A cohort whose table has this header and the cells of each person's row."""
    people = people or ids(24)
    table = "\n".join([header, *(cells(person, turn) for turn, person in enumerate(people))]) + "\n"
    return {**plant(root, people, table=table), "scores": [], "confounds": [AGE], **more}


def built(section: dict):
    found = index.look(section)
    assert check(section, found) == []
    return build(section, found, {scan.person: 0 for scan in found.scans})


@pytest.mark.parametrize("mark", ["\t", ","])
def test_a_separator_at_the_end_of_each_row_shifts_nothing(tmp_path, mark):
    """pandas-dev/pandas#14124: without one in the header, read_csv takes the first column for the index."""
    rows = cohort(
        tmp_path, mark.join(["participant_id", "age", "sex"]), lambda p, k: mark.join([p, str(30 + k), "F", ""])
    )
    assert built(rows)["age"].tolist() == [30.0 + k for k in range(24)]
    more = cohort(tmp_path, mark.join(["participant_id", "age"]), lambda p, k: mark.join([p, str(30 + k), "7"]))
    assert "row 2: 3 cells, the header has 2" in index.look(more).problems[0]


def test_two_columns_of_one_name_are_refused(tmp_path):
    """mne-tools/mne-bids-pipeline#600 (ds001971): two columns participant_id; pandas renames the second one."""
    rows = cohort(tmp_path, "participant_id\tparticipant_id\tage", lambda p, k: f"{p}\tCQ{k}\t{30 + k}")
    assert "two columns are called 'participant_id'" in index.look(rows).problems[0]


def test_ids_without_their_zeros_are_told_from_unknown_ones(tmp_path):
    """incf-nidash/PyNIDM#441 (ABIDE): rows of 50772, folders sub-0050772; every row was dropped without a word."""
    people = [f"sub-00{50772 + k}" for k in range(24)]
    rows = cohort(tmp_path, "participant_id\tage", lambda p, k: f"{50772 + k}\t{30 + k}", people)
    problem = only(index.look(rows).problems)
    assert (
        "scans are of sub-0050772 ..., rows of sub-50772 ..., which differ in leading zeros or capitals only" in problem
    )
    others = cohort(tmp_path, "participant_id\tage", lambda p, k: f"x{k}\t{30 + k}", people)
    assert "zeros" not in only(index.look(others).problems)


@pytest.mark.parametrize("value", ["18-38", "89+", "<5", ">= 90", "18\u201338"])
def test_limits_and_ranges_are_no_codes_for_missing(tmp_path, value):
    """mne-tools/mne-bids-pipeline#600: ages of 18-38; and ages above 89, which data sharing writes as 89+."""
    rows = cohort(tmp_path, "participant_id\tage", lambda p, k: f"{p}\t{value if k == 3 else 30 + k}")
    found = only(check(rows, index.look(rows)))
    assert f"row 5: age is '{value}'; give one number (it is a limit or a range" in found


@pytest.mark.parametrize("value", ["53,2", "1.401,40", "1,234"])
def test_a_comma_in_a_number_never_disappears(tmp_path, value):
    """pandas-dev/pandas#25218 and #15084: 53,2 became 532, and 1.401,40 became 140140."""
    rows = cohort(tmp_path, "participant_id\tage", lambda p, k: f"{p}\t{value if k == 3 else 30 + k}")
    assert f"row 5: age is '{value}'; give a number (with a decimal point)" in only(check(rows, index.look(rows)))
    told = cohort(tmp_path, "participant_id;age", lambda p, k: f"{p};{30 + k}.5")
    assert built(told)["age"].tolist() == [30.5 + k for k in range(24)]


def test_true_and_false_with_missing_values(tmp_path):
    """pandas-dev/pandas#42808: an empty cell between True and False became 1.0."""
    ill = {"name": "ill", "type": "binary", "positive": "True"}
    cells = ["True", "False", "", "n/a"]
    rows = cohort(
        tmp_path, "participant_id\till", lambda p, k: f"{p}\t{cells[k % 4]}", ids(48), scores=[ill], confounds=[]
    )
    values = built(rows)["ill"]
    assert values.isna().sum() == 24 and values.dropna().tolist() == [1.0, 0.0] * 12
    number = rows | {"scores": [{"name": "ill", "type": "continuous"}]}
    assert "row 2: ill is 'True'; give a number" in check(number, index.look(number))[0]
