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
    """Return the direction's numbers for each latent.

    z: (n, latents), unscaled; x: (n, columns); strata: people are resampled within them; family: (n,) codes, whose
    people stay together.

    metric: the ridge's prior with the larger restricted likelihood (`ridge`); bootstraps keep it and its weight, halves
    choose their own. weight: standard deviations of a continuous score, for other types units of its residual, per
    standard deviation of the latent. pattern: standard deviations of the latent per standard deviation of the
    direction, given the confounds, with the 95 % percentile interval over bootstraps of people; same_sign: the fraction
    of bootstraps with its sign. stability: mean |cosine| of bootstrapped and full direction, as correlation of the two
    predictions (noise gives about .7, since resamples share people); halves: mean cosine of the directions of two
    halves (noise gives 0).
    """
    rng = np.random.default_rng([seed, 1])
    adjusted = residual(z, x)
    beta, metric, k = direction(data.z, data.x, data.e)
    full = pattern(adjusted, beta)
    cosines, patterns = [], []
    for _ in steps(range(RESAMPLES), "bootstraps of the direction"):
        rows = resample(strata, rng)
        resampled = fixed(data.z[rows], data.x[rows], data.e[rows], metric, k)
        cosines.append(abs(_cosine(adjusted, beta, resampled)))
        patterns.append(pattern(residual(z[rows], x[rows]), resampled))
    low, high = np.quantile(patterns, [0.025, 0.975], axis=0)
    same_sign = np.mean(np.sign(patterns) == np.sign(full), axis=0)
    shared = {"metric": METRICS[metric], "stability": np.mean(cosines), "halves": _halves(data, adjusted, rng, family)}
    columns = (beta * z.std(axis=0, ddof=1), full, low, high, same_sign)
    labels = ("weight", "pattern", "pattern_low", "pattern_high", "same_sign")
    return {
        name: shared | {"resamples": RESAMPLES} | dict(zip(labels, map(float, values), strict=True))
        for name, *values in zip(names, *columns, strict=True)
    }


def pattern(adjusted: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Correlation of each latent with the direction, (latents,). adjusted: (n, latents) given the confounds."""
    projection = adjusted @ beta
    return np.asarray(adjusted.T @ projection / (np.linalg.norm(adjusted, axis=0) * np.linalg.norm(projection)))


def _cosine(adjusted: np.ndarray, beta_a: np.ndarray, beta_b: np.ndarray) -> float:
    projection_a, projection_b = adjusted @ beta_a, adjusted @ beta_b
    return float(projection_a @ projection_b / (np.linalg.norm(projection_a) * np.linalg.norm(projection_b)))


def _halves(data: Space, adjusted: np.ndarray, rng: np.random.Generator, family: np.ndarray | None) -> float:
    cosines, family = [], np.arange(len(adjusted)) if family is None else family
    for _ in steps(range(HALVES), "halves of the people"):
        first_half = np.isin(family, np.array_split(rng.permutation(family.max() + 1), 2)[0])
        beta_a, beta_b = (direction(data.z[rows], data.x[rows], data.e[rows])[0] for rows in (first_half, ~first_half))
        cosines.append(_cosine(adjusted, beta_a, beta_b))
    return float(np.mean(cosines))
