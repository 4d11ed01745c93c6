"""The network of several blocks: of each an encoder and a decoder around a linear part, with shared latents."""

from typing import Any

import torch
from torch import Tensor, nn

from neurovae.train.losses.multiblock import Posteriors, gaussian
from neurovae.train.models import local_network
from neurovae.train.models.network import LOGVAR


class Encoder(nn.Module):
    """A perceptron from features (people, features) to changes of means, and log-variances; it begins at 0."""

    def __init__(self, size: int, hidden: int, latents: int, dropout: float) -> None:
        super().__init__()
        last = nn.Linear(hidden, 2 * latents)
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, hidden), nn.GELU(), nn.Dropout(dropout), last)
        _zero(last)

    def forward(self, x: Tensor) -> Tensor:
        """Changes of the means, then log-variances (people, 2 latents)."""
        return self.layers(x)  # type: ignore[no-any-return]

    def start_at(self, logvar: Tensor) -> None:
        """Set the log-variances before the first step."""
        self.layers[-1].bias[-len(logvar) :] = logvar  # type: ignore[index,operator]


class Decoder(nn.Module):
    """A perceptron from latents (people, latents) to a change of the linear reconstruction; it begins at 0."""

    def __init__(self, size: int, hidden: int, latents: int, dropout: float) -> None:
        super().__init__()
        last = nn.Linear(hidden, size)
        self.layers = nn.Sequential(nn.Linear(latents, hidden), nn.GELU(), nn.Dropout(dropout), last)
        _zero(last)

    def forward(self, z: Tensor, linear: Tensor) -> Tensor:
        """The change (people, features)."""
        return self.layers(z)  # type: ignore[no-any-return]


