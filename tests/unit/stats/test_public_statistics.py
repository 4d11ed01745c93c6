"""Inputs of public bug reports about statistics, by number, with the values that the tests should give."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from simulated_prediction import ILL, cases, cohort

from neurovae.associate import mixed, univariate
from neurovae.errors import InputError
from neurovae.predict import importance, predict
from neurovae.predict.folds import complete_cases, outer_folds
from neurovae.predict.harmonise import apply, fit

pytestmark = pytest.mark.filterwarnings("error")
SCORE: dict[str, Any] = {"name": "score", "type": "continuous"}


def joined(y: np.ndarray, z: np.ndarray, person: np.ndarray | None = None, **columns: np.ndarray) -> pd.DataFrame:
    """A joined table of scans with these scores and latents; everybody once, or as `person` says."""
    who = [f"sub-{k:03d}" for k in (np.arange(len(y)) if person is None else person)]
    table = pd.DataFrame({"person": who, "score": y, "site": "A", "fold": 0, **columns})
    table["session"] = table.groupby("person").cumcount().add(1).astype(str)
    table = table.assign(scan=table["person"] + "_ses-" + table["session"], latents_model="vae", latents_fold=0)
    table = table.assign(latents_seed=0, latents_split="test")
    return table.assign(**{f"mu_{k:03d}": column for k, column in enumerate(np.atleast_2d(z.T))})


def rows(table: pd.DataFrame, score: dict[str, Any] = SCORE, confounds: Any = ()) -> tuple[list, list]:
    """Linear effects and permutation tests."""
    found = univariate.tests(table, [score], list(confounds), 199, 0)
    return found[0], found[3]


def test_between_effect_at_a_person_variance_of_zero():
    """statsmodels#10239: MixedLM returns 0.0 for effects between groups where the variance of the groups is 0."""
    rng = np.random.default_rng(0)
    person, level = np.repeat(np.arange(40), 2), rng.normal(size=40)
    y = 2.0 * level[person] + np.tile([1.0, -1.0], 40) * rng.normal(size=80)
    y += np.repeat(-y.reshape(40, 2).mean(axis=1) + 2.0 * level, 2)  # the residuals of a person cancel
    table = joined(y, level[person] + 0.3 * rng.normal(size=80), person)
    (row,) = [row for row in mixed.mixed(table, SCORE, [], 99, 0, False) if row["term"] == "between"]
    means = table.groupby("person")[["score", "mu_000"]].mean() / table[["score", "mu_000"]].std(ddof=1)
    plain = sm.OLS(means["score"], sm.add_constant(means["mu_000"])).fit()
    assert row["var_person"] == 0 and row["reason"] == "variance of person at 0, its boundary"
    assert row["effect"] == pytest.approx(plain.params["mu_000"]) and row["effect"] > 0.7


def test_missing_values_are_no_levels_of_an_ordinal_score():
    """statsmodels#7353: OrderedModel takes each NaN for a level with a threshold of its own."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=80)
    stage = np.digitize(z + rng.logistic(size=80), [-1, 1]).astype(float)
    stage[[3, 9, 20]] = np.nan
    table, score = joined(stage, z), {"name": "score", "type": "ordinal"}
    with_gaps, without = rows(table, score)[0][0], rows(table.dropna(subset=["score"]), score)[0][0]
    assert with_gaps["n"] == 77 and with_gaps["p"] == without["p"] and with_gaps["effect"] == without["effect"]


def test_a_constant_latent_leaves_max_t_of_the_others_as_it_is():
    """nilearn#2556: a voxel of zeros made every corrected p of permuted_ols invalid."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(80, 4))
    table = joined(0.4 * z[:, 0] + rng.normal(size=80), z)
    beside, without = rows(table.assign(mu_002=0.0))[1], rows(table.drop(columns="mu_002"))[1]
    assert [row["p_maxt"] for row in beside if row["latent"] != "mu_002"] == [row["p_maxt"] for row in without]
    assert next(row["status"] for row in beside if row["latent"] == "mu_002") == "constant latent"


def test_covariates_take_degrees_of_freedom():
    """pingouin#171: p of partial correlations with n - 2 degrees of freedom, whatever the number of covariates."""
    rng = np.random.default_rng(3)
    a, z = rng.integers(0, 4, 30).astype(float), rng.normal(size=30)
    row = rows(joined(a + z + 2 * rng.normal(size=30), z, age=a), confounds=[{"name": "age", "type": "categorical"}])[
        1
    ][0]
    assert row["n_confound_columns"] == 3
    assert row["p_parametric"] == pytest.approx(2 * stats.t.sf(abs(row["statistic"]), 30 - 3 - 2))


def test_a_covariate_that_is_the_score_or_the_latent():
    """pingouin#375: controlled for a copy of y, x and y correlate as if it were not there."""
    rng = np.random.default_rng(4)
    z = rng.normal(size=(60, 2))
    y = z[:, 0] + rng.normal(size=60)
    copy = [{"name": "copy", "type": "continuous"}]
    linear, permuted = rows(joined(y, z, copy=2 * y + 3), confounds=copy)
    assert {row["status"] for row in linear + permuted} == {"explained by confounds"}
    linear, permuted = rows(joined(y, z, copy=1 - 3 * z[:, 1]), confounds=copy)
    assert [row["status"] for row in linear] == [row["status"] for row in permuted] == ["ok", "constant latent"]


