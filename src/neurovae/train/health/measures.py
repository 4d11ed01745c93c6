"""Measures of a model's reconstructions: variance explained, identification, gain over a linear part.

Scans are read a few at a time, so that memory does not grow with the cohort. `Read` gives masked voxels
(scans, voxels) of row numbers: of the scans themselves, or of their reconstructions.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from neurovae.io.progress import steps
from neurovae.io.volumes import chunks

ACTIVE = 0.01  # a unit is active when the variance of its posterior mean over people exceeds this (Burda 2016)
CHANCE = 0.99  # level of the binomial bound of guessing
MAX_PEOPLE = 512  # people among whom one is identified; time grows with the square
BLOCK = 32  # reconstructions held at a time
PASSES = 5  # over the training people to find one principal component
RESAMPLED = 2000  # bootstrap draws of people
BINS = 65536  # of the histogram from which percentiles are read
Read = Callable[[np.ndarray], np.ndarray]


class Identified(NamedTuple):
    """Fraction of people whose reconstruction resembles their own scan most; all rates are among `people`."""

    rate: float
    people: int
    chance: float  # 99th percentile of the rate under chance (binomial, 1 / people)
    component: float  # the rate of PCA with one component

    @property
    def by_chance(self) -> bool:
        """Whether the rate may be chance; of fewer than four people nothing can be concluded."""
        return self.chance < 1 and self.rate <= self.chance


def variance_explained(error: np.ndarray, total: np.ndarray) -> float:
    """1 - sum |x - x_hat|^2 / sum |x - m|^2, summed over people before dividing; x_hat = m gives 0, x_hat = x gives 1.

    Args:
        error: squared reconstruction error per scan over the fixed mask.
        total: squared distance per scan to m, the mean of the training people.
    """
    return float(1 - error.sum() / total.sum())


def active_units(mu: np.ndarray) -> int:
    """Latents whose posterior mean varies over people, of mu (people, latents)."""
    return int(np.count_nonzero(mu.var(axis=0) > ACTIVE))


def chance(people: int) -> float:
    """The rate that guessing among so many people exceeds with a probability of at most 1 %."""
    return float(binom.ppf(CHANCE, people, 1 / people)) / people


def identification(reconstructed: Read, scans_of: Read, mean: np.ndarray, rows: np.ndarray) -> float:
    """Return the fraction of rows i with arg max_j corr(x_hat_i - m, x_j - m) = i; correlations over the mask's voxels.

    Args:
        reconstructed: reconstructions of rows.
        scans_of: scans of rows.
        mean: m, of the training people (voxels,).
        rows: one scan per person.
    """
    nearest, mean = np.empty(len(rows), int), mean.astype(np.float32)
    for own_part in steps(chunks(len(rows), BLOCK), "people identified", len(rows)):
        pattern = _standard(reconstructed(rows[own_part]) - mean)
        others = [pattern @ _standard(scans_of(rows[part]) - mean).T for part in chunks(len(rows))]
        nearest[own_part] = np.concatenate(others, axis=1).argmax(axis=1)
    return float((nearest == np.arange(len(rows))).mean())


def _standard(x: np.ndarray) -> np.ndarray:
    """Rows of zero mean and unit length; a constant row is zero, and so are its correlations."""
    x = x - x.mean(axis=1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def first_component(scans_of: Read, rows: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
    """First principal component (voxels,) of the rows, by block power iteration: a few passes, four images held."""
    mean = mean.astype(np.float32)
    basis = np.random.default_rng(seed).normal(size=(mean.size, 4)).astype(np.float32)
    for _ in range(PASSES):
        basis = np.linalg.qr(basis)[0]
        departures = (scans_of(rows[part]) - mean for part in chunks(len(rows)))
        basis = sum(x.T @ (x @ basis) for x in departures)  # type: ignore[assignment]
    return np.linalg.svd(basis, full_matrices=False)[0][:, 0]


def gain(
    error: np.ndarray, linear: np.ndarray, total: np.ndarray, people: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """Variance explained beyond the linear part alone, with its 95 % bootstrap interval over people (model held fixed).

    Args:
        error, linear: squared error per scan of the whole model, and of its linear part.
        total: squared distance per scan to the training people's mean.
        people: person of each scan; all scans of one are drawn together.
        seed: of the draws.
    """
    _, index = np.unique(people, return_inverse=True)
    better, baseline = np.bincount(index, linear - error), np.bincount(index, total)
    rng = np.random.default_rng(seed)
    picks = (rng.integers(len(baseline), size=len(baseline)) for _ in range(RESAMPLED))
    low, high = np.percentile([better[pick].sum() / baseline[pick].sum() for pick in picks], [2.5, 97.5])
    return float(better.sum() / baseline.sum()), float(low), float(high)


def mean_image(scans_of: Read, rows: np.ndarray) -> np.ndarray:
    """Mean (voxels,) of rows."""
    return sum(scans_of(rows[part]).sum(axis=0, dtype=np.float64) for part in chunks(len(rows))) / len(rows)  # type: ignore[return-value]


def limits(scans_of: Read, rows: np.ndarray) -> tuple[float, float]:
    """The 0.1 and 99.9 percentile of all intensities of rows, to a part in 65,536 of their range."""
    parts = chunks(len(rows))
    low = min(float(scans_of(rows[part]).min()) for part in parts)
    high = max(float(scans_of(rows[part]).max()) for part in parts)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    counts = sum(np.histogram(scans_of(rows[part]), edges)[0] for part in parts)
    below = np.cumsum(counts) / np.sum(counts)
    return float(edges[np.searchsorted(below, 0.001)]), float(edges[np.searchsorted(below, 0.999) + 1])
