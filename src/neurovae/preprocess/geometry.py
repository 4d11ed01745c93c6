"""The place of a scan in the world: voxel sizes, field of view, shear, and sides, as its header has them."""

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError, SpatialImage

from neurovae.errors import InputError

VOXEL_MM = (0.2, 8.0)  # plausible voxel sizes of a whole-brain image
EXTENT_MM = (60.0, 600.0)  # plausible field of view
SHEAR_DEGREES = 5.0  # largest deviation of the axes from right angles; a gantry tilt is larger
APART_DEGREES = 45.0  # axes of sform and qform that are farther apart do not mean the same side
SIZE_TOLERANCE = 0.02  # relative difference of voxel sizes: rounding is below, a scaling to a template above


def check(image: SpatialImage, name: str) -> None:
    """Raise InputError if the image is not 3-D, or its header places it implausibly or in two ways."""
    if image.ndim != 3:
        raise InputError(f"{name}: the image has shape {image.shape}, 3-D was expected; give one volume or their mean")
    check_sides(image, name)
    size = voxel_sizes(image.affine)
    extent = size * np.array(image.shape)
    if not np.all(np.isfinite(size)) or abs(np.linalg.det(image.affine[:3, :3] / np.maximum(size, 1e-12))) < 1e-3:
        raise InputError(f"{name}: the affine is singular ({image.affine[:3, :3].tolist()}); export it again")
    _check_sizes(image, name)
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
    angle = shear_degrees(image.affine)
    if angle > SHEAR_DEGREES:
        raise InputError(
            f"{name}: the axes of the affine are {angle:.1f} degrees off right angles (shear; a gantry tilt?), at most "
            f"{SHEAR_DEGREES:g} are allowed; resample it to a straight grid (mri_convert, flirt -applyisoxfm)"
        )


def shear_degrees(affine: np.ndarray) -> float:
    """Return the largest deviation of two axes of an affine from a right angle, in degrees."""
    cosines = affine[:3, :3] / voxel_sizes(affine)
    return float(np.degrees(np.arcsin(np.abs(cosines.T @ cosines - np.eye(3)).max().clip(0, 1))))


def check_sides(image: SpatialImage, name: str) -> None:
    """Raise InputError if the header of a NIfTI image does not define left and right, or defines them both ways."""
    if not isinstance(image, nib.Nifti1Image):  # MGH has one affine
        return
    header = image.header
    codes = int(header["sform_code"]), int(header["qform_code"])
    if codes == (0, 0):
        raise InputError(
            f"{name}: neither sform nor qform is set, so left and right are unknown; export it with its orientation"
        )
    if 0 in codes:
        return
    sform = header.get_sform()
    try:
        qform = header.get_qform()
    except (ValueError, HeaderDataError):  # no rotation; the sform counts, as nibabel and ANTs have it
        return
    if _opposed(sform, qform):
        axes = ["".join(str(axis) for axis in aff2axcodes(affine)) for affine in (sform, qform)]
        raise InputError(
            f"{name}: sform ({axes[0]}) and qform ({axes[1]}) disagree about left and right, so the image may be "
            "mirrored; find out which of them is right (a marker, the DICOM files) and copy it over the other "
            "(fslorient -copysform2qform or -copyqform2sform)"
        )


def _opposed(sform: np.ndarray, qform: np.ndarray) -> bool:
    """Whether one affine is a mirror image of the other, or their left and right are exchanged."""
    first, second = (affine[:3, :3] / np.maximum(voxel_sizes(affine), 1e-12) for affine in (sform, qform))
    apart = first[0] @ second[0] < np.cos(np.radians(APART_DEGREES)) * np.linalg.norm(first[0]) * np.linalg.norm(
        second[0]
    )
    return bool(np.linalg.det(first) * np.linalg.det(second) < 0 or apart)


def _check_sizes(image: SpatialImage, name: str) -> None:
    """Refuse a NIfTI image whose sform has other voxel sizes than pixdim, which the qform uses.

    An sform that scales the scan to a template changes the volume of the brain. Voxel sizes of exactly 1 mm in pixdim
    are often placeholders: they are compared only if the qform is set.
    """
    if not isinstance(image, nib.Nifti1Image) or image.header["sform_code"] == 0:
        return
    pixdim = np.abs(np.array(image.header["pixdim"][1:4], dtype=float))
    if image.header["qform_code"] == 0 and np.all(np.isin(pixdim, (0, 1))):
        return
    size = voxel_sizes(image.affine)
    if np.all(np.isfinite(pixdim) & (pixdim > 0)) and np.abs(size / pixdim - 1).max() > SIZE_TOLERANCE:
        raise InputError(
            f"{name}: voxels of {_mm(size)} mm by the sform (code {image.header['sform_code']}), but of {_mm(pixdim)} "
            "mm by pixdim and qform, so the size of the brain is unknown; find out which of them is right "
            "(PixelSpacing and SliceThickness of the DICOM files) and copy it over the other (fslorient "
            "-copyqform2sform or -copysform2qform)"
        )


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
