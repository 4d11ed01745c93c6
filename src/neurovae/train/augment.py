"""Augmentation that keeps anatomy plausible: mirror images, mixtures of two people, small affine jitter, noise.

Only inputs and targets of training scans change; the latents that are written out are of the scans as they are.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

BOX = (160.0, 192.0, 160.0)  # mm that the grid spans (preprocess.grid)


def augmented(x: Tensor, generator: torch.Generator, *, flip: bool, mix: float, jitter: float) -> Tensor:
    """Training scans (scans, 1, x, y, z) after mixing, mirroring and jitter; a value of 0 or False switches one off."""
    x = mixed(x, generator, mix) if mix else x
    x = flipped(x, generator) if flip else x
    return jittered(x, generator, jitter) if jitter else x


def flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each scan mirrored with probability one half (world x -> -x); the grid is symmetric about the midline."""
    coin = torch.rand(len(x), generator=generator).to(x.device) < 0.5
    return torch.where(coin[:, None, None, None, None], x.flip(2), x)


def mixed(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """A share of the scans replaced by a weighted average with another scan of the batch, weight uniform in 0 to 1.

    Registered brains are averaged, as in mixup (Zhang 2018), but input and target are one image.
    """
    partner = torch.randperm(len(x), generator=generator)
    weight = torch.rand(len(x), generator=generator)
    weight = torch.where(torch.rand(len(x), generator=generator) < share, weight, 1.0)
    weight = weight.to(x.device)[:, None, None, None, None]
    return weight * x + (1 - weight) * x[partner.to(x.device)]


def jittered(x: Tensor, generator: torch.Generator, size: float) -> Tensor:
    """Each scan turned, moved and scaled a little: standard deviation `size` degrees, mm and percent on each axis."""
    drawn = size * torch.randn(len(x), 9, generator=generator)
    turn, move, scale = drawn[:, :3] * math.pi / 180, drawn[:, 3:6], 1 + drawn[:, 6:] / 100
    sides = torch.tensor(x.shape[:1:-1], dtype=torch.float32)  # z, y, x: the order of grid_sample's coordinates
    matrix = rotation(turn) * scale[:, None, :] * sides / sides[:, None]
    shift = (2 * move / torch.tensor(BOX[::-1]))[:, :, None]
    grid = functional.affine_grid(torch.cat([matrix, shift], dim=2).to(x.device), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def rotation(turn: Tensor) -> Tensor:
    """Rotation matrices (scans, 3, 3) of angles in radians about three axes, one after another."""
    zero = torch.zeros_like(turn)
    skew = torch.stack(
        [zero[:, 0], -turn[:, 2], turn[:, 1], turn[:, 2], zero[:, 0], -turn[:, 0], -turn[:, 1], turn[:, 0], zero[:, 0]],
        dim=1,
    )
    return torch.linalg.matrix_exp(skew.view(-1, 3, 3))
