"""Growth model of one variable over the visits of people, by restricted maximum likelihood.

y_ij = x_ij' b + u_i + w_i t_ij + e_ij, (u_i, w_i) ~ N(0, s2 L L'), e_ij ~ N(0, s2): Laird & Ware 1982. The criterion is
profiled over b and s2 (Bates et al. 2015, eq. 39 to 42), so that at most three numbers of L are searched. All sums are
over a person's visits, (2, 2) matrices: V_i^-1 = I - Z_i K_i Z_i', K_i = L (I + L' Z_i' Z_i L)^-1 L'.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

STARTS = (0.1, 0.5, 1.5)  # of the diagonal of L, in units of the residual's standard deviation
ZERO = 1e-4  # of the diagonal of L: the boundary
SLOPE, LEVEL = 1, 0


@dataclass(frozen=True)
class Visits:
    """Design of all visits and its sums per person. `t` is scaled inside by `unit`, so that L has a size near 1."""

    x: np.ndarray  # (n, columns)
    z: np.ndarray  # (n, 2): one and t / unit
    person: np.ndarray  # (n,) codes 0..P-1
    unit: float
    slopes: bool  # whether slopes vary between people
    zz: np.ndarray  # (P, 2, 2)
    zx: np.ndarray  # (P, 2, columns)


@dataclass(frozen=True)
class Growth:
    """One fit. Variances are of level (at t = 0), of slope per unit of t, and of the residual."""

    coef: np.ndarray  # (columns,)
    cov: np.ndarray  # (columns, columns)
    random: np.ndarray  # (2, 2) covariance of level and slope
    residual: float
    loglik: float  # restricted
    converged: bool
    boundary: str
    k: np.ndarray  # (P, 2, 2), in units of `unit`
    blup: np.ndarray  # (P, 2) deviations of level and slope from the fixed effects
    factor: np.ndarray  # L, (2, 2)


def visits(x: np.ndarray, t: np.ndarray, person: np.ndarray, slopes: bool) -> Visits:
    """Prepare the design: x (n, columns), t (n,) from each person's first visit, person (n,) codes 0..P-1."""
    unit = float(t.std()) or 1.0
    z = np.column_stack([np.ones(len(t)), t / unit])
    return Visits(x, z, person, unit, slopes, sums(z, z, person), sums(z, x, person))


def sums(z: np.ndarray, values: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Z_i' values_i of each person: (P, 2, columns)."""
    products = z[:, :, None] * values.reshape(len(z), 1, -1)
    total = np.zeros((int(person.max()) + 1, *products.shape[1:]))
    np.add.at(total, person, products)
    return total


def fit(data: Visits, y: np.ndarray) -> Growth:
    """Fit y (n,); the optimum of a fixed grid of starts is refined (L-BFGS-B, gradient by central differences)."""
    rows = np.column_stack([data.x, y])
    zr = np.concatenate([data.zx, sums(data.z, y, data.person)], axis=2)
    whole = rows.T @ rows

    def value(theta: np.ndarray) -> float:
        return _criterion(theta, data, zr, whole, len(y))[0]

    starts = [np.array([a, 0.0, b]) for a in STARTS for b in STARTS] if data.slopes else [np.array([a]) for a in STARTS]
    bounds = [(0.0, None), (None, None), (0.0, None)] if data.slopes else [(0.0, None)]
    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 500}
    best = minimize(value, min(starts, key=value), method="L-BFGS-B", jac="3-point", bounds=bounds, options=options)
    theta = np.where(np.abs(best.x) < ZERO, 0.0, best.x)
    criterion, cross, residual = _criterion(theta, data, zr, whole, len(y))
    inverse = np.linalg.inv(cross[:-1, :-1])
    coef = inverse @ cross[:-1, -1]
    k, scale = _k(theta, data), np.array([1.0, 1 / data.unit])
    blup = np.einsum("pij,pj->pi", k, zr[:, :, -1] - zr[:, :, :-1] @ coef) * scale
    factor = _factor(theta)
    random = residual * (factor @ factor.T) * scale[:, None] * scale[None, :]
    converged = bool(np.isfinite(criterion)) and residual > 0 and bool(best.success or best.status == 2)
    return Growth(coef, residual * inverse, random, residual, -criterion / 2, converged,
                  _boundary(theta, data.slopes), k, blup, factor)  # fmt: skip


def reliability(data: Visits, found: Growth) -> np.ndarray:
    """1 - var(level or slope | data) / var(level or slope) of each person, (P, 2); NaN where the variance is 0.

    It is the squared correlation with the truth that the model expects of the predicted level or slope.
    """
    scale = np.array([1.0, 1 / data.unit])
    rest = found.residual * np.diagonal(found.k, axis1=1, axis2=2) * scale**2
    prior = np.diag(found.random)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(prior > 0, 1 - rest / prior, np.nan)


