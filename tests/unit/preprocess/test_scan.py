"""One scan: which side is left, shear, parts of complex images, the mask on the scan's own voxels, thick slices."""

import json
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import voxel_sizes
from nilearn.masking import apply_mask
from scipy import ndimage
from scipy.spatial.transform import Rotation

from neurovae.errors import InputError
from neurovae.io.files import plain_tempdir
from neurovae.preprocess import affine, coverage, extract, grid, register
from neurovae.preprocess.geometry import shear_degrees
from neurovae.preprocess.names import derivative, in_space
from neurovae.preprocess.scan import as_stored, canonical, read_canonical, read_scan

DATA = np.random.default_rng(0).random((40, 44, 36), dtype=np.float32)


def world(*, size: tuple[float, ...] = (4, 4, 4), turn: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * size
    matrix[:3, 3] = (-70, -90, -60)
    return matrix


def saved(path: Path, sform: np.ndarray, *, data: np.ndarray = DATA, qform: np.ndarray | None = None) -> Path:
    image = nib.Nifti1Image(data, sform)
    image.set_sform(sform, 1)
    if qform is not None:
        image.set_qform(qform, 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    "other",
    [
        np.diag([-1.0, 1, 1, 1]),
        np.diag([-1.0, -1, 1, 1]),
        np.diag([-1.0, -1, -1, 1]),
        np.diag([1.0, 1, -1, 1]),
        np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
    ids=["mirrored", "back to front", "all three", "upside down and mirrored", "another axis"],
)
def test_sform_and_qform_that_disagree_about_sides_are_refused(tmp_path: Path, other: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"sform \(RAS\) and qform \(....?\) disagree about left and right.*fslorient"):
        read_canonical(saved(tmp_path / "a.nii.gz", world(), qform=other @ world()))


@pytest.mark.parametrize("other", [world(turn=(30, 0, 0)), world(turn=(0, 10, 44)), None])
def test_sform_and_qform_of_one_side_are_taken(tmp_path: Path, other: np.ndarray | None) -> None:
    found = read_canonical(saved(tmp_path / "a.nii.gz", world(), qform=other))
    assert np.allclose(found.affine, world())


@pytest.mark.parametrize("excess", [1e-7, 1e-6, 5e-6])
def test_a_rounded_quaternion_is_taken(tmp_path: Path, excess: float) -> None:
    """As of ds000168 and the MICCAI 2012 scans (nibabel issue 626): the quaternion is a little longer than 1."""
    image = nib.Nifti1Image(DATA, None)
    image.set_qform(world(turn=(180, 0, 0)), 1)
    image.header["sform_code"] = 0
    image.header["quatern_b"], image.header["quatern_c"], image.header["quatern_d"] = np.sqrt(1 + excess), 0, 0
    nib.save(image, tmp_path / "a.nii")
    assert np.allclose(np.abs(np.diag(read_canonical(tmp_path / "a.nii").affine)[:3]), 4)


@pytest.mark.parametrize("qform", [True, False], ids=["with a qform", "pixdim alone"])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 1, 1), r"voxels of 1 x 1 x 1 mm by the sform"),
        ((4.4, 4.6, 4.8), r"voxels of 4.4 x 4.6 x 4.8 mm by the sform"),
        ((4.1, 4.1, 4.1), r"voxels of 4.1 x 4.1 x 4.1 mm by the sform"),
        ((4.002, 3.99, 4.06), None),
    ],
    ids=["never filled in", "scaled to a template", "by 2.5 %", "rounded"],
)
def test_an_sform_of_other_voxel_sizes_is_refused(
    tmp_path: Path, size: tuple[float, ...], message: str | None, qform: bool
) -> None:
    """As in FastSurfer's issue 36: a brain read by such an sform has another volume (702 ml for 1,542)."""
    image = nib.Nifti1Image(DATA, world())
    image.header.set_qform(world(), int(qform))
    image.header.set_sform(world(size=size), 4)
    nib.save(nib.Nifti1Image(DATA, None, image.header), tmp_path / "a.nii")
    if message is None:
        assert np.allclose(voxel_sizes(read_scan(tmp_path / "a.nii").affine), size, rtol=1e-6)
    else:
        with pytest.raises(InputError, match=rf"{message} \(code 4\), but of 4 x 4 x 4 mm by pixdim.*fslorient"):
            read_scan(tmp_path / "a.nii")


def test_a_pixdim_that_nobody_filled_in_does_not_matter(tmp_path: Path) -> None:
    image = nib.Nifti1Image(DATA, None)
    image.header.set_sform(world(), 1)  # pixdim stays 1, qform_code 0
    nib.save(nib.Nifti1Image(DATA, None, image.header), tmp_path / "a.nii")
    assert np.allclose(read_scan(tmp_path / "a.nii").affine, world())


