"""Where a joint model starts: the linear model whose shared latents are what the image predicts of the scores.

This is probabilistic canonical correlation (Bach and Jordan 2005) whose image side is ridge regression of each score on
the image, with its penalty by restricted maximum likelihood. Predictions of people who were fitted on are
leave-one-out, so that correlations are not those of an overfit; a latent s_k with correlation r has E[s | image] =
u / sqrt(r), u being the prediction of its direction c in the scores, and E[c | s] = sqrt(r) s. What the shared latents
leave of each block goes into its private latents by principal components. Moments of scores are over the people who
have both (pairwise complete), so that missing ones draw nothing towards the mean; afterwards they are masked.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, svd

from neurovae.stats import reml_ridge
from neurovae.train.models import shared_factors
from neurovae.train.models.shared_factors import Factors

LEAST = 0.01  # of the variance of a direction in the scores, predicted, below which it is not shared
SHRUNK = 0.1  # share of the diagonal in the covariance of the scores
HIGHEST = 0.99  # correlation of a shared latent with what the image predicts of it
FLOOR = 0.05  # of a score's variance, that stays noise
FEWEST = 5  # people with a score, below which nothing is predicted of it


class Start(NamedTuple):
    """The linear model: of the image, then of the scores; k latents are the shared ones, then the private ones."""

    inward: np.ndarray  # (groups + 1, latents, features) of the image; the first of all people, then without a group
    logvar: np.ndarray  # (latents,) log-variance of the image's expert of s, and of its posterior of p
    image: Factors
    scores: Factors
    left: np.ndarray  # (scores,) variance that all latents leave of each score
    left_cross: np.ndarray  # (scores,) that the image leaves


class Ridge(NamedTuple):
    """Coefficients (features, scores), of all people and without each group, and leave-one-out predictions."""

    whole: np.ndarray
    without: list[np.ndarray]
    predicted: np.ndarray  # (people, scores)


def ridge(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> Ridge:
    """Ridge regression of each score on the image in the people who have it.

    Args:
        x: standardised image features (people, features).
        y: standardised scores (people, scores), NaN where missing.
        group: of each person, left out in turn.
    """
    groups, size = int(group.max()) + 1, (x.shape[1], y.shape[1])
    whole, without, predicted = np.zeros(size), [np.zeros(size) for _ in range(groups)], np.zeros(y.shape)
    for j in range(y.shape[1]):
        known = np.flatnonzero(~np.isnan(y[:, j]))
        if len(known) < FEWEST:
            continue
        fitted = reml_ridge.fit(x[known], y[known, j])
        whole[:, j] = fitted.b
        predicted[:, j] = fitted.predict(x)
        predicted[known, j] = fitted.leave_one_out
        for g, of_group in enumerate(without):
            others = known[group[known] != g]
            if len(others) >= FEWEST:
                of_group[:, j] = reml_ridge.fit(x[others], y[others, j], fitted.k).b
    return Ridge(whole, without, predicted)


def fit(x: np.ndarray, y: np.ndarray, group: np.ndarray, n_shared: int, n_private: int, weight: float) -> Start:
    """The linear model of people who have an image.

    Args:
        x: standardised image features (people, features).
        y: standardised scores (people, scores), NaN where missing.
        group: of each person, for encoders that have not seen them (cross-fitting).
        n_shared, n_private: latents.
        weight: of the image's likelihood.
    """
    found = ridge(x, y, group)
    centred = found.predicted - found.predicted.mean(axis=0)
    raw, across = moments(y, centred)
    covariance = (1 - SHRUNK) * raw
    covariance += np.diag(np.maximum(SHRUNK * np.diag(raw), 1e-9))
    values, turns = eigh((across + across.T) / 2, covariance)
    order = [k for k in np.argsort(values)[::-1][:n_shared] if values[k] > LEAST]
    turns = turns[:, order] * np.where(turns[np.abs(turns).argmax(axis=0), range(len(values))] < 0, -1, 1)[order]
    u = centred @ turns  # (people, shared): what the image predicts of directions in the scores
    size = np.maximum(np.square(u).mean(axis=0), 1e-300)
    own = np.maximum(np.einsum("jk,jl,lk->k", turns, raw, turns), 1e-300)  # variance of the directions
    slope = np.clip(np.einsum("jk,jl,lk->k", turns, across, turns) / size, 0, 1)
    r = np.clip(slope * np.sqrt(size / own), 1e-3, HIGHEST)
    s = u * slope / np.sqrt(r)  # E[s | image]
    wide = ((0, n_shared - len(order)), (0, 0))
    inward = [np.pad(((b @ turns) * slope / r**1.5).T, wide) for b in (found.whole, *found.without)]
    spread = np.pad((1 - r) / r, (0, n_shared - len(order)), constant_values=np.exp(4.0))
    image = _factors(x, s, n_shared, n_private)
    private = shared_factors.posterior(image, weight)
    inward = [np.concatenate([one, private.private]) for one in inward]
    scores, left = _scores(raw, raw @ turns * np.sqrt(r) / own, n_shared, n_private)
    explained = np.square(scores.shared[:, : len(order)]) @ np.square(r) if len(order) else np.zeros(len(left))
    return Start(np.array(inward), np.log(np.concatenate([spread, private.private_variance])), image, scores,
                 left, np.clip(1 - explained, FLOOR, 1))  # fmt: skip


def _factors(x: np.ndarray, s: np.ndarray, n_shared: int, n_private: int) -> Factors:
    """Loadings of the image on s, of which s are the conditional means, and components of what these leave."""
    shared = x.T @ s / len(x)
    rest = x - s @ np.linalg.lstsq(s, x, rcond=None)[0]
    lengths, axes = svd(rest - rest.mean(axis=0), full_matrices=False)[1:]
    variances = np.square(lengths) / len(x)
    count = min(n_private, len(lengths))
    noise = max(variances[count:].sum() / max(x.shape[1] - count, 1), 1e-3 * variances.sum() / x.shape[1])
    private = np.zeros((x.shape[1], n_private))
    private[:, :count] = axes[:count].T * np.sqrt(np.maximum(variances[:count] - noise, 0))
    return Factors(np.pad(shared, ((0, 0), (0, n_shared - s.shape[1]))), private, float(noise))


def moments(y: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Second moments of the scores, and of these with predictions, (scores, scores) each, over people who have them.

    Moments of pairs that few people have may not belong to any cohort: negative directions are set to 0.
    """
    known, filled = (~np.isnan(y)).astype(float), np.nan_to_num(y)
    raw = filled.T @ filled / np.maximum(known.T @ known, 1)
    values, axes = eigh(raw)
    if values[0] < 0:
        raw = axes * np.maximum(values, 0) @ axes.T
    return raw, filled.T @ predicted / np.maximum(known.sum(axis=0), 1)[:, None]


def _scores(raw: np.ndarray, shared: np.ndarray, n_shared: int, n_private: int) -> tuple[Factors, np.ndarray]:
    """Loadings of the scores on shared latents and components of what these leave of their moments; noise of each."""
    rest = raw - shared @ shared.T
    values, axes = eigh(rest)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    count = min(n_private, len(values))
    noise = values[count:].sum() / max(len(values) - count, 1)
    private = np.zeros((len(values), n_private))
    private[:, :count] = axes[:, :count] * np.sqrt(np.maximum(values[:count] - noise, 0))
    left = np.maximum(np.diag(raw) - np.square(shared).sum(axis=1) - np.square(private).sum(axis=1), FLOOR)
    padded = np.pad(shared, ((0, 0), (0, n_shared - shared.shape[1])))
    return Factors(padded, private, float(left.mean())), left
