"""Read one scan, refuse it by name when it cannot be right, and bring it to canonical (RAS+) axes."""

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from neurovae.errors import InputError

VOXEL_MM = (0.2, 8.0)  # plausible voxel sizes of a whole-brain image
EXTENT_MM = (60.0, 600.0)  # plausible field of view


def read_canonical(path: str | Path, *, nonfinite: str = "fail") -> nib.Nifti1Image:
    """Read a 3-D scan with axes re-ordered to RAS+ (an oblique affine is kept).

    Args:
        path: NIfTI file.
        nonfinite: "fail" refuses NaN and Inf voxels; "zero" sets them to 0 (maps whose background is NaN).

    Raises:
        InputError: what is wrong with the file, what was found and what to do.
    """
    name = Path(path).name
    image = _open(path, name)
    _check_geometry(image, name)
    data = _read_voxels(image, name)
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad and nonfinite == "fail":
        raise InputError(
            f"{name}: {bad} of {data.size} voxels are NaN or Inf; repair the file, or set preprocess.nonfinite: zero"
        )
    data[~np.isfinite(data)] = 0
    if data.min() == data.max():
        raise InputError(f"{name}: every voxel has the value {data.min():g}; the image is empty, export it again")
    canonical = nib.as_closest_canonical(nib.Nifti1Image(data, image.affine))
    canonical.header.set_xyzt_units("mm", "sec")
    return canonical


def _open(path: str | Path, name: str) -> nib.Nifti1Image:
    if Path(path).stat().st_size == 0:
        raise InputError(f"{name}: the file is empty (0 bytes); copy it again from its source")
    try:
        image = nib.load(path)
    except (ImageFileError, OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{name}: not a readable NIfTI image ({error}); check it with `nib-ls`, or copy it again"
        ) from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{name}: is {type(image).__name__}, not NIfTI; convert it (dcm2niix, mrconvert)")
    return nib.squeeze_image(image)


def _check_geometry(image: nib.Nifti1Image, name: str) -> None:
    if image.ndim != 3:
        raise InputError(f"{name}: the image has shape {image.shape}, 3-D was expected; give one volume or their mean")
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise InputError(
            f"{name}: neither sform nor qform is set, so left and right cannot be told; export it with orientation"
        )
    size = nib.affines.voxel_sizes(image.affine)
    extent = size * np.array(image.shape)
    if not np.all(np.isfinite(size)) or abs(np.linalg.det(image.affine[:3, :3] / np.maximum(size, 1e-12))) < 1e-3:
        raise InputError(f"{name}: the affine is singular ({image.affine[:3, :3].tolist()}); export it again")
    if (
        size.min() < VOXEL_MM[0]
        or size.max() > VOXEL_MM[1]
        or extent.min() < EXTENT_MM[0]
        or extent.max() > EXTENT_MM[1]
    ):
        raise InputError(
            f"{name}: voxels of {_mm(size)} mm and a field of view of {_mm(extent)} mm; expected voxels of "
            f"{VOXEL_MM[0]:g}-{VOXEL_MM[1]:g} mm and {EXTENT_MM[0]:g}-{EXTENT_MM[1]:g} mm in all; are the units right?"
        )


def _read_voxels(image: nib.Nifti1Image, name: str) -> np.ndarray:
    try:
        return image.get_fdata(dtype=np.float32, caching="unchanged")
    except (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{name}: the voxels cannot be read, the file is cut short ({error}); copy it again"
        ) from error


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
