"""Images are read whole, and what is no image, or another kind than its name says, is named with its remedy."""

import gzip
import shutil
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurovae.errors import InputError
from neurovae.io.images import read_image

DATA = np.random.default_rng(0).integers(0, 2000, (20, 22, 24)).astype(np.int16)
AFFINE = np.diag([4.0, 4, 4, 1])


def saved(path: Path, image: nib.Nifti1Image | None = None) -> Path:
    nib.save(nib.Nifti1Image(DATA, AFFINE) if image is None else image, path)
    return path


def edited(folder: Path, name: str, **fields: float) -> Path:
    """A whole image with some fields of its header set to what is wrong."""
    whole = saved(folder / "whole.nii").read_bytes()
    header = nib.Nifti1Header(whole[:348], check=False)
    for field, value in fields.items():
        header[field] = value
    (folder / name).write_bytes(header.binaryblock + whole[348:])
    return folder / name


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ", "a.mgz", "a.mgh"])
def test_every_format_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    kind = nib.MGHImage if "mg" in name else nib.Nifti1Image
    saved(tmp_path / name.lower(), kind(DATA, AFFINE))
    if name != name.lower():
        shutil.move(tmp_path / name.lower(), tmp_path / name)
    found = read_image(tmp_path / name)
    assert np.array_equal(np.asarray(found.dataobj), DATA)
    assert np.allclose(found.affine, AFFINE)


def test_nifti_2_and_big_endian_come_back(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(DATA, AFFINE), tmp_path / "two.nii.gz")
    big = nib.Nifti1Image(DATA, AFFINE, nib.Nifti1Header(endianness=">"))
    saved(tmp_path / "big.nii", big)
    for name in ("two.nii.gz", "big.nii"):
        assert np.array_equal(np.asarray(read_image(tmp_path / name).dataobj), DATA)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mgz"])
def test_each_flipped_bit_of_a_compressed_image_is_found(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, (nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image)(DATA, AFFINE))
    whole = path.read_bytes()
    for place in np.random.default_rng(1).integers(20, len(whole), 40):  # behind gzip's own header
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=rf"{name}: (damaged \(checksum\)|the file is cut short)"):
            read_image(path)


def test_a_wrong_checksum_over_whole_voxels_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + struct.pack("<I", 7) + whole[-4:])
    with pytest.raises(InputError, match=r"damaged \(checksum\)"):
        read_image(path)


@pytest.mark.parametrize("kept", [0.3, 0.999])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_image_that_is_cut_short_is_found(tmp_path: Path, name: str, kept: float) -> None:
    path = saved(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InputError, match="cut short"):
        read_image(path)


NOT_IMAGES = {
    "a.nii.gz": [
        (b"", "0 bytes"),
        (b"/annex/objects/SHA256E-s123--abc.nii.gz\n", "git-annex pointer.*datalad get .*a.nii.gz"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>please log in</html>", "web page.*download it again"),
        (b"\0" * 128 + b"DICM" + b"\0" * 400, "DICOM.*dcm2niix"),
        (b"PK\x03\x04" + b"\0" * 400, "zip archive.*unpack"),
        (b"BZh91AY" + b"\0" * 400, "bzip2"),
        (b"participant_id\tage\n", "not a readable NIfTI image but text"),
        (gzip.compress(b"not an image at all", mtime=0), "not a readable NIfTI image but text"),
        (gzip.compress(b"x" * 257 + b"ustar" + b"\0" * 400, mtime=0), "tar archive"),
        (gzip.compress(b"\0" * 5000, mtime=0), "not a readable NIfTI"),
        (gzip.compress(gzip.compress(b"\0" * 5000, mtime=0), mtime=0), "compressed twice.*gunzip"),
    ],
    "a.nii": [
        (b"../../.git/annex/objects/xx/yy/SHA256E-s1--ab.nii", "git-annex pointer"),
        (gzip.compress(b"\0" * 400, mtime=0), r"is compressed \(gzip\).*rename it to a.nii.gz"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 400, "MINC"),
        (b"\x93NUMPY\x01\0" + b"\0" * 400, "NumPy"),
    ],
}


@pytest.mark.parametrize(
    ("name", "content", "message"), [(n, *case) for n, cases in NOT_IMAGES.items() for case in cases]
)
def test_what_is_no_image_is_named_with_its_remedy(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"(?s)^{name}: .*{message}"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.MGHImage])
def test_an_uncompressed_image_named_as_compressed_is_told_how_to_rename(tmp_path: Path, kind: type) -> None:
    old, new = ("a.mgh", "a.mgz") if kind is nib.MGHImage else ("a.nii", "a.nii.gz")
    saved(tmp_path / old, kind(DATA, AFFINE)).rename(tmp_path / new)
    with pytest.raises(InputError, match="is not compressed, but its name says so; rename it"):
        read_image(tmp_path / new)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scl_slope": 2, "scl_inter": np.nan}, "scl_inter nan.*set scl_inter to 0"),
        ({"scl_slope": np.inf}, "scl_slope is inf"),
        ({"vox_offset": 0}, "byte 0 .*takes 352.*set vox_offset to 352"),
        ({"vox_offset": 348}, "byte 348"),
        ({"vox_offset": np.nan}, "byte nan"),
        ({"sform_code": 1, "srow_x": np.nan}, "sform .*places no voxel.*set sform_code to 0"),
        ({"sform_code": 1, "srow_y": 0}, "sform .*places no voxel"),
        ({"magic": b"ni1"}, "header of a pair"),
        ({"magic": b""}, "Analyze"),
        ({"datatype": 1}, "data code 1 not supported.*convert it to 32-bit float"),
        ({"datatype": 1536}, "data code 1536 not supported: quadruple precision"),
        ({"dim": [3, 20, -22, 24, 1, 1, 1, 1]}, "header is damaged"),
        ({"dim": [3, 20, 22, 2400, 1, 1, 1, 1]}, "cut short"),
    ],
)
def test_a_header_that_makes_no_sense_is_named(tmp_path: Path, fields: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)a.nii: .*{message}"):
        read_image(edited(tmp_path, "a.nii", **fields))


