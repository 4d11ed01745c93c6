"""The two blocks of a joint model: components of the image, and declared scores with the likelihood of their type."""

from typing import Any

import torch
from torch import Tensor, nn

from neurovae.train.losses.items import Items
from neurovae.train.models.block_network import BlockNetwork, Blocks, Decoder, Encoder

IMAGE, CLINICAL = 0, 1  # places of the blocks
LEAST = 0.0183  # precision of an expert of s, e^-4
FURTHEST = 3.0  # standard deviations from the mean: beyond them the encoder is given this


class Components(BlockNetwork):
    """The image in principal components; in training, each group of people is encoded by the linear part of others."""

    inward_without: Tensor

    def __init__(self, size: int, n_shared: int, n_private: int, groups: int, hidden: int, dropout: float) -> None:
        latents = n_shared + n_private
        super().__init__(size, n_shared, n_private, Encoder(size, hidden, latents, dropout),
                         Decoder(size, hidden, latents, dropout))  # fmt: skip
        self.register_buffer("inward_without", torch.zeros(groups, latents, size))
        self.group: int | None = None

    def linear(self, standard: Tensor) -> tuple[Tensor, Tensor | float]:
        """Means by the encoder of all training people, or by that without the group which is trained on."""
        inward = self.inward if self.group is None else self.inward_without[self.group]
        return torch.nan_to_num(standard) @ inward.T, 0.0


class Clinical(BlockNetwork):
    """Scores of several types; its linear part is the posterior of the linear model given the scores that are known.

    An outlier reaches the likelihood as it is, the encoder at FURTHEST.
    """

    noise: Tensor

    def __init__(self, described: list[dict[str, Any]], n_shared: int, n_private: int, hidden: int,
                 dropout: float) -> None:  # fmt: skip
        size, latents = len(described), n_shared + n_private
        super().__init__(size, n_shared, n_private, Encoder(2 * size, hidden, latents, dropout),
                         Decoder(size, hidden, latents, dropout))  # fmt: skip
        self.register_buffer("noise", torch.ones(size))
        self.log_sigma = nn.Parameter(torch.zeros(size))
        self.log_sigma_cross = nn.Parameter(torch.zeros(size))
        self.items = Items(described)

    def encode(self, standard: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Expert of s and posterior of p given the scores."""
        return super().encode(standard.clamp(-FURTHEST, FURTHEST))

    def given(self, standard: Tensor) -> Tensor:
        """Scores, 0 where missing, and which of them are known."""
        return torch.cat([torch.nan_to_num(standard), (~standard.isnan()).float()], dim=1)

    def linear(self, standard: Tensor) -> tuple[Tensor, Tensor | float]:
        """The expert of s and the posterior of p, of the linear model; without a known score nearly the prior."""
        known = (~standard.isnan()).float() / self.noise
        loads = self.outward.T  # (scores, latents)
        precision = torch.einsum("nd,dk,dl->nkl", known, loads, loads) + torch.eye(len(self.outward))
        covariance = torch.linalg.inv(precision)
        mean = torch.einsum("nkl,nl->nk", covariance, (torch.nan_to_num(standard) * known) @ loads)
        variance = covariance.diagonal(dim1=1, dim2=2)
        expert = (1 / variance - 1).clamp(min=LEAST)
        shared = torch.arange(len(self.outward)) < self.n_shared
        return (torch.where(shared, mean / variance / expert, mean),
                torch.where(shared, -expert.log(), variance.log()))  # fmt: skip

    def likelihood(self, x: Tensor, decoded: Tensor, log_sigma: Tensor) -> Tensor:
        """Negative log-likelihood (people,) of the scores that are known, by their types."""
        return self.items.nll(x, decoded, log_sigma)

    def expected(self, decoded: Tensor) -> Tensor:
        """Expected scores, in standard deviations from their mean."""
        return self.items.expected(decoded)


class Joint(Blocks):
    """Image and scores; `group`, which the training loop sets, is that of a batch."""

    def __init__(self, described: list[dict[str, Any]], components: int, *, n_shared: int, n_private: int, groups: int,
                 hidden: int, dropout: float, cross: float = 1.0, weight: float = 1.0) -> None:  # fmt: skip
        image = Components(components, n_shared, n_private, groups, hidden, dropout)
        clinical = Clinical(described, n_shared, n_private, hidden, dropout)
        super().__init__([image, clinical], [components, len(described)], n_shared, n_private, cross)
        self.weights[CLINICAL] *= weight

    @property
    def group(self) -> int | None:
        """Group of the batch, or None: not in training."""
        return self.blocks[IMAGE].group  # type: ignore[return-value]

    @group.setter
    def group(self, value: int | None) -> None:
        """Set the group of the batch."""
        self.blocks[IMAGE].group = value  # type: ignore[assignment]
