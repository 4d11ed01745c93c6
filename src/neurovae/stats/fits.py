"""The result of one fitted model of a score, or of a fit that failed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from statsmodels.tools.sm_exceptions import (
    ConvergenceWarning,
    DomainWarning,
    HessianInversionWarning,
    PerfectSeparationWarning,
)

CLUSTERED = "t or F, clustered by family"


@dataclass(frozen=True)
class Rows:
    """The data of a fit whose people are related."""

    kind: str
    y: np.ndarray  # (n,)
    x: np.ndarray  # (n, columns)
    group: np.ndarray  # (n,) codes of the families 0, 1, ...


@dataclass(frozen=True)
class Fit:
    """One fitted model; `effect` and `se` are those of the last column of x."""

    status: str
    family: str
    link: str
    coef: np.ndarray  # (parameters,): columns of x, then alpha or a gamma's 1 / shape; ordinal: slopes, thresholds
    cov: np.ndarray  # (parameters, parameters); missing for alpha and 1 / shape, which are orthogonal to the others
    effect: float
    se: float
    loglike: float  # missing for the quasi-likelihood
    deviance: float
    dispersion: float
    df: float  # residual degrees of freedom, infinite for a likelihood ratio
    alpha: float
    test: str  # robust F, quasi F, LR or CLUSTERED
    counted: int  # parameters that small-sample corrections count: thresholds of an ordinal score as one intercept
    last: int  # place of the last column of x among the estimates
    df_several: float  # residual degrees of freedom of a robust F of several columns
    rows: Rows | None = None  # what a test clustered by family needs of the data


def by_likelihood(
    family: str,
    link: str,
    coef: np.ndarray,
    cov: np.ndarray,
    last: int,
    converged: bool,
    loglike: float = np.nan,
    counted: int | None = None,
) -> Fit:
    """Return the fit by likelihood ratio with these estimates, or the status that it has not converged.

    last: place of the last column of x among the estimates; counted: of `Fit`, all estimates where not given.
    """
    variance = cov[last, last]
    if not (converged and np.isfinite(coef).all() and np.isfinite(variance) and variance > 0):
        return without("not converged")
    effect, se = float(coef[last]), float(np.sqrt(variance))
    numbers = (effect, se, float(loglike), -2 * float(loglike), 1.0, np.inf, 0.0)
    counted = len(coef) if counted is None else counted
    return Fit("ok", family, link, coef, cov, *numbers, "LR", counted, last, np.nan)


def without(status: str) -> Fit:
    """Return a fit that has a status instead of numbers."""
    none, nan = np.empty(0), np.nan
    return Fit(status, "", "", none, none, nan, nan, nan, nan, nan, nan, nan, "", 0, 0, nan)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' warnings about a fit: its status says whether it converged."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        categories = (
            ConvergenceWarning,
            HessianInversionWarning,
            PerfectSeparationWarning,
            DomainWarning,
            RuntimeWarning,
        )
        for category in categories:
            warnings.simplefilter("ignore", category)
        yield
