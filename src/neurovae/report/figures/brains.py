"""Brain slices: three planes through a point side by side, a coloured overlay, and where the planes lie.

The left hemisphere is on the left (neurological convention); up is superior, or anterior in the axial slice. Arrays on
the mask's grid are drawn as they are: figures have up to 60 panels, and nilearn.plotting needs 2 s for a single one.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from nibabel.affines import apply_affine

from neurovae.io.volumes import chunks, evenly

CENTRE = (0.46, 0.52, 0.52)  # of the sides of the volume: through the ventricles
OVERLAY = "RdBu_r"  # diverging, safe for colour-blind readers (ColorBrewer)
FAINT, SOLID = 0.15, 0.5  # fractions of the limit below which an overlay is transparent, above which it is opaque
SCANS = 100  # at most, of a mean image
Place = tuple[int, ...]


def mean_image(volumes: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Mean (x, y, z) of packed volumes (scans, x, y, z) inside the mask, 0 outside: the background of a figure."""
    chosen = evenly(len(volumes), SCANS)
    total = sum(volumes[chosen[part]].sum(axis=0, dtype=np.float64) for part in chunks(len(chosen)))
    return np.where(brain, total / len(chosen), 0)


def slices(volume: np.ndarray, place: Place | None = None, outside: float = 0.0) -> np.ndarray:
    """Axial, coronal and sagittal slice through a voxel, side by side, shorter ones padded with `outside`."""
    x, y, z = place or (int(round(part * side)) for part, side in zip(CENTRE, volume.shape, strict=True))
    planes = [volume[:, :, z].T[::-1], volume[:, y, :].T[::-1], volume[x, :, :].T[::-1]]
    height = max(len(plane) for plane in planes)
    padded = []
    for plane in planes:
        missing = height - len(plane)
        padded.append(np.pad(plane, ((missing // 2, missing - missing // 2), (0, 0)), constant_values=outside))
    return np.concatenate(padded, axis=1)


def busiest(change: np.ndarray, brain: np.ndarray) -> Place:
    """Per axis the slice with the largest sum of squares of a change, among those that show half a brain or more."""
    squares, found = np.square(change, dtype=np.float64), []
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        area = brain.sum(axis=others)
        found.append(int(np.where(area >= area.max() / 2, squares.sum(axis=others), -1).argmax()))
    return tuple(found)


def voxel(affine: np.ndarray, mm: list[float]) -> Place:
    """The voxel at a place in mm."""
    return tuple(int(k) for k in np.rint(apply_affine(np.linalg.inv(affine), mm)))


def grey(
    axis: Axes,
    volume: np.ndarray,
    brain: np.ndarray,
    place: Place | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """A volume in grey; limits: its darkest and brightest value (default: percentiles inside the brain)."""
    low, high = np.percentile(volume[brain], [1, 99.5]) if limits is None else limits
    image = slices(np.where(brain, volume, low), place, float(low))
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axis.set(xticks=[], yticks=[], frame_on=False)


def overlay(
    axis: Axes, volume: np.ndarray, change: np.ndarray, brain: np.ndarray, place: Place, limit: float
) -> ScalarMappable:
    """A grey volume with a change in colour, the more opaque the larger; returns what a colour bar needs."""
    grey(axis, volume, brain, place)
    values = slices(np.where(brain, change, 0), place)
    alpha = np.clip((np.abs(values) / limit - FAINT) / (SOLID - FAINT), 0, 1)
    image = axis.imshow(values, cmap=OVERLAY, vmin=-limit, vmax=limit, alpha=alpha, interpolation="nearest")
    return ScalarMappable(norm=image.norm, cmap=image.cmap)  # a colour bar without the alpha


def outline(axis: Axes, inside: np.ndarray, place: Place | None = None, colour: str = "black") -> None:
    """A line around the voxels that are inside, if any."""
    flat = slices(inside.astype(float), place)
    if flat.any() and not flat.all():
        axis.contour(flat, levels=[0.5], colors=[colour], linewidths=0.7)


def located(axis: Axes, shape: Place, place: Place, affine: np.ndarray, size: float = 6) -> None:
    """Left and right of the axial and coronal slice, and below each plane its coordinate in mm."""
    wide, deep = shape[0], shape[1]
    mm = apply_affine(affine, place)
    style: dict[str, Any] = {"fontsize": size, "va": "top", "transform": axis.get_xaxis_transform()}
    for start in (0, wide):
        axis.text(start + 1, 0.98, "L", color="white", ha="left", **style)
        axis.text(start + wide - 2, 0.98, "R", color="white", ha="right", **style)
    planes = ((wide / 2, "z", mm[2]), (1.5 * wide, "y", mm[1]), (2 * wide + deep / 2, "x", mm[0]))
    for middle, name, value in planes:
        axis.text(middle, -0.02, f"{name} = {value:.0f} mm", ha="center", **style)
