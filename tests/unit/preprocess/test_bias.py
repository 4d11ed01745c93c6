"""N4 beside negative voxels, outliers, flat fields and images that are no magnitude."""

import ants
import nibabel as nib
import numpy as np
import pytest

from neurovae.errors import InputError
from neurovae.preprocess import bias, grid

MASK = grid.brain_mask(4)


def biased(strength: float = 0.3) -> np.ndarray:
    """The template at 4 mm, intensities to 1000, with a planted field and noise, as a magnitude."""
    template = grid.template(4).get_fdata()
    noise = np.random.default_rng(0).normal(0, 15, template.shape)
    return np.clip(np.where(MASK, 1000 * template * planted(strength) + noise, 0), 1, None).astype(np.float32)


def planted(strength: float = 0.3) -> np.ndarray:
    x, y, z = (np.linspace(-1, 1, n).reshape(np.roll((n, 1, 1), axis)) for axis, n in enumerate(MASK.shape))
    return np.exp(strength * (x + 0.5 * np.sin(3 * y) + 0.3 * z**2))


def corrected(data: np.ndarray) -> tuple[np.ndarray, float]:
    ants.config.set_ants_deterministic(True, seed_value=1)
    image = nib.Nifti1Image(data, grid.template(4).affine)
    image.header.set_xyzt_units("mm", "sec")
    scan = ants.from_nibabel_nifti(image)
    found, spread = bias.correct(scan, scan.new_image_like(MASK.astype(np.float32)), "a.nii.gz")
    return found.numpy(), spread


def spoiled(share: float, value: float, data: np.ndarray | None = None) -> np.ndarray:
    """The same with a share of brain voxels at one value."""
    data = biased() if data is None else data
    places = np.random.default_rng(1).choice(np.flatnonzero(MASK), int(share * MASK.sum()), replace=False)
    data.ravel()[places] = value
    return data


@pytest.mark.parametrize(("share", "value"), [(0.001, -50), (0.05, -50), (0.01, -1e6), (0.01, 0), (0.001, 1e12)])
def test_the_field_is_found_beside_voxels_that_have_no_logarithm(share: float, value: float) -> None:
    clean, spread = corrected(biased())
    data = spoiled(share, value)
    found, beside = corrected(data)
    whole = MASK & (data == biased())
    field, undisturbed = (np.log(biased()[whole] / image[whole]) for image in (found, clean))
    assert np.corrcoef(undisturbed, np.log(planted())[whole])[0, 1] > 0.85
    assert np.corrcoef(field, undisturbed)[0, 1] > 0.98
    assert beside == pytest.approx(spread, rel=0.1)
    assert bias.negative_fraction(data, MASK) == pytest.approx(share if value < 0 else 0, abs=1e-4)


def test_n4_alone_is_flattened_by_negative_voxels() -> None:
    """What is guarded against; if ANTs mends it, this test fails and the guard may go."""
    ants.config.set_ants_deterministic(True, seed_value=1)
    scan = ants.from_numpy(spoiled(0.05, -50), spacing=(4, 4, 4))
    found = ants.n4_bias_field_correction(scan, mask=scan.new_image_like(MASK.astype(np.float32))).numpy()
    assert bias.field_spread(scan.numpy(), found, MASK) < 0.01


def test_a_flat_field_on_an_image_with_bias_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ants, "n4_bias_field_correction", lambda image, mask: image.clone())
    with pytest.raises(InputError, match="N4 found no bias field .* although intensities drift"):
        corrected(biased())


def test_a_flat_field_on_an_even_image_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ants, "n4_bias_field_correction", lambda image, mask: image.clone())
    assert corrected(np.where(MASK, 500, 0).astype(np.float32))[1] == 0


def test_an_image_that_is_half_negative_is_no_magnitude() -> None:
    with pytest.raises(InputError, match="50% of brain voxels are below zero.*give the magnitude"):
        corrected(spoiled(0.5, -100))
