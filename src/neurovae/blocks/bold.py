"""Read a 4-D BOLD image in MNI space as courses of parcels or voxels, with its confounds, through nilearn."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiLabelsMasker, NiftiMasker

from neurovae.errors import InputError
from neurovae.plan.block_files import File

CLOSE = 1e-3  # mm by which the affines of two grids may differ


class Bold(NamedTuple):
    """Courses (volumes, parcels or voxels), their names, confounds (volumes, confounds) and steady volumes, or None."""

    values: np.ndarray
    names: list[str]
    confounds: np.ndarray | None
    sample: np.ndarray | None
    tr_s: float


def read(file: File, entry: dict[str, Any]) -> Bold:
    """Read one image: mean signal of each label of `atlas`, or each voxel of `mask`.

    Raises:
        InputError: the image is on another grid than atlas or mask, or its confounds cannot be read.
    """
    name = Path(file.path).name
    image: Any = nib.load(file.path)
    place = entry["atlas"] or entry["mask"]
    region, names = _region(place, bool(entry["atlas"]))
    if image.shape[:3] != region.shape or np.abs(image.affine - region.affine).max() > CLOSE:
        raise InputError(
            f"{name}: its grid {image.shape[:3]} is not that of {Path(place).name} {region.shape}, or lies elsewhere; "
            "resample atlas or mask to the space of the images (nilearn.image.resample_to_img, nearest neighbour)"
        )
    masker = (
        NiftiLabelsMasker(region, smoothing_fwhm=entry["smoothing_mm"], standardize=False, resampling_target=None)
        if entry["atlas"]
        else NiftiMasker(region, smoothing_fwhm=entry["smoothing_mm"], standardize=False)
    )
    values = np.asarray(masker.fit().transform(image), np.float64)
    if values.shape[1] != len(names):
        raise InputError(f"{name}: {values.shape[1]} of {len(names)} labels have voxels; use the atlas of this grid")
    confounds, sample = _confounds(file, entry)
    zooms = image.header.get_zooms()
    unit = {"msec": 1e-3, "usec": 1e-6}.get(image.header.get_xyzt_units()[1], 1.0)
    return Bold(values, names, confounds, sample, float(zooms[3]) * unit if len(zooms) > 3 else 0.0)


@lru_cache(maxsize=2)
def _region(path: str, labels: bool) -> tuple[Any, list[str]]:
    """Atlas or mask, with the names of its labels or voxels (their place, i_j_k)."""
    image: Any = nib.load(path)
    data = np.asarray(image.dataobj)
    if labels:
        found = np.unique(data.round().astype(int))
        return nib.Nifti1Image(data.round().astype(np.int32), image.affine), [str(k) for k in found if k != 0]
    inside = np.argwhere(data > 0)
    return nib.Nifti1Image((data > 0).astype(np.uint8), image.affine), ["_".join(map(str, one)) for one in inside]


def _confounds(file: File, entry: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Confounds of fMRIPrep's table, and the volumes after those before a steady state."""
    if not entry["confounds"]:
        return None, None
    options = {key: entry[key] for key in ("motion", "wm_csf", "global_signal") if key in entry["confounds"]}
    if "compcor" in entry["confounds"]:
        options |= {"compcor": "anat_combined", "n_compcor": entry["n_compcor"]}
    try:
        table, sample = load_confounds(file.path, strategy=tuple(entry["confounds"]), **options)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(
            f"{Path(file.motion or file.path).name}: confounds cannot be read ({error}); give fMRIPrep's table with "
            "the columns of these strategies, or choose other confounds"
        ) from error
    return table.to_numpy(float), None if sample is None else np.asarray(sample)
