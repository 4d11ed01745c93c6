"""The source of a scan's voxels: a file, one volume of a 4-D file, and a mask that another tool made."""

from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage

from neurovae.errors import InputError
from neurovae.io import files
from neurovae.io.images import read_image


def open_volume(path: Path, volume: str) -> SpatialImage:
    """Open the image of a file, or the volume with this number (from 0) of a 4-D file."""
    if not volume:
        return nib.squeeze_image(read_image(path))
    image, number = _whole(path, *_stamp(path)), int(volume)
    if image.ndim != 4 or number >= image.shape[3]:
        raise InputError(f"{path.name}: has shape {image.shape}, volume {number} was expected; was the file replaced?")
    return image.slicer[..., number]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; a 4-D file that holds many scans is read once."""
    return _digest(path, *_stamp(path))


def given_mask(path: Path, scan: nib.Nifti1Image) -> np.ndarray:
    """Read the mask of another tool on the scan's voxels (bool); both on canonical axes.

    Raises:
        InputError: the mask lies on other voxels than the scan, or is no mask.
    """
    image = nib.as_closest_canonical(nib.squeeze_image(read_image(path)))
    if image.shape != scan.shape or not np.allclose(image.affine, scan.affine, atol=1e-2):
        raise InputError(
            f"{path.name}: the mask has shape {image.shape} and begins at {_corner(image)} mm, its scan {scan.shape} "
            f"and {_corner(scan)} mm; choose the mask of the same space and resolution in cohort.masks"
        )
    data = np.asarray(image.dataobj)
    if len(levels := np.unique(data)) != 2 or levels[0] != 0:
        examples = ", ".join(f"{value:g}" for value in levels[:4])
        raise InputError(
            f"{path.name}: the values are {examples} ..., a mask has 0 and one other value; give a brain mask"
        )
    return np.asarray(data > 0)


def _corner(image: SpatialImage) -> str:
    return ", ".join(f"{value:.4g}" for value in image.affine[:3, 3])


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1)
def _whole(path: Path, changed: int, size: int) -> SpatialImage:
    return read_image(path)


@lru_cache(maxsize=1)
def _digest(path: Path, changed: int, size: int) -> str:
    return files.sha256(path)
