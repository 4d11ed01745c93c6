"""Trilinear interpolation of several images at once: as scipy's `map_coordinates`, bit by bit, but faster."""

import numpy as np
from numba import njit


@njit(cache=True)
def linear(images: np.ndarray, voxels: np.ndarray, clamped: bool) -> np.ndarray:
    """Images at places, float32 (images, places).

    images: (images, x, y, z) float32; voxels: (3, places) float32, indices. Outside the grid: the border's value if
    `clamped`, else 0. Products and sums follow scipy's order (ndimage, `NI_GeometricTransform` of order 1).
    """
    count, shape, places = images.shape[0], images.shape[1:], voxels.shape[1]
    values = np.zeros((count, places), np.float32)
    low, high, part = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3, np.float64)
    for place in range(places):
        outside = False
        for axis in range(3):
            given, end = np.float64(voxels[axis, place]), np.float64(shape[axis] - 1)
            index = min(max(given, 0.0), end)
            outside = outside or index != given
            low[axis] = np.int64(np.floor(index))
            high[axis] = min(low[axis] + 1, shape[axis] - 1)
            part[axis] = index - np.floor(index)
        if outside and not clamped:
            continue
        for k in range(count):
            total = 0.0
            for x, weight_x in ((low[0], 1.0 - part[0]), (high[0], part[0])):
                for y, weight_y in ((low[1], 1.0 - part[1]), (high[1], part[1])):
                    for z, weight_z in ((low[2], 1.0 - part[2]), (high[2], part[2])):
                        total += ((np.float64(images[k, x, y, z]) * weight_x) * weight_y) * weight_z
            values[k, place] = total
    return values
