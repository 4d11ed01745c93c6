"""The direction of latent space associated with a score: weights, pattern, and stability when people are resampled.

Weights say how to read the score off the latents (a filter); the pattern, the covariance of each latent with the
direction, says what the direction looks like (Haufe et al. 2014, eq. 6). Only the pattern may be decoded.
"""

from typing import Any

import numpy as np

from neurovae.io.progress import steps
from neurovae.stats.basis import residual
from neurovae.stats.exchangeability import resample
from neurovae.stats.kernel import Space
from neurovae.stats.ridge import METRICS, direction, fixed

RESAMPLES = 200  # bootstraps over people
HALVES = 100  # random halves of the people
DIRECTIONS = {"score": "object", "type": "object", "model": "object", "fold": "Int64", "seed": "Int64",
              "latent": "object", "session": "object", "n": "Int64", "n_confound_columns": "Int64",
              "confounds": "object", "n_imputed": "Int64", "metric": "object"} | dict.fromkeys(
              ["weight", "pattern", "pattern_low", "pattern_high", "same_sign", "r", "p_r", "stability", "halves"],
              "float64") | {"permutations": "Int64", "resamples": "Int64", "exchangeability": "object",
              "split_policy": "object", "status": "object", "reason": "object", "verdict": "object"}  # fmt: skip


def directions(
    data: Space,
    z: np.ndarray,
    x: np.ndarray,
    names: list[str],
    strata: np.ndarray,
    seed: int,
    family: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """Numbers of each latent. z: (n, latents) as they are, x: (n, columns), strata: resampled within, of
    exchangeability; family: (n,) codes, whose people stay together.

    metric: the ridge's prior of the larger restricted likelihood (`ridge`); bootstraps keep it and its weight, halves
    choose their own. weight: standard deviations of a continuous score, for other types units of its residual, per
    standard deviation of the latent. pattern: standard deviations of the latent per standard deviation of the
    direction, given the confounds, with the 95 % percentile interval over bootstraps of people; same_sign: the share
    of bootstraps with its sign. stability: mean |cosine| of bootstrapped and full direction, as correlation of what
    they give people (noise gives about .7, since resamples share people); halves: mean cosine of the directions of two
    halves (noise gives 0).
    """
    rng = np.random.default_rng([seed, 1])
    left = residual(z, x)
    beta, metric, k = direction(data.z, data.x, data.e)
    full = pattern(left, beta)
    cosines, patterns = [], []
    for _ in steps(range(RESAMPLES), "bootstraps of the direction"):
        rows = resample(strata, rng)
        again = fixed(data.z[rows], data.x[rows], data.e[rows], metric, k)
        cosines.append(abs(_cosine(left, beta, again)))
        patterns.append(pattern(residual(z[rows], x[rows]), again))
    low, high = np.quantile(patterns, [0.025, 0.975], axis=0)
    same = np.mean(np.sign(patterns) == np.sign(full), axis=0)
    shared = {"metric": METRICS[metric], "stability": np.mean(cosines), "halves": _halves(data, left, rng, family)}
    columns = (beta * z.std(axis=0, ddof=1), full, low, high, same)
    labels = ("weight", "pattern", "pattern_low", "pattern_high", "same_sign")
    return {
        name: shared | {"resamples": RESAMPLES} | dict(zip(labels, map(float, values), strict=True))
        for name, *values in zip(names, *columns, strict=True)
    }


def pattern(left: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Correlation of each latent with the direction, (latents,). left: (n, latents) given the confounds."""
    along = left @ beta
    return np.asarray(left.T @ along / (np.linalg.norm(left, axis=0) * np.linalg.norm(along)))


def _cosine(left: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    a, b = left @ one, left @ other
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _halves(data: Space, left: np.ndarray, rng: np.random.Generator, family: np.ndarray | None) -> float:
    cosines, family = [], np.arange(len(left)) if family is None else family
    for _ in steps(range(HALVES), "halves of the people"):
        first = np.isin(family, np.array_split(rng.permutation(family.max() + 1), 2)[0])
        one, other = (direction(data.z[rows], data.x[rows], data.e[rows])[0] for rows in (first, ~first))
        cosines.append(_cosine(left, one, other))
    return float(np.mean(cosines))