def predict(
    data: Visits, found: Growth, y: np.ndarray, x: np.ndarray, t: np.ndarray, of: Visits | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Predict a new observation of each person at t (P,) with confounds x (P, columns): mean and standard error, (P,).

    data: visits that are known of these people, with their y (n,). found: a fit, of these people or of others (`of`:
    its visits). The error holds that of the fixed effects, of level and slope given the visits, and the residual
    (Henderson 1975).
    """
    unit = (of or data).unit
    z = np.column_stack([data.z[:, 0], data.z[:, 1] * data.unit / unit])
    zz, zx, zy = (sums(z, values, data.person) for values in (z, data.x, y))
    k = _posterior(found.factor, zz)
    at = np.column_stack([np.ones(len(t)), t / unit])
    gain = np.einsum("pij,pj->pi", k, at)  # K_i z_0
    mean = x @ found.coef + np.einsum("pi,pi->p", gain, zy[:, :, 0] - zx @ found.coef)
    apart = x - np.einsum("pij,pi->pj", zx, gain)
    variance = found.residual * (1 + np.einsum("pi,pi->p", gain, at))
    return mean, np.sqrt(variance + np.einsum("pi,ij,pj->p", apart, found.cov, apart))


def _factor(theta: np.ndarray) -> np.ndarray:
    return np.array([[theta[0], 0.0], [theta[1], theta[2]]] if len(theta) > 1 else [[theta[0], 0.0], [0.0, 0.0]])


def _posterior(factor: np.ndarray, zz: np.ndarray) -> np.ndarray:
    return np.asarray(factor @ np.linalg.solve(np.eye(2) + factor.T @ zz @ factor, np.broadcast_to(factor.T, zz.shape)))


def _k(theta: np.ndarray, data: Visits) -> np.ndarray:
    return _posterior(_factor(theta), data.zz)


def _criterion(
    theta: np.ndarray, data: Visits, zr: np.ndarray, whole: np.ndarray, n: int
) -> tuple[float, np.ndarray, float]:
    """-2 restricted log-likelihood, cross products of columns and y with V^-1, residual variance."""
    factor = _factor(theta)
    inner = factor.T @ data.zz @ factor  # (P, 2, 2), without the unit matrix
    a, b, c = inner[:, 0, 0] + 1, inner[:, 0, 1], inner[:, 1, 1] + 1
    determinant = a * c - b * b
    first, second = factor[0, 0] * zr[:, 0] + factor[1, 0] * zr[:, 1], factor[1, 1] * zr[:, 1]  # rows of L' Z' [x y]
    width = zr.shape[2]
    root = np.sqrt(a)[:, None]
    halves = (first / root, (second - (b / a)[:, None] * first) * root / np.sqrt(determinant)[:, None])  # Cholesky
    cross = whole - halves[0].T @ halves[0] - halves[1].T @ halves[1]
    of_x, df = cross[:-1, :-1], n - width + 1
    squares = cross[-1, -1] - cross[:-1, -1] @ np.linalg.solve(of_x, cross[:-1, -1])
    residual = float(squares / df)
    if not residual > 0:
        return np.inf, cross, 0.0
    size = float(np.linalg.slogdet(of_x)[1] + np.log(determinant).sum())
    return df * (1 + float(np.log(2 * np.pi * residual))) + size, cross, residual


def _boundary(theta: np.ndarray, slopes: bool) -> str:
    """Name the variances at 0, and a correlation of level and slope at -1 or 1."""
    if not slopes:
        return "variance of the level at 0, its boundary" if theta[0] == 0 else ""
    if theta[2] == 0 and theta[1] == 0:
        return "variance of the slope at 0, its boundary"
    if theta[0] == 0:
        return "variance of the level at 0, its boundary"
    return "correlation of level and slope at its boundary" if theta[2] == 0 else ""


def redrawn(data: Visits, found: Growth, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fixed effects of people drawn with replacement, (draws, columns); variances stay those of the fit.

    weights: (draws, P), how often each person is drawn.
    """
    count, width = len(data.zz), data.x.shape[1]
    total = (weights @ _cross_products(data, found, y).reshape(count, -1)).reshape(len(weights), width, width + 1)
    return np.asarray(np.linalg.solve(total[:, :, :-1], total[:, :, -1:])[:, :, 0])


def family_errors(data: Visits, found: Growth, y: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Standard errors of the fixed effects (columns,) by the jackknife over families; variances stay those of the fit.

    family: (P,) codes 0, 1, ... Source: Efron & Tibshirani 1993, chapter 11; Bell & McCaffrey 2002 (CR3).
    """
    count = int(family.max()) + 1
    own = _cross_products(data, found, y)
    of_family = np.zeros((count, *own.shape[1:]))
    np.add.at(of_family, family, own)
    left = own.sum(axis=0) - of_family
    coef = (np.linalg.pinv(left[:, :, :-1], rcond=1e-12, hermitian=True) @ left[:, :, -1:])[:, :, 0]
    return np.asarray(np.sqrt((count - 1) / count * np.square(coef - coef.mean(axis=0)).sum(axis=0)))


def _cross_products(data: Visits, found: Growth, y: np.ndarray) -> np.ndarray:
    """X_i' V_i^-1 [X_i y_i] of each person, (P, columns, columns + 1)."""
    zr = np.concatenate([data.zx, sums(data.z, y, data.person)], axis=2)
    return sums(data.x, np.column_stack([data.x, y]), data.person) - data.zx.transpose(0, 2, 1) @ found.k @ zr
