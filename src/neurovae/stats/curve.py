"""Fitted mean of a score along a latent with its pointwise 95 % band, made on the link scale and turned back."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t

from neurovae.stats.fits import Fit
from neurovae.stats.links import CLASSES
from neurovae.stats.ordinal import expected_level

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # fitted, low, high


def band(kind: str, y: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Curve at the rows of `at` of an unpenalised model of y; an ordinal score gives its expected level."""
    if kind == "ordinal":
        return _expected_level(y, at, full)
    columns = at.shape[1]
    df = full.df_several if np.isfinite(full.df_several) else full.df  # full.df is else that of the last column alone
    return turned(full.link, at, full.coef[:columns], full.cov[:columns, :columns], df)


def turned(link: str, at: np.ndarray, coef: np.ndarray, cov: np.ndarray, df: float) -> Curve:
    """Mean at the rows of `at` and its band, each turned back from the link scale; at: (m, columns)."""
    centre, half = at @ coef, _half(at, cov, df)
    fitted, one, other = (_inverse(link, eta) for eta in (centre, centre - half, centre + half))
    return fitted, np.minimum(one, other), np.maximum(one, other)


def _inverse(link: str, eta: np.ndarray) -> np.ndarray:
    """Mean of a linear predictor; where a band leaves the domain of its link it ends at the border."""
    eta = np.maximum(eta, {"sqrt": 0.0, "inverse": np.finfo(float).tiny}.get(link, -np.inf))
    return np.asarray(CLASSES[link]().inverse(eta))


def _expected_level(y: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Delta method on the logit of the expected level's share of the range."""
    levels = np.unique(y)
    low, span = levels[0], levels[-1] - levels[0]
    mean, slope = expected_level(full.coef, at[:, 1:], levels, full.link)
    share = (mean - low) / span
    half = _half(slope / (span * share * (1 - share))[:, None], full.cov, full.df)
    return mean, low + span * expit(logit(share) - half), low + span * expit(logit(share) + half)


def _half(slope: np.ndarray, cov: np.ndarray, df: float) -> np.ndarray:
    return t.ppf(0.975, df) * np.sqrt(np.einsum("ij,jk,ik->i", slope, cov, slope))
