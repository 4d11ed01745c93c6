"""Ridge regression on latents beside unpenalised confounds: REML choice of prior and weight, and cross-fitting.

REML: e ~ N(x b, s2 (I + z S z' / k)), profiled over s2 (Patterson & Thompson 1971), on a fixed grid of k; it stays
defined with more latents than people, where generalised cross-validation divides by zero. S, the prior, is the metric
of the latents: `raw` I (an axis matters by its variance), `standardised` 1 / variance of each latent given the
confounds, `whitened` the inverse covariance of all, so that an effect on axes of small variance, where those of disease
lie in a scan, is not shrunk away; the last also where no single latent is such an axis (it is left out where the
latents span all that the confounds leave: it would be constant). Fixed part and number of parameters are the same, so
the larger restricted likelihood, each at its own best k, decides (Gurka 2006). Nothing is decomposed again when e is
permuted: metric and weight are chosen anew in every draw, and in every fold from its training people alone.
"""

from dataclasses import dataclass

import numpy as np

METRICS = ("raw", "standardised", "whitened")  # on a tie the first
GRID = 10.0 ** np.linspace(-4, 4, 17)  # k over the mean squared singular value
FOLDS = 5
RANK = 1e-8  # smallest singular value over the largest; smallest part of a latent left by the confounds


@dataclass(frozen=True)
class Part:
    """Latents of some people given their confounds, in one metric, decomposed: (z - q q'z) v = u diag(d)."""

    q: np.ndarray  # (n, rank of x)
    back: np.ndarray  # (columns of x, rank of x): x back = q
    u: np.ndarray  # (n, k)
    d: np.ndarray  # (k,)
    v: np.ndarray  # (latents, k): axes of S to the half, back in latents
    df: int  # n - rank of x


@dataclass(frozen=True)
class Fold:
    """Training people decomposed in each metric, and what carries over to the test people."""

    train: np.ndarray
    test: np.ndarray
    parts: tuple[Part, ...]
    confounds: np.ndarray  # (test, rank of x): predicted confound part = confounds @ q'e
    axes: tuple[np.ndarray, ...]  # (test, k) each: test latents given confounds on the training axes


@dataclass(frozen=True)
class Chosen:
    """The metric and weight that REML chose in each draw."""

    metric: np.ndarray  # (draws,) place in METRICS
    k: np.ndarray  # (draws,)
    on_axes: tuple[np.ndarray, ...]  # (draws, k) each: coefficients on the axes of a metric, 0 where it was not chosen
    confounds: np.ndarray  # (draws, rank of x): q'e


def decompose(z: np.ndarray, x: np.ndarray) -> tuple[Part, ...]:
    """Decompose the latents in each metric, whitened only where possible. z: (n, latents), x: (n, columns)."""
    q, s, vx = _thin(x)
    adjusted = z - q @ (q.T @ z)
    length = np.linalg.norm(adjusted, axis=0)
    varying = length > RANK * np.linalg.norm(z, axis=0)  # rounding is not scaled up to a variance of one
    unit = np.divide(np.sqrt(len(x) - q.shape[1]), length, out=np.zeros_like(length), where=varying)
    df = len(x) - q.shape[1]
    u, d, v = _thin(adjusted)
    u_standardised, d_standardised, v_standardised = _thin(adjusted * unit)
    parts = [
        Part(q, vx / s, u, d, v, df),
        Part(q, vx / s, u_standardised, d_standardised, unit[:, None] * v_standardised, df),
    ]
    return (*parts, Part(q, vx / s, u, np.ones_like(d), v / d, df)) if len(d) < df else tuple(parts)


