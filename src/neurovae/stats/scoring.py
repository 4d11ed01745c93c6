"""Generalised linear model by Newton's method with halved steps (McCullagh & Nelder 1989, section 2.5).

Where the observed information is not positive definite the step takes the expected one (Fisher scoring).

statsmodels' own iteration takes every step whole: under a link with a border (identity, inverse, root) it leaves the
range of the mean and ends in NaN, and a quasi-binomial fit takes it 2 to 3 times as long. Where it arrives, it arrives
here (a test).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from statsmodels.genmod.families.family import Family

STEPS = 100
GAIN = 1e-14  # expected gain of a step, as a share of the deviance, at which the search ends
ROUND = 1e-12  # relative error of a deviance


@dataclass(frozen=True)
class Scored:
    """Estimates with the inverse of their expected information at a dispersion of one."""

    status: str  # ok, not converged or link out of range
    coef: np.ndarray  # (columns,)
    cov: np.ndarray  # (columns, columns)
    mu: np.ndarray  # (n,)
    deviance: float


def scoring(y: np.ndarray, x: np.ndarray, family: Family, positive: bool, start: np.ndarray | None = None) -> Scored:
    """Fit y on x, whose first column is the intercept; `positive`: the linear predictor must stay above zero."""
    coef = np.append(family.link(y.mean()), np.zeros(x.shape[1] - 1)) if start is None else start
    deviance, step = _deviance(y, x @ coef, family, positive), np.zeros_like(coef)
    for _ in range(STEPS):
        s, weight, mu = working(y, x @ coef, family)
        step, size = _step(x, s, weight, weight * _curvature_ratio(y, mu, family)), 1.0
        if not np.isfinite(step).all():
            break
        if s @ (x @ step) <= GAIN * deviance:
            return Scored("ok", coef, np.linalg.inv(x.T @ (weight[:, None] * x)), mu, deviance)
        while (
            not ((proposal := _deviance(y, x @ (coef + size * step), family, positive)) <= deviance * (1 + ROUND))
            and size > 1e-8
        ):
            size /= 2
        if size <= 1e-8:
            break
        coef, deviance = coef + size * step, proposal
    status = "link out of range" if positive and np.any(x @ (coef + step) <= 0) else "not converged"
    return Scored(status, coef, np.full((len(coef), len(coef)), np.nan), family.fitted(x @ coef), deviance)


def working(y: np.ndarray, eta: np.ndarray, family: Family) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivative of each person's (quasi-)log-likelihood by eta, its expected curvature, and the mean. All (n,)."""
    mu = family.link.inverse(eta)
    slope, variance = family.link.inverse_deriv(eta), family.variance(mu)
    return (y - mu) * slope / variance, slope**2 / variance, mu


def _curvature_ratio(y: np.ndarray, mu: np.ndarray, family: Family) -> np.ndarray:
    """Ratio of observed to expected curvature of each person's (quasi-)log-likelihood; one under the canonical link."""
    relative_slope = family.link.deriv2(mu) / family.link.deriv(mu)
    ratio = 1 + (y - mu) * (relative_slope + family.variance.deriv(mu) / family.variance(mu))
    return np.where(np.isfinite(ratio), ratio, 1.0)  # a mean on the border


def _step(x: np.ndarray, s: np.ndarray, expected: np.ndarray, observed: np.ndarray) -> np.ndarray:
    for curvature in (observed, expected):
        try:
            lower = np.linalg.cholesky(x.T @ (curvature[:, None] * x))
        except np.linalg.LinAlgError:
            continue
        return cho_solve((lower, True), x.T @ s, check_finite=False)
    return np.full(x.shape[1], np.nan)


def _deviance(y: np.ndarray, eta: np.ndarray, family: Family, positive: bool) -> float:
    if positive and np.any(eta <= 0):
        return np.inf
    return float(family.deviance(y, family.link.inverse(eta)))
