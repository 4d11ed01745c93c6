"""Fitted mean of a score along a latent with its pointwise 95 % band, made on the link scale and turned back."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t
from statsmodels.miscmodels.ordinal_model import OrderedModel

from neurovae.associate.families import Fit

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # fitted, low, high
BACK: dict[str, Callable[[np.ndarray], np.ndarray]] = {"continuous": np.asarray, "count": np.exp}  # else the logit's


def band(kind: str, y: np.ndarray, x: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Curve at the rows of `at` of a model of y on x; an ordinal score gives its expected level."""
    if kind == "ordinal":
        return _expected_level(y, x, at, full)
    columns = at.shape[1]
    centre, half = at @ full.coef[:columns], _half(at, full.cov[:columns, :columns], full.df)
    back = BACK.get(kind, expit)
    return back(centre), back(centre - half), back(centre + half)


def _expected_level(y: np.ndarray, x: np.ndarray, at: np.ndarray, full: Fit) -> Curve:
    """Delta method (central differences) on the logit of the expected level's share of the range."""
    levels, codes = np.unique(y, return_inverse=True)
    low, high = levels[0], levels[-1]
    model = OrderedModel(codes, x[:, 1:], distr="logit")

    def eta(coef: np.ndarray) -> np.ndarray:
        return logit((model.predict(coef, exog=at[:, 1:]) @ levels - low) / (high - low))

    centre, steps = eta(full.coef), 1e-5 * np.eye(len(full.coef))
    slope = np.column_stack([(eta(full.coef + step) - eta(full.coef - step)) / 2e-5 for step in steps])
    half = _half(slope, full.cov, full.df)
    fitted, lower, upper = (low + (high - low) * expit(value) for value in (centre, centre - half, centre + half))
    return fitted, lower, upper


def _half(slope: np.ndarray, cov: np.ndarray, df: float) -> np.ndarray:
    return t.ppf(0.975, df) * np.sqrt(np.einsum("ij,jk,ik->i", slope, cov, slope))
