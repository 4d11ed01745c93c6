"""Check a scan's orientation against its header: compare the brain with the template in all orientations, at 8 mm.

A header can be upside down or back to front; brain extraction and registration then fail, and limits on volume and
overlap may not detect it. So the brain is placed on the template (centre and volume of its mask alike) in the 24
orientations by right angles, each also tilted. The measure of agreement is R2: how much of the scan's intensities a
quadratic of the template's explains. The quadratic gives background, fluid, grey and white matter any brightness, so
that other contrasts than T1 can be compared too.

A registration that agrees less than one of these rough poses has stopped in a local optimum, and is restarted there.
A rotated header and a mirrored one look alike, since a brain is nearly symmetric: where an orientation other than the
header's agrees as well, left and right are unknown, and no registration can determine them.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.linalg import polar
from scipy.ndimage import binary_dilation, map_coordinates
from scipy.spatial.transform import Rotation

from neurovae.preprocess import grid

TEMPLATE_MM = 8.0
SCAN_MM = 6.0  # about; blocks of voxels are averaged
TILT_DEGREES = 20.0
NEAR_DEGREES = 50.0  # rotations up to here are poses of a head; those beyond are other orientations


class Coarse(NamedTuple):
    """A brain averaged over blocks of voxels, the affine from mm to its voxels, the centre and the size of its mask."""

    data: np.ndarray
    to_voxel: np.ndarray
    centre: np.ndarray
    size: float  # edge relative to the template's brain


class Template(NamedTuple):
    """The template at 8 mm: points in mm, an orthonormal basis of the quadratics of its T1, centre and volume."""

    points: np.ndarray
    basis: np.ndarray
    centre: np.ndarray
    volume: float


def coarse(brain: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> Coarse:
    """Average a brain (zero outside) and its mask; `affine` takes voxels to mm."""
    step = np.maximum(1, np.round(SCAN_MM / voxel_sizes(affine))).astype(int)
    in_mask = _block_average(mask, step)
    world = affine @ np.diag([*step, 1.0])
    world[:3, 3] = apply_affine(affine, (step - 1) / 2)
    centre = in_mask[in_mask > 0] @ apply_affine(world, np.argwhere(in_mask > 0)) / in_mask.sum()
    size = (in_mask.sum() * abs(np.linalg.det(world[:3, :3])) / _template().volume) ** (1 / 3)
    return Coarse(_block_average(brain, step), np.linalg.inv(world), centre, float(size))


def agreement(scan: Coarse, matrix: np.ndarray) -> float:
    """R2 of the scan on a quadratic of the template, where `matrix` (4 x 4, mm) takes template to scan."""
    template = _template()
    places = apply_affine(scan.to_voxel @ matrix, template.points)
    values = map_coordinates(scan.data, places.T, order=1)
    centred = values - values.mean()
    return float(np.square(template.basis.T @ centred).sum() / max(float(centred @ centred), 1e-30))


def best_poses(scan: Coarse) -> tuple[np.ndarray, np.ndarray]:
    """Return the best pose near the header's orientation, and the best of all others: template to scan (4 x 4, mm)."""
    best: dict[bool, tuple[float, np.ndarray]] = {}
    for rotation, near_header in _rotations():
        matrix = np.eye(4)
        matrix[:3, :3] = scan.size * rotation
        matrix[:3, 3] = scan.centre - matrix[:3, :3] @ _template().centre
        r2 = agreement(scan, matrix)
        if near_header not in best or r2 > best[near_header][0]:
            best[near_header] = (r2, matrix)
    return best[True][1], best[False][1]


def lead(scan: Coarse, candidates: list[np.ndarray]) -> float:
    """Return the R2 by which the best candidate near the header's orientation exceeds the best of all others."""
    r2 = {near: [agreement(scan, matrix) for matrix in candidates if is_near(matrix) == near] for near in (True, False)}
    return max(r2[True], default=0.0) - max(r2[False], default=0.0)


def is_near(matrix: np.ndarray) -> bool:
    """Whether this rotation can be the pose of a head whose header is right."""
    rotation = Rotation.from_matrix(polar(matrix[:3, :3])[0])
    return bool(np.degrees(rotation.magnitude()) <= NEAR_DEGREES)


@lru_cache
def _template() -> Template:
    image, mask = grid.template(TEMPLATE_MM), grid.brain_mask(TEMPLATE_MM)
    rim = binary_dilation(mask)  # some background, so that the outline counts
    intensity = image.get_fdata()[rim]
    basis = np.linalg.qr(np.column_stack([np.ones(len(intensity)), intensity, intensity**2]))[0][:, 1:]
    centre = apply_affine(image.affine, np.argwhere(mask)).mean(axis=0)
    points = apply_affine(image.affine, np.argwhere(rim))
    return Template(points, basis, centre, float(mask.sum()) * TEMPLATE_MM**3)


@lru_cache
def _rotations() -> list[tuple[np.ndarray, bool]]:
    """Return the 24 rotations that map axes to axes, each untilted and tilted both ways about x, y and z.

    The second value is whether it is near the header's orientation.
    """
    tilts = [Rotation.identity()]
    tilts += [Rotation.from_euler(axis, sign * TILT_DEGREES, degrees=True) for axis in "xyz" for sign in (-1, 1)]
    rotations = [(right_angles * tilt).as_matrix() for right_angles in Rotation.create_group("O") for tilt in tilts]
    return [(rotation, is_near(rotation)) for rotation in rotations]


def _block_average(data: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return means over blocks of voxels; voxels that do not fill a block are left out."""
    shape = np.array(data.shape) // step
    cropped = data[tuple(slice(0, n) for n in shape * step)].astype(np.float32)
    return np.asarray(cropped.reshape(shape[0], step[0], shape[1], step[1], shape[2], step[2]).mean(axis=(1, 3, 5)))
