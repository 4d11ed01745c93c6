"""Noise, sharpness and misalignment: what is planted is recovered; ventricles, contrast and gain hardly move them."""

import numpy as np
import pytest
from scipy import ndimage

from neurovae.cohort import simulate
from neurovae.cohort.anatomy import build, deform
from neurovae.preprocess import grid
from neurovae.preprocess.alignment import misalignment_mm
from neurovae.preprocess.image_quality import FWHM, image_quality

VOXEL_MM = np.array([3.0, 3.0, 3.0])
KNOWN = {"gain": 700.0, "contrast": 1.0, "bias": 0.1, "noise": 0.03}
POSE = {f"{part}_{axis}": float(part == "scale") for part in ("rotation", "translation", "scale") for axis in "xyz"}


@pytest.fixture(scope="module")
def heads() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Noise-free head and brain mask at 3 mm, as the template has it and with ventricles of 1.55 times the volume."""
    anatomy = build(seed=0)
    made = {}
    for name, volume in (("template", 1.0), ("ventricles", 1.55)):
        back, _ = deform(anatomy, np.zeros_like(anatomy.modes[0]), np.log([volume, 1.0, 1.0, 1.0]))
        head, brain, _ = simulate.scan(anatomy, POSE, back, site="A", voxel_mm=3.0)
        made[name] = head, brain > 0.5
    return made


def measured(head: np.ndarray, mask: np.ndarray, seed: int = 0, **known: float) -> dict[str, float]:
    data = simulate.acquire(head, KNOWN | known, np.random.default_rng(seed))
    found = image_quality(data, mask, VOXEL_MM)
    return {name: float(value) for name, value in found.items() if value is not None}


@pytest.mark.parametrize("sigma", [0.02, 0.04, 0.06])
def test_planted_noise_is_recovered_within_15_percent(heads, sigma: float) -> None:
    found = [measured(*heads["template"], seed, noise=sigma)["noise"] for seed in range(3)]
    assert np.mean(found) == pytest.approx(sigma, rel=0.15)


def test_large_ventricles_move_neither_noise_nor_sharpness(heads) -> None:
    """Against what doubled noise and a blur of 4 mm do, over the same head and the same draws of noise."""
    small, large = ([measured(*heads[name], seed) for seed in range(3)] for name in ("template", "ventricles"))
    head, mask = heads["template"]
    loud = [measured(head, mask, seed, noise=0.06) for seed in range(3)]
    blurred = ndimage.gaussian_filter(head, 4 / FWHM / VOXEL_MM)
    soft = [measured(blurred, mask, seed) for seed in range(3)]
    for name, worse in (("noise", loud), ("sharpness", soft)):
        anatomy, nuisance = (
            np.mean([a[name] - b[name] for a, b in zip(other, small, strict=True)]) for other in (large, worse)
        )
        assert abs(anatomy) < 0.15 * abs(nuisance), name


def test_gain_and_contrast_hardly_move_noise_and_sharpness(heads) -> None:
    head, mask = heads["template"]
    plain, other = measured(head, mask), measured(head, mask, gain=350.0, contrast=1.1)
    assert other["noise"] == pytest.approx(plain["noise"], rel=0.1)
    assert other["sharpness"] == pytest.approx(plain["sharpness"], rel=0.02)


def test_more_blur_is_less_sharp_and_noise_is_no_sharpness(heads) -> None:
    head, mask = heads["template"]
    widths = [0.0, 3.0, 4.0, 5.0]
    found = [measured(ndimage.gaussian_filter(head, w / FWHM / VOXEL_MM), mask)["sharpness"] for w in widths]
    assert all(a > b for a, b in zip(found, found[1:], strict=False))
    assert abs(measured(head, mask, noise=0.06)["sharpness"] - found[0]) < 0.25 * (found[0] - found[2])


def test_too_little_tissue_is_not_measured() -> None:
    mask = np.zeros((40, 40, 40), dtype=bool)
    mask[18:22, 18:22, 18:22] = True
    data = np.random.default_rng(0).normal(100, 5, mask.shape)
    assert image_quality(data, mask, VOXEL_MM) == {"noise": None, "sharpness": None}


def displaced(image: np.ndarray, degrees: float, shift_mm: float) -> np.ndarray:
    """The image turned about x and shifted along y, on the 4 mm grid."""
    turned = ndimage.rotate(image, degrees, axes=(1, 2), reshape=False, order=1)
    return ndimage.shift(turned, (0, shift_mm / 4, 0), order=1)


def test_misalignment_is_the_planted_movement_whatever_the_contrast() -> None:
    template, mask, affine = grid.template(4.0).get_fdata(), grid.brain_mask(4.0), grid.box(4.0)[1]
    scan = 500 * template**1.2
    assert misalignment_mm(scan, template, mask, affine) < 0.1
    assert misalignment_mm(displaced(scan, 0, 3), template, mask, affine) == pytest.approx(3, abs=0.5)
    points = np.argwhere(mask) * 4.0 + affine[:3, 3] - grid.CENTRE
    turn = np.sqrt((points[:, 1:] ** 2).sum(axis=1).mean()) * np.deg2rad(4)
    assert misalignment_mm(displaced(scan, 4, 0), template, mask, affine) == pytest.approx(turn, rel=0.2)
    inverted = misalignment_mm(900 - displaced(scan, 0, 3), template, mask, affine)
    assert inverted == pytest.approx(misalignment_mm(displaced(scan, 0, 3), template, mask, affine), abs=1e-6)


@pytest.mark.parametrize("gain", [1e-10, 1e-6, 1e6, 1e12])
def test_misalignment_does_not_see_the_unit_of_intensities(gain: float) -> None:
    """As in mriqc's issue 1176, low values: at a gain of 1e6 it was .30 mm for .85, at 1e10 22.9."""
    template, mask, affine = grid.template(4.0).get_fdata(), grid.brain_mask(4.0), grid.box(4.0)[1]
    scan = displaced(500 * template**1.2, 2, 3).astype(np.float32)
    expected = misalignment_mm(scan, template, mask, affine)
    assert misalignment_mm(scan * np.float32(gain), template, mask, affine) == pytest.approx(expected, abs=1e-5)


def test_large_ventricles_are_no_misalignment(heads) -> None:
    """Resampled by the known pose: the identity."""
    mask, affine = grid.brain_mask(4.0), grid.box(4.0)[1]
    points = np.moveaxis(np.indices(mask.shape), 0, -1) * 4.0 + affine[:3, 3]
    start = simulate.FIELD[:, 0]
    found = []
    for name in ("template", "ventricles"):
        head, brain = heads[name]
        voxels = np.moveaxis((points - start) / 3.0, -1, 0)
        on_grid = ndimage.map_coordinates(head * brain, voxels, order=1)
        found.append(misalignment_mm(on_grid, grid.template(4.0).get_fdata(), mask, affine))
    assert abs(found[1] - found[0]) < 0.15
