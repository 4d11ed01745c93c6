"""The input of an encoder: no brain is mirrored or turned, intensities are those that MONAI's transforms give."""

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from encoders import IMAGE
from nibabel.processing import conform

from neurovae.encode import geometry, intensity
from neurovae.errors import InputError
from neurovae.preprocess import grid

GRID, AFFINE = grid.box(4)
MASK = np.ones(GRID, bool)
LEFT = (-40.0, -57.0, 25.0)  # a point in the left hemisphere, behind and above the middle, mm in MNI space
RULES: list[dict[str, Any]] = [
    {"rule": "zscore", "voxels": "brain"}, {"rule": "zscore", "voxels": "image"},
    {"rule": "minmax", "voxels": "image"}, {"rule": "percentiles", "voxels": "image"},
]  # fmt: skip


def image(**changes: Any) -> dict[str, Any]:
    return {**IMAGE, "centre_mm": [0, -17, 5], **changes}


def blob(at: tuple[float, ...]) -> np.ndarray:
    """A scan that is bright around one point."""
    world = nib.affines.apply_affine(AFFINE, np.moveaxis(np.indices(GRID), 0, -1))
    return 1 + 10 * np.exp(-np.square(world - at).sum(axis=-1) / 2 / 8**2)


def full(**given: Any) -> dict[str, Any]:
    return {"percentiles": [1, 99], "range": [0, 1], "clip": True, **given}


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS", "LIA", "SPR"])
@pytest.mark.parametrize(("shape", "size"), [((48, 48, 48), 4), ((100, 90, 60), [2.0, 2.5, 3.0])])
def test_a_side_stays_where_the_card_says(orientation: str, shape: tuple[int, ...], size: Any) -> None:
    wanted = image(orientation=orientation, shape=list(shape), voxel_mm=size)
    affine = geometry.affine_of(wanted)
    assert "".join(nib.aff2axcodes(affine)) == orientation
    assert np.allclose(nib.affines.voxel_sizes(affine), size)
    assert np.allclose(nib.affines.apply_affine(affine, (np.array(shape) - 1) / 2), wanted["centre_mm"])
    array = geometry.resampled(blob(LEFT), AFFINE, shape, affine)
    peak = np.unravel_index(array.argmax(), shape)
    assert np.abs(nib.affines.apply_affine(affine, peak) - LEFT).max() <= np.max(size) / 2 + 0.01
    for axis, letter in enumerate(orientation):  # LEFT is left of, behind and above the middle
        assert (peak[axis] > (shape[axis] - 1) / 2) == (letter in "LPS"), letter


def test_the_array_is_that_of_nibabels_own_conform() -> None:
    scan = nib.Nifti1Image(blob(LEFT).astype(np.float32), AFFINE)
    for orientation in ("RAS", "LIA"):
        other = conform(scan, out_shape=(60, 60, 60), voxel_size=(3, 3, 3), order=1, orientation=orientation)
        centre = nib.affines.apply_affine(other.affine, [29.5] * 3)
        wanted = image(orientation=orientation, shape=[60] * 3, voxel_mm=3, centre_mm=centre.tolist())
        assert np.allclose(geometry.affine_of(wanted), other.affine)
        array = geometry.resampled(blob(LEFT), AFFINE, (60, 60, 60), other.affine)
        np.testing.assert_allclose(array, other.get_fdata(dtype=np.float32), atol=1e-5)


def test_the_runs_own_grid_is_taken_as_it_is_and_comes_back() -> None:
    own = image(shape=list(GRID))
    assert np.allclose(geometry.affine_of(own), AFFINE)
    scan = np.random.default_rng(0).normal(size=GRID).astype(np.float32)
    assert np.array_equal(geometry.resampled(scan, AFFINE, GRID, geometry.affine_of(own)), scan)
    there = geometry.affine_of(image(shape=list(GRID), orientation="LPS"))
    assert np.allclose(geometry.resampled(scan, AFFINE, GRID, there)[::-1, ::-1], scan, atol=1e-5)
    back = geometry.resampled(geometry.resampled(scan, AFFINE, GRID, there), there, GRID, AFFINE)
    np.testing.assert_allclose(back, scan, atol=1e-4)


def test_the_brain_is_what_is_above_the_background_whatever_the_run_normalised_by() -> None:
    rng = np.random.default_rng(1)
    inside = np.zeros(GRID, bool)
    inside[8:32, 8:40, 8:32] = True
    mask = np.zeros(GRID, bool)
    mask[6:34, 6:42, 6:34] = True
    raw = np.where(inside, rng.uniform(100, 900, GRID), 0)
    expected = np.where(inside, (raw - raw[inside].mean()) / raw[inside].std(), 0)
    for slope, shift in ((1.0, 0.0), (1 / 300, -2.0)):
        packed = np.where(mask, raw * slope + shift, 0)
        array = geometry.prepared(packed, mask, AFFINE, image(shape=list(GRID)))
        np.testing.assert_allclose(array, expected, atol=2e-5)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['rule']} {rule['voxels']}")
def test_intensities_are_those_of_monais_transforms(rule: dict[str, Any]) -> None:
    transforms = pytest.importorskip("monai.transforms", reason="needs monai: pip install -e '.[pretrained]'")
    rng = np.random.default_rng(2)
    scan = np.where(rng.uniform(size=(12, 14, 16)) > 0.4, rng.gamma(4, 50, (12, 14, 16)), 0).astype(np.float32)
    other = {
        "zscore brain": transforms.NormalizeIntensity(nonzero=True),
        "zscore image": transforms.NormalizeIntensity(),
        "minmax image": transforms.ScaleIntensity(),
        "percentiles image": transforms.ScaleIntensityRangePercentiles(1, 99, 0, 1, clip=True),
    }[f"{rule['rule']} {rule['voxels']}"](scan[None].copy())
    np.testing.assert_allclose(intensity.scaled(scan, full(**rule)), np.asarray(other)[0], atol=2e-6)


def test_intensities_by_their_formulas() -> None:
    scan = np.zeros((3, 3, 3), np.float32)
    scan[0] = np.arange(1, 10).reshape(3, 3)
    to_one = intensity.scaled(scan, full(rule="minmax", voxels="brain", range=[-1, 1]))
    np.testing.assert_allclose(to_one[0].ravel(), np.linspace(-1, 1, 9), atol=1e-6)
    assert not to_one[1:].any()
    beyond = intensity.scaled(scan, full(rule="percentiles", voxels="brain", percentiles=[25, 75]))
    np.testing.assert_allclose(beyond[0].ravel(), [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1], atol=1e-6)
    free = intensity.scaled(scan, full(rule="percentiles", voxels="brain", percentiles=[25, 75], clip=False))
    np.testing.assert_allclose(free[0].ravel(), np.linspace(-0.5, 1.5, 9), atol=1e-6)


def test_a_scan_without_contrast_is_refused() -> None:
    with pytest.raises(InputError, match="zscore of its voxels finds no contrast; inspect the scan"):
        geometry.prepared(np.ones(GRID), MASK, AFFINE, image(shape=list(GRID)))
