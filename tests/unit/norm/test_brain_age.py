"""Brain age: the predictions of `predict`, the reference's own line, gaps in closed form, and the test of the gap."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated_prediction import CONFOUNDS, by_fold, cohort

from neurovae.norm import accuracy, age, brain_age, gap_test
from neurovae.predict import folds, predict

AGE: dict[str, Any] = {"name": "age", "type": "continuous"}
MEMORY: dict[str, Any] = {"name": "memory", "type": "continuous"}


def aged(seed: int = 0, people: int = 90, noise: float = 1.0) -> list[pd.DataFrame]:
    """Joined tables of five folds; three latents follow age, with noise."""
    table, latents, qc = cohort(people=people, seed=seed)
    rng = np.random.default_rng(seed + 1000)
    years = table["age"].to_numpy()
    for k in range(3):
        latents[f"mu_{k:03d}"] = (years - 50) / 20 + noise * rng.normal(size=people)
    return by_fold((table, latents, qc))


def found(tables: list[pd.DataFrame], reference: np.ndarray | None = None) -> pd.DataFrame:
    outer = folds.outer_folds(tables)
    cases = folds.complete_cases(outer, AGE, CONFOUNDS, inner=3)
    own = np.ones(len(cases.table), bool) if reference is None else reference
    return age.with_gaps(age.predicted(outer, cases, own, AGE, CONFOUNDS, 3, 0), cases.y, own)


def test_without_a_reference_group_it_is_the_prediction_of_predict():
    tables = aged()
    cases = folds.complete_cases(folds.outer_folds(tables), AGE, CONFOUNDS, inner=3)
    whole = predict.cross_validate(cases, ["linear"])
    expected = whole[whole["features"] == "latents"].set_index("scan")
    mine = found(tables).set_index("scan")
    np.testing.assert_array_equal(mine["predicted_age"], expected.loc[mine.index, "prediction"])
    np.testing.assert_array_equal(mine["training_mean"], expected.loc[mine.index, "training_mean"])
    rows = {row["metric"]: row["value"] for row in accuracy.metrics(found(tables), 100, 0)}
    theirs = {row["metric"]: row["value"] for row in predict.summarise(cases, whole, {}, 100, 0) if
              (row["learner"], row["features"]) == ("linear", "latents")}  # fmt: skip
    assert [rows[name] for name in ("mae", "r2", "r")] == [theirs[name] for name in ("mae", "r2", "r")]
    assert set(rows) == {"mae", "r2", "r", "mae_of_the_mean"} and rows["mae_of_the_mean"] > 1.5 * rows["mae"]


def test_people_outside_the_reference_train_nothing():
    tables = aged()
    reference = np.arange(90) % 3 != 0
    before = found(tables, reference)
    others = tables[0].index[~reference]
    for table in tables:
        table.loc[others, "mu_000"] += 5.0
        table.loc[others, "age"] += 3.0
    after = found(tables, reference)
    np.testing.assert_array_equal(before["predicted_age"][reference], after["predicted_age"][reference])
    np.testing.assert_array_equal(before["gap_adjusted"][reference], after["gap_adjusted"][reference])
    assert (before["predicted_age"] != after["predicted_age"])[~reference].all()


def test_the_adjusted_gap_is_that_of_de_lange_and_of_beheshti():
    rng = np.random.default_rng(0)
    years, fold = rng.uniform(20, 80, 60), np.arange(60) % 5
    brain = 25 + 0.5 * years + rng.normal(0, 4, 60)
    everybody = np.ones(60, bool)
    mine = age.adjusted(years, brain, fold, everybody)
    for k in range(5):
        here, others = fold == k, fold != k
        of_age = stats.linregress(years[others], brain[others])
        corrected = brain[here] + (years[here] - (of_age.intercept + of_age.slope * years[here]))  # de Lange & Cole
        np.testing.assert_allclose(mine[here], corrected - years[here], atol=1e-9)
        of_gap = stats.linregress(years[others], (brain - years)[others])
        offset = of_gap.intercept + of_gap.slope * years[here]  # Beheshti
        np.testing.assert_allclose(mine[here], brain[here] - offset - years[here], atol=1e-9)
    assert abs(stats.pearsonr(mine, years)[0]) < 0.1 < 0.6 < abs(stats.pearsonr(brain - years, years)[0])


def test_of_one_single_age_the_adjusted_gap_is_missing_without_a_warning():
    brain, fold, everybody = np.arange(40.0), np.arange(40) % 4, np.ones(40, bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(age.adjusted(np.full(40, 30.0), brain, fold, everybody)).all()
        mixed = np.where(fold == 2, np.arange(40.0), 30.0)  # fold 2 alone has several ages, and no line from the others
        assert (np.isnan(age.adjusted(mixed, brain, fold, everybody)) == (fold == 2)).all()


def test_ages_outside_the_reference_are_marked_and_in_no_mean():
    tables = aged()
    reference = (tables[0]["age"].between(30, 70)).to_numpy()
    table = found(tables, reference)
    beyond = ~reference
    assert table["extrapolated"].to_numpy()[beyond].all() and not table["extrapolated"].to_numpy()[reference].any()
    _, metrics, groups, _ = brain_age.analyse(table, [MEMORY], CONFOUNDS, AGE, 100, 99, 0)
    assert {row["people"] for row in metrics} == {"reference"} and sum(row["n"] for row in groups) == reference.sum()
    assert all(29 < row["age_min"] and row["age_max"] < 71 for row in metrics)


def rejections(draws: int, effect: float) -> dict[str, float]:
    """Share of cohorts with p < .05: a score that depends on age (and with `effect` on brain age beyond age)."""
    table = found(aged())
    small = {"test": 0, "naive": 0}
    rng = np.random.default_rng(0)
    for _ in range(draws):
        beyond = rng.normal(size=len(table))  # a prediction that is shrunken towards the mean age, as every one is
        table["predicted_age"] = 50 + 0.5 * (table["true_age"] - 50) + 6 * beyond
        table["gap"] = table["predicted_age"] - table["true_age"]
        table["memory"] = -(table["true_age"] - 50) / 20 + effect * beyond + rng.normal(size=len(table))
        row = gap_test.tests(table, [MEMORY], [AGE], AGE, 19, 0)[0]
        assert row["status"] == "ok", row
        small["test"] += row["p"] < 0.05
        small["naive"] += row["naive_p"] < 0.05
    return {name: count / draws for name, count in small.items()}


def test_the_test_holds_its_level_on_a_null_on_which_the_naive_correlation_fails():
    draws = 120
    rate = rejections(draws, 0.0)
    low, high = stats.binom.ppf([0.005, 0.995], draws, 0.05) / draws
    assert low <= rate["test"] <= high, rate
    assert rate["naive"] > 0.9, rate  # a score that depends on age alone


def test_an_effect_beyond_age_is_found():
    assert rejections(20, 0.7)["test"] > 0.8


def test_the_age_itself_is_not_tested_and_becomes_a_spline():
    table = found(aged())
    sex = {"name": "sex", "type": "categorical"}
    rows = gap_test.tests(table, [AGE, MEMORY], [sex], AGE, 99, 0)
    assert [row["score"] for row in rows] == ["memory"]
    assert "age" in rows[0]["confounds"] and "spline" in rows[0]["confounds"] and rows[0]["permutations"] == 99


@pytest.mark.parametrize("column", ["gap", "gap_adjusted"])
def test_intervals_of_groups_are_those_of_the_mean(column: str):
    table = found(aged())
    groups = {"sex": table["sex"]}
    for row in accuracy.by_group(table, groups, 2000, 0):
        values = table.loc[table["sex"] == row["level"], column]
        assert row["n"] == len(values) and row[column] == pytest.approx(values.mean())
        half = 1.96 * values.sem()
        assert row[f"{column}_high"] - row[column] == pytest.approx(half, rel=0.15)


def test_a_group_of_few_people_has_no_interval_and_relatives_are_drawn_together():
    table = found(aged())
    rows = accuracy.by_group(table, {"few": pd.Series(["a", "a", "b"] + ["b"] * (len(table) - 3))}, 500, 0)
    assert np.isnan(rows[0]["gap_low"]) and np.isfinite(rows[1]["gap_low"]) and rows[0]["n"] == 2
    twins = pd.concat([table, table.assign(person=table["person"] + "b")], ignore_index=True)
    twins = twins.assign(family=[*table["person"], *table["person"]])
    one, both = (accuracy.by_group(t, {"all": pd.Series("x", index=t.index)}, 500, 0)[0] for t in (table, twins))
    assert both["gap_high"] - both["gap_low"] == pytest.approx(one["gap_high"] - one["gap_low"], rel=1e-6)


def test_a_time_to_an_event_has_no_naive_correlation():
    table = found(aged())
    table = table.assign(death=np.arange(len(table)) + 1.0, death_event=np.arange(len(table)) % 2)
    score = {"name": "death", "type": "survival", "time": "years", "event": "died"}
    row = gap_test.tests(table, [score], [AGE], AGE, 19, 0)[0]
    assert row["status"] == "ok" and row["family"] == "Cox (Efron)" and "naive_r" not in row
