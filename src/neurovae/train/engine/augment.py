"""Augmentation that keeps anatomy plausible: mirror images, mixtures and mosaics of people, affine jitter, noise.

Only inputs and targets of training scans change; latents are written for the unchanged scans.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from neurovae.train.engine.windows import BOX, axes

PEOPLE = 8  # of a batch, from whose scans a mosaic is put together


def augmented(
    x: Tensor,
    generator: torch.Generator,
    *,
    flip: bool,
    mixup: float,
    jitter: float,
    mosaic: float,
    mosaic_mm: float,
    centre: Tensor,
) -> Tensor:
    """Return training scans (scans, 1, x, y, z) after mixing, mirroring and jitter; 0 or False switches one off.

    centre: mean (x, y, z) of the training people, about which mosaics are put together.
    """
    alone = x
    x = mixed(x, generator, mixup) if mixup else x
    x = pieced(x, alone, generator, mosaic, mosaic_mm, centre) if mosaic and len(x) > 1 else x
    x = flipped(x, generator) if flip else x
    return jittered(x, generator, jitter) if jitter else x


def flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each scan mirrored with probability one half (world x -> -x); the grid is symmetric about the midline."""
    coin = torch.rand(len(x), generator=generator).to(x.device) < 0.5
    return torch.where(coin[:, None, None, None, None], x.flip(2), x)


def mixed(x: Tensor, generator: torch.Generator, fraction: float) -> Tensor:
    """A fraction of the scans replaced by a weighted average with another scan of the batch, weight uniform in 0 to 1.

    Registered brains are averaged, as in mixup (Zhang 2018), but input and target are one image.
    """
    partner = torch.randperm(len(x), generator=generator)
    weight = torch.rand(len(x), generator=generator)
    weight = torch.where(torch.rand(len(x), generator=generator) < fraction, weight, 1.0)
    weight = weight.to(x.device)[:, None, None, None, None]
    return weight * x + (1 - weight) * x[partner.to(x.device)]


def pieced(
    x: Tensor, alone: Tensor, generator: torch.Generator, fraction: float, taper_mm: float, centre: Tensor
) -> Tensor:
    """A fraction of the scans x replaced by mosaics of the scans `alone`: centre + sum_i a_i (x_i - centre).

    The fields a_i of at most `PEOPLE` scans are smooth, of mean zero, and their squares sum to 1 at every voxel. So
    the covariance of mosaics is that of the scans, multiplied by a taper that falls to zero at `taper_mm`. It is the
    taper of localised components (`windows.taper`) to .03 for eight people, .11 for two: of the fields before they
    are scaled it is that exactly.
    """
    chosen = torch.rand(len(x), generator=generator) < fraction
    found = x.clone()
    for i in torch.nonzero(chosen).flatten().tolist():
        people = torch.randperm(len(x), generator=generator)[:PEOPLE]
        weights = fields(len(people), (x.shape[2], x.shape[3], x.shape[4]), taper_mm, generator, x.device)
        found[i, 0] = centre + (weights * (alone[people.to(x.device), 0] - centre)).sum(dim=0)
    return found


def fields(
    count: int, shape: tuple[int, int, int], taper_mm: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Smooth random fields (count, x, y, z) on the device whose squares sum to 1 at every voxel."""
    x, y, z = (torch.from_numpy(one).float().to(device) for one in axes(shape, taper_mm))
    drawn = torch.randn(count, x.shape[1], y.shape[1], z.shape[1], generator=generator).to(device)
    smooth = (x @ (y @ (drawn @ z.T)).flatten(2)).view(count, *shape)
    return smooth / smooth.norm(dim=0)


def jittered(x: Tensor, generator: torch.Generator, size: float) -> Tensor:
    """Rotate, scale and shift each scan a little: standard deviation `size` degrees, percent and mm on each axis."""
    random = size * torch.randn(len(x), 9, generator=generator)
    return transformed(x, angles=random[:, :3] * math.pi / 180, move=random[:, 3:6], scale=1 + random[:, 6:] / 100)


def transformed(x: Tensor, *, angles: Tensor, move: Tensor, scale: Tensor) -> Tensor:
    """Scans (scans, 1, x, y, z) whose content at q, mm from the middle of the grid, goes to R S q + move.

    Args:
        angles: rotation vector about x, y and z, radians, right-handed (scans, 3).
        move: mm along each (scans, 3).
        scale: along each, more than 1 is larger (scans, 3).
    """
    inverse = torch.linalg.inv(rotation(angles) * scale[:, None, :])  # where the content of a voxel comes from
    shift = -inverse @ move[:, :, None]
    side = torch.tensor(BOX)
    matrix = (inverse * side / side[:, None]).flip(1, 2)  # grid_sample counts in halves of a side, and z first
    theta = torch.cat([matrix, (2 * shift / side[:, None]).flip(1)], dim=2).to(x.device)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def rotation(angles: Tensor) -> Tensor:
    """Rotation matrices (scans, 3, 3) of rotation vectors in radians (scans, 3)."""
    x, y, z = angles.unbind(dim=1)
    nothing = torch.zeros_like(x)
    skew = torch.stack([nothing, -z, y, z, nothing, -x, -y, x, nothing], dim=1)
    return torch.linalg.matrix_exp(skew.view(-1, 3, 3))
