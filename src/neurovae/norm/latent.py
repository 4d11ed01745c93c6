"""How far a person's latents are from those of the reference, within a fold: D2 = d' S^-1 d, d = mu - m(age, sex).

Latents of folds are not comparable, so each fold has its own m (line of age, sex) and S = Cov(d) (Ledoit & Wolf 2004),
from reference people whom its model has not seen. A person's D2 is not held against a chi-squared, which D2 under an
estimated covariance does not follow, but against the D2 of each reference person, both under the norm without that
reference person, so that the two are exchangeable. Folds are combined by the median percentile.
"""

import numpy as np
from sklearn.covariance import ledoit_wolf

from neurovae.norm.estimate import columns

FEWEST = 12  # reference people held out of a fold


def percentiles(
    own: np.ndarray,
    age: np.ndarray,
    sex: np.ndarray,
    others: np.ndarray,
    age_others: np.ndarray,
    sex_others: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of the reference people (n,), each among the others of them, and of other people (m,).

    Args:
        own: latents (n, latents) of reference people held out of the fold's model.
        age, sex: (n,) of these.
        others: latents (m, latents) of other people, likewise.
        age_others, sex_others: (m,) of these.
    """
    n = len(own)
    alone, below = np.empty(n), np.zeros(len(others))
    everybody, ages, sexes = np.vstack([own, others]), np.append(age, age_others), np.append(sex, sex_others)
    for i in range(n):
        rest = np.arange(n) != i
        distance = distances(own[rest], age[rest], sex[rest], everybody, ages, sexes)
        alone[i] = distance[i]
        below += distance[i] < distance[n:]
    ranks = (alone[None, :] < alone[:, None]).sum(axis=1)
    return 100 * (ranks + 1) / n, 100 * (below + 1) / (n + 1)


def distances(
    own: np.ndarray, age: np.ndarray, sex: np.ndarray, new: np.ndarray, age_new: np.ndarray, sex_new: np.ndarray
) -> np.ndarray:
    """D2 (people,) of `new` under the norm of `own`; latents: (people, latents)."""
    learnt = columns(age, sex)
    x = learnt.of(age, sex)
    mean = np.linalg.lstsq(x, own, rcond=None)[0]
    covariance = ledoit_wolf(own - x @ mean, assume_centered=True)[0]
    d = new - learnt.of(age_new, sex_new) @ mean
    return np.asarray(np.sum(d * np.linalg.solve(covariance, d.T).T, axis=1))


def combined(by_fold: np.ndarray) -> np.ndarray:
    """Median percentile of each person over the folds in which it is known. by_fold: (folds, people), NaN: unknown."""
    known = np.isfinite(by_fold).any(axis=0)
    found = np.full(by_fold.shape[1], np.nan)
    if known.any():
        found[known] = np.nanmedian(by_fold[:, known], axis=0)
    return found
