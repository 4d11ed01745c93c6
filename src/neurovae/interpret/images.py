"""Maps as NIfTI files in MNI space, on the grid of the fixed mask."""

from pathlib import Path
from urllib.parse import quote

import nibabel as nib
import numpy as np

from neurovae.files import write_beside


def in_file(score: str) -> str:
    """A score's name as part of a file's name: what a path could be led astray by is written as %XX."""
    return quote(score, safe=" +,=")


def write_maps(path: Path, values: np.ndarray, mask: Path) -> None:
    """Write voxels of the mask, (voxels,) as a 3-D image or (frames, voxels) as a 4-D one; 0 outside.

    Affine, units (mm) and sform code (4, MNI) are those of the mask file.
    """
    reference = nib.Nifti1Image.from_filename(mask)
    inside = np.asarray(reference.dataobj) > 0
    values = np.asarray(values, np.float32)
    data = np.zeros((*inside.shape, *values.shape[:-1]), np.float32)
    data[inside] = np.moveaxis(values, -1, 0)
    image = nib.Nifti1Image(data, reference.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(reference.affine, code="mni")
    image.set_qform(reference.affine, code="mni")
    with write_beside(path) as temporary:
        nib.save(image, temporary)


def read_maps(path: Path, mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask of an image written by `write_maps`: (voxels,) or (frames, voxels)."""
    data = np.asarray(nib.Nifti1Image.from_filename(path).dataobj, np.float32)[mask]
    return np.moveaxis(data, 0, -1) if data.ndim > 1 else data