def test_values_that_overflowed_are_refused(tmp_path: Path) -> None:
    bright = (DATA * 40000).astype(np.uint16)
    with pytest.raises(InputError, match="overflowed to negative values"):
        read_scan(saved(tmp_path / "a.nii.gz", world(), data=bright.view(np.int16)))
    assert read_scan(saved(tmp_path / "b.nii.gz", world(), data=bright)).get_fdata().max() == bright.max()
    scaled = nib.Nifti1Image(DATA - 0.5, world())
    scaled.set_data_dtype(np.int16)  # as SPM stores maps: the full range of 16 bits, with a slope
    nib.save(scaled, tmp_path / "c.nii.gz")
    assert np.allclose(read_scan(tmp_path / "c.nii.gz").get_fdata(), DATA - 0.5, atol=1e-4)


def test_an_mgh_scan_is_read_and_one_without_orientation_refused(tmp_path: Path) -> None:
    lia = nib.MGHImage(DATA, np.array([[-4.0, 0, 0, 70], [0, 0, 4, -60], [0, -4, 0, 80], [0, 0, 0, 1]]))
    nib.save(lia, tmp_path / "norm.mgz")
    found = read_canonical(tmp_path / "norm.mgz")
    wanted = nib.as_closest_canonical(nib.Nifti1Image(DATA, lia.affine))
    assert np.array_equal(found.get_fdata(), wanted.get_fdata()) and np.allclose(found.affine, wanted.affine)
    lia.header["goodRASFlag"] = 0
    nib.save(lia, tmp_path / "none.mgz")
    with pytest.raises(InputError, match="orientation is not set"):
        read_canonical(tmp_path / "none.mgz")


@pytest.mark.parametrize("part", ["phase", "real", "imag"])
def test_a_part_of_a_complex_image_is_refused_by_its_name(tmp_path: Path, part: str) -> None:
    with pytest.raises(InputError, match=f"part-{part}.*give the magnitude"):
        read_scan(saved(tmp_path / f"sub-1_part-{part}_T1w.nii.gz", world()))
    read_scan(saved(tmp_path / "sub-1_part-mag_T1w.nii.gz", world()))


@pytest.mark.parametrize("ending", ["ph", "real", "imaginary", "phase"])
def test_a_part_as_dcm2niix_names_it_is_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match=f"its name says {ending}"):
        read_scan(saved(tmp_path / f"t1_mprage_{ending}.nii.gz", world()))
    read_scan(saved(tmp_path / f"t1_{ending}_corrected.nii.gz", world()))


@pytest.mark.parametrize(
    ("sidecar", "kind"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "IMAGINARY"]}, "imaginary"),
        ({"ComplexImageComponent": "REAL"}, "real"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\P\\ND"}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"], "ImageTypeText": ["ORIGINAL", "PRIMARY", "PHASE"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]}, None),
        ({"ImageType": ["DERIVED", "PRIMARY", "OTHER"], "ComplexImageComponent": "MAGNITUDE"}, None),
        ({"RepetitionTime": 2.3}, None),
        (["no object"], None),
    ],
)
def test_a_part_of_a_complex_image_is_refused_by_its_sidecar(tmp_path: Path, sidecar: object, kind: str | None) -> None:
    path = saved(tmp_path / "sub-1_T1w.nii.gz", world())
    (tmp_path / "sub-1_T1w.json").write_text(json.dumps(sidecar))
    if kind is None:
        assert read_scan(path).shape == DATA.shape
    else:
        with pytest.raises(InputError, match=rf"ImageType in sub-1_T1w.json says {kind}"):
            read_scan(path)


def sheared(angle: float) -> np.ndarray:
    matrix = np.diag([4.0, 4, 4, 1])
    matrix[:2, 1] = 4 * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    return matrix


@pytest.mark.parametrize("angle", [0.01, 0.3, 1.0, 3.0, 4.9])
def test_a_small_shear_is_taken_and_known(tmp_path: Path, angle: float) -> None:
    found = read_canonical(saved(tmp_path / "a.nii.gz", sheared(angle)))
    assert shear_degrees(found.affine) == pytest.approx(angle, abs=0.001)
    straight, shear = affine.straighten(found.affine, found.shape)
    assert np.allclose(shear @ straight, found.affine)
    assert np.allclose(nib.affines.voxel_sizes(straight), 4)
    image = nib.Nifti1Image(found.get_fdata(dtype=np.float32), straight)
    image.header.set_xyzt_units("mm", "sec")
    assert np.allclose(np.linalg.det(ants.from_nibabel_nifti(image).direction), 1)


@pytest.mark.parametrize("angle", [5.5, 15.0, 30.0])
def test_a_large_shear_is_named_with_its_angle(tmp_path: Path, angle: float) -> None:
    with pytest.raises(InputError, match=rf"{angle:.1f} degrees off right angles"):
        read_canonical(saved(tmp_path / "a.nii.gz", sheared(angle)))


