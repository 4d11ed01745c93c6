"""A score that a confound determines: a status that names the confound, and everything else is reported."""

import numpy as np
import pandas as pd
import pytest
from simulated_prediction import AGE, CONFOUNDS, MEMORY, cohort
from simulated_prediction import ILL as BINARY

from neurovae.associate import mixed, multivariable, omnibus, univariate
from neurovae.audit import confounds, power
from neurovae.design.design import design, join

pytestmark = pytest.mark.filterwarnings("error")
SCORES = [BINARY, {"name": "grade", "type": "ordinal"}, MEMORY]


def confounded() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    table, latents, qc = cohort(people=60)
    ill = (table["site"] == "A").astype(float)
    return table.assign(ill=ill, grade=3 * (table["sex"] == "F").astype(float)), latents, qc


def test_every_table_names_the_confound_and_tests_the_other_scores():
    parts = confounded()
    table = join(*parts)
    glm, spline, _, permute = univariate.tests(table, SCORES, CONFOUNDS, 99, 0)
    whole, directions = omnibus.omnibus(table, SCORES, CONFOUNDS, 99, 0)
    several = [row for one in SCORES for row in multivariable.joint(table, one, CONFOUNDS, 2)]
    twice = pd.concat([table, table.assign(session="b", scan=table["scan"] + "b")], ignore_index=True)
    over = [row for one in SCORES for row in mixed.mixed(twice, one, CONFOUNDS, 99, 0, False)]
    audited = [row for row in confounds.audit(table, SCORES, CONFOUNDS, [], 0.1) if row["kind"] == "score"]
    powers = [row for one in SCORES for row in power.check(parts[0], one, CONFOUNDS, 5, 0.8, 0.05)]
    for rows in (glm, spline, permute, whole, directions, several, over, audited, powers):
        found = pd.DataFrame(rows)
        for score, name in (("ill", "site"), ("grade", "sex")):
            mine = found[found["score"] == score]
            tested = mine[mine["status"] != "no such numbers"]
            assert len(mine) and set(tested["status"]) <= {"explained by confounds", "no such numbers"}
            assert all(reason.startswith(f"{name} determines the score") for reason in tested["reason"])
        assert "ok" in set(found.loc[found["score"] == "memory", "status"])


def test_confounds_that_determine_it_together_or_as_a_number_are_named():
    table = join(*cohort(people=60))
    by_age = design(table.assign(y=3 - 2 * table["age"]), {"name": "y", "type": "continuous"}, CONFOUNDS)
    assert (by_age.status, by_age.reason.split(" determines")[0]) == ("explained by confounds", "age")
    both = table.assign(y=table["age"] + 5 * (table["sex"] == "F"))
    found = design(both, {"name": "y", "type": "continuous"}, CONFOUNDS[:2])
    assert found.status == "explained by confounds" and found.reason.startswith("age and sex together determine")
    free = design(table, MEMORY, [AGE])
    assert free.status == "ok" and np.array_equal(free.y, table["memory"])


@pytest.mark.parametrize("per_person, unit", [(True, "60 people"), (False, "120 scans")])
def test_scans_are_not_counted_as_people(per_person: bool, unit: str):
    table, latents, qc = confounded()
    copies = [part.assign(scan=part["scan"] + "b") for part in (table.assign(session="b"), latents, qc)]
    parts = [pd.concat(pair, ignore_index=True) for pair in zip((table, latents, qc), copies, strict=True)]
    found = design(join(*parts), BINARY, CONFOUNDS, per_person=per_person)
    assert found.status == "explained by confounds" and f"the score of each of the {unit}" in found.reason
