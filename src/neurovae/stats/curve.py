"""Fitted mean of a score along a latent with its pointwise 95 % band, back-transformed from the link scale."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t

from neurovae.stats.fits import Fit
from neurovae.stats.links import CLASSES
from neurovae.stats.ordinal import expected_level

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # fitted, low, high


def band(kind: str, y: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Return the curve at the rows of `at` for an unpenalised model of y; for an ordinal score, its expected level."""
    if kind == "ordinal":
        return _expected_level(y, at, full)
    columns = at.shape[1]
    df = full.df_several if np.isfinite(full.df_several) else full.df  # full.df is else that of the last column alone
    return back_transformed(full.link, at, full.coef[:columns], full.cov[:columns, :columns], df)


def back_transformed(link: str, at: np.ndarray, coef: np.ndarray, cov: np.ndarray, df: float) -> Curve:
    """Return mean and band at the rows of `at` (m, columns), back-transformed from the link scale."""
    centre, half = at @ coef, _half(at, cov, df)
    fitted, lower, upper = (_inverse(link, eta) for eta in (centre, centre - half, centre + half))
    return fitted, np.minimum(lower, upper), np.maximum(lower, upper)


def _inverse(link: str, eta: np.ndarray) -> np.ndarray:
    """Mean of a linear predictor; where a band leaves the range of its link, it ends at the border."""
    eta = np.maximum(eta, {"sqrt": 0.0, "inverse": np.finfo(float).tiny}.get(link, -np.inf))
    return np.asarray(CLASSES[link]().inverse(eta))


def _expected_level(y: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Delta method on the logit of the expected level as a fraction of the range."""
    levels = np.unique(y)
    low, span = levels[0], levels[-1] - levels[0]
    mean, slope = expected_level(full.coef, at[:, 1:], levels, full.link)
    fraction = (mean - low) / span
    half = _half(slope / (span * fraction * (1 - fraction))[:, None], full.cov, full.df)
    return mean, low + span * expit(logit(fraction) - half), low + span * expit(logit(fraction) + half)


def half_width(change: np.ndarray, full: Fit) -> np.ndarray:
    """Half of the 95 % interval of change @ (the last coefficients). change: (m, columns)."""
    last = change.shape[1]
    return _half(change, full.cov[-last:, -last:], full.df)


def _half(slope: np.ndarray, cov: np.ndarray, df: float) -> np.ndarray:
    return t.ppf(0.975, df) * np.sqrt(np.einsum("ij,jk,ik->i", slope, cov, slope))
