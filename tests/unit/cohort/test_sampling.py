"""Interpolation of the simulator against scipy's, bit by bit: inside the grid, on its border and beyond."""

import numpy as np
import pytest
from scipy import ndimage

from neurovae.cohort.sampling import linear


@pytest.mark.parametrize(("clamped", "mode"), [(True, "nearest"), (False, "constant")])
def test_linear_equals_scipy(clamped: bool, mode: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3, 7, 9, 8)).astype(np.float32)
    voxels = rng.uniform(-3, 11, (3, 5000)).astype(np.float32)
    voxels[:, :1000] = np.round(voxels[:, :1000])  # on grid points, the last one too
    expected = [ndimage.map_coordinates(image, voxels, order=1, mode=mode, prefilter=False) for image in images]
    np.testing.assert_array_equal(linear(images, voxels, clamped), np.stack(expected))
