"""Encoder and decoder of a map of latents: convolutions only, so that each latent sees and draws one region.

Convolutions are shared between places and modulated by them, with a scale and an offset per channel and grid point,
because anatomy is not the same everywhere. Nothing is normalised over space, which would let every voxel reach every
latent. A latent reaches the volume by one path of linear layers, to which blocks add what is not linear.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from neurovae.train.models.map_grid import STEM, Grid, Sides
from neurovae.train.models.network import ToSpace

GAIN = 30.0  # of what modulates: a step of the optimiser then changes a place about as much as the shared weights
LOGVAR = -2.0  # log-variance of the posterior before the first step


class Modulated(nn.Module):
    """x (scans, channels, i, j, k) times 1 + GAIN scale, plus offset, of each channel and point; both begin at 0."""

    def __init__(self, channels: int, sides: Sides) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1, channels, *sides))
        self.offset = nn.Parameter(torch.zeros(1, channels, *sides))

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape and precision as x."""
        return x + x * (GAIN * self.scale).to(x.dtype) + self.offset.to(x.dtype)


class Block(nn.Module):
    """x + convolution(GELU(modulated x)): a neighbourhood of 3 points, of which the second term begins at 0."""

    def __init__(self, channels: int, sides: Sides) -> None:
        super().__init__()
        self.modulated = Modulated(channels, sides)
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape as x."""
        changed: Tensor = self.convolution(nn.functional.gelu(self.modulated(x)))
        return x + changed


class Points(nn.Module):
    """What both networks know of the grid: where the existing points lie among all of them, channel by channel."""

    at: Tensor

    def __init__(self, exists: np.ndarray, channels: int, n_global: int) -> None:
        super().__init__()
        self.sides: Sides = (exists.shape[0], exists.shape[1], exists.shape[2])
        self.channels, self.n_global = channels, n_global
        at = np.flatnonzero(np.concatenate([exists.ravel()] * channels))
        self.register_buffer("at", torch.from_numpy(at), persistent=False)
        self.register_buffer("exists", torch.from_numpy(exists), persistent=False)


class Encoder(Points):
    """Posterior means and log-variances (scans, 2 latents) of departures from the mean (scans, 1, x, y, z)."""

    exists: Tensor

    def __init__(self, grid: Grid, *, channels: int, n_global: int, base_channels: int, dropout: float) -> None:
        super().__init__(grid.exists, channels, n_global)
        widths, sides = levels(grid, base_channels)
        stem = nn.Conv3d(1, base_channels, 2 * STEM, STEM, STEM // 2)
        self.trunk = nn.Sequential(stem, Modulated(base_channels, sides[0]))
        for (a, b), (finer, here) in zip(pairwise(widths), pairwise(sides), strict=True):
            self.trunk.extend([Block(a, finer), nn.Conv3d(a, b, 4, 2, 1), Modulated(b, here)])
        self.trunk.extend([] if grid.levels else [Block(base_channels, sides[0])])
        self.dropout = nn.Dropout(dropout)
        self.of_points = nn.Conv3d(widths[-1], 2 * channels, 1)
        self.of_all = nn.Linear(widths[-1], 2 * n_global) if n_global else None
        nn.init.constant_(self.of_points.bias[channels:], LOGVAR)  # type: ignore[index]
        if self.of_all:
            nn.init.constant_(self.of_all.bias[n_global:], LOGVAR)

    def forward(self, departure: Tensor) -> Tensor:
        """Means of the existing points and of the global latents, then their log-variances."""
        x = self.dropout(self.trunk(departure))
        found = self.of_points(x).unflatten(1, (2, self.channels)).flatten(2)[:, :, self.at]  # (scans, 2, latents)
        if self.of_all:
            average = (x * self.exists.to(x.dtype)).sum(dim=(2, 3, 4)) / self.exists.sum()
            found = torch.cat([found, self.of_all(average).unflatten(1, (2, self.n_global))], dim=2)
        return found.flatten(1)


class Decoder(Points):
    """Departures from the mean (scans, 1, x, y, z) of latents (scans, latents)."""

    def __init__(self, grid: Grid, *, channels: int, n_global: int, base_channels: int) -> None:
        super().__init__(grid.exists, channels, n_global)
        widths, sides = levels(grid, base_channels)
        self.trunk = nn.Sequential(nn.Conv3d(channels + n_global, widths[-1], 1), Modulated(widths[-1], sides[-1]))
        for (a, b), (_, finer) in zip(pairwise(widths[::-1]), pairwise(sides[::-1]), strict=True):
            self.trunk.extend([nn.ConvTranspose3d(a, b, 4, 2, 1), Block(b, finer), Modulated(b, finer)])
        self.trunk.extend([] if grid.levels else [Block(base_channels, sides[0])])
        last = nn.Conv3d(base_channels, STEM**3, 3, padding=1)
        nn.init.zeros_(last.weight)  # an untrained network decodes to the mean
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.trunk.extend([last, ToSpace()])

    def forward(self, z: Tensor) -> Tensor:
        """Points that do not exist hold 0; a global latent is the same at every point."""
        of_points, of_all = z.split([z.shape[1] - self.n_global, self.n_global], dim=1)
        volume = z.new_zeros(len(z), self.channels * int(np.prod(self.sides))).index_copy(1, self.at, of_points)
        everywhere = of_all[:, :, None, None, None].expand(-1, -1, *self.sides)
        x: Tensor = self.trunk(torch.cat([volume.view(len(z), self.channels, *self.sides), everywhere], dim=1))
        return x


def levels(grid: Grid, base_channels: int) -> tuple[list[int], list[Sides]]:
    """Channels and points of each level, the finest first: each has twice the channels and half the points."""
    steps = range(grid.levels, -1, -1)
    x, y, z = grid.exists.shape
    return [base_channels * 2**k for k in range(len(steps))], [(x << k, y << k, z << k) for k in steps]
