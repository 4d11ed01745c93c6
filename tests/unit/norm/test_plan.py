"""What is refused or said before the first job: the reference rule, names, ages, sites; and the folds of the reference."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from neurovae.cohort import reference
from neurovae.errors import InputError
from neurovae.norm.reference import people as reference_people
from neurovae.norm.reference import refuse_trained
from neurovae.plan import config as configuration
from neurovae.plan import graph, index, norm

ROWS = 60


def table() -> pd.DataFrame:
    rows = pd.DataFrame({"participant_id": [f"sub-{k:02d}" for k in range(ROWS)]})
    rows["age"] = [40 + k // 2 for k in range(ROWS)]
    return rows.assign(sex="F", group=["control" if k % 2 else "patient" for k in range(ROWS)], scanner="A", motor=1.5)


def whole(folder: Path, rows: pd.DataFrame, rule: dict[str, Any] | None, **section: Any) -> tuple[dict[str, Any], Any]:
    path = folder / "participants.tsv"
    rows.to_csv(path, sep="\t", index=False, na_rep="n/a")
    cohort: dict[str, Any] = {"name": "x", "participants": str(path), "site": "scanner", "reference_group": rule}
    cohort["scores"] = [{"name": "motor", "type": "continuous"}]
    cohort["confounds"] = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
    given = {
        "cohort": cohort,
        "norm": section,
        "train": {"models": [{"name": "m", "kind": "table", "path": str(path)}]},
    }
    found = configuration.validate(given, configuration.load_schema(), given)
    return found, index.look(found["cohort"])


RULE = {"column": "group", "equals": "control"}


@pytest.mark.parametrize(
    ("rule", "section", "message"),
    [
        ({"column": "group", "equals": "healthy"}, {}, r"nobody has group = healthy; found .*control \(30\)"),
        ({"column": "grp", "equals": "control"}, {}, r"no column 'grp'; did you mean 'group'"),
        (None, {"age": "age", "deviation": True}, "norm.deviation: needs cohort.reference_group"),
        (RULE, {"deviation": True}, "norm.deviation: needs norm.age"),
        (RULE, {"age": "years"}, "norm.age: 'years' is no score or confound of your tables; there are age, sex, motor"),
        (RULE, {"age": "sex"}, "norm.age: 'sex' is of type categorical"),
        (RULE, {"age": "age", "sex": "motor"}, "norm.sex: 'motor' is of type continuous"),
        (RULE, {"age": "age", "models": ["vae"]}, "norm.models: no model 'vae'; there are m"),
        (RULE, {"age": "age", "people": ["sub-00"]}, "norm.people: .*give norm.deviation: true"),
        (RULE, {"age": "age", "deviation": True, "people": ["x"]}, "norm.people: no participant 'x'; found sub-00"),
    ],
)
def test_what_is_not_possible_is_named(tmp_path: Path, rule: Any, section: dict[str, Any], message: str):
    faults, _ = norm.problems(*whole(tmp_path, table(), rule, **section), ["m"])
    assert len(faults) == 1
    with pytest.raises(InputError, match=message):
        graph.refuse(faults)


def test_it_is_off_without_an_age_and_a_good_rule_has_no_problem(tmp_path: Path):
    found, listed = whole(tmp_path, table(), None)
    assert norm.problems(found, listed, ["m"]) == ([], []) and norm.digest(found["cohort"], listed) == ""
    assert norm.problems(*whole(tmp_path, table(), RULE, age="age", sex="sex", deviation=True), ["m"]) == ([], [])
    [note] = norm.problems(*whole(tmp_path, table(), RULE), ["m"])[1]
    assert "without norm.age there is no norm" in note


def test_ages_outside_the_reference_are_said_or_refused(tmp_path: Path):
    rows = table()
    rows.loc[0, "age"] = 81  # a patient
    faults, [note] = norm.problems(*whole(tmp_path, rows, RULE, age="age"), ["m"])
    assert faults == [] and "ages outside those of the reference, 40 to 69: sub-00 (81)" in note
    [fault], _ = norm.problems(*whole(tmp_path, rows, RULE, age="age", outside_age="refuse"), ["m"])
    assert fault.startswith("norm.outside_age: ages outside")


def test_a_sex_without_reference_people_is_named(tmp_path: Path):
    rows = table()
    rows.loc[0, "sex"] = "M"  # a patient
    asked = {"age": "age", "sex": "sex", "deviation": True}
    faults, [note] = norm.problems(*whole(tmp_path, rows, RULE, **asked), ["m"])
    assert faults == [] and note.startswith("norm.sex: 0 people of the reference are 'M', 5 are needed")


def test_reference_and_others_without_a_common_site_are_named(tmp_path: Path):
    rows = table()
    rows["scanner"] = rows["group"].map({"control": "A", "patient": "B"})
    _, [note] = norm.problems(*whole(tmp_path, rows, RULE, age="age"), ["m"])
    assert "the reference (A) and the others (B) share no site" in note and "scanner and not of the person" in note


def test_few_people_and_changing_groups_are_refused(tmp_path: Path):
    rows = table()
    rows.loc[rows.index[10:], "group"] = "patient"
    [fault], _ = norm.problems(*whole(tmp_path, rows, RULE, age="age"), ["m"])
    assert "5 people have group = control, 20 are needed" in fault
    rows = pd.concat([table().assign(session_id="1"), table().assign(session_id="2", group="control")])
    [fault], _ = norm.problems(*whole(tmp_path, rows, RULE, age="age"), ["m"])
    assert "30 people have several values of group: sub-00 (control, patient)" in fault


def written(folder: Path, rows: pd.DataFrame, rule: dict[str, Any]) -> tuple[pd.DataFrame, set[str]]:
    found, _ = whole(folder, rows, rule)
    names = rows["participant_id"]
    splits = {f"split_{k}": ["test" if n % 2 == k else "training" if n % 3 else "validation" for n in range(ROWS)]
              for k in (0, 1)}  # fmt: skip
    pd.DataFrame({"person": names, "site": "A", "fold": [n % 2 for n in range(ROWS)]} | splits).to_csv(
        folder / "folds.tsv", sep="\t", index=False
    )
    paths = {"folds": folder / "folds.tsv", "reference": folder / "reference.tsv", "out": folder / "out.tsv"}
    reference.run(cohort=found["cohort"], **paths)
    chosen = reference_people(paths["reference"])
    assert chosen is not None
    return pd.read_csv(paths["out"], sep="\t").set_index("person"), chosen


def test_the_reference_alone_trains_and_folds_stay(tmp_path: Path):
    rows = table().assign(group=["control" if k % 5 else "patient" for k in range(ROWS)])
    rows.loc[1, "group"] = None
    folds, chosen = written(tmp_path, rows, {"column": "group", "equals": ["control", "sibling"]})
    before = pd.read_csv(tmp_path / "folds.tsv", sep="\t").set_index("person")
    own = folds.index.isin(list(chosen))
    assert own.sum() == 47 and "sub-01" not in chosen and "sub-00" not in chosen
    pd.testing.assert_frame_equal(folds[own], before[own])
    assert (folds.loc[~own, ["split_0", "split_1"]] == "test").all(axis=None)
    assert folds["fold"].equals(before["fold"])


def test_a_set_without_the_reference_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="nobody of the reference in training of fold 0; use fewer folds"):
        written(tmp_path, table().assign(group=["patient" if k % 2 else "control" for k in range(ROWS)]), RULE)


def test_only_who_is_of_the_reference_reruns_training(tmp_path: Path):
    first = norm.digest(*_of(tmp_path, table()))
    assert first == norm.digest(*_of(tmp_path, table().assign(age=50, motor=9)))
    rows = table()
    rows.loc[0, "group"] = "control"
    assert first != norm.digest(*_of(tmp_path, rows))


def _of(folder: Path, rows: pd.DataFrame) -> tuple[dict[str, Any], Any]:
    found, listed = whole(folder, rows, RULE)
    return found["cohort"], listed


def test_a_model_that_has_seen_others_is_refused():
    rows = pd.DataFrame({"person": ["a", "b"], "latents_split": ["training", "training"]})
    refuse_trained(rows, {"a", "b"}, Path("latents.parquet"))
    with pytest.raises(InputError, match=r"trained on 1 people outside the reference \(b\)"):
        refuse_trained(rows, {"a"}, Path("latents.parquet"))
