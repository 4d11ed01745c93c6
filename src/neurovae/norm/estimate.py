"""Norms of many variables at once: mean and variance given age and sex, and the z of a new person under them.

Mean: least squares on a natural spline of age and on sex. Variance: exp(w g), by maximum likelihood of Gaussian
residuals, a convex problem: a gamma regression of their squares with log link (Harvey 1976, Econometrica 44:461).
Squares are divided by 1 - leverage, since a fitted mean takes part of them.

z of a new person: the predictive t of the residual, with the uncertainty of the mean (1 + h) and of the variance, whose
effective degrees of freedom are those of a chi-squared with the same relative variance 2 h_v; its tail probability is
then written as a normal deviate. With one column this is the exact t of regression, with n - q degrees of freedom.

Before that, t is warped by the skewness g of the standardised residuals: of a Pearson III variable the normal deviate
is 6 / g (cbrt(1 + g t / 2) - 1) + g / 6 (Wilson & Hilferty 1931, PNAS 17:684). Always, since a test of skewness as a
condition would miss much of it in 100 people (measured in docs/validation.md).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from neurovae.stats.basis import independent, moves, natural_spline, spline_knots

PER_COLUMN = 20  # people for each column of age and sex; fewer: the age enters as a line
STEPS, CLOSE = 100, 1e-6  # of Newton's method, and the change of a log-variance that ends it
BOUND = 1.0  # largest change of a log-variance in one step
FEWEST = 20  # people from whom a norm is estimated
LEVEL = 5  # of these of one sex; with fewer there is no norm for it


@dataclass(frozen=True)
class Columns:
    """How age and sex become columns: learnt from the reference, applied to everybody."""

    centre: float
    spread: float
    knots: np.ndarray | None  # of the standardised age; None: a line
    levels: tuple[str, ...]  # of sex, without the first one
    kept: np.ndarray  # columns that are independent in the reference

    def of(self, age: np.ndarray, sex: np.ndarray) -> np.ndarray:
        """Columns (people, q) with the intercept. age: (people,) years; sex: (people,) text."""
        standard = (age - self.centre) / self.spread
        line = standard[:, None] if self.knots is None else natural_spline(standard, self.knots)
        dummies = (sex.astype(str)[:, None] == np.array(self.levels, dtype=str)[None, :]).astype(float)
        return np.column_stack([np.ones(len(age)), line, dummies])[:, self.kept]


@dataclass(frozen=True)
class Norm:
    """Mean and log-variance of each variable, linear in the same columns."""

    columns: Columns
    mean: np.ndarray  # (q, variables)
    log_variance: np.ndarray  # (q, variables)
    inverse: np.ndarray  # (q, q) of X'X
    skewness: np.ndarray  # (variables,) of the standardised residuals
    n: int


def known(sex: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Whether there are LEVEL people of each person's sex in the reference, (people,). reference: their sex."""
    levels, counts = np.unique(reference.astype(str), return_counts=True)
    return np.isin(sex.astype(str), levels[counts >= LEVEL])


def columns(age: np.ndarray, sex: np.ndarray) -> Columns:
    """Learn the columns from the reference: a 3-df spline of age where there are people enough, else a line.

    age, sex: (people,).
    """
    centre, spread = float(age.mean()), float(age.std()) or 1.0
    levels = tuple(sorted(set(sex.astype(str))))[1:]
    enough = len(age) >= PER_COLUMN * (4 + len(levels))
    knots = spline_knots((age - centre) / spread) if enough else None
    width = 2 + len(levels) if knots is None else 1 + len(knots) - 1 + len(levels)
    found = Columns(centre, spread, knots, levels, np.ones(width, bool))
    return Columns(centre, spread, knots, levels, independent(found.of(age, sex)))


def fit(y: np.ndarray, age: np.ndarray, sex: np.ndarray) -> Norm:
    """Estimate the norm of each variable from the reference. y: (people, variables); age, sex: (people,)."""
    learnt = columns(age, sex)
    x = learnt.of(age, sex)
    inverse = np.linalg.inv(x.T @ x)
    mean = inverse @ (x.T @ y)
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    residual = (y - x @ mean) / np.sqrt(np.maximum(1 - leverage, 1e-6))[:, None]
    log_variance = _log_variance(np.where(moves(y), np.square(residual), 0.0), x)
    return Norm(learnt, mean, log_variance, inverse, _skewness(residual * np.exp(-x @ log_variance / 2)), len(y))


def _skewness(standard: np.ndarray) -> np.ndarray:
    """Skewness of standardised residuals (people, variables), 0 of those that do not vary."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(stats.skew(standard, axis=0, bias=False))


def _warped(t: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Normal deviates of standardised values t (people, variables) of variables with this skewness (variables,)."""
    g = np.where(skewness == 0, 1.0, skewness)
    return np.where(skewness == 0, t, 6 / g * (np.cbrt(1 + g * t / 2) - 1) + g / 6)


def _log_variance(squares: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Coefficients (q, variables) of the log-variance by Newton's method; NaN without variance or convergence."""
    level = squares.mean(axis=0)
    moving = level > 0
    g = np.zeros((x.shape[1], squares.shape[1]))
    g[0] = np.log(np.where(moving, level, 1.0))
    left, products = np.flatnonzero(moving), (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    for _ in range(STEPS):
        ratio = squares[:, left] * np.exp(-(x @ g[:, left]))  # (people, variables), 1 on average at the maximum
        curvature = (ratio.T @ products).reshape(len(left), x.shape[1], -1)
        step = np.linalg.solve(curvature, ((ratio - 1).T @ x)[..., None])[..., 0].T
        change = np.abs(x @ step).max(axis=0)
        g[:, left] += step * np.minimum(1, BOUND / np.maximum(change, 1e-300))
        left = left[change > CLOSE]
        if not len(left):
            break
    g[:, ~moving] = g[:, left] = np.nan
    return g


def z(norm: Norm, y: np.ndarray, age: np.ndarray, sex: np.ndarray) -> np.ndarray:
    """Deviates (people, variables) of people who are not in the norm; NaN where the reference does not vary."""
    x = norm.columns.of(age, sex)
    h = _uncertainty(norm, x)
    error = y - x @ norm.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        t = error / np.sqrt(np.exp(x @ norm.log_variance) * (1 + h)[:, None])
    t = _warped(t, norm.skewness)
    df = np.maximum((1 - x.shape[1] / norm.n) / h, 3.0)[:, None]
    return np.asarray(-np.sign(t) * special.ndtri(np.maximum(special.stdtr(df, -np.abs(t)), 1e-300)))


def error_of_z(norm: Norm, values: np.ndarray, age: np.ndarray, sex: np.ndarray) -> np.ndarray:
    """Standard error (people, variables) of z, since mean and variance are estimates: sqrt(h + z^2 h / 2).

    Without covariates that is sqrt((1 + z^2 / 2) / n), the error of a normal quantile (Bozek et al. 2023). Added is the
    variance of the skewness, 6 / n, times the squared change of the quantile with it, (z^2 - 1) / 6.
    """
    h = _uncertainty(norm, norm.columns.of(age, sex))[:, None]
    of_skewness = np.square((np.square(values) - 1) / 6) * 6 / norm.n
    return np.asarray(np.sqrt(h + np.square(values) * h / 2 + of_skewness))


def outermost(n: int) -> float:
    """The smallest centile, in percent, that the lowest of n people bounds with 95 % confidence: 1 - .05^(1/n)."""
    return float(100 * (1 - 0.05 ** (1 / n)))


def _uncertainty(norm: Norm, x: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("ij,jk,ik->i", x, norm.inverse, x))