def test_an_affine_is_written_as_itk_reads_it(tmp_path: Path) -> None:
    matrix = world(size=(1.1, 0.9, 1.05), turn=(3, -4, 5))
    affine.write_itk(matrix, tmp_path / "a.mat")
    assert np.allclose(affine.read_itk(tmp_path / "a.mat"), matrix)
    point = np.array([10.0, -20.0, 30.0])
    lps = np.array([-1, -1, 1])
    moved = ants.read_transform(str(tmp_path / "a.mat")).apply_to_point(point * lps) * lps
    assert np.allclose(moved, nib.affines.apply_affine(matrix, point), atol=1e-4)


@pytest.mark.parametrize("axes", ["RAS", "PIR", "LSA", "ASL"])
def test_the_mask_lies_on_the_voxels_of_its_scan(tmp_path: Path, axes: str) -> None:
    head = nib.Nifti1Image(np.where(DATA > 0.5, DATA, 0), world(turn=(5, 8, -12)))
    stored = head.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(head.affine), nib.orientations.axcodes2ornt(axes))
    )
    saved(tmp_path / "a.nii.gz", stored.affine, data=np.asarray(stored.dataobj), qform=stored.affine)
    scan = read_scan(tmp_path / "a.nii.gz")
    mask = canonical(scan).get_fdata() > 0
    nib.save(as_stored(mask, scan), tmp_path / "mask.nii.gz")
    found, source = nib.load(tmp_path / "mask.nii.gz"), nib.load(tmp_path / "a.nii.gz")
    assert np.array_equal(found.get_fdata() > 0, source.get_fdata() > 0)
    assert np.array_equal(found.affine, source.affine) and found.get_data_dtype() == np.uint8
    assert all(np.array_equal(found.header[f], source.header[f]) for f in ("sform_code", "qform_code", "quatern_b"))
    assert np.allclose(np.sort(apply_mask(source, found)), np.sort(source.get_fdata()[source.get_fdata() > 0]))


def test_extraction_writes_the_mask_on_the_voxels_of_its_scan(tmp_path: Path) -> None:
    template = grid.template(4)
    stored = template.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(nib.Nifti1Image(np.asarray(stored.dataobj), stored.affine), tmp_path / "sub-1.nii.gz")
    (tmp_path / "list").write_text(f"sub-1\t{tmp_path / 'sub-1.nii.gz'}\n")
    extract.run(
        list=tmp_path / "list", derivatives=tmp_path, manifest=tmp_path / "e.tsv", seconds=tmp_path / "s.tsv", stamp="x",
        method="none", nonfinite="fail", max_failed=0.0,
    )  # fmt: skip
    mask = nib.load(derivative(tmp_path, "sub-1", "desc-brain_mask.nii.gz"))
    assert mask.shape == stored.shape and np.allclose(mask.affine, stored.affine)
    inside = stored.get_fdata() > 1e-3 * stored.get_fdata().max()
    assert np.mean((mask.get_fdata() > 0) == inside) > 0.999


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 6.0), (6.0, 0.5, 0.5), (1.0, 1.0, 1.0)])
def test_each_axis_is_smoothed_by_its_own_spacing(spacing: tuple[float, ...]) -> None:
    shape = tuple(int(np.ceil(side / step)) for side, step in zip((170, 202, 170), spacing, strict=True))
    noise = np.random.default_rng(0).normal(0, 80, shape).astype(np.float32)
    image = ants.from_numpy(noise, spacing=spacing, origin=(-85, -84, -80))
    centre = tuple(slice(int(n * 0.3), int(n * 0.7)) for n in grid.box(2)[0])
    found = register._resample(image, 2.0, []).numpy()[centre].std()
    assert found < 25  # a mean over 16 voxels would leave 20; smoothing by the mean spacing left 65
    if len(set(spacing)) == 1:
        smooth = ants.smooth_image(image, (4 - spacing[0] ** 2) ** 0.5, FWHM=True)
        assert np.array_equal(
            register._resample(image, 2.0, []).numpy(), ants.apply_transforms(register._fixed(2.0), smooth, []).numpy()
        )