def test_scaled_integers_come_back_scaled(tmp_path: Path) -> None:
    path = edited(tmp_path, "a.nii", scl_slope=0.5, scl_inter=-10)
    assert np.allclose(read_image(path).get_fdata(), DATA * 0.5 - 10)
    path = edited(tmp_path, "a.nii", scl_slope=0, scl_inter=np.nan)  # a slope of 0: no scaling, by the standard
    assert np.array_equal(read_image(path).get_fdata(), DATA)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_images_are_refused(tmp_path: Path, dtype: type) -> None:
    with pytest.raises(InputError, match="complex numbers.*magnitude"):
        read_image(saved(tmp_path / "a.nii.gz", nib.Nifti1Image(DATA.astype(dtype), AFFINE)))


@pytest.mark.parametrize("bands", ["RGB", "RGBA"])
def test_colour_images_are_refused(tmp_path: Path, bands: str) -> None:
    colour = np.zeros(DATA.shape, np.dtype([(band, "u1") for band in bands]))
    with pytest.raises(InputError, match=rf"colour image \({bands}\)"):
        read_image(saved(tmp_path / "a.nii.gz", nib.Nifti1Image(colour, AFFINE)))


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("unit", "per_mm"), [("meter", 1e-3), ("micron", 1e3)])
def test_images_in_metres_and_micrometres_are_read_in_mm(tmp_path: Path, unit: str, per_mm: float, kind: type) -> None:
    """As in fMRIPrep's issue 786 and ITK's 4595; sform and qform, each alone and both."""
    wanted = AFFINE.copy()
    wanted[:3, 3] = (-40, 10, 3)
    scaled = np.diag([per_mm] * 3 + [1]) @ wanted
    for codes in ((1, 0), (0, 1), (1, 1)):
        image = kind(DATA, None)
        image.header.set_qform(scaled, codes[1])
        image.header.set_sform(scaled, codes[0])
        image.header.set_xyzt_units(unit, "msec")
        nib.save(kind(DATA, None, image.header), tmp_path / "a.nii")
        found = read_image(tmp_path / "a.nii")
        assert np.allclose(found.affine, wanted, rtol=1e-5) and np.array_equal(found.get_fdata(), DATA)
        assert found.header.get_xyzt_units() == ("mm", "msec")
        assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == codes
        assert not codes[1] or np.allclose(found.header.get_qform(), wanted, rtol=1e-5)


@pytest.mark.parametrize("unit", ["meter", "micron", "mm", "unknown"])
def test_a_declared_unit_that_cannot_be_right_does_not_matter(tmp_path: Path, unit: str) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.header.set_xyzt_units(unit)
    assert np.allclose(read_image(saved(tmp_path / "a.nii", image)).affine, AFFINE)


def test_a_folder_in_the_place_of_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nii").mkdir()
    with pytest.raises(InputError, match="a.nii: is a folder, not a file.*move it here"):
        read_image(tmp_path / "a.nii")
