"""Who moves in the permuted cross-validation, and the unit of the score."""

import numpy as np
import pandas as pd
import pytest
from simulated_prediction import MEMORY, cases, cohort

from neurovae.design import design
from neurovae.predict import folds, linear, permutation, predict

pytestmark = pytest.mark.filterwarnings("error")


def sites_of_their_own(people: int = 36) -> tuple[pd.DataFrame, ...]:
    """Six sites, each person of a site with another number of scans: nobody has an equal."""
    table, latents, qc = cohort(people=people, effect=2.0, sessions=6)
    number = np.arange(people * 6) % people
    table["site"] = np.array(list("ABCDEF"))[number % 6]
    kept = np.arange(people * 6) // people <= number // 6
    return tuple(part[kept].reset_index(drop=True) for part in (table, latents, qc))


def test_where_nobody_can_change_places_there_is_no_p():
    usable = cases(sites_of_their_own(), MEMORY, [])
    row = permutation.permutation_test(usable, "linear", 49, 0)
    assert "p_permutation" not in row and row["permutations"] == 0 and np.isfinite(row["gain"])
    assert row["reason"].startswith("too few permutations: 1 distinct permutation of 126 rows, 1000 are needed")
    found = predict.summarise(usable, predict.cross_validate(usable, ["linear"]), {"linear": row}, 20, 0)
    table = pd.DataFrame(found).set_index(["features", "metric"])
    assert "too few permutations" in table.loc[(usable.full, "r2"), "reason"] and (table["status"] == "ok").all()


def test_a_few_movers_are_counted_and_labels_that_are_alike_once():
    parts = sites_of_their_own()
    table = parts[0]
    moved = table["person"].isin(["sub-000", "sub-001"])  # one scan each, at sites A and B
    few = cases((table.assign(site=table["site"].mask(moved, "A")), *parts[1:]), MEMORY, [])
    assert "2 distinct permutations" in permutation.permutation_test(few, "linear", 49, 0)["reason"]
    units = [np.arange(30)[:, None]]
    y = np.repeat([0.0, 1.0], [28, 2])
    assert permutation.too_few(permutation.strata(units, 30), y).startswith("435 distinct permutations")  # 30 over 2


def test_families_move_as_wholes_among_families_of_their_size():
    table, latents, qc = cohort(people=60)
    family = np.where(np.arange(60) < 40, np.arange(60) // 2, np.arange(60))
    table = table.assign(family=[f"f{k}" for k in family], site="A", fold=family % 5)
    usable = cases((table, latents, qc), MEMORY, [])
    units, rule = permutation.exchangeable_units(usable)
    assert rule.startswith("whole families among those of equal size") and [u.shape for u in units] == [
        (20, 1),
        (20, 2),
    ]
    left = permutation.null_scores(usable, units, 30, 0) - usable.y.mean()
    own = {tuple(np.round(pair, 8)) for pair in (usable.y - usable.y.mean())[:40].reshape(20, 2)}
    assert all({tuple(np.round(pair, 8)) for pair in draw[:40].reshape(20, 2)} == own for draw in left.T)
    together = folds.groups_of(usable.table)
    for split in usable.splits["latents"]:
        for part in (split, *split.inner):
            assert not set(together[part.train]) & set(together[part.test])
    with pytest.raises(folds.InputError, match="family f0 lies in several folds"):
        folds.outer_folds([design.join(table.assign(fold=np.arange(60) % 5), latents, qc)])


@pytest.mark.parametrize("unit", [1e-9, 1e-5, 1e9])
@pytest.mark.parametrize("learner", ["linear", "svm"])
def test_the_unit_of_the_score_does_not_matter(learner: str, unit: float):
    table, latents, qc = cohort(people=60, effect=2.0)
    told = {
        factor: predict.cross_validate(cases((table.assign(memory=factor * table["memory"]), latents, qc)), [learner])
        for factor in (1.0, unit)
    }
    spread = table["memory"].std()
    gap = told[unit]["prediction"] / unit - told[1.0]["prediction"]
    assert np.abs(gap).max() < 1e-4 * spread
    r2 = [1 - ((part["truth"] - part["prediction"]) ** 2).sum() / part["truth"].var() / 240 for part in told.values()]
    assert r2[0] > 0.3 and np.isclose(*r2, atol=1e-5)  # over all sets of features


def test_the_penalty_is_chosen_in_any_unit():
    losses = np.array([[3.0, 3.0], [2.0, 3.0 + 1e-12], [2.0 + 1e-12, 2.9]])
    for unit in (1e-20, 1.0, 1e20):
        assert linear.smallest(losses * unit).tolist() == [1, 2]
    assert linear.smallest(np.zeros((3, 1))).tolist() == [0]
