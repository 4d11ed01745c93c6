"""The network: a 3-D convolutional encoder and decoder around a Gaussian posterior."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

LOGVAR = (-10.0, 4.0)  # clamp before sampling: without it training went to NaN within the first epochs


class VAE(nn.Module):
    """q(z|x) = N(mu(x), diag exp logvar(x)) and x_hat(z) = mean + W z + network(z); mu(x) = V (x - mean) + network(x).

    V and W are fixed: the probabilistic PCA of the training people (Tipping and Bishop 1999), or zero. The networks,
    of strided convolutions, start at zero and learn what a linear map cannot: few people are enough for the linear
    part, and early stopping decides how much of the rest they carry. Networks given as `parts`, an encoder and a
    decoder, stand in their place; either there is no linear part then, or the decoder is given W z for z (`corrects`).
    """

    mean: Tensor
    mask: Tensor
    voxels: Tensor
    inward: Tensor
    outward: Tensor

    encoder: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        *,
        mask: Tensor,
        n_latent: int,
        base_channels: int,
        dropout: float,
        parts: tuple[nn.Module, nn.Module] | None = None,
        corrects: bool = False,
    ) -> None:
        super().__init__()
        shape, voxels = (mask.shape[0], mask.shape[1], mask.shape[2]), mask.flatten().nonzero()[:, 0]
        linear = n_latent if corrects or not parts else 0
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("mask", mask.clone())
        self.register_buffer("voxels", voxels, persistent=False)  # those of the mask, in the flattened volume
        self.register_buffer("inward", torch.zeros(linear, len(voxels)))  # V
        self.register_buffer("outward", torch.zeros(linear, len(voxels)))  # W
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.encoder, self.decoder = parts or dense(shape, n_latent, base_channels, dropout)
        self.corrects = corrects
        self.without: list[Linear] = []  # linear parts fitted without some of the training people (cross-fitting)
        self.group: int | None = None  # which of these stands for the linear part now; None: the linear part itself

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and clamped log-variance, each (scans, latents), of volumes (scans, 1, x, y, z)."""
        departure = (x - self.mean) * self.mask
        mu, logvar = self.encoder(departure).float().chunk(2, dim=1)
        with torch.autocast(x.device.type, enabled=False):
            mu = mu + self._inward(departure) if len(self.inward) else mu
            return mu, logvar.clamp(*LOGVAR)

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction (scans, 1, x, y, z) of latents (scans, latents)."""
        with torch.autocast(z.device.type, enabled=False):
            linear_part = self._outward(z) if len(self.outward) else z.new_zeros(())
        given = torch.cat([linear_part, *self._constants(len(z))], dim=1) if self.corrects else z
        network_part = self.decoder(given).float()
        with torch.autocast(z.device.type, enabled=False):
            x_hat: Tensor = self.mean + linear_part + (network_part * self.mask if self.corrects else network_part)
        return x_hat

    def _inward(self, departure: Tensor) -> Tensor:
        return departure.flatten(1).index_select(1, self.voxels) @ self._linear().inward.T

    def _outward(self, z: Tensor) -> Tensor:
        volumes = z.new_zeros(len(z), self.mask.numel()).index_copy(1, self.voxels, z @ self._linear().outward)
        return volumes.view(-1, 1, *self.mask.shape)

    def _linear(self) -> "Linear":
        return Linear(self.inward, self.outward) if self.group is None else self.without[self.group]

    def _constants(self, scans: int) -> list[Tensor]:
        """Mean and mask, for each scan (scans, 1, x, y, z)."""
        return [part.float().expand(scans, 1, -1, -1, -1) for part in (self.mean, self.mask)]

    def start_at(self, components: Tensor, variances: Tensor, sigma: float) -> None:
        """Set the linear part to the posterior of probabilistic PCA, each latent with a standard normal prior.

        Args:
            components: orthonormal, (latents, voxels of the mask).
            variances: of the training people's scores, (latents,).
            sigma: standard deviation of the likelihood.
        """
        with torch.no_grad():
            for part, found in zip((self.inward, self.outward), linear(components, variances, sigma), strict=True):
                part.copy_(found)
            posterior: Tensor = self.encoder[-1].bias[-len(variances) :]  # type: ignore[index]
            posterior.copy_((sigma**2 / (variances + sigma**2)).log())


class Linear(NamedTuple):
    """The linear maps of a probabilistic PCA in the mask, each (latents, voxels)."""

    inward: Tensor
    outward: Tensor


def linear(components: Tensor, variances: Tensor, sigma: float) -> Linear:
    """Posterior mean and reconstruction of probabilistic PCA; arguments as of `VAE.start_at`."""
    inward = components * (variances.sqrt() / (variances + sigma**2))[:, None]
    return Linear(inward, components * variances.sqrt()[:, None])


def dense(
    shape: tuple[int, int, int], n_latent: int, base_channels: int, dropout: float
) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder that end in dense layers, so that each latent sees and draws the whole volume."""
    small, channels = plan(shape, base_channels)
    features = channels[-1] * small[0] * small[1] * small[2]
    down_layers = [layer for a, b in pairwise(channels) for layer in (nn.GELU(), nn.Conv3d(a, b, 4, 2, 1))]
    up = [layer for a, b in pairwise(channels[::-1]) for layer in (nn.ConvTranspose3d(a, b, 4, 2, 1), nn.GELU())]
    encoder = nn.Sequential(
        nn.Conv3d(1, base_channels, 8, 4, 2),
        *down_layers,
        nn.GELU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(features, 2 * n_latent),
    )
    decoder = nn.Sequential(
        nn.Linear(n_latent, features),
        nn.Unflatten(1, (channels[-1], *small)),
        nn.GELU(),
        *up,
        nn.Conv3d(base_channels, 4**3, 3, padding=1),
        ToSpace(),
    )
    for last in (encoder[-1], decoder[-2]):
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return encoder, decoder


class ToSpace(nn.Module):
    """Channels (scans, n^3, x, y, z) to one of n times the grid (scans, 1, n x, n y, n z).

    As the last layer, a transposed convolution to one channel took 13 times as long on a CPU.
    """

    def __init__(self, n: int = 4) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """Voxel (n x + i, n y + j, n z + k) is channel (i, j, k) of (x, y, z)."""
        scans, _, *sides = x.shape
        blocks = x.reshape(scans, self.n, self.n, self.n, *sides).permute(0, 4, 1, 5, 2, 6, 3)
        return blocks.reshape(scans, 1, *(self.n * side for side in sides))


def plan(shape: tuple[int, int, int], base_channels: int) -> tuple[tuple[int, int, int], list[int]]:
    """The coarsest grid and the channels of each level: a first stride of 4, then halves while they stay above 3.

    A first layer with one channel at full resolution is most of a plain network's time; a stride of 4 avoids it.
    """
    if any(side % 8 for side in shape):
        raise ValueError(f"the grid {shape} does not divide by 8")
    small, channels = (shape[0] // 4, shape[1] // 4, shape[2] // 4), [base_channels]
    while all(side % 2 == 0 and side > 6 for side in small):
        small, channels = (small[0] // 2, small[1] // 2, small[2] // 2), [*channels, 2 * channels[-1]]
    return small, channels


def sample(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """z = mu + sigma * eps; eps (..., scans, latents) is drawn on the CPU, so that a seed means the same anywhere."""
    return mu + (logvar / 2).exp() * eps