@pytest.mark.parametrize(("cut_mm", "filled"), [(0, False), (30, False), (30, True), (60, True)])
def test_the_share_of_the_brain_outside_the_field_of_view(cut_mm: int, filled: bool) -> None:
    """A head with scalp around the template's brain, its top cut off, and filled with zeros or not there."""
    mask = np.pad(grid.brain_mask(4), 4)
    head = np.where(mask, 1.0, 0.2).astype(np.float32) + 0.01 * np.random.default_rng(0).random(mask.shape)
    matrix = grid.box(4)[1].copy()
    matrix[:3, 3] -= 16
    z = nib.affines.apply_affine(matrix, np.moveaxis(np.indices(mask.shape), 0, -1))[..., 2]
    top = z[mask].max()
    gone = z > top - cut_mm if cut_mm else np.zeros(mask.shape, bool)
    if filled:
        head[gone], kept = 0, slice(None)
    else:
        kept = ~gone[0, 0]
    data, brain = head[:, :, kept].astype(np.float32), (mask & ~gone)[:, :, kept]
    image = nib.Nifti1Image(coverage.recorded(data, brain, np.full(3, 4.0)).astype(np.float32), matrix)
    image.header.set_xyzt_units("mm", "sec")
    seen = ants.apply_transforms(register._fixed(4), ants.from_nibabel_nifti(image), []).numpy()
    assert coverage.outside_fraction(seen, grid.brain_mask(4)) == pytest.approx(
        (mask & gone).sum() / mask.sum(), abs=1e-6
    )


def test_the_background_of_a_stripped_brain_is_inside_the_field_of_view() -> None:
    data = grid.template(4).get_fdata(dtype=np.float32)
    assert coverage.recorded(data, data > 0, np.full(3, 4.0)).all()


@pytest.mark.parametrize("fill", [0.0, -1000.0, 5.0])
@pytest.mark.parametrize("shape", ["slices", "defaced"])
def test_lost_slices_and_erased_brain_count_as_outside(shape: str, fill: float) -> None:
    """Slices that are black in the middle (dcm2niix issue 349), and a brain cut obliquely by a defacing tool."""
    mask = np.pad(grid.brain_mask(4), 4)
    data = (np.where(mask, 1.0, 0.2) + 0.01 * np.random.default_rng(0).random(mask.shape)).astype(np.float32)
    x, y, z = np.indices(mask.shape)
    front = y - 0.75 * z
    gone = (np.abs(z - 24) < 2) if shape == "slices" else front > np.quantile(front[mask], 0.9)
    data[gone] = fill
    seen = coverage.recorded(data, mask, np.full(3, 4.0))
    assert seen[~gone].all()
    assert (~seen)[mask].mean() == pytest.approx(gone[mask].mean(), rel=0.05)


def test_a_brain_in_a_background_of_one_value_is_all_inside() -> None:
    """As scanners write it that set air to 0: blocks of it lie outside the head alone."""
    mask = np.pad(grid.brain_mask(4), 8)
    head = np.pad(np.ones(np.array(mask.shape) - 8), 4) > 0
    data = np.where(head, np.where(mask, 1.0, 0.2) + 0.01 * np.random.default_rng(0).random(mask.shape), 0.0)
    seen = coverage.recorded(data.astype(np.float32), mask, np.full(3, 4.0))
    assert seen[head].all() and not seen.all()


def test_a_tissue_map_is_all_inside_though_it_is_zero_in_other_tissue_and_passes_the_edge_of_its_mask() -> None:
    """As the maps of grey matter that fMRIPrep writes, beside its brain mask: white matter holds zeros."""
    mask = np.pad(grid.brain_mask(4), 4)
    grey = (mask ^ ndimage.binary_erosion(mask, iterations=3)) | (
        ndimage.binary_dilation(mask) & ~mask & (np.indices(mask.shape)[0] < 12)
    )
    spilled = (grey & ~mask).sum() / mask.sum()
    assert 0.005 < spilled < 0.05 and (mask & ~grey).sum() > 0.2 * mask.sum()
    assert coverage.recorded(grey.astype(np.float32), mask, np.full(3, 4.0)).all()


@pytest.mark.parametrize("name", ["job[12]", "a,b", "with blank"])
def test_registration_works_whatever_tmpdir_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", None)
    template = grid.template(4)
    nib.save(nib.Nifti1Image(template.get_fdata(dtype=np.float32), template.affine), tmp_path / "sub-1.nii.gz")
    (tmp_path / "list").write_text(f"sub-1\t{tmp_path / 'sub-1.nii.gz'}\n")
    common = dict(derivatives=tmp_path, seconds=tmp_path / "s.tsv", stamp="x", nonfinite="fail", max_failed=0.0)
    extract.run(list=tmp_path / "list", manifest=tmp_path / "e.tsv", method="none", **common)
    register.run(
        extracted=tmp_path / "e.tsv", list=tmp_path / "list", manifest=tmp_path / "r.tsv", suffix="T1w", transform="affine",
        bias_field="none", template_mm=4, voxel_mm=4, **common,
    )  # fmt: skip
    assert in_space(tmp_path, "sub-1", 4, "desc-brain_T1w.nii.gz").exists()


def test_a_tmpdir_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/scratch/job[1]")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="TMPDIR: ANTs cannot read .*set TMPDIR"):
        plain_tempdir()
