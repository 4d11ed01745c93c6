"""Maps as NIfTI files in MNI space, on the grid of the fixed mask."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nibabel as nib
import numpy as np

from neurovae.io.files import write_beside, write_json
from neurovae.io.images import read_image
from neurovae.preprocess.names import SPACE

UNITS = "arbitrary (voxel values as normalised)"


def in_file(score: str) -> str:
    """Return a score's name as part of a file's name: characters that are unsafe in a path are written as %XX."""
    return quote(score, safe=" +,=")


def write_maps(path: Path, values: np.ndarray, mask: Path, outside: float = 0.0) -> None:
    """Write voxels of the mask, (voxels,) as a 3-D image or (frames, voxels) as a 4-D one; one value outside.

    Affine, units (mm) and sform code (4, MNI) are those of the mask file.
    """
    reference = read_image(mask)
    inside = np.asarray(reference.dataobj) > 0
    values = np.asarray(values, np.float32)
    data = np.full((*inside.shape, *values.shape[:-1]), outside, np.float32)
    data[inside] = np.moveaxis(values, -1, 0)
    image = nib.Nifti1Image(data, reference.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(reference.affine, code="mni")
    image.set_qform(reference.affine, code="mni")
    with write_beside(path) as temporary:
        nib.save(image, temporary)


def read_maps(path: Path, mask: np.ndarray) -> np.ndarray:
    """Voxels of the mask of an image written by `write_maps`: (voxels,) or (frames, voxels)."""
    data = np.asarray(read_image(path).dataobj, np.float32)[mask]
    return np.moveaxis(data, 0, -1) if data.ndim > 1 else data


def write_image(path: Path, values: np.ndarray, mask: Path, description: str, **fields: Any) -> None:
    """Write maps (see `write_maps`) with their description as JSON beside them, as BIDS derivatives have it."""
    write_maps(path, values, mask)
    sidecar = {"Description": description, "Units": UNITS, "SpatialReference": SPACE, **fields}
    write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Give a hidden folder beside `path`; it takes the place of `path` when the block succeeds."""
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
