"""Smooth windows on the grid: the taper that localises a covariance, and what mosaics are put together with.

A covariance of few people is noise at long range. Localisation multiplies it, voxel pair by voxel pair, with a taper
that falls to zero with distance (Houtekamer and Mitchell 2001; Gaspari and Cohn 1999). Windows w_r with
sum_r w_r(u) w_r(v) = taper(u, v) and sum_r w_r(v)^2 = 1 give its products without a matrix of voxel pairs.

A window is a product of one cubic spline per axis, on a lattice. Their taper is that of Gaspari and Cohn (equation
4.10, zero from `taper_mm` on) to .08 at most, and to .02 in root mean square over pairs closer than taper_mm, at 2 and
4 mm and lengths of 40 to 120 mm. It is positive definite, and 1 at distance 0.
Windows are cut where they are nearly zero, which changes the taper by at most .015.
"""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BOX = (160.0, 192.0, 160.0)  # mm that the grid spans (preprocess.grid)
SPREAD = np.sqrt(3 / 10) / 2  # standard deviation of the Gaussian nearest to Gaspari and Cohn's taper, over its length
LATTICE = np.sqrt(3 / 2)  # distance of splines over that of the taper that they induce, whose variance is 8/12 of it
NOTHING = 0.005  # of a window, below which it is cut
Axes = list[np.ndarray]


class Window(NamedTuple):
    """The voxels of the mask where a window is not zero (n,), and its values there."""

    voxels: Tensor
    values: Tensor


@lru_cache
def axes(shape: tuple[int, ...], taper_mm: float) -> Axes:
    """Per axis of the grid the splines (side, splines), of which each voxel's have unit length."""
    step = LATTICE * SPREAD * taper_mm
    found = []
    for side, length in zip(shape, BOX, strict=True):
        middle = (np.arange(side) + 0.5) * length / side - length / 2
        reach = int(length / 2 / step) + 2
        values = spline(middle[:, None] / step - np.arange(-reach, reach + 1))
        values = values[:, (values > 0).any(axis=0)]
        found.append(values / np.linalg.norm(values, axis=1, keepdims=True))
    return found


def spline(at: np.ndarray) -> np.ndarray:
    """The cubic spline, zero beyond 2."""
    far = np.abs(at).clip(max=2)
    return np.where(far < 1, 2 / 3 - far**2 + far**3 / 2, (2 - far) ** 3 / 6)


def taper(splines: Axes, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The taper (n, m) of voxels at indices (n, 3) and (m, 3)."""
    found = np.ones((len(one), len(other)))
    for axis, values in enumerate(splines):
        found *= values[one[:, axis]] @ values[other[:, axis]].T
    return found


def windows(splines: Axes, mask: np.ndarray) -> list[Window]:
    """All windows in a fixed order; those without a voxel of the mask are there too."""
    number = np.full(mask.shape, -1, np.int32)
    number[mask] = np.arange(np.count_nonzero(mask))
    found, squares = [], np.zeros(np.count_nonzero(mask))
    for chosen in product(*(values.T for values in splines)):
        sides = tuple(slice(np.flatnonzero(one)[0], np.flatnonzero(one)[-1] + 1) for one in chosen)
        x, y, z = (one[side] for one, side in zip(chosen, sides, strict=True))
        values = x[:, None, None] * y[:, None] * z
        inside = (number[sides] >= 0) & (values >= NOTHING)
        found.append((number[sides][inside], values[inside]))
        squares[found[-1][0]] += np.square(found[-1][1])
    scale = 1 / np.sqrt(squares)
    return [
        Window(torch.from_numpy(voxels), torch.from_numpy((values * scale[voxels]).astype(np.float32)))
        for voxels, values in found
    ]
