"""Augmentation that keeps anatomy plausible: mirror images, mixtures of two people, small affine jitter, noise.

Only inputs and targets of training scans change; latents are written for the unchanged scans.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

BOX = (160.0, 192.0, 160.0)  # mm that the grid spans (preprocess.grid)


def augmented(x: Tensor, generator: torch.Generator, *, flip: bool, mixup: float, jitter: float) -> Tensor:
    """Return training scans (scans, 1, x, y, z) after mixing, mirroring and jitter; 0 or False switches one off."""
    x = mixed(x, generator, mixup) if mixup else x
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
