"""The output grids: boxes in MNI space (mm), symmetric about the midline, cropped to the brain, each with a fixed mask.

The template is the ICBM 152 2009a symmetric average bundled with nilearn (already skull-stripped). Resampling it takes
a second, and importing nilearn another one. So a rule of its own keeps the results in a file (grids.py), from which
jobs that run per batch take them by `use`.
"""

from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to, smooth_image

from neurovae.errors import InputError

CENTRE = (0.0, -17.0, 5.0)  # of the template's brain, mm
BOX = (160.0, 192.0, 160.0)  # contains the template's brain (144 x 178 x 154) and a margin, mm
MULTIPLE = 8  # every axis is divisible by 8, for three strided convolutions
_kept: dict[str, np.ndarray] = {}  # of `use`


def box(voxel_mm: float) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return shape and affine (voxel to MNI mm) of the grid; columns i and n - 1 - i are mirror images, x and -x."""
    shape = tuple(int(np.ceil(side / voxel_mm / MULTIPLE)) * MULTIPLE for side in BOX)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = [c - (n - 1) / 2 * voxel_mm for c, n in zip(CENTRE, shape, strict=True)]
    return (shape[0], shape[1], shape[2]), affine


def use(path: Path | None) -> None:
    """Take templates and masks from the file of the rule `grids`; what it lacks is computed. None: compute all."""
    if path is None:
        return
    try:
        with np.load(path) as arrays:
            _kept.update(arrays)
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name}: cannot be read ({error}); rerun with --forcerun grids") from error


@lru_cache
def template(voxel_mm: float) -> nib.Nifti1Image:
    """Return the template's T1 resampled to the grid, intensities 0 to 1."""
    data = _kept.get(f"template_{voxel_mm:g}")
    if data is not None:
        image = nib.Nifti1Image(data, box(voxel_mm)[1])
        image.header.set_xyzt_units("mm", "sec")
        return image
    from nilearn.datasets import load_mni152_template

    return _on_grid(load_mni152_template(resolution=1), voxel_mm)


@lru_cache
def brain_mask(voxel_mm: float) -> np.ndarray:
    """Return the fixed mask of the grid (bool): voxels that are at least half inside the template's brain."""
    mask = _kept.get(f"brain_{voxel_mm:g}")
    if mask is not None:
        return mask
    from nilearn.datasets import load_mni152_brain_mask

    return _on_grid(load_mni152_brain_mask(resolution=1), voxel_mm).get_fdata() >= 0.5


@lru_cache
def white_matter(voxel_mm: float) -> np.ndarray:
    """Return the template's white matter on the grid (bool), for measures of noise."""
    mask = _kept.get(f"white_{voxel_mm:g}")
    if mask is not None:
        return mask
    from nilearn.datasets import load_mni152_wm_mask

    return _on_grid(load_mni152_wm_mask(resolution=1), voxel_mm).get_fdata() >= 0.9


def _on_grid(image: nib.Nifti1Image, voxel_mm: float) -> nib.Nifti1Image:
    """Blur the 1 mm image to the voxel's size (Gaussian, full width at half maximum = voxel), then sample linearly."""
    image = nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine)
    blurred = smooth_image(image, voxel_mm) if voxel_mm > 1 else image
    resampled = resample_from_to(blurred, box(voxel_mm), order=1)
    resampled.header.set_xyzt_units("mm", "sec")
    return resampled