def test_combat_of_latents_without_spread():
    """neuroCombat#28 and sva-devel#14: all values NaN where a feature has no spread; ComBatHarmonization#14: one feature."""
    rng = np.random.default_rng(5)
    site, none = np.repeat(["A", "B"], 20), np.empty((40, 0))
    z = rng.normal(size=(40, 3)) * np.where(site == "B", 2.0, 1.0)[:, None] + np.where(site == "B", 3.0, 0.0)[:, None]
    constant = np.column_stack([z, np.full(40, 7.0)])
    found = apply(fit(constant, site, none), constant, site, none)
    assert (found[:, 3] == 7.0).all() and np.allclose(found[:, :3], apply(fit(z, site, none), z, site, none))
    one = apply(fit(z[:, :1], site, none), z[:, :1], site, none)
    assert np.allclose(one[site == "A"].mean(), one[site == "B"].mean())
    assert np.allclose(one[site == "A"].std(), one[site == "B"].std())
    for flat in (np.where((site == "A")[:, None], 0.0, z), np.where((site == "A")[:, None], 0.0, z[:, :1])):
        with pytest.raises(InputError, match=r"people of site A \(20\) do not differ in a latent"):
            fit(flat, site, none)


def test_the_order_of_latents_does_not_matter_to_predictions():
    """scikit-learn#6719: LogisticRegressionCV with other columns first was another model."""
    parts = cohort(people=60, effect=1.5)
    latents = parts[1]
    turned = parts[0], latents[[*latents.columns[:5], *latents.columns[:4:-1]]], parts[2]
    one, other = (cases(table, ILL) for table in (parts, turned))
    told = [predict.cross_validate(part, ["linear"])["probability"] for part in (one, other)]
    assert np.allclose(*told, atol=1e-6)
    found = [{row["latent"]: row["increase"] for row in importance.importance(part, 2, 0)} for part in (one, other)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_the_other_class_has_the_same_area():
    """scikit-learn#10914: .32 in the place of .68, since the classes were taken the other way round."""
    table, *rest = cohort(people=60, effect=1.5)
    areas = []
    for ill in (table["ill"], 1 - table["ill"]):
        part = cases((table.assign(ill=ill), *rest), ILL)
        told = predict.summarise(part, predict.cross_validate(part, ["linear"]), {}, 20, 0)
        areas += [row["value"] for row in told if row["metric"] == "auc" and row["features"] == "latents"]
    assert len(areas) == 2 and areas[0] == pytest.approx(areas[1], abs=1e-6) and areas[0] > 0.7


def test_a_latent_of_one_person_alone():
    """A volume that is 0 in all people but one: no error of its own, which ended the tests of every score."""
    rng = np.random.default_rng(0)
    z = np.column_stack([np.arange(60) == 5, rng.normal(size=60)]).astype(float)
    table = joined(z[:, 1] + rng.normal(size=60), z)
    for found in rows(table):
        assert [row["status"] for row in found] == ["constant latent", "ok"]
    two = joined(z[:, 1] + rng.normal(size=60), z + (np.arange(60) == 7)[:, None] * [1, 0])
    assert {row["status"] for row in rows(two)[0]} == {"ok"}


def test_counts_that_vary_less_than_a_poisson():
    """27 of 30 items right, SD 2: the ratio test rejects no true null and misses r = .45; q rests on permutations."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(100, 2))
    right = np.round(26 + z[:, 0] + 1.7 * rng.normal(size=100)).clip(0, 30)
    first, _ = rows(joined(right, z), {"name": "score", "type": "count"})[0]
    _, permuted = rows(joined(right, z), {"name": "score", "type": "count"})
    assert first["p"] > 0.05 and permuted[0]["p_permutation"] == 1 / 200 and first["dispersion"] < 0.2
    assert first["q_of"] == "p_permutation" and first["q"] == pytest.approx(2 / 200)
    assert "vary less than a Poisson: p is too large; q was computed from the permutation" in first["reason"]
    falls = rng.poisson(np.exp(1 + 0.3 * z[:, 0]))
    assert "vary less" not in rows(joined(falls.astype(float), z), {"name": "score", "type": "count"})[0][0]["reason"]


def test_an_infinite_measurement_is_missing():
    """A ratio to no noise: prediction ended with LinAlgError; the scan is left out and counted."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(60, 1))
    table = joined(z[:, 0] + rng.normal(size=60), z, qc_noise=np.where(np.arange(60) == 3, np.inf, rng.normal(size=60)))
    noise = {"name": "noise", "type": "continuous", "from": "preprocess"}
    (row,) = rows(table, confounds=[noise])[0]
    assert row["n"] == 59 and "left out: 1 without noise" in row["confounds"] and np.isfinite(row["p"])


def test_people_are_counted_where_scans_are_rows():
    """Three patients with two scans each are three, too few; the only person of a site is left out however many scans."""
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(40), 2)
    table = joined(rng.normal(size=80), rng.normal(size=(80, 2)), person, ill=(person < 3).astype(float))
    table = table.assign(fold=person % 4)
    base = complete_cases(outer_folds([table]), ILL, [], inner=2).base
    assert (base["status"], base["reason"]) == ("too few people", "3 people in the rarer class")
    sites = table.assign(site=np.where(person == 0, "B", np.where(person < 20, "A", "C")))
    found = complete_cases(outer_folds([sites]), SCORE, [], inner=2)
    assert found.base["status"] == "ok" and found.base["n"] == 39
    assert "1 people left out (alone in a level)" in found.base["confounds"]
