"""The grid of a map of latents: which of its points exist, what they are called, where they lie, what they draw.

A point stands in the middle of a cell, a cube of the volume. It exists where its cell holds a voxel of the mask: there
are no latents outside the brain.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.train.engine.windows import BOX

STEM = 4  # voxels that the network's first layer merges along each axis; every further level merges two of these
SIDED = 2 / 3  # of a region's voxels in a cell, from which on it is called left or right
Sides = tuple[int, int, int]


class Grid(NamedTuple):
    """Side of a cell in voxels, and which points exist, bool (i, j, k)."""

    side: int
    exists: np.ndarray

    @property
    def levels(self) -> int:
        """Number of halvings between the first layer's grid and this one."""
        return (self.side // STEM).bit_length() - 1


def grid(mask: np.ndarray, map_mm: float) -> Grid:
    """The grid whose points are nearest to map_mm apart, of those that divide the volume; mask: bool (x, y, z)."""
    wanted = round(float(np.log2(map_mm * mask.shape[0] / BOX[0] / STEM)))
    side = STEM * 2 ** max(0, wanted)
    while side > STEM and any(length % side for length in mask.shape):
        side //= 2
    return of_side(mask, side)


def of_side(mask: np.ndarray, side: int) -> Grid:
    """The grid whose cells have so many voxels along each axis.

    Raises:
        ValueError: they do not divide the volume.
    """
    if any(length % side for length in mask.shape):
        raise ValueError(f"the grid {mask.shape} does not divide by {side}")
    x, y, z = (length // side for length in mask.shape)
    cells = mask.reshape(x, side, y, side, z, side).any(axis=(1, 3, 5))
    return Grid(side, np.asarray(cells))


def size(exists: np.ndarray, channels: int, n_global: int) -> int:
    """Number of latents."""
    return channels * int(exists.sum()) + n_global


def ids(exists: np.ndarray, channels: int, n_global: int) -> list[str]:
    """Ids of the latents in their order: channel by channel the points (c0_i02_j03_k04), then global ones."""
    of_map = [f"c{c}_i{i:02d}_j{j:02d}_k{k:02d}" for c in range(channels) for i, j, k in np.argwhere(exists)]
    return of_map + [f"global_{k:02d}" for k in range(n_global)]


def reach(levels: int) -> int:
    """Voxels, from the middle of a cell along an axis, that its latent draws: the decoder's layers in turn."""
    last = 0  # point on the grid of each layer that the latent at point 0 reaches
    for _ in range(levels):
        last = 2 * last + 2 + 1  # a transposed convolution (kernel 4, stride 2), a block (kernel 3)
    last += 1 if levels else 2  # the last convolution; without levels the one block too
    return STEM * (last + 1) - STEM * 2**levels // 2


def places(mask: np.ndarray, affine: np.ndarray, described: dict[str, int]) -> pd.DataFrame:
    """Role, channel, point, place and radius of each latent, as the columns of the latent index.

    radius_mm is half the side of the cube, about the point, outside which the latent changes no voxel.

    Args:
        mask: the fixed mask (x, y, z).
        affine: of the mask, voxel to mm.
        described: side, channels and n_global, from the weights.
    """
    found = of_side(mask, described["side"])
    points = np.argwhere(found.exists)
    mm = (points * found.side + (found.side - 1) / 2) @ affine[:3, :3].T + affine[:3, 3]
    radius = reach(found.levels) * float(np.abs(affine[0, 0]))
    rows: list[dict[str, Any]] = [
        {"role": "map", "channel": channel, **dict(zip("ijk", map(int, point), strict=True)),
         **dict(zip(("x_mm", "y_mm", "z_mm"), map(float, at), strict=True)), "radius_mm": radius}
        for channel in range(described["channels"])
        for point, at in zip(points, mm, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows + [{"role": "global"}] * described["n_global"])


def regions(
    mask: np.ndarray, labels: np.ndarray, names: dict[int, tuple[str, str]], described: dict[str, int]
) -> list[str | None]:
    """Region that holds most of the labelled voxels of each latent's cell; None without any, and for global latents.

    Args:
        mask: the fixed mask (x, y, z).
        labels: index of each voxel's region (x, y, z), 0 for none.
        names: name and hemisphere by index.
        described: side, channels and n_global, from the weights.
    """
    found = of_side(mask, described["side"])
    of_points: list[str | None] = []
    for point in np.argwhere(found.exists):
        cell = tuple(slice(found.side * at, found.side * (at + 1)) for at in point)
        inside = labels[cell][mask[cell]]
        of_points.append(_region(np.bincount(inside[inside > 0]), names))
    return of_points * described["channels"] + [None] * described["n_global"]


def _region(counts: np.ndarray, names: dict[int, tuple[str, str]]) -> str | None:
    """The name with most voxels (counts by index), with its side where most of them, two thirds, lie on it."""
    voxels: dict[str, dict[str, int]] = {}
    for index in np.flatnonzero(counts):
        name, side = names[int(index)]
        voxels.setdefault(name, {})[side] = int(counts[index])
    if not voxels:
        return None
    name = max(voxels, key=lambda one: sum(voxels[one].values()))
    side = max(voxels[name], key=voxels[name].__getitem__)
    one_sided = side in ("left", "right") and voxels[name][side] >= SIDED * sum(voxels[name].values())
    return f"{side} {name}" if one_sided else name
