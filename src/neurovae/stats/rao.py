"""Score (Rao) test of one added column from the null of a score, with what a permutation needs of it.

For a null with linear predictor eta: U = z's with s = dl/d eta, V = z'Wz - |C'z|^2 with W the expected information of
eta and C C' = A I^-1 A', A the cross information of eta with the null's parameters (Cox & Hinkley 1974, section 9.3).
The signed root is U / sqrt(V phi). NB2's alpha carries none of it: alpha and eta are orthogonal (Lawless 1987).
For a Gaussian score with the identity link it is the ordinary t of the column, which is its monotone function.
"""

from dataclasses import dataclass

import numpy as np

from neurovae.stats import cox, families
from neurovae.stats.fits import Fit
from neurovae.stats.links import CLASSES, family
from neurovae.stats.scoring import working


@dataclass(frozen=True)
class Null:
    """The null model of one score, with what its score test needs."""

    test: str  # in words
    gaussian: bool  # least squares: t and Freedman-Lane
    residual: np.ndarray  # (n,) s, orthogonal to the columns of x
    weight: np.ndarray  # (n,) W
    factor: np.ndarray  # (n, parameters) C
    phi: float


def null(kind: str, y: np.ndarray, x: np.ndarray, fit: Fit) -> Null:
    """Prepare the score test from the fitted null of y on x (first column: the intercept). y: (n,)."""
    if kind == "continuous" and fit.link == "identity":
        q = np.linalg.qr(x)[0]
        return Null("t, Freedman-Lane", True, y - q @ (q.T @ y), np.ones(len(y)), q, 1.0)
    if kind == "ordinal":
        return _ordinal(y, x, fit)
    if kind == "survival":
        return _survival(y, x, fit)
    residual, weight, _ = working(y, x @ fit.coef[: x.shape[1]], family(kind, fit.link, fit.alpha))
    fixed_dispersion = kind in ("binary", "count")  # the dispersion is one
    phi = 1.0 if fixed_dispersion else float(np.sum(residual**2 / weight) / (len(y) - x.shape[1]))  # Pearson
    cross = weight[:, None] * x
    return Null(f"Rao score test, {fit.family}", False, residual, weight, _root(cross, x.T @ cross), phi)


def fit_null(kind: str, y: np.ndarray, x: np.ndarray, link: str | None) -> tuple[Fit, Null | None]:
    """Fit y on x and prepare its score test; None where the fit has no numbers."""
    fit = families.fit(kind, y, x, link)
    return fit, null(kind, y, x, fit) if fit.status == "ok" else None


def _ordinal(y: np.ndarray, x: np.ndarray, fit: Fit) -> Null:
    """P(level <= k) = F(theta_k - eta); s = -(f_k - f_k-1) / pi_k at the observed level."""
    codes = np.unique(y, return_inverse=True)[1]
    slopes, rows = x.shape[1] - 1, len(y)
    link = CLASSES[fit.link]()
    at = fit.coef[slopes:][None, :] - (x[:, 1:] @ fit.coef[:slopes])[:, None]  # (n, thresholds)
    none = np.zeros((rows, 1))
    f, below = link.inverse_deriv(at), np.hstack([none, link.inverse(at), none + 1])
    share = np.diff(below, axis=1)  # (n, levels)
    score = -np.diff(np.hstack([none, f, none]), axis=1) / share
    weight = np.sum(share * score**2, axis=1)
    to_theta = f * (score[:, :-1] - score[:, 1:])  # (n, thresholds): cross information of eta and theta
    cross = np.hstack([weight[:, None] * x[:, 1:], to_theta])
    diagonal = np.sum(f**2 * (1 / share[:, :-1] + 1 / share[:, 1:]), axis=0)
    beside = -np.sum(f[:, :-1] * f[:, 1:] / share[:, 1:-1], axis=0)
    theta = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    top = x[:, 1:].T @ cross
    information = np.vstack([top, np.hstack([top[:, slopes:].T, theta])])
    test = f"Rao score test, {fit.family}"
    return Null(test, False, score[np.arange(rows), codes], weight, _root(cross, information), 1.0)


def _survival(y: np.ndarray, x: np.ndarray, fit: Fit) -> Null:
    """Observed information of the partial likelihood: z'Wz less (share z)^2 of every event, and of the confounds.

    s is the martingale residual and W the expected number of events (Therneau & Grambsch 2000, sections 3.4 and 4.2).
    The squares of the events' means take the place of C'z beside those of the null's parameters.
    """
    risk, share = cox.shares(y, x @ fit.coef)
    weight = share.sum(axis=0)
    residual = -weight
    residual[risk.rows] += 1
    within = x[:, 1:] - x[:, 1:].mean(axis=0)
    means = share @ within
    cross = weight[:, None] * within - share.T @ means
    information = within.T @ cross
    factor = np.hstack([share.T, _root(cross, information)]) if within.shape[1] else share.T
    return Null(f"Rao score test, {fit.family}", False, residual, weight, factor, 1.0)


def _root(cross: np.ndarray, information: np.ndarray) -> np.ndarray:
    """C with C C' = A I^-1 A'. cross: (n, parameters) A."""
    return np.linalg.solve(np.linalg.cholesky(information), cross.T).T
