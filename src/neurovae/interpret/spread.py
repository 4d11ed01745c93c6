"""The 95 % percentile interval of decoded changes, exact, from blocks of draws that are never in memory all at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neurovae.io.volumes import chunks

SHARE = 0.025  # of the draws below the interval, and above it


@dataclass(frozen=True)
class Spread:
    """Interval of each voxel (voxels,) and of each region's mean (regions,)."""

    low: np.ndarray
    high: np.ndarray
    region_low: np.ndarray
    region_high: np.ndarray


def spread(
    change: Callable[[np.ndarray], np.ndarray], draws: np.ndarray, means: Callable[[np.ndarray], np.ndarray]
) -> Spread:
    """Interval over the draws (draws, latents), as np.quantile gives it.

    change: latents (rows, latents) to decoded changes (rows, voxels); means: these to (rows, regions).
    """
    keep = int(SHARE * (len(draws) - 1)) + 2
    ends: list[np.ndarray] = []  # the lowest values and the negated highest ones, (keep, voxels)
    regions = []
    for part in chunks(len(draws)):
        values = change(draws[part])
        regions.append(means(values))
        signed = values, -values
        ends = (
            [smallest(np.concatenate(pair), keep) for pair in zip(ends, signed, strict=True)] if ends else list(signed)
        )
    low, high = np.quantile(np.concatenate(regions), [SHARE, 1 - SHARE], axis=0)
    return Spread(quantile(ends[0], len(draws)), -quantile(ends[1], len(draws)), low, high)


def smallest(values: np.ndarray, keep: int) -> np.ndarray:
    """The `keep` smallest of each column, or all where there are fewer, in no order."""
    return np.partition(values, keep - 1, axis=0)[:keep] if keep < len(values) else values


def quantile(lowest: np.ndarray, count: int) -> np.ndarray:
    """Quantile SHARE of `count` values of which the lowest are given, by linear interpolation as np.quantile does."""
    at = SHARE * (count - 1)
    ordered, k = np.sort(lowest, axis=0), int(at)
    above = ordered[min(k + 1, len(ordered) - 1)]
    return np.asarray(ordered[k] + (at - k) * (above - ordered[k]))
