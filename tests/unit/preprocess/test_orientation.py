"""A head that lies otherwise than its header says is noticed, and a registration that stopped early is started again."""

from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from neurovae.io.files import plain_tempdir
from neurovae.preprocess import affine, batch, grid, orientation, register

TURNS = {
    "upside down": Rotation.from_euler("x", 180, degrees=True).as_matrix(),
    "back to front": Rotation.from_euler("z", 180, degrees=True).as_matrix(),
    "on its side": Rotation.from_euler("y", 90, degrees=True).as_matrix(),
    "axes exchanged": np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]),
    "z mirrored": np.diag([1.0, 1, -1]),
    "y mirrored": np.diag([1.0, -1, 1]),
}


def brain(linear: np.ndarray, *, contrast: str = "T1w") -> register.Scan:
    """The template's brain with its voxels moved by a linear map about the origin, on straight axes again."""
    template = grid.template(4)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    data, mask = template.get_fdata(dtype=np.float32), grid.brain_mask(4)
    noise = np.random.default_rng(0).normal(0, 0.03, data.shape)
    shown = {"T1w": data, "T2w": np.where(mask, 1.1 - data, 0)}[contrast] + np.where(mask, noise, 0)
    image, inside = (
        nib.as_closest_canonical(nib.Nifti1Image(part.astype(np.float32), matrix @ template.affine))
        for part in (shown, mask)
    )
    straight, shear = affine.straighten(image.affine, image.shape)
    image.header.set_xyzt_units("mm", "sec")
    scan = ants.from_nibabel_nifti(nib.Nifti1Image(image.get_fdata(dtype=np.float32), straight, image.header))
    masks = scan.new_image_like(inside.get_fdata(dtype=np.float32))
    return register.Scan(scan, masks, masks, straight, shear)


def registered(scan: register.Scan, folder: Path, transform: register.Transform = "affine") -> tuple[np.ndarray, float]:
    plain_tempdir()
    ants.config.set_ants_deterministic(True, seed_value=1)
    transforms, lead = register._register(scan, transform, 4, folder, batch.Clock())
    return affine.read_itk(Path(transforms[-1])) if transforms else np.eye(4), lead


@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
@pytest.mark.parametrize("pose", [(0, 0, 0), (15, -5, 8), (-20, 10, 0)])
def test_a_head_in_any_usual_pose_leads_clearly(tmp_path: Path, pose: tuple[float, ...], contrast: str) -> None:
    turn = 0.95 * Rotation.from_euler("xyz", pose, degrees=True).as_matrix()
    found, lead = registered(brain(turn, contrast=contrast), tmp_path)
    assert np.allclose(found[:3, :3], turn, atol=0.02)
    assert lead > 0.3


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("transform", ["affine", "none"])
def test_a_head_that_lies_otherwise_than_its_header_says_does_not_lead(
    tmp_path: Path, name: str, transform: register.Transform
) -> None:
    found, lead = registered(brain(TURNS[name]), tmp_path, transform)
    assert lead < 0
    if transform == "affine" and np.linalg.det(TURNS[name]) > 0:  # registered from the turned start
        assert np.allclose(found[:3, :3], TURNS[name], atol=0.02)


def test_a_registration_in_the_right_place_is_ants_own(tmp_path: Path) -> None:
    scan = brain(Rotation.from_euler("x", 8, degrees=True).as_matrix())
    found, _ = registered(scan, tmp_path)
    transforms = register._ants(scan.brain, "affine", 4, tmp_path / "alone")
    assert np.array_equal(found, affine.read_itk(Path(transforms[-1])))


def test_a_registration_that_stopped_early_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = brain(Rotation.from_euler("x", 20, degrees=True).as_matrix())
    ours, real = [], register._ants

    def stopped(image: object, transform: str, mm: float, prefix: Path, start: Path | None = None) -> list[str]:
        ours.append(start)
        if start is None:  # as if ANTs had not moved from the centres of mass
            affine.write_itk(np.eye(4), Path(f"{prefix}.mat"))
            return [f"{prefix}.mat"]
        return real(image, transform, mm, prefix, start)

    monkeypatch.setattr(register, "_ants", stopped)
    found, lead = registered(scan, tmp_path)
    assert len(ours) > 1
    assert np.allclose(found[:3, :3], Rotation.from_euler("x", 20, degrees=True).as_matrix(), atol=0.02)
    assert lead > 0.3


def test_a_brain_in_mni_space_leads_as_it_is(tmp_path: Path) -> None:
    assert registered(brain(np.eye(3)), tmp_path, "none")[1] > 0.3


def test_noise_in_the_shape_of_a_brain_is_not_decided(tmp_path: Path) -> None:
    scan = brain(np.eye(3))
    noise = np.random.default_rng(0).random(scan.brain.shape).astype(np.float32)
    bare = scan._replace(brain=scan.brain.new_image_like(noise))
    assert registered(bare, tmp_path)[1] < 0.1


def test_a_sheared_header_is_undone(tmp_path: Path) -> None:
    """The header's shear is taken out for ITK and put back: template to scan in the header's own millimetres."""
    shear = np.eye(3)
    shear[0, 1] = np.tan(np.radians(4))
    scan = brain(shear)
    assert not np.array_equal(scan.shear, np.eye(4))
    found, _ = registered(scan, tmp_path)
    assert np.allclose((scan.shear @ found)[:3, :3], shear, atol=0.02)
    (tmp_path / "none").mkdir()
    back, lead = registered(scan, tmp_path / "none", "none")
    assert np.allclose(scan.shear @ back, np.eye(4), atol=1e-6) and lead > 0.3


def test_the_agreement_is_that_of_a_quadratic() -> None:
    template = orientation._template()
    rough = orientation.coarse(
        (grid.template(4).get_fdata() ** 2).astype(np.float32),
        grid.brain_mask(4).astype(np.float32),
        grid.template(4).affine,
    )
    values = np.random.default_rng(0).normal(size=len(template.points))
    slow = np.column_stack([np.ones(len(values)), template.basis]) @ [2.0, 3.0, -1.0]
    centred = slow - slow.mean()
    assert np.square(template.basis.T @ centred).sum() / (centred @ centred) == pytest.approx(1)
    assert orientation.agreement(rough, np.eye(4)) > 0.9
    assert rough.size == pytest.approx(1, abs=0.02)
