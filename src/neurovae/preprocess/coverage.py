"""The fraction of the brain that lies outside a scan's field of view, or was erased from it."""

import numpy as np
from scipy.ndimage import binary_dilation

SPILLED = (
    0.25  # of the number of voxels of a brain: fewer others differ from the background if a head is skull-stripped
)
BLOCK_MM = 6.0  # blocks of voxels of one value; no tissue has them, and bone and sinuses are thinner or elsewhere


def recorded(data: np.ndarray, brain: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """True where the scan has data, on its own voxels: everywhere, except where a head is filled with one value.

    Where the top of a head was cut off and filled, or where slices were lost, whole slices have one value. Where a
    defacing tool reached into the brain, or an oblique scan was resampled, blocks of voxels have the value of the
    background. A skull-stripped image or tissue map is filled all around its brain, so there the whole array counts as
    recorded, also where a few voxels lie beyond its mask.

    Args:
        data: intensities (x, y, z), as scanned.
        brain: its brain (bool), same shape.
        voxel_mm: voxel size along each axis.
    """
    has_data = np.ones(data.shape, bool)
    around = data[~brain]
    if brain.all() or _unlike(around, 1e-3 * np.ptp(data)) <= SPILLED * brain.sum():
        return has_data
    for axis in range(3):
        other_axes = tuple(other for other in range(3) if other != axis)
        empty = data.max(axis=other_axes) == data.min(axis=other_axes)
        has_data[(slice(None),) * axis + (empty,)] = False
    return has_data & ~_filled(data, voxel_mm)


def _unlike(around: np.ndarray, tolerance: float) -> int:
    """Number of voxels that differ from the median by more than that."""
    return int((np.abs(around - np.median(around)) > tolerance).sum())


def _filled(data: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """True in blocks of voxels of the background's value, and in voxels of this value in the blocks beside them.

    The background's value is the one that most blocks of a single value have.
    """
    step = np.maximum(2, np.round(BLOCK_MM / np.asarray(voxel_mm))).astype(int)
    n_blocks = np.array(data.shape) // step
    whole = tuple(slice(0, n) for n in n_blocks * step)
    parts = data[whole].reshape(n_blocks[0], step[0], n_blocks[1], step[1], n_blocks[2], step[2])
    low, high = parts.min(axis=(1, 3, 5)), parts.max(axis=(1, 3, 5))
    values, counts = np.unique(low[low == high], return_counts=True)
    filled = np.zeros(data.shape, bool)
    if len(values):
        background = values[np.argmax(counts)]
        near = binary_dilation((low == background) & (high == background), np.ones((3, 3, 3)))
        near_voxels = near.repeat(step[0], 0).repeat(step[1], 1).repeat(step[2], 2)
        filled[whole] = near_voxels & (data[whole] == background)
    return filled


def outside_fraction(on_grid: np.ndarray, mask: np.ndarray) -> float:
    """Return the fraction of the fixed mask without data in the scan; `on_grid` is `recorded` on the grid."""
    return float(np.mean(on_grid[mask] < 0.5))
