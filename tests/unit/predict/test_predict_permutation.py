"""The permuted cross-validation, permutation importance and pure noise: nulls by enumeration and by simulation."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit
from simulated_prediction import AGE, CONFOUNDS, ILL, MEMORY, by_fold, cases, cohort
from sklearn.linear_model import LogisticRegression

from neurovae.predict import features, folds, importance, learners, linear, metrics, permutation, predict

pytestmark = pytest.mark.filterwarnings("error")


# --- scores under the null ---


def test_labels_are_drawn_given_the_confounds_and_their_number():
    eta = np.array([-2.0, -0.5, 0.0, 0.7, 1.5, 3.0])
    sets = list(combinations(range(6), 3))  # every way to have three ones
    chance = np.exp([eta[list(ones)].sum() for ones in sets])
    truth = (
        np.array([sum(c for c, ones in zip(chance, sets, strict=True) if k in ones) for k in range(6)]) / chance.sum()
    )
    start = np.repeat(np.array([1.0, 1, 1, 0, 0, 0])[:, None], 6000, axis=1)
    drawn = permutation._swap(start, eta, [np.arange(6)[:, None]], np.random.default_rng(0))
    assert (drawn.sum(axis=0) == 3).all()
    assert np.all(np.abs(drawn.mean(axis=1) - truth) < 4 * np.sqrt(truth * (1 - truth) / 6000))


def test_residuals_move_and_what_the_confounds_explain_stays():
    usable = cases(cohort(people=60))
    units, rule = permutation.exchangeable_units(usable)
    drawn = permutation.null_scores(usable, units, 50, 0)
    fit = usable.x @ np.linalg.lstsq(usable.x, usable.y, rcond=None)[0]
    assert np.allclose(np.sort(drawn - fit[:, None], axis=0), np.sort(usable.y - fit)[:, None])
    assert rule == "whole persons within site: residuals given the confounds"
    assert len(np.unique(drawn[0])) > 20 and np.array_equal(drawn, permutation.null_scores(usable, units, 50, 0))


@pytest.mark.parametrize("score", [MEMORY, ILL], ids=lambda score: score["type"])
def test_whole_persons_move_among_equals(score: dict[str, Any]):
    parts = cohort(people=60, sessions=2)
    table = parts[0]
    table = table[(table["session"] == "ses-0") | (table["person"] < "sub-020")]  # 20 people with two scans
    parts = (table, *(part[part["scan"].isin(table["scan"])] for part in parts[1:]))
    usable = cases(parts, score, [AGE])
    person = usable.table["person"]
    units, rule = permutation.exchangeable_units(usable)
    drawn = permutation.null_scores(usable, units, 40, 0)
    assert "whole persons among people with equally many scans" in rule
    assert all((usable.table.assign(y=column).groupby("person")["y"].nunique() == 1).all() for column in drawn.T)
    if usable.binary:
        for many in (True, False):
            mine = (person < "sub-020").to_numpy() == many
            assert (drawn[mine].sum(axis=0) == usable.y[mine].sum()).all()
    changing = cases((parts[0].assign(memory=np.random.default_rng(0).normal(size=len(table))), *parts[1:]), MEMORY, [])
    drawn = permutation.null_scores(changing, permutation.exchangeable_units(changing)[0], 5, 0)
    fit = changing.x @ np.linalg.lstsq(changing.x, changing.y, rcond=None)[0]
    pairs = changing.table.groupby("person").indices
    two = np.array([rows for rows in pairs.values() if len(rows) == 2])
    own = {tuple(np.round(pair, 8)) for pair in (changing.y - fit)[two]}
    assert all({tuple(np.round(pair, 8)) for pair in column[two]} == own for column in (drawn - fit[:, None]).T)


# --- p ---


def test_drawn_labels_follow_the_fitted_odds():
    """Without its fit on the confounds, a draw would give everyone the same chance."""
    rng = np.random.default_rng(6)
    age = rng.normal(size=120)
    x = np.column_stack([np.ones(120), age])
    y = (rng.random(120) < 1 / (1 + np.exp(-2 * age))).astype(float)
    drawn = permutation.swapped_labels(y, x, [np.arange(120)[:, None]], 400, np.random.default_rng(0))
    assert (drawn.sum(axis=0) == y.sum()).all()
    fitted = LogisticRegression(C=1e4).fit(x[:, 1:], y).predict_proba(x[:, 1:])[:, 1]
    assert np.abs(drawn.mean(axis=1) - fitted).max() < 0.12 and np.corrcoef(drawn.mean(axis=1), fitted)[0, 1] > 0.98


def test_people_change_places_within_their_site_only():
    """Else a site whose scores vary more would break the null."""
    site = np.repeat(["A", "B"], [40, 20])
    table = pd.DataFrame({"person": [f"p{k}" for k in range(60)], "site": site})
    y = np.where(site == "A", 0.0, 100.0) + np.random.default_rng(0).normal(size=60)
    cases = SimpleNamespace(table=table, y=y, x=np.ones((60, 1)), binary=False)
    units, rule = permutation.exchangeable_units(cases)
    drawn = permutation.null_scores(cases, units, 20, 0)
    assert (drawn[:40] < 50).all() and (drawn[40:] > 50).all() and rule.startswith("whole persons within site")


@pytest.mark.parametrize("score", [MEMORY, ILL], ids=lambda score: score["type"])
def test_p_is_uniform_where_latents_and_score_follow_age(score: dict[str, Any]):
    p, draws = [], 39
    for seed in range(12):  # few scores share their latents, so that p are nearly independent
        parts = cohort(people=60, seed=seed, size=10)
        rng, age = np.random.default_rng(seed), (parts[0]["age"].to_numpy() - 50) / 20
        for name in [name for name in parts[1] if name.startswith("mu_")]:
            parts[1][name] += age * rng.normal()
        usable = cases(parts, score, [AGE])
        age = (usable.table["age"].to_numpy() - 50) / 20
        columns = []
        for k in range(10):  # scores of these latents, all by one call
            y = (rng.random(60) < expit(age)).astype(float) if usable.binary else age + rng.normal(size=60)
            columns += [
                y[:, None],
                permutation.null_scores(replace(usable, y=y), permutation.exchangeable_units(usable)[0], draws, k),
            ]
        found = permutation.gains(usable, "linear", np.hstack(columns)).reshape(10, 1 + draws)
        p += list((1 + np.sum(found[:, 1:] >= found[:, :1] - 1e-10, axis=1)) / (draws + 1))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.sum(np.array(p) <= 0.05) <= stats.binom.ppf(0.999, len(p), 0.05)


@pytest.mark.parametrize("score", [MEMORY, ILL], ids=lambda score: score["type"])
def test_a_planted_latent_is_found(score: dict[str, Any]):
    row = permutation.permutation_test(cases(cohort(effect=2.0), score), "linear", 199, 0)
    assert row["p_permutation"] == 1 / 200 and row["permutations"] == 199 and row["gain"] > 0.05
    row = permutation.permutation_test(cases(cohort(effect=2.0), score, []), "svm", 0, 0)
    assert row["permutations"] == 0 and "p_permutation" not in row and row["permutation"].startswith("not run")


def test_the_svm_is_permuted_with_its_tuning():
    usable = cases(cohort(people=40, effect=4.0, size=2), MEMORY, [])
    row = permutation.permutation_test(usable, "svm", 4, 0)
    found = predict.cross_validate(usable, ["svm"]).assign(
        miss=lambda t: (t.truth - t.prediction) ** 2, spread=lambda t: (t.truth - t.training_mean) ** 2
    )
    miss = found.groupby("features")["miss"].sum()
    gain = (miss["confounds"] - miss["latents + confounds"]) / found.query("features == 'latents'")["spread"].sum()
    assert np.isclose(row["gain"], gain) and row["p_permutation"] == 0.2


# --- importance ---


def test_importance_of_a_linear_model_by_hand():
    usable = cases(cohort(effect=3.0, people=120))
    rows = importance.importance(usable, 400, 0)
    assert len(rows) == 2 * 6 and {row["fold"] for row in rows} == {None}
    assert all("one model" in row["averaged"] and row["n"] == 120 for row in rows)
    linear_rows = [row for row in rows if row["learner"] == "linear"]
    total = np.zeros(6)
    for part in usable.splits["latents + confounds"]:
        intercept, coef, _ = linear.fitted(part, usable.y[:, None], False)
        residual = usable.y[part.test] - intercept[0] - part.x_test @ coef[:, 0]
        x = part.x_test[:, :6]
        gap = x - x.mean(axis=0)  # a permuted value is on average the mean: E increase, of all permutations
        total += np.sum(2 * coef[:6, 0] * gap * residual[:, None] + 2 * coef[:6, 0] ** 2 * gap**2, axis=0)
    increase = np.array([row["increase"] for row in linear_rows])
    sd = np.array([row["sd"] for row in linear_rows])
    assert np.all(np.abs(increase - total / 120) < 5 * sd / 20)
    for learner in learners.LEARNERS:
        mine = {row["latent"]: row["increase"] for row in rows if row["learner"] == learner}
        assert mine["mu_000"] > 3 and max(v for k, v in mine.items() if k != "mu_000") < 0.5


def test_importance_is_never_averaged_over_the_models_of_folds():
    outer = folds.outer_folds(by_fold(cohort(effect=3.0)))
    rows = importance.importance(folds.complete_cases(outer, ILL, CONFOUNDS, inner=3), 3, 0)
    assert len(rows) == 2 * 5 * 6 and {row["fold"] for row in rows} == {0, 1, 2, 3, 4}
    assert all(row["averaged"].startswith("no: latent k") and row["loss"] == "log loss" for row in rows)
    assert sum(row["n"] for row in rows if row["latent"] == "mu_000" and row["learner"] == "svm") == 90
    constant = cohort()
    constant[0]["memory"] = 1.0
    assert [row["status"] for row in importance.importance(cases(constant), 3, 0)] == ["constant score"]


# --- noise ---


def noise_splits(n: int, size: int, seed: int) -> list[features.Split]:
    z, rows = np.random.default_rng(seed).normal(size=(n, size)), np.arange(n)
    maker = features.feature_maker("latents", z, [])
    return [features.split_rows(maker, rows, rows[rows % 5 != k], rows[rows % 5 == k], 3, seed) for k in range(5)]


def test_32_columns_of_noise_tell_nothing():
    n, draws, cohorts = 60, 25, 20
    r2, auc, svm = [], [], []
    for seed in range(cohorts):
        splits, rng = noise_splits(n, 32, seed), np.random.default_rng([seed, 1])
        y, fold = rng.normal(size=(n, draws)), np.arange(n) % 5
        mean = np.empty(y.shape)
        for part in splits:
            mean[part.test] = y[part.train].mean(axis=0)
        told = learners.out_of_fold(splits, "linear", y, False)
        r2 += list(1 - np.sum((y - told) ** 2, axis=0) / np.sum((y - mean) ** 2, axis=0))
        svm_told = learners.out_of_fold(splits, "svm", y[:, :1], False)
        svm.append(1 - np.sum((y[:, 0] - svm_told[:, 0]) ** 2) / np.sum((y[:, 0] - mean[:, 0]) ** 2))
        label = (rng.random((n, draws)) < 0.5).astype(float)
        told = learners.out_of_fold(splits, "linear", label, True)
        ones = np.ones((1, n))
        auc += [metrics._per_fold(metrics._auc, label[:, k], told[:, k], fold, ones)[0] for k in range(draws)]
    assert -0.2 < np.mean(r2) < 0.01 and -0.2 < np.mean(svm) < 0.01
    assert abs(np.mean(auc) - 0.5) < 0.02 and np.std(auc) > 0.03
