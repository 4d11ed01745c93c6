"""Canonical correlation with ridge (Vinod 1976): pairs of directions in two blocks, one predicted from the other."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, svd

GRID = 10.0 ** np.arange(-2.0, 4.0)  # of the penalty of x, over its mean variance
FOLDS = 5
PENALTY = 0.1  # of y, over its mean variance


class Pairs(NamedTuple):
    """Directions (features, pairs) of both blocks, their means, and loadings (pairs, features) by least squares."""

    x: np.ndarray
    y: np.ndarray
    mean_x: np.ndarray
    mean_y: np.ndarray
    towards_y: np.ndarray
    towards_x: np.ndarray

    def y_from_x(self, x: np.ndarray) -> np.ndarray:
        """Predicted y (people, features)."""
        return np.asarray(self.mean_y + (x - self.mean_x) @ self.x @ self.towards_y)

    def x_from_y(self, y: np.ndarray) -> np.ndarray:
        """Predicted x (people, features)."""
        return np.asarray(self.mean_x + (y - self.mean_y) @ self.y @ self.towards_x)


def fit(x: np.ndarray, y: np.ndarray, pairs: int, seed: int = 0) -> Pairs:
    """Fit with the penalty of x that predicts y best in inner folds.

    Args:
        x: (people, features), in principal coordinates where there are many.
        y: (people, features) without missing values.
        pairs: number of pairs.
        seed: of the inner folds.
    """
    fold = np.random.default_rng(seed).permutation(np.arange(len(x)) % FOLDS)
    errors = np.zeros(len(GRID))
    for one in range(FOLDS):
        inner = fold != one
        for g, k in enumerate(GRID):
            errors[g] += np.square(y[~inner] - _fit(x[inner], y[inner], pairs, k).y_from_x(x[~inner])).sum()
    return _fit(x, y, pairs, float(GRID[errors.argmin()]))


def _fit(x: np.ndarray, y: np.ndarray, pairs: int, penalty: float) -> Pairs:
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    u, v = x - mean_x, y - mean_y
    roots = [_inverse_root(one, k) for one, k in ((u, penalty), (v, PENALTY))]
    left, _, right = svd(roots[0].T @ (u.T @ v / len(u)) @ roots[1], full_matrices=False)
    a, b = roots[0] @ left[:, :pairs], roots[1] @ right[:pairs].T
    towards_y = np.linalg.lstsq(u @ a, v, rcond=None)[0]
    towards_x = np.linalg.lstsq(v @ b, u, rcond=None)[0]
    return Pairs(a, b, mean_x, mean_y, towards_y, towards_x)


def _inverse_root(x: np.ndarray, penalty: float) -> np.ndarray:
    """R with R' (S + k I) R = I, S the covariance and k the penalty over the mean variance."""
    covariance = x.T @ x / len(x)
    values, vectors = eigh(covariance)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 0) + penalty * max(values.mean(), 1e-300)))
