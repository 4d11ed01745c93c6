"""Growth models: against a dense likelihood, statsmodels' MixedLM and R's lme4; predictions against closed forms."""

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import multivariate_normal, spearmanr

from neurovae.stats import growth


def drawn(seed: int, people: int = 80, most: int = 4, slope_sd: float = 0.3) -> tuple[np.ndarray, ...]:
    """Design x (intercept, age, years, a confound), years, person and y of people with 1 to `most` visits."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, people)
    person = np.repeat(np.arange(people), counts)
    t = np.concatenate([np.r_[0.0, np.sort(rng.uniform(0.5, 5, count - 1))] for count in counts])
    x = np.column_stack([np.ones(len(t)), rng.normal(size=people)[person], t, rng.normal(size=len(t))])
    random = rng.multivariate_normal([0, 0], [[1, 0.3 * slope_sd], [0.3 * slope_sd, slope_sd**2]], people)
    y = x @ [1, 0.5, -0.3, 0.1] + random[person, 0] + random[person, 1] * t + 0.5 * rng.normal(size=len(t))
    return x, t, person, y


def covariance(found: growth.Growth, t: np.ndarray, person: np.ndarray) -> np.ndarray:
    z = np.column_stack([np.ones(len(t)), t])
    same = person[:, None] == person[None, :]
    return np.where(same, z @ found.random @ z.T, 0) + found.residual * np.eye(len(t))


@pytest.mark.parametrize("slopes", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_as_statsmodels_and_a_dense_likelihood(seed: int, slopes: bool) -> None:
    """Interior optimum: restricted log-likelihood and fixed effects to 1e-5."""
    x, t, person, y = drawn(seed)
    found = growth.fit(growth.visits(x, t, person, slopes), y)
    assert found.converged and not found.boundary
    v = covariance(found, t, person)
    inside = x.T @ np.linalg.solve(v, x)
    dense = multivariate_normal(x @ found.coef, v).logpdf(y) - np.linalg.slogdet(inside)[1] / 2
    assert found.loglik == pytest.approx(dense + x.shape[1] * np.log(2 * np.pi) / 2, abs=1e-8)
    exog = np.column_stack([np.ones(len(t)), t]) if slopes else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = sm.MixedLM(y, x, person, exog_re=exog).fit(reml=True, method=["bfgs", "lbfgs"])
    assert found.loglik == pytest.approx(other.llf, abs=1e-5)
    np.testing.assert_allclose(found.coef, other.params[: x.shape[1]], atol=1e-5)
    np.testing.assert_allclose(found.coef, np.linalg.solve(inside, x.T @ np.linalg.solve(v, y)), atol=1e-8)
    np.testing.assert_allclose(found.cov, np.linalg.inv(inside), rtol=1e-6)
    effects = np.array([np.resize(other.random_effects[k], 2) for k in range(person.max() + 1)])
    np.testing.assert_allclose(found.blup[:, : 1 + slopes], effects[:, : 1 + slopes], atol=1e-4)


@pytest.mark.parametrize("random", ["slopes", "levels"])
@pytest.mark.parametrize("name", ["y0", "y1", "y2"])
def test_as_lme4(name: str, random: str) -> None:
    """Frozen by r/growth.R: likelihood, fixed effects, their errors, variances and people, all optima interior."""
    here = Path(__file__).parent / "r"
    theirs = json.loads((here / "growth.json").read_text(encoding="utf-8"))[random][name]
    table = pd.read_csv(here / "visits.tsv", sep="\t")
    x = np.column_stack([np.ones(len(table)), table[["age", "years", "confound"]]])
    data = growth.visits(x, table["years"].to_numpy(), table["person"].to_numpy(), random == "slopes")
    found = growth.fit(data, table[name].to_numpy())
    assert found.converged and not found.boundary
    assert found.loglik == pytest.approx(theirs["loglik"], abs=1e-5)
    np.testing.assert_allclose(found.coef, theirs["coef"], atol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(found.cov)), theirs["se"], atol=1e-5)
    assert found.residual == pytest.approx(theirs["residual"], abs=1e-4)
    size = 1 + (random == "slopes")
    np.testing.assert_allclose(found.random[:size, :size].ravel(), np.ravel(theirs["random"]), atol=1e-4)
    np.testing.assert_allclose(found.blup, np.column_stack([theirs["level"], theirs["slope"]]), atol=1e-4)


def test_no_other_variances_are_likelier() -> None:
    x, t, person, y = drawn(4)
    data = growth.visits(x, t, person, True)
    found = growth.fit(data, y)
    rows = np.column_stack([x, y])
    zr = np.concatenate([data.zx, growth.sums(data.z, y, person)], axis=2)
    rng = np.random.default_rng(0)
    theta = np.array([found.factor[0, 0], found.factor[1, 0], found.factor[1, 1]])
    for _ in range(200):
        near = np.abs(theta + rng.normal(size=3) * rng.choice([0.01, 0.1, 1]))
        assert growth._criterion(near, data, zr, rows.T @ rows, len(y))[0] >= -2 * found.loglik - 1e-9


def test_the_boundary_is_said() -> None:
    """Without a variance of slopes, its estimate is 0 in about half of the cohorts, and the row says so."""
    said = []
    for seed in range(12):
        x, t, person, y = drawn(seed, people=60, slope_sd=0.0)
        said.append(growth.fit(growth.visits(x, t, person, True), y).boundary)
    assert sum(bool(text) for text in said) >= 3 and all("boundary" in text for text in said if text)


def test_prediction_as_the_joint_normal_has_it() -> None:
    """BLUP of a new visit and its variance from the dense joint covariance of all visits (Henderson)."""
    x, t, person, y = drawn(5, people=40)
    last = np.r_[person[1:] != person[:-1], True] & (np.bincount(person)[person] > 1)
    known = ~last
    people = np.unique(person[last])
    inside = known & np.isin(person, people)
    fitted = growth.visits(x[known], t[known], np.unique(person[known], return_inverse=True)[1], True)
    found = growth.fit(fitted, y[known])
    codes = np.unique(person[inside], return_inverse=True)[1]
    data = growth.visits(x[inside], t[inside], codes, True)
    mean, se = growth.predict(data, found, y[inside], x[last], t[last], of=fitted)
    v = covariance(found, t, person)
    of_known, cross = v[np.ix_(known, known)], v[np.ix_(last, known)]
    gain = np.linalg.solve(of_known, cross.T).T
    np.testing.assert_allclose(mean, x[last] @ found.coef + gain @ (y[known] - x[known] @ found.coef), atol=1e-8)
    apart = x[last] - gain @ x[known]
    variance = np.diag(v[np.ix_(last, last)] - gain @ cross.T + apart @ found.cov @ apart.T)
    np.testing.assert_allclose(se, np.sqrt(variance), rtol=1e-6)


def test_units_of_time_change_nothing() -> None:
    x, t, person, y = drawn(6)
    years = growth.fit(growth.visits(x, t, person, True), y)
    days = x.copy()
    days[:, 2] *= 365.25
    other = growth.fit(growth.visits(days, 365.25 * t, person, True), y)
    assert other.loglik == pytest.approx(years.loglik - np.log(365.25), abs=1e-6)
    np.testing.assert_allclose(other.blup[:, 1] * 365.25, years.blup[:, 1], rtol=1e-4, atol=1e-6)


def test_reliability_is_the_squared_correlation_with_the_truth() -> None:
    """Over 2000 people the correlation of predicted and true slopes is the root of the mean reliability, within .03."""
    rng = np.random.default_rng(7)
    people, t = 2000, np.tile([0.0, 1.0, 2.0, 3.0], 2000)
    person = np.repeat(np.arange(people), 4)
    level, slope = rng.normal(size=people), 0.3 * rng.normal(size=people)
    y = level[person] + slope[person] * t + 0.5 * rng.normal(size=len(t))
    data = growth.visits(np.column_stack([np.ones(len(t)), t]), t, person, True)
    found = growth.fit(data, y)
    reliable = growth.reliability(data, found)
    for truth, k in ((level, growth.LEVEL), (slope, growth.SLOPE)):
        r = np.corrcoef(found.blup[:, k], truth)[0, 1]
        assert r == pytest.approx(np.sqrt(reliable[:, k].mean()), abs=0.03)
    assert spearmanr(found.blup[:, 1], slope).statistic > 0.5


def test_redrawn_people() -> None:
    """Weights of one give the estimate; a person drawn twice is one whose visits are there twice."""
    x, t, person, y = drawn(8, people=40)
    data = growth.visits(x, t, person, True)
    found = growth.fit(data, y)
    weights = np.ones((2, 40))
    weights[1, 3] = 2
    drawn_again = growth.redrawn(data, found, y, weights)
    np.testing.assert_allclose(drawn_again[0], found.coef, atol=1e-9)
    twice = np.r_[np.arange(len(y)), np.flatnonzero(person == 3)]
    codes = np.r_[person, np.full((person == 3).sum(), 40)]
    v = covariance(found, t[twice], codes)
    coef = np.linalg.solve(x[twice].T @ np.linalg.solve(v, x[twice]), x[twice].T @ np.linalg.solve(v, y[twice]))
    np.testing.assert_allclose(drawn_again[1], coef, atol=1e-8)


def test_errors_over_families_are_those_of_a_dense_jackknife_and_twins_count_once() -> None:
    """Left out by hand, family by family; of people who are there twice as twins, as large as of each once."""
    x, t, person, y = drawn(3, people=30)
    family = np.arange(30) // 2
    visits = growth.visits(x, t, person, True)
    found = growth.fit(visits, y)
    v = covariance(found, t, person)
    coef = []
    for one in range(15):
        kept = family[person] != one
        inverse = np.linalg.inv(v[np.ix_(kept, kept)])
        coef.append(np.linalg.solve(x[kept].T @ inverse @ x[kept], x[kept].T @ inverse @ y[kept]))
    by_hand = np.sqrt(14 / 15 * np.square(np.array(coef) - np.mean(coef, axis=0)).sum(axis=0))
    assert np.allclose(growth.family_errors(visits, found, y, family), by_hand, rtol=1e-8)
    single = growth.family_errors(visits, found, y, np.arange(30))
    double = growth.visits(np.vstack([x, x]), np.append(t, t), np.append(person, person + 30), True)
    twins = dataclasses.replace(found, k=np.concatenate([found.k, found.k]))
    both = growth.family_errors(double, twins, np.append(y, y), np.append(np.arange(30), np.arange(30)))
    assert np.allclose(both, single, rtol=1e-8)
    assert (both > 1.2 * np.sqrt(np.diag(found.cov)) / np.sqrt(2)).all()  # than 60 unrelated people would have
