"""Connectivity of parcels through nilearn: correlation, partial correlation, and covariance for the tangent space."""

import numpy as np
from nilearn.connectome import ConnectivityMeasure, sym_matrix_to_vec
from sklearn.base import BaseEstimator

LIMIT = 1 - 1e-7  # of a correlation whose Fisher z is taken


def vector(series: np.ndarray, kind: str, fisher_z: bool) -> np.ndarray:
    """Features of one person in single precision: the lower triangle of the matrix of parcels, row by row.

    Covariances are shrunk (Ledoit & Wolf 2004), as by default in nilearn. `tangent` gives the covariance with its
    diagonal; its projection (`Tangent`) is fitted to training people alone.

    Args:
        series: standardised courses (volumes, parcels) of all runs; NaN in parcels that are masked in some run, as are
            their features.
        kind: correlation, partial or tangent.
        fisher_z: take arctanh of correlations.
    """
    known = ~np.isnan(series).any(axis=0)
    with_diagonal = kind == "tangent"
    name = {"partial": "partial correlation", "tangent": "covariance"}.get(kind, kind)
    measure = ConnectivityMeasure(kind=name, standardize=False)
    matrix = np.full((len(known), len(known)), np.nan)
    matrix[np.ix_(known, known)] = measure.fit_transform([series[:, known]])[0]
    lower = matrix[np.tril_indices(len(matrix), k=0 if with_diagonal else -1)]
    if fisher_z and not with_diagonal:
        lower = np.arctanh(np.clip(lower, -LIMIT, LIMIT))
    return np.asarray(lower, np.float32)


def pairs(n: int, with_diagonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the two parcels of each feature, in the order of `vector`."""
    first, second = np.tril_indices(n, k=0 if with_diagonal else -1)
    return first, second


class _Given(BaseEstimator):
    """An estimator of covariances that is given one in place of a series."""

    def fit(self, matrix: np.ndarray) -> "_Given":
        """Keep a covariance (parcels, parcels) as it is."""
        self.covariance_ = matrix
        return self


def reference(vectors: np.ndarray) -> np.ndarray:
    """Whitening (parcels, parcels) of the geometric mean of training people's covariances (Varoquaux 2010).

    vectors: covariances as `vector` gives them (people, features).
    """
    measure = ConnectivityMeasure(cov_estimator=_Given(), kind="tangent", standardize=False)
    return np.asarray(measure.fit(matrices(vectors)).whitening_)


def tangent(vectors: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """Covariances (people, features) in the tangent space at the reference, as vectors of the same length.

    The logarithm of W C W, its diagonal over the root of 2, as nilearn has it: distances are those of matrices.
    """
    out = np.empty(vectors.shape)
    for k, matrix in enumerate(matrices(vectors)):
        values, axes = np.linalg.eigh(whitening @ matrix @ whitening)
        out[k] = sym_matrix_to_vec((axes * np.log(values)) @ axes.T)
    return out


def matrices(vectors: np.ndarray) -> np.ndarray:
    """Symmetric matrices (people, parcels, parcels) from their lower triangles with diagonal (people, features)."""
    n = int((np.sqrt(8 * vectors.shape[1] + 1) - 1) / 2)
    out = np.zeros((len(vectors), n, n))
    first, second = np.tril_indices(n)
    out[:, first, second] = vectors
    out[:, second, first] = vectors
    return out
