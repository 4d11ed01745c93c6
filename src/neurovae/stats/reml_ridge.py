"""Ridge regression of one response on many features, its penalty by restricted maximum likelihood."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import svd

from neurovae.stats.ridge import RANK, Part, reml


class Fitted(NamedTuple):
    """Coefficients (features,), intercept, penalty, and leave-one-out predictions (people,)."""

    b: np.ndarray
    intercept: float
    k: float
    leave_one_out: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions (people,) of features (people, features)."""
        return np.asarray(x @ self.b + self.intercept)


def fit(x: np.ndarray, y: np.ndarray, k: float | None = None) -> Fitted:
    """Fit with an unpenalised intercept (Patterson & Thompson 1971). k: the penalty; None: it is chosen.

    Leave-one-out predictions keep the penalty of all people.
    """
    middle, mean = x.mean(axis=0), float(y.mean())
    u, d, vt = svd(x - middle, full_matrices=False)
    kept = d > RANK * max(d[0], 1e-300)
    u, d, vt = u[:, kept], d[kept], vt[kept]
    e = y - mean
    c = u.T @ e
    if k is None:
        ones = np.ones((len(x), 1)) / np.sqrt(len(x))
        k = float(reml(Part(ones, np.eye(1), u, d, vt.T, len(x) - 1), c[None], np.array([e @ e]))[0][0])
    b = vt.T @ (d / (d**2 + k) * c)
    shrink = d**2 / (d**2 + k)
    leverage = 1 / len(x) + np.square(u) @ shrink
    residual = (e - u @ (shrink * c)) / np.maximum(1 - leverage, 1e-6)
    return Fitted(b, mean - float(middle @ b), k, y - residual)
