"""Cox regression of a survival score as one of the families, and the check of its proportional hazards.

y: (n, 3), columns entry, time, event. Coefficients are log hazard ratios; that of the intercept is 0 without an error.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import chi2, rankdata

from neurovae.stats import cox
from neurovae.stats.fits import Fit, by_likelihood, without

NAME, LINK = "Cox (Efron)", "log hazard"


def fit(y: np.ndarray, x: np.ndarray, link: str = LINK) -> Fit:
    """Fit the proportional hazards model on the columns of x but the first, the intercept."""
    found = cox.fit(cox.risk_sets(y), x[:, 1:])
    if found.status != "ok":
        return without(found.status)
    last, columns = x.shape[1] - 1, x.shape[1]
    coef, cov = np.append(0.0, found.coef), np.zeros((columns, columns))
    cov[1:, 1:] = found.cov
    if not last:
        none = np.nan
        numbers = (none, none, found.loglike, -2 * found.loglike, 1.0, np.inf, 0.0)
        return Fit("ok", NAME, link, coef, cov, *numbers, "LR", 0, 0, none)
    return by_likelihood(NAME, link, coef, cov, last, True, found.loglike, columns - 1)


def schoenfeld(y: np.ndarray, x: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Schoenfeld residuals of the events, and their covariances at each event, in the order of time.

    x: (n, columns) without the intercept; results (events, columns) and (events, columns, columns).
    """
    risk, share = cox.shares(y, x @ coef)
    means = share @ x
    spread = np.einsum("en,ni,nj->eij", share, x, x, optimize=True) - means[:, :, None] * means[:, None, :]
    return x[risk.rows] - means, spread


def influence(y: np.ndarray, x: np.ndarray, full: Fit) -> np.ndarray:
    """One-step change of the coefficients (n, columns of x) when a person is left out: score residuals times the
    inverse information, whose squares sum to the robust covariance of Lin & Wei 1989, J Am Stat Assoc 84:1074.
    """
    risk, share = cox.shares(y, x @ full.coef)
    means = share @ x
    contribution = share.T @ means - share.sum(axis=0)[:, None] * x
    at = np.unique(risk.time, return_inverse=True)[1]
    tied = np.array([np.bincount(at, column) / np.bincount(at) for column in means.T]).T[at]  # ties share their means
    contribution[risk.rows] += x[risk.rows] - tied
    return contribution @ full.cov


def proportional_p(y: np.ndarray, x: np.ndarray, full: Fit, g: Callable[[np.ndarray], np.ndarray] = rankdata) -> float:
    """Test that the hazard ratio of the last column of x does not change with time.

    Score test of the column's product with g(t), g the rank of the time among the events (Grambsch & Therneau 1994,
    Biometrika 81:515), with its information as R's cox.zph has it since survival 3.0.
    """
    inner = x[:, 1:] - x[:, 1:].mean(axis=0)
    residual, spread = schoenfeld(y, inner, full.coef[1:])
    of_time = g(np.sort(y[y[:, 2] == 1, 1]))
    of_time = of_time - of_time.mean()
    if not of_time.any():
        return np.nan
    plain, crossed = spread.sum(axis=0), np.tensordot(of_time, spread[:, :, -1], 1)
    information = np.tensordot(of_time**2, spread[:, -1, -1], 1) - crossed @ np.linalg.solve(plain, crossed)
    return float(chi2.sf((of_time @ residual[:, -1]) ** 2 / information, 1)) if information > 0 else np.nan