def reml(part: Part, c: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the k of each draw, and twice its restricted log-likelihood up to a constant that all metrics share.

    c: (draws, k) coordinates u'e; total: (draws,) squared residual of e on the confounds.
    """
    k = GRID * np.mean(part.d**2)
    ratio = part.d**2 / (part.d**2 + k[:, None])  # (grid, k)
    quadratic = np.maximum(total[:, None] - np.square(c) @ ratio.T, 1e-300)  # (draws, grid)
    likelihood = np.log1p(-ratio).sum(axis=1) - part.df * np.log(quadratic)
    best = np.argmax(likelihood, axis=1)
    return k[best], likelihood[np.arange(len(best)), best]


def choose(parts: tuple[Part, ...], e: np.ndarray) -> Chosen:
    """Choose metric, weight and coefficients in each draw. e: (draws, n)."""
    a, c = e @ parts[0].q, [e @ part.u for part in parts]
    total = np.square(e).sum(axis=1) - np.square(a).sum(axis=1)
    k, likelihood = zip(
        *(reml(part, coordinates, total) for part, coordinates in zip(parts, c, strict=True)), strict=True
    )
    metric = np.argmax(likelihood, axis=0)
    on_axes = [
        np.where((metric == m)[:, None], coordinates * part.d / (part.d**2 + k[m][:, None]), 0.0)
        for m, (part, coordinates) in enumerate(zip(parts, c, strict=True))
    ]
    return Chosen(metric, np.choose(metric, k), tuple(on_axes), a)


def direction(z: np.ndarray, x: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, int, float]:
    """Return ridge coefficients (latents,) of e on z given x, the metric's place in METRICS and the chosen k."""
    parts = decompose(z, x)
    choice = choose(parts, e[None, :])
    metric = int(choice.metric[0])
    return parts[metric].v @ choice.on_axes[metric][0], metric, float(choice.k[0])


def fixed(z: np.ndarray, x: np.ndarray, e: np.ndarray, metric: int, k: float) -> np.ndarray:
    """Return ridge coefficients (latents,) in a given metric at a given k."""
    part = decompose(z, x)[metric]
    return np.asarray(part.v @ (part.d / (part.d**2 + k) * (part.u.T @ e)))


def folds(z: np.ndarray, x: np.ndarray, seed: int, family: np.ndarray | None = None) -> list[Fold]:
    """Draw five folds of people, families (n,) together; one row is one person."""
    family = np.arange(len(z)) if family is None else family
    order = (np.random.default_rng(seed).permutation(family.max() + 1) % FOLDS)[family]
    result = []
    for k in range(FOLDS):
        train, test = np.flatnonzero(order != k), np.flatnonzero(order == k)
        parts = decompose(z[train], x[train])
        confounds = x[test] @ parts[0].back
        adjusted = z[test] - confounds @ (parts[0].q.T @ z[train])
        result.append(Fold(train, test, parts, confounds, tuple(adjusted @ part.v for part in parts)))
    return result


def cross_fit(parts: list[Fold], e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over folds of the correlation of prediction and residual, and the partial R2, of each draw (draws,).

    Ridge, metric and confounds are those of the other folds; partial R2 = 1 - sum of squares / that of the confounds
    alone, pooled over folds; negative: worse than the confounds alone. e: (draws, n).
    """
    r, sum_before, sum_after = np.zeros(len(e)), np.zeros(len(e)), np.zeros(len(e))
    for fold in parts:
        choice = choose(fold.parts, e[:, fold.train])
        predicted = np.sum(
            [coefficients @ axes.T for coefficients, axes in zip(choice.on_axes, fold.axes, strict=True)], axis=0
        )
        truth = e[:, fold.test] - choice.confounds @ fold.confounds.T
        r += _correlation(predicted, truth) / len(parts)
        sum_before, sum_after = (
            sum_before + np.square(truth).sum(axis=1),
            sum_after + np.square(truth - predicted).sum(axis=1),
        )
    return r, 1 - sum_after / sum_before


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    return np.asarray(np.sum(a * b, axis=1) / np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1)))


def _thin(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, d, vt = np.linalg.svd(a, full_matrices=False)
    nonzero = d > RANK * d[0]
    return u[:, nonzero], d[nonzero], vt[nonzero].T
