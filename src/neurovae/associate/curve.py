"""Fitted mean of a score along a latent with its pointwise 95 % band, made on the link scale and turned back."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t

from neurovae.associate.families import Fit
from neurovae.associate.ordinal import expected_level

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # fitted, low, high
BACK: dict[str, Callable[[np.ndarray], np.ndarray]] = {"continuous": np.asarray, "count": np.exp}  # else the logit's


def band(kind: str, y: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Curve at the rows of `at` of a model of y; an ordinal score gives its expected level."""
    if kind == "ordinal":
        return _expected_level(y, at, full)
    columns = at.shape[1]
    df = len(y) - columns if full.test == "robust F" else full.df  # full.df is then that of the last column alone
    centre, half = at @ full.coef[:columns], _half(at, full.cov[:columns, :columns], df)
    back = BACK.get(kind, expit)
    return back(centre), back(centre - half), back(centre + half)


def _expected_level(y: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Delta method on the logit of the expected level's share of the range."""
    levels = np.unique(y)
    low, span = levels[0], levels[-1] - levels[0]
    mean, slope = expected_level(full.coef, at[:, 1:], levels)
    share = (mean - low) / span
    half = _half(slope / (span * share * (1 - share))[:, None], full.cov, full.df)
    return mean, low + span * expit(logit(share) - half), low + span * expit(logit(share) + half)


def _half(slope: np.ndarray, cov: np.ndarray, df: float) -> np.ndarray:
    return t.ppf(0.975, df) * np.sqrt(np.einsum("ij,jk,ik->i", slope, cov, slope))
