"""Prediction of a hidden visit: better than what it is compared with, and the traps: nothing of it is used but its time."""

import numpy as np
import pandas as pd
import pytest
from growth_cohort import CONFOUNDS, draw

from neurovae.trajectory.forecast import evaluate, once, ratios
from neurovae.trajectory.frame import confounds_of, frame
from neurovae.trajectory.hidden import Fold, fit_fold, predict

NAMES = [f"mu_{k:02d}" for k in range(6)]


def split(table: pd.DataFrame, fold: int = 0, folds: int = 5) -> pd.DataFrame:
    """Whole people in the test set of a fold."""
    number = table["person"].str[-3:].astype(int) % folds
    return table.assign(latents_split=np.where(number == fold, "test", "training"))


def cohort(seed: int = 0, people: int = 150) -> pd.DataFrame:
    return split(draw(seed, people=people, latents=6).table)


def fitted(table: pd.DataFrame) -> Fold:
    used = confounds_of(table, CONFOUNDS, None, with_split=False)
    fold, reason = fit_fold(table, used, table[NAMES].to_numpy(float))
    assert fold is not None, reason
    return fold


def test_better_than_carrying_forward_and_covered() -> None:
    """150 people, all five folds: ratios of squared error below 1 with their intervals, coverage 88 to 92 %."""
    parts = []
    for k in range(5):
        table = split(cohort(), k)
        found = predict(fitted(table))
        truth = table[NAMES].to_numpy(float)[found.target]
        rows = {"person": table["person"].iloc[found.last].to_numpy(), "fold": k, "n_latents": 6,
                "years": found.years, "years_last": table["years"].to_numpy()[found.last]}  # fmt: skip
        for name, guess in (("model", found.predicted), ("last", found.z_last), ("population", found.population)):
            rows[f"latents_{name}"] = np.square((guess - truth) / found.spread).sum(axis=1)
        rows["covered"] = ((truth >= found.low) & (truth <= found.high)).sum(axis=1)
        parts.append(pd.DataFrame(rows).assign(voxels_model=np.nan))
    whole = pd.concat(parts)
    table = pd.DataFrame(ratios(whole, {}, 500, 0))
    assert len(whole) == 150 and whole["person"].is_unique
    assert (table["ci_high"][table["measure"] == "error ratio"] < 1).all()
    coverage = table[table["measure"].str.startswith("coverage")].iloc[0]
    assert 0.87 < coverage["value"] < 0.93 and coverage["ci_low"] < 0.9 < coverage["ci_high"]


def test_the_hidden_visit_is_no_input() -> None:
    """Its latents and confounds replaced by other numbers: the same prediction, bit for bit. Its time is used."""
    table = cohort()
    before = predict(fitted(table))
    changed = table.copy()
    changed.loc[before.target, NAMES] = 1e3
    changed.loc[before.target, "sex"] = "M"
    after = predict(fitted(changed))
    for name in ("predicted", "low", "high", "population", "z_last", "spread"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    later = table.copy()
    later.loc[before.target, "years"] += 1.0
    assert np.abs(predict(fitted(later)).predicted - before.predicted).max() > 0.05


def test_held_out_people_are_in_no_fit() -> None:
    """All latents, times and ages of held-out people changed: growth models, mean age and spread stay."""
    table = cohort()
    test = (table["latents_split"] == "test").to_numpy()
    one, other = fitted(table), table.copy()
    other.loc[test, NAMES] += 50.0
    other.loc[test, "years"] *= 3
    other.loc[test, "age_first"] += 40
    two = fitted(other)
    for a, b in zip(one.found, two.found, strict=True):
        assert a is not None and b is not None
        np.testing.assert_array_equal(a.coef, b.coef)
    inside = (~test)[one.whole.rows]
    np.testing.assert_array_equal(one.whole.x[inside], two.whole.x[inside])
    ages = two.whole.x[~inside, 1] - one.whole.x[~inside, 1]
    np.testing.assert_allclose(ages, 40)  # centred at the mean of the fitted people, scaled by nothing


def test_time_is_not_standardised_within_a_split() -> None:
    """A held-out person's prediction does not depend on who else is held out."""
    table = cohort()
    whole = predict(fitted(table))
    people = table["person"].iloc[whole.last].tolist()
    alone = table[(table["latents_split"] != "test") | (table["person"] == people[4])].reset_index(drop=True)
    one = predict(fitted(alone))
    np.testing.assert_allclose(one.predicted[0], whole.predicted[4], atol=1e-10)
    np.testing.assert_allclose(one.high[0], whole.high[4], atol=1e-10)


def test_a_split_by_scan_is_caught() -> None:
    """Some visits of a held-out person among the fitted ones: refused, since the model has seen the person."""
    table = cohort()
    first = table["person"] == table.loc[table["latents_split"] == "test", "person"].iloc[0]
    leaked = table.copy()
    leaked.loc[leaked.index[first][0], "latents_split"] = "training"
    with pytest.raises(ValueError, match="split by scan"):
        fit_fold(leaked, confounds_of(leaked, CONFOUNDS, None, False), leaked[NAMES].to_numpy(float))


def test_people_of_an_unknown_site_are_left_out() -> None:
    table = cohort()
    person = table.loc[table["latents_split"] == "test", "person"].iloc[0]
    sites = table.assign(site=np.where(table["person"].str[-1].isin(list("02468")), "A", "B"))
    sites.loc[sites["person"] == person, "site"] = "C"
    fold = fitted(sites)
    assert fold.note == "1 people left out, of a level of a confound that no fitted person has"
    assert person not in set(fold.table["person"].iloc[predict(fold).last])


def test_nobody_to_fit() -> None:
    table = cohort(people=30).assign(latents_split="test")
    fold, reason = fit_fold(table, [], table[NAMES].to_numpy(float))
    assert fold is None and "nobody trained" in reason


def test_ahead_uses_all_visits() -> None:
    table = cohort()
    fold = fitted(table)
    found = predict(fold, ahead=2.0, people=[table.loc[table["latents_split"] == "test", "person"].iloc[0]])
    row = found.last[0]
    assert len(found.last) == 1 and found.target[0] == -1
    assert found.years[0] == pytest.approx(table["years"].iloc[row] + 2)
    own = table[table["person"] == table["person"].iloc[row]]
    assert row == own.index[-1] and found.visits[0] == len(own)
    design = frame(table, confounds_of(table, CONFOUNDS, None, False))
    assert design.people == table["person"].nunique()


def test_a_constant_latent_has_no_interval_and_is_not_counted_as_missed() -> None:
    table = cohort().assign(mu_05=0.0)
    fold = fitted(table)
    rows = pd.DataFrame(evaluate(fold, predict(fold), None, None, table[NAMES].to_numpy(float)))
    assert (rows["n_latents"] == 5).all() and 0.8 < rows["covered"].sum() / rows["n_latents"].sum() <= 1


def test_people_who_are_held_out_of_every_fold_count_once() -> None:
    table = pd.DataFrame({"person": ["a", "b", "a", "c", "a"], "fold": [0, 0, 1, 1, 2], "value": range(5)})
    found = once(table, pd.DataFrame({"person": ["a", "a", "b", "c"], "fold": [1, 1, 0, 9]}))
    assert found[["person", "value"]].to_numpy().tolist() == [["b", 1], ["a", 2], ["c", 3]]
