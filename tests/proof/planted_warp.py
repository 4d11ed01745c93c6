"""A smooth, invertible change of a region's volume: Poisson's equation, its gradient as a velocity, the exponential.

The divergence of the velocity is 1 in the region and negative in the tissue around it, with a sum of zero, so that
nothing moves at the border of the grid. Points follow the velocity for a time (negative: the region shrinks). All
lengths are voxels of an isotropic grid. No library at hand has the exponential of a constant velocity (ANTs integrates
velocities over time, by Runge-Kutta; the tests compare with it): scaling and squaring (Arsigny 2006) takes ten lines.
"""

import numpy as np
import torch
from scipy.fft import dctn, idctn
from scipy.ndimage import distance_transform_edt, map_coordinates
from torch.nn.functional import grid_sample

STEP = 0.1  # voxels at most that the first of the squared displacements moves a point
STILL = 1e-3  # voxels: what moves less is left as it is
TIMES, STEPS = 12.0, 96  # longest time for which points of the region are followed, and steps on the way
SPLINE = 3  # order of the spline that resamples an image


def source(region: np.ndarray, tissue: np.ndarray, reach: float) -> np.ndarray:
    """Divergence: 1 in the region, negative around it and zero from `reach` on and outside the tissue; sums to zero.

    Args:
        region: share of each voxel that lies in the region (x, y, z).
        tissue: where the region's growth may be taken from (x, y, z), bool.
        reach: distance from the region, voxels.
    """
    inside = np.asarray(region, np.float64)
    distance = np.asarray(distance_transform_edt(inside < 0.5))
    around = np.where(tissue, (1 - inside) * (1 - distance / reach).clip(min=0), 0.0)
    return inside - around * (inside.sum() / around.sum())


def velocity(divergence: np.ndarray) -> np.ndarray:
    """Gradient (3, x, y, z) of the solution of Poisson's equation; nothing flows through the border of the grid."""
    modes = [2 * np.cos(np.pi * np.arange(side) / side) - 2 for side in divergence.shape]
    eigenvalues = modes[0][:, None, None] + modes[1][:, None] + modes[2]
    eigenvalues[0, 0, 0] = 1  # the mean, which is zero
    potential = idctn(dctn(divergence) / eigenvalues)
    flow = np.empty((3, *divergence.shape), np.float32)
    for axis in range(3):
        faces = np.diff(potential, axis=axis)
        sides = [np.pad(faces, [(end, 1 - end) if k == axis else (0, 0) for k in range(3)]) for end in (0, 1)]
        flow[axis] = (sides[0] + sides[1]) / 2
    return flow


def exponential(flow: np.ndarray) -> np.ndarray:
    """Displacement (3, x, y, z) of points that follow a velocity for a time of 1, by scaling and squaring."""
    rounds = max(0, int(np.ceil(np.log2(max(float(np.abs(flow).max()), 1e-12) / STEP))))
    moved = torch.from_numpy(flow / 2**rounds)[None]
    for _ in range(rounds):
        moved = moved + _at_moved(moved, moved)
    return moved[0].numpy()


def _at_moved(field: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """A field (1, channels, x, y, z) at x + displacement, trilinear; beyond the border its value there."""
    axes = [torch.arange(side, dtype=torch.float32) for side in moved.shape[2:]]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij")) + moved[0]
    scale = torch.tensor([2 / (side - 1) for side in moved.shape[2:]]).reshape(3, 1, 1, 1)
    grid = (where * scale - 1).flip(0).permute(1, 2, 3, 0)[None]
    return grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=True)


def jacobian(moved: np.ndarray) -> np.ndarray:
    """Determinant (x, y, z) of the derivatives of x + displacement."""
    derivatives = np.stack([np.stack(np.gradient(one.astype(np.float64))) for one in moved])
    matrices = np.moveaxis(derivatives, (0, 1), (-2, -1)) + np.eye(3)
    determinants: np.ndarray = np.linalg.det(matrices)
    return determinants


def warped(image: np.ndarray, flow: np.ndarray, time: float, order: int = SPLINE) -> np.ndarray:
    """The image whose anatomy has followed the velocity for a time: each voxel that is not 0 takes what comes to it."""
    back = exponential(np.float32(-time) * flow)
    moves = (np.abs(back).max(axis=0) > STILL) & (image != 0 if order > 1 else True)
    out = np.asarray(image, np.float32).copy()
    where = np.stack(np.nonzero(moves)) + back[:, moves]
    out[moves] = map_coordinates(out, where, order=order, mode="nearest")
    return out


def growth(region: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times (rising) and the log of the region's volume at each over that at 0: points are followed, midpoint rule.

    Along a path, the log of the local volume grows by the velocity's divergence.
    """
    divergence = sum(np.gradient(flow[axis], axis=axis) for axis in range(3))
    fields, weight = np.concatenate([flow, np.asarray(divergence)[None]]), region[region > 0]
    times, volumes = [0.0], [0.0]
    for sign in (-1, 1):
        at, log = np.stack(np.nonzero(region)).astype(np.float64), np.zeros(len(weight))
        for k in range(1, STEPS + 1):
            step = sign * TIMES / STEPS
            halfway = at + step / 2 * _values(fields[:3], at)
            middle = _values(fields, halfway)
            at, log = at + step * middle[:3], log + step * middle[3]
            times.append(sign * k * TIMES / STEPS)
            volumes.append(float(np.log((weight * np.exp(log)).sum() / weight.sum())))
    order = np.argsort(times)
    return np.array(times)[order], np.array(volumes)[order]


def _values(fields: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([map_coordinates(field, at, order=1, mode="nearest") for field in fields])
