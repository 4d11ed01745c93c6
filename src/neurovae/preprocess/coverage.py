"""The fraction of the brain that lies outside a scan's field of view."""

import numpy as np


def recorded(data: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """True where the scan has data, on its own voxels: everywhere, except in slabs of one value at the edges of a head.

    Where the top of a head was cut off and filled with one value, the filling is outside the field of view. A
    skull-stripped image is filled all around its brain, so there the whole array counts as recorded.
    """
    has_data = np.ones(data.shape, bool)
    stripped = brain.all() or np.ptp(data[~brain]) <= 1e-3 * np.ptp(data)
    for axis in range(3) if not stripped else ():
        other_axes = tuple(other for other in range(3) if other != axis)
        slices = np.flatnonzero(data.max(axis=other_axes) > data.min(axis=other_axes))
        has_data[(slice(None),) * axis + (slice(0, slices[0]),)] = False
        has_data[(slice(None),) * axis + (slice(slices[-1] + 1, None),)] = False
    return has_data


def outside_fraction(on_grid: np.ndarray, mask: np.ndarray) -> float:
    """Return the fraction of the fixed mask without data in the scan; `on_grid` is `recorded` on the grid."""
    return float(np.mean(on_grid[mask] < 0.5))
