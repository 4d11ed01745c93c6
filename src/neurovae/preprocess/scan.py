"""Read one scan, refuse it with its name where it is implausible, and reorder it to canonical (RAS+) axes."""

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError, SpatialImage

from neurovae.errors import InputError
from neurovae.preprocess.source import open_volume

VOXEL_MM = (0.2, 8.0)  # plausible voxel sizes of a whole-brain image
EXTENT_MM = (60.0, 600.0)  # plausible field of view
SHEAR_DEGREES = 5.0  # largest deviation of the axes from right angles; a gantry tilt is larger
PARTS = re.compile(  # of a complex image, not its magnitude, as BIDS and as dcm2niix name them
    r"_(part-(?:phase|real|imag)(?=_)|(?:ph|phase|real|imag|imaginary)(?=\.(?:nii|mg[hz])))", re.IGNORECASE
)
APART_DEGREES = 45.0  # axes of sform and qform that are farther apart do not mean the same side
ENDING = re.compile(r"\.(nii|nii\.gz|mgh|mgz)$", re.IGNORECASE)
COMPONENTS = {"P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "R": "real", "REAL": "real"}
COMPONENTS |= {"I": "imaginary", "IMAG": "imaginary", "IMAGINARY": "imaginary"}  # DICOM's ImageType


def read_canonical(path: str | Path, *, nonfinite: str = "fail", volume: str = "") -> nib.Nifti1Image:
    """Read a 3-D scan with its axes reordered to RAS+ (an oblique affine is kept); arguments as in `read_scan`."""
    return canonical(read_scan(path, nonfinite=nonfinite, volume=volume))


def read_scan(path: str | Path, *, nonfinite: str = "fail", volume: str = "") -> nib.Nifti1Image:
    """Read a 3-D scan as it is stored, in single precision.

    Args:
        path: NIfTI or MGH file.
        nonfinite: "fail" refuses NaN and Inf voxels; "zero" sets them to 0 (maps whose background is NaN).
        volume: of a 4-D file, from 0; empty for a file with one volume.

    Raises:
        InputError: what is wrong with the file, what was found and what to do.
    """
    name = Path(path).name + (f", volume {volume}" if volume else "")
    _check_part(Path(path))
    image = open_volume(Path(path), volume)
    _check_geometry(image, name)
    _check_overflow(image, name)
    data = image.get_fdata(dtype=np.float32, caching="unchanged")
    bad = int(np.count_nonzero(~np.isfinite(data)))
    if bad and nonfinite == "fail":
        raise InputError(
            f"{name}: {bad} of {data.size} voxels are NaN or Inf; repair the file, or set preprocess.nonfinite: zero"
        )
    data[~np.isfinite(data)] = 0
    if data.min() == data.max():
        raise InputError(f"{name}: every voxel has the value {data.min():g}; the image is empty, export it again")
    return nib.Nifti1Image(data, image.affine, image.header if isinstance(image, nib.Nifti1Image) else None)


def canonical(scan: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return the scan with its axes reordered to RAS+; voxels and their places in mm stay the same."""
    image = nib.as_closest_canonical(nib.Nifti1Image(scan.get_fdata(dtype=np.float32), scan.affine))
    image.header.set_xyzt_units("mm", "sec")
    return image


def as_stored(mask: np.ndarray, scan: nib.Nifti1Image) -> nib.Nifti1Image:
    """Return a mask on canonical axes as an image on the scan's own voxels, with its sform and qform."""
    to_stored = ornt_transform(axcodes2ornt("RAS"), io_orientation(scan.affine))
    image = nib.Nifti1Image(
        apply_orientation(mask.astype(np.uint8), to_stored), scan.affine, scan.header, dtype=np.uint8
    )
    for field in ("cal_min", "cal_max", "intent_code"):
        image.header[field] = 0
    for field in ("descrip", "intent_name", "db_name", "aux_file"):  # texts may name the person
        image.header[field] = b""
    image.header.extensions.clear()
    return image


def _check_part(path: Path) -> None:
    """Refuse phase, real and imaginary images, by the name of the file or by the ImageType of its sidecar."""
    match = PARTS.search(path.name)
    evidence = f"its name says {match[1]}" if match else ""
    sidecar = path.with_name(ENDING.sub("", path.name) + ".json")
    kind = _component(sidecar)
    if not evidence and kind:
        evidence = f"ImageType in {sidecar.name} says {kind}"
    if evidence:
        raise InputError(
            f"{path.name}: is not a magnitude image ({evidence}); give the magnitude (part-mag), or leave the file out"
        )


def _component(sidecar: Path) -> str:
    """Phase, real or imaginary by DICOM's ImageType or ComplexImageComponent, empty where it is a magnitude."""
    if not sidecar.is_file():
        return ""
    try:
        content: Any = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError:  # a sidecar that cannot be read is ignored
        return ""
    content = content if isinstance(content, dict) else {}
    words = {str(content.get("ComplexImageComponent", "")).upper()}
    for image_type in (content.get("ImageType"), content.get("ImageTypeText")):
        parts = (
            image_type.split("\\")
            if isinstance(image_type, str)
            else image_type
            if isinstance(image_type, list)
            else []
        )
        words |= {str(part).upper() for part in parts}
    return (
        "" if words & {"M", "MAGNITUDE"} else next((COMPONENTS[word] for word in sorted(words & set(COMPONENTS))), "")
    )


def _check_overflow(image: SpatialImage, name: str) -> None:
    """Refuse unsigned 16-bit values that were stored as signed ones: all above 32,767 became negative."""
    if image.get_data_dtype() != np.int16 or (
        getattr(image.dataobj, "slope", 1),
        getattr(image.dataobj, "inter", 0),
    ) != (1, 0):
        return
    values = np.asarray(image.dataobj)
    if values.min() < -(2**14) and values.max() > 2**14:
        raise InputError(
            f"{name}: voxels from {values.min()} to {values.max()}: the brightest have overflowed to negative values; "
            "convert it again (dcm2niix -l y)"
        )


def _check_geometry(image: SpatialImage, name: str) -> None:
    if image.ndim != 3:
        raise InputError(f"{name}: the image has shape {image.shape}, 3-D was expected; give one volume or their mean")
    _check_orientation(image, name)
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
    angle = shear_degrees(image.affine)
    if angle > SHEAR_DEGREES:
        raise InputError(
            f"{name}: the axes of the affine are {angle:.1f} degrees off right angles (shear; a gantry tilt?), at most "
            f"{SHEAR_DEGREES:g} are allowed; resample it to a straight grid (mri_convert, flirt -applyisoxfm)"
        )


def shear_degrees(affine: np.ndarray) -> float:
    """Return the largest deviation of two axes of an affine from a right angle, in degrees."""
    cosines = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    return float(np.degrees(np.arcsin(np.abs(cosines.T @ cosines - np.eye(3)).max().clip(0, 1))))


def _check_orientation(image: SpatialImage, name: str) -> None:
    """Refuse a NIfTI image whose header does not define left and right, or defines both ways."""
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
            f"{name}: sform ({axes[0]}) and qform ({axes[1]}) disagree about left and right, so the scan may be "
            "mirrored; find out which of them is right (a marker, the DICOM files) and copy it over the other "
            "(fslorient -copysform2qform or -copyqform2sform)"
        )


def _opposed(sform: np.ndarray, qform: np.ndarray) -> bool:
    """Whether one affine is a mirror image of the other, or their left and right are exchanged."""
    first, second = (affine[:3, :3] / np.maximum(nib.affines.voxel_sizes(affine), 1e-12) for affine in (sform, qform))
    apart = first[0] @ second[0] < np.cos(np.radians(APART_DEGREES)) * np.linalg.norm(first[0]) * np.linalg.norm(
        second[0]
    )
    return bool(np.linalg.det(first) * np.linalg.det(second) < 0 or apart)


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
