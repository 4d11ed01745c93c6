"""Norms against closed forms, statsmodels and simulated people: exact t, variance by age, calibration, error of z."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from neurovae.norm import estimate


def people(n: int, seed: int = 0) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, rng.uniform(20, 80, n), rng.choice(["F", "M"], n)


def test_without_covariates_z_is_the_exact_predictive_t():
    rng = np.random.default_rng(0)
    y, new = rng.normal(5, 2, (30, 1)), np.array([[9.0], [5.0], [-1.0]])
    same, sex = np.full(30, 50.0), np.full(30, "F")
    norm = replace(estimate.fit(y, same, sex), skewness=np.zeros(1))
    assert norm.columns.kept.sum() == 1  # a constant age is no column
    t = (new - y.mean()) / (y.std(ddof=1) * np.sqrt(1 + 1 / 30))
    expected = stats.norm.ppf(stats.t.cdf(t, 29))
    np.testing.assert_allclose(estimate.z(norm, new, same[:3], sex[:3]), expected, rtol=1e-6)
    error = estimate.error_of_z(norm, expected, same[:3], sex[:3])
    np.testing.assert_allclose(error, np.sqrt((1 + expected**2 / 2 + (expected**2 - 1) ** 2 / 6) / 30), rtol=1e-9)


def test_the_log_variance_is_that_of_a_gamma_regression():
    rng, age, sex = people(150)
    y = np.exp((age - 50) / 50)[:, None] * rng.normal(size=(150, 3))
    norm = estimate.fit(y, age, sex)
    x = norm.columns.of(age, sex)
    assert x.shape[1] == 5  # intercept, three of a spline, sex
    leverage = np.sum(np.linalg.qr(x)[0] ** 2, axis=1)
    squares = (y - x @ norm.mean) ** 2 / (1 - leverage)[:, None]
    for k in range(3):
        fit = sm.GLM(squares[:, k], x, family=sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-12, maxiter=300)
        np.testing.assert_allclose(norm.log_variance[:, k], fit.params, atol=1e-5)


@pytest.mark.parametrize("n", [24, 60, 118])
def test_new_people_are_beyond_1_96_in_5_percent_also_in_small_samples(n: int):
    beyond = []
    for seed in range(40):
        rng, age, sex = people(n + 40, seed)
        y = (
            0.05 * age[:, None]
            + (sex == "F")[:, None]
            + np.exp((age - 50) / 60)[:, None] * rng.normal(size=(n + 40, 100))
        )
        norm = estimate.fit(y[:n], age[:n], sex[:n])
        beyond.append((np.abs(estimate.z(norm, y[n:], age[n:], sex[n:])) > 1.96).mean())
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.005)


def test_the_naive_z_is_not_calibrated_where_this_one_is():
    """Dividing by the standard deviation of the residuals ignores that it grows with age: old people deviate."""
    rng, age, sex = people(400)
    y = np.exp((age - 50) / 30)[:, None] * rng.normal(size=(400, 200))
    norm, old = estimate.fit(y[:200], age[:200], sex[:200]), age[200:] > 65
    mine = np.abs(estimate.z(norm, y[200:], age[200:], sex[200:])[old]) > 1.96
    naive = np.abs(y[200:][old] / y[:200].std(axis=0)) > 1.96
    assert mine.mean() == pytest.approx(0.05, abs=0.02) and naive.mean() > 0.15


def test_a_variable_that_does_not_vary_has_no_z():
    _, age, sex = people(40)
    y = np.column_stack([np.zeros(40), np.arange(40.0)])
    norm = estimate.fit(y, age, sex)
    z = estimate.z(norm, y[:2], age[:2], sex[:2])
    assert np.isnan(z[:, 0]).all() and np.isfinite(z[:, 1]).all()


@pytest.mark.parametrize(("n", "centile"), [(59, 4.95), (118, 2.51), (299, 1.0)])
def test_what_n_people_bound(n: int, centile: float):
    assert estimate.outermost(n) == pytest.approx(centile, abs=0.01)
    assert (1 - estimate.outermost(n) / 100) ** n == pytest.approx(0.05)


@pytest.mark.parametrize("sign", [1, -1])
def test_centiles_of_skewed_variables_on_both_sides(sign: int):
    """Gamma residuals (skewness 1), spread by age, 120 people: 3.1 and 1.8 % beyond; without warp 4.7 and .2 %."""
    shares = []
    for seed in range(10):
        rng, age, sex = people(1120, seed)
        error = sign * (rng.gamma(4.0, size=(1120, 40)) - 4) / 2
        y = 0.05 * age[:, None] + np.exp((age - 50) / 80)[:, None] * error
        norm = estimate.fit(y[:120], age[:120], sex[:120])
        z = estimate.z(norm, y[120:], age[120:], sex[120:])
        shares.append([(z > 1.96).mean(), (z < -1.96).mean()])
    np.testing.assert_allclose(np.mean(shares, axis=0), [0.031, 0.018][::sign], atol=0.004)


def test_the_warp_is_the_quantile_of_a_gamma_variable():
    """Against scipy's gamma: within .04 between the 1st and 99th centile at skewness 1; none without skewness."""
    quantile = stats.norm.ppf(np.linspace(0.01, 0.99, 50))
    t = (stats.gamma(4.0).ppf(stats.norm.cdf(quantile)) - 4) / 2
    both = estimate._warped(np.column_stack([t, -t, t]), np.array([1.0, -1.0, 0.0]))
    np.testing.assert_allclose(both, np.column_stack([quantile, -quantile, t]), atol=0.04)
