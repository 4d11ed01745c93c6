"""Volumes as the report's viewer holds them: cropped to the mask's box, coarse enough for a page, quantised NIfTI-1."""

import base64
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import uniform_filter

from neurovae.io.images import read_image
from neurovae.io.volumes import read_mask
from neurovae.report.viewer.maps import Map, change

OUTSIDE = -32768  # of the centre, where there is no mask
STEPS = 16000  # of the centre, either side of 0: leaves room for changes
COARSE = 4.0  # mm; a finer grid is averaged in blocks of at most this size


@dataclass(frozen=True)
class Grid:
    """The box around the mask, in voxels of the page."""

    inside: np.ndarray  # bool, on the page's grid
    affine: np.ndarray
    mask: np.ndarray  # bool, on the grid of the files
    box: tuple[slice, ...]
    factor: int  # voxels of the files per voxel of the page, along each axis

    def shrink(self, values: np.ndarray) -> np.ndarray:
        """Volumes (frames, x, y, z) on the page's grid: cropped, and averaged over the part of a block in the mask."""
        weight = np.maximum(blocks(self.mask[self.box][None].astype(float), self.factor), 1e-9)
        found = blocks(np.where(self.mask, values, 0)[:, *self.box].astype(float), self.factor) / weight
        return np.where(self.inside, found, 0)


def read_grid(path: Path) -> Grid:
    """Box, affine and averaging for the mask in a file."""
    mask, affine = read_mask(path), np.asarray(read_image(path).affine, float)
    factor = max(1, int(COARSE / np.linalg.norm(affine[:3, 0]) + 1e-3))
    first, last = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0)
    box = tuple(slice(int(low), int(high) + 1) for low, high in zip(first, last, strict=True))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ (first + (factor - 1) / 2)
    moved[:3, :3] *= factor
    inside = blocks(mask[box][None].astype(float), factor)[0] >= 0.5
    return Grid(inside, moved, mask, box, factor)


def blocks(values: np.ndarray, factor: int) -> np.ndarray:
    """Means over blocks of (frames, x, y, z); what lies beyond the last voxel counts as 0."""
    sides = [-(-side // factor) for side in values.shape[1:]]
    pad = [(0, 0), *((0, count * factor - side) for count, side in zip(sides, values.shape[1:], strict=True))]
    split = [length for count in sides for length in (count, factor)]
    return np.pad(values, pad).reshape(len(values), *split).mean(axis=(2, 4, 6))


def underlay(volume: np.ndarray | None, grid: Grid, number: int) -> tuple[np.ndarray, dict[str, Any], str]:
    """The decoded centre on the files' grid (or the mask), what the page needs to know of it, and its text."""
    whole = grid.mask.astype(np.float32) if volume is None else volume
    small = grid.shrink(whole[None])[0]
    values = small[grid.inside]
    slope = max(float(np.abs(values).max()), 1e-6) / STEPS
    steps = np.where(grid.inside, np.round(small / slope), OUTSIDE).astype(np.int16)
    low, high = (0.0, 2.0) if volume is None else np.percentile(values, [1, 99.8])
    return whole, {"centre": number, "grey": [float(low), float(high)]}, nifti(steps, grid.affine, slope)


def encode(one: Map, middle: np.ndarray, grid: Grid) -> tuple[dict[str, Any], str]:
    """A map's entry, and its changes (frames, x, y, z) as text: 127 steps either side of 0.

    limit is the 99.5 percentile of |change| over the mask, peak (mm) where it is largest in
    the mean of 5 x 5 x 5 voxels (or it would lie on the rim) at the frame shown first.
    """
    values = grid.shrink(change(one, middle))
    largest = float(np.abs(values).max()) or 1.0
    steps = np.round(values / largest * 127).astype(np.int8)
    start = len(values) - 1 if one.kind in ("change", "volume") else 0
    smooth = uniform_filter(np.abs(values[start]), 5, mode="constant") * grid.inside
    place = np.unravel_index(int(smooth.argmax()), smooth.shape)
    peak = apply_affine(grid.affine, place)
    limit = float(np.percentile(np.abs(values[:, grid.inside]), 99.5)) or largest
    numbered = [f"{k + 1} of {len(values)}" for k in range(len(values))]
    entry = {
        "model": one.model,
        "label": one.label,
        "frames": one.frames if len(one.frames) == len(values) else numbered,
        "start": start,
        "limit": limit,
        "peak": [float(mm) for mm in peak],
        "adds": one.kind != "ratio",
        "shown": not one.label.startswith(("Path between participants", "Samples from")),
        "unit": one.unit,
    }
    return entry, nifti(np.moveaxis(steps, 0, 3), grid.affine, largest / 127)


def nifti(steps: np.ndarray, affine: np.ndarray, slope: float) -> str:
    """A gzipped NIfTI-1 image in MNI space whose values are steps times slope, in base64."""
    image = nib.Nifti1Image(steps, affine, dtype=steps.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="mni")
    image.set_qform(affine, code="mni")
    image.header.set_slope_inter(slope, 0)
    return base64.b64encode(gzip.compress(image.to_bytes(), 6, mtime=0)).decode("ascii")
