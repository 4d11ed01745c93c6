"""The local network: convolutions that correct the linear reconstruction from its neighbourhood; the encoder is linear.

A correction sees no latent but through the linear reconstruction around a voxel, so that it cannot memorise people by
their latents. Convolutions are shared between places; a scale and an offset per channel, on a coarse grid, let their
effect differ from place to place.
"""

import torch
from torch import Tensor, nn

from neurovae.train.engine.windows import BOX
from neurovae.train.models.network import ToSpace

SPACING = 4.0  # mm between the points at which convolutions are made; on a coarser grid, its voxels
PLACES = (5, 6, 5)  # points of the coarse grid of scales and offsets
BLOCKS = 2  # after the first convolution; with it and the last, a correction sees 16 mm to each side


class Constant(nn.Module):
    """Posterior parameters that do not depend on the scan: nothing added to the linear means, a log-variance each."""

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_latent))

    def forward(self, x: Tensor) -> Tensor:
        """Zeros, then log-variances (scans, 2 latents)."""
        return torch.cat([torch.zeros_like(self.bias), self.bias]).expand(len(x), -1)


class Placed(nn.Module):
    """x times 1 + scale, plus offset; both are interpolated between the points of a coarse grid, and begin at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1, channels, *PLACES))
        self.offset = nn.Parameter(torch.zeros(1, channels, *PLACES))

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape and precision as x (scans, channels, x, y, z)."""
        both = torch.cat([self.scale, self.offset])
        scale, offset = nn.functional.interpolate(both, x.shape[2:], mode="trilinear", align_corners=True).to(x.dtype)
        return x + x * scale + offset


class Block(nn.Module):
    """x + SiLU(convolution(placed x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.placed = Placed(channels)
        self.convolution = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape as x."""
        changed: Tensor = nn.functional.silu(self.convolution(self.placed(x)))
        return x + changed


def parts(shape: tuple[int, int, int], n_latent: int, base_channels: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder, and decoder of the linear departure, the mean and the mask (scans, 3, x, y, z)."""
    stride = max(1, round(SPACING * shape[0] / BOX[0]))
    first = nn.Conv3d(3, base_channels, 3 if stride == 1 else 2 * stride, stride, 1 if stride == 1 else stride // 2)
    last = nn.Conv3d(base_channels, stride**3, 3, padding=1)
    nn.init.zeros_(last.weight)  # an untrained network leaves the linear reconstruction as it is
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    blocks = [Block(base_channels) for _ in range(BLOCKS)]
    return nn.Sequential(Constant(n_latent)), nn.Sequential(first, nn.SiLU(), *blocks, last, ToSpace(stride))