class ImageEncoder(nn.Module):
    """Of the default VAE's local network: the encoder is linear, and log-variances do not depend on the scan."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.constant = local_network.Constant(latents)

    def forward(self, x: Tensor) -> Tensor:
        """Zeros, then log-variances (people, 2 latents)."""
        return self.constant(x)  # type: ignore[no-any-return]

    def start_at(self, logvar: Tensor) -> None:
        """Set the log-variances before the first step."""
        self.constant.bias.copy_(logvar)


class ImageDecoder(nn.Module):
    """Of the default VAE's local network: convolutions that correct the linear reconstruction nearby."""

    mask: Tensor
    mean: Tensor

    def __init__(self, mask: Tensor, latents: int, base_channels: int) -> None:
        super().__init__()
        shape = (mask.shape[0], mask.shape[1], mask.shape[2])
        self.register_buffer("mask", mask.clone())
        self.register_buffer("mean", torch.zeros(shape))
        self.layers = local_network.parts(shape, latents, base_channels)[1]

    def forward(self, z: Tensor, linear: Tensor) -> Tensor:
        """The change of masked voxels (people, voxels), from the linear departure of masked voxels."""
        volumes = linear.new_zeros(len(z), 1, *self.mask.shape)
        volumes[:, 0, self.mask] = linear
        constants = [part.float().expand(len(z), 1, -1, -1, -1) for part in (self.mean, self.mask)]
        change: Tensor = self.layers(torch.cat([volumes, *constants], dim=1)).float()
        return change[:, 0, self.mask]


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class BlockNetwork(nn.Module):
    """One block: standardised features to the expert of s and the posterior of p, and back.

    Of a feature that is missing the encoder is given the mean of the training people, 0; the likelihood leaves it out.
    """

    mean: Tensor
    scale: Tensor
    inward: Tensor
    outward: Tensor

    def __init__(self, size: int, n_shared: int, n_private: int, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        latents = n_shared + n_private
        self.n_shared = n_shared
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("inward", torch.zeros(latents, size))
        self.register_buffer("outward", torch.zeros(latents, size))
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.log_sigma_cross = nn.Parameter(torch.zeros(()))
        self.encoder, self.decoder = encoder, decoder

    def standard(self, x: Tensor) -> Tensor:
        """Features in standard deviations from the training people's mean; missing ones stay NaN."""
        return (x - self.mean) / self.scale

    def encode(self, standard: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Mean and log-variance of the expert of s, and of the posterior of p, each (people, latents)."""
        linear, evidence = self.linear(standard)
        change, logvar = self.encoder(self.given(standard)).float().chunk(2, dim=1)
        mu, logvar = change + linear, (logvar + evidence).clamp(*LOGVAR)
        n = self.n_shared
        return (mu[:, :n], logvar[:, :n]), (mu[:, n:], logvar[:, n:])

    def given(self, standard: Tensor) -> Tensor:
        """What the network of the encoder reads."""
        return torch.nan_to_num(standard)

    def linear(self, standard: Tensor) -> tuple[Tensor, Tensor | float]:
        """Means (people, latents) and log-variances to which those of the network are added."""
        return torch.nan_to_num(standard) @ self.inward.T, 0.0

    def likelihood(self, x: Tensor, decoded: Tensor, log_sigma: Tensor) -> Tensor:
        """Negative log-likelihood (people,) of standardised features, NaN where missing."""
        return gaussian(x, decoded, log_sigma)

    def expected(self, decoded: Tensor) -> Tensor:
        """Expected standardised features of what is decoded."""
        return decoded

    def decode(self, s: Tensor, p: Tensor) -> Tensor:
        """Standardised features (people, features) of shared and private latents."""
        z = torch.cat([s, p], dim=1)
        linear = z @ self.outward
        return linear + self.decoder(z, linear).float()


class Blocks(nn.Module):
    """Several blocks, side by side in their features; `cross` is lambda, `weights` are w_m."""

    def __init__(self, blocks: list[BlockNetwork], sizes: list[int], n_shared: int, n_private: int,
                 cross: float) -> None:  # fmt: skip
        super().__init__()
        self.sizes = sizes
        self.weights = [min(self.sizes) / size for size in self.sizes]
        self.n_shared, self.n_private, self.cross = n_shared, n_private, cross
        self.blocks = nn.ModuleList(blocks)

    def split(self, x: Tensor) -> list[Tensor]:
        """Standardised features of each block, of rows (people, all features)."""
        parts = x.split(self.sizes, dim=1)
        return [block.standard(part) for block, part in zip(self.blocks, parts, strict=True)]  # type: ignore[operator]

    def encode(self, parts: list[Tensor], use: Tensor | None = None) -> Posteriors:
        """Posteriors of standardised blocks; use: which blocks are used of each person (blocks, people), None: all."""
        there = torch.stack([~part.isnan().all(dim=1) for part in parts])
        found = [block.encode(part) for block, part in zip(self.blocks, parts, strict=True)]  # type: ignore[operator]
        return Posteriors([one[0] for one in found], [one[1] for one in found], there if use is None else there & use)

    def decode(self, block: int, s: Tensor, p: Tensor) -> Tensor:
        """Standardised features of one block."""
        decoded: Tensor = self.blocks[block].decode(s, p)  # type: ignore[operator]
        return decoded


class Fused(Blocks):
    """The network of the unsupervised model, whose blocks are images, tables and connectivity."""

    def __init__(self, described: list[dict[str, Any]], mask: Tensor, *, n_shared: int, n_private: int, hidden: int,
                 base_channels: int, dropout: float, cross: float = 1.0) -> None:  # fmt: skip
        latents, blocks = n_shared + n_private, []
        for one in described:
            image = one["type"] == "volumes"
            encoder = ImageEncoder(latents) if image else Encoder(one["size"], hidden, latents, dropout)
            decoder = (ImageDecoder(mask, latents, base_channels) if image
                       else Decoder(one["size"], hidden, latents, dropout))  # fmt: skip
            blocks.append(BlockNetwork(one["size"], n_shared, n_private, encoder, decoder))
        super().__init__(blocks, [one["size"] for one in described], n_shared, n_private, cross)
