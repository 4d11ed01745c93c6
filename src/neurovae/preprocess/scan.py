"""Read one scan, refuse it with its name where it is implausible, and reorder it to canonical (RAS+) axes."""

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from nibabel.spatialimages import SpatialImage

from neurovae.errors import InputError
from neurovae.preprocess import geometry
from neurovae.preprocess.source import open_volume

PARTS = re.compile(  # of a complex image, not its magnitude, as BIDS and as dcm2niix name them
    r"_(part-(?:phase|real|imag)(?=_)|(?:ph|phase|real|imag|imaginary)(?=\.(?:nii|mg[hz])))", re.IGNORECASE
)
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
    geometry.check(image, name)
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
