"""The direction in scans that follows a score: ridge or one component of PLS, in dual form, for many draws at once.

A score y = x b + e of training people (x: intercept and confounds) gives the direction w = X'a over voxels, X the scans
about their training mean. `ridge` is the best linear unbiased predictor of y = x b + X w + e with its weight by REML
(Patterson & Thompson 1971), the confounds unpenalised; `pls` is the first component of partial least squares of e on X
(Wold 1984), scaled so that X w is the least squares prediction of e. Both need X through K = X X' alone, so a refit
under a permuted score costs a few products of (draws, people) with (people, people) matrices.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurovae.stats.basis import independent
from neurovae.stats.products import centred
from neurovae.stats.ridge import RANK, reml
from neurovae.stats.ridge import Part as Axes

Direction = Literal["ridge", "pls"]


def decomposed(gram: np.ndarray, x: np.ndarray) -> Axes:
    """Axes of the scans given the confounds; `v` holds them in dual form, so that a = v c has w = X'a.

    Args:
        gram: products of the training scans about their mean (n, n).
        x: intercept and confounds (n, columns).
    """
    x = x[:, independent(x)]
    q, r = np.linalg.qr(x)
    adjusted = gram - q @ (q.T @ gram)
    adjusted -= (adjusted @ q) @ q.T
    squares, u = np.linalg.eigh((adjusted + adjusted.T) / 2)
    kept = squares > RANK * max(squares[-1], 0.0)
    d = np.sqrt(squares[kept])
    return Axes(q, np.linalg.inv(r), u[:, kept], d, u[:, kept] / d, len(x) - q.shape[1])


def coefficients(axes: Axes, y: np.ndarray, direction: Direction) -> np.ndarray:
    """Dual coefficients a (draws, n) of each score; weight and scale are found anew in each draw.

    Args:
        axes: of `decomposed`.
        y: scores of the training people (draws, n).
        direction: ridge or pls.
    """
    c = y @ axes.u
    if direction == "ridge":
        total = np.square(y).sum(axis=1) - np.square(y @ axes.q).sum(axis=1)
        k, _ = reml(axes, c, total)
        on_axes = c * axes.d / (axes.d**2 + k[:, None])
    else:
        along = c * axes.d**2  # X w for w = X'e
        size = np.square(along).sum(axis=1, keepdims=True)
        scale = np.divide((c * along).sum(axis=1, keepdims=True), size, out=np.zeros_like(size), where=size > 0)
        on_axes = c * axes.d * scale
    return np.asarray(on_axes @ axes.v.T)


@dataclass(frozen=True)
class Part:
    """One fold of cases: positions of training and test people, and the design of the training people (n, columns)."""

    train: np.ndarray
    test: np.ndarray
    x: np.ndarray


def out_of_fold(gram: np.ndarray, parts: list[Part], y: np.ndarray, direction: Direction) -> np.ndarray:
    """Latent of each person (draws, n) from the direction that was fitted on the training people of their fold.

    Args:
        gram: products of all scans (n, n).
        parts: the folds; each person is tested in one.
        y: scores (draws, n).
        direction: ridge or pls.
    """
    z = np.full(y.shape, np.nan)
    for part in parts:
        among, across = centred(gram, part.train, part.test)
        z[:, part.test] = coefficients(decomposed(among, part.x), y[:, part.train], direction) @ across.T
    return z


def partial_r(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Correlation (draws,) of z with y (draws, n) given the columns of x (n, columns)."""
    q = np.linalg.qr(x[:, independent(x)])[0]
    z, y = z - (z @ q) @ q.T, y - (y @ q) @ q.T
    size = np.sqrt(np.square(z).sum(axis=1) * np.square(y).sum(axis=1))
    return np.divide((z * y).sum(axis=1), size, out=np.zeros(len(z)), where=size > 0)
