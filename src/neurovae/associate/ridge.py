"""Ridge regression on latents beside unpenalised confounds: decomposition, REML weight, cross-fitting.

REML: e ~ N(x b, s2 (I + z z' / k)), profiled over s2 (Patterson & Thompson 1971), on a fixed grid of k; it stays
defined with more latents than people, where generalised cross-validation divides by zero. Nothing is decomposed again
when e is permuted, so the weight is chosen anew in every draw.
"""

from dataclasses import dataclass

import numpy as np

GRID = 10.0 ** np.linspace(-4, 4, 17)  # k over the mean squared singular value
FOLDS = 5
RANK = 1e-8  # smallest singular value over the largest


@dataclass(frozen=True)
class Part:
    """Latents of some people given their confounds, decomposed: z - q q'z = u diag(d) v'."""

    q: np.ndarray  # (n, rank of x)
    back: np.ndarray  # (columns of x, rank of x): x back = q
    u: np.ndarray  # (n, k)
    d: np.ndarray  # (k,)
    v: np.ndarray  # (latents, k)
    df: int  # n - rank of x


@dataclass(frozen=True)
class Fold:
    """Training people decomposed, and what carries over to the test people."""

    train: np.ndarray
    test: np.ndarray
    part: Part
    confounds: np.ndarray  # (test, rank of x): predicted confound part = confounds @ q'e
    axes: np.ndarray  # (test, k): test latents given confounds on the training axes


def decompose(z: np.ndarray, x: np.ndarray) -> Part:
    """z: (n, latents), x: (n, columns); x may have dependent columns."""
    q, s, vx = _thin(x)
    back = vx / s
    u, d, v = _thin(z - q @ (q.T @ z))
    return Part(q, back, u, d, v, len(x) - q.shape[1])


def reml(part: Part, c: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The k of each draw. c: (draws, k) coordinates u'e; total: (draws,) squared residual of e on the confounds."""
    k = GRID * np.mean(part.d**2)
    ratio = part.d**2 / (part.d**2 + k[:, None])  # (grid, k)
    quadratic = np.maximum(total[:, None] - np.square(c) @ ratio.T, 1e-300)  # (draws, grid)
    return k[np.argmin(part.df * np.log(quadratic) - np.log1p(-ratio).sum(axis=1), axis=1)]


def coordinates(part: Part, e: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(draws, k) ridge coefficients on the axes v, (draws, rank of x) confound part q'e, (draws,) k; e: (draws, n)."""
    a, c = e @ part.q, e @ part.u
    k = reml(part, c, np.square(e).sum(axis=1) - np.square(a).sum(axis=1))
    return c * part.d / (part.d**2 + k[:, None]), a, k


def direction(z: np.ndarray, x: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, float]:
    """Ridge coefficients (latents,) of e on z given x, and the k chosen."""
    part = decompose(z, x)
    on_axes, _, k = coordinates(part, e[None, :])
    return part.v @ on_axes[0], float(k[0])


def fixed(z: np.ndarray, x: np.ndarray, e: np.ndarray, k: float) -> np.ndarray:
    """Ridge coefficients (latents,) at a given k."""
    part = decompose(z, x)
    return np.asarray(part.v @ (part.d / (part.d**2 + k) * (part.u.T @ e)))


def folds(z: np.ndarray, x: np.ndarray, seed: int) -> list[Fold]:
    """Five parts of the people, drawn; one row is one person."""
    order = np.random.default_rng(seed).permutation(len(z)) % FOLDS
    made = []
    for k in range(FOLDS):
        train, test = np.flatnonzero(order != k), np.flatnonzero(order == k)
        part = decompose(z[train], x[train])
        confounds = x[test] @ part.back
        axes = (z[test] - confounds @ (part.q.T @ z[train])) @ part.v
        made.append(Fold(train, test, part, confounds, axes))
    return made


def cross_fit(parts: list[Fold], e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over folds of the correlation of prediction and residual, and the share predicted, of each draw (draws,).

    Both the ridge and the confounds are fitted on the other folds; share = 1 - sum of squares / that of the confounds
    alone, pooled over folds, and negative where the latents predict worse than nothing. e: (draws, n).
    """
    r, left, after = np.zeros(len(e)), np.zeros(len(e)), np.zeros(len(e))
    for fold in parts:
        on_axes, a, _ = coordinates(fold.part, e[:, fold.train])
        predicted, truth = on_axes @ fold.axes.T, e[:, fold.test] - a @ fold.confounds.T
        r += _correlation(predicted, truth) / len(parts)
        left, after = left + np.square(truth).sum(axis=1), after + np.square(truth - predicted).sum(axis=1)
    return r, 1 - after / left


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return np.asarray(np.sum(a * b, axis=1) / np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1)))


def _thin(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, d, vt = np.linalg.svd(a, full_matrices=False)
    kept = d > RANK * d[0]
    return u[:, kept], d[kept], vt[kept].T
