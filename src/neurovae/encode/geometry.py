"""The array that an encoder needs, from a scan on the run's grid, and back: orientation, voxel size, shape.

Both are images with an affine to MNI mm, so that resampling between them (nibabel) keeps left and right.
"""

from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt
from nibabel.processing import resample_from_to

from neurovae.encode.intensity import scaled


def affine_of(image: dict[str, Any]) -> np.ndarray:
    """Affine (array to MNI mm) of the array that a card's `input` describes; its middle lies at `centre_mm`."""
    shape, size = np.array(image["shape"]), np.broadcast_to(image["voxel_mm"], 3)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(axcodes2ornt(tuple(image["orientation"]))):
        affine[int(world), axis] = sign * size[axis]
    affine[:3, 3] = np.asarray(image["centre_mm"]) - affine[:3, :3] @ ((shape - 1) / 2)
    return affine


def resampled(
    volume: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], target: np.ndarray, outside: float = 0.0
) -> np.ndarray:
    """Values of a volume on another grid (linear interpolation), single precision; `outside` beyond its edge."""
    if volume.shape == tuple(shape) and np.allclose(affine, target, atol=1e-5):
        return volume.astype(np.float32)
    image = nib.Nifti1Image(volume.astype(np.float32), affine)
    return resample_from_to(image, (shape, target), order=1, mode="constant", cval=outside).get_fdata(dtype=np.float32)


def lifted(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A packed volume with 0 outside the brain: its smallest value in the mask becomes 0.

    That is the background's, or the darkest voxel's of a brain that fills the mask, which is little more.

    Packed intensities are those of a skull-stripped scan after one linear function, which no rule of a card notices.
    """
    inside = volume[mask].astype(np.float32)
    out = np.zeros(mask.shape, np.float32)
    out[mask] = inside - inside.min()
    return out


def prepared(volume: np.ndarray, mask: np.ndarray, affine: np.ndarray, image: dict[str, Any]) -> np.ndarray:
    """The array (x, y, z) that a card's `input` asks for.

    Args:
        volume: packed scan on the run's grid.
        mask: the fixed mask of that grid.
        affine: of that grid, to MNI mm.
        image: `input` of the card.

    Raises:
        InputError: the scan has no contrast.
    """
    on_grid = resampled(lifted(volume, mask), affine, tuple(image["shape"]), affine_of(image))
    return scaled(on_grid, image["intensity"])
