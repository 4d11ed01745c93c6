"""The loss of a model of several blocks with shared and private latents, in nats, a row per person.

    sum_m w_m [NLL_m(x_m | s_joint, p_m) + NLL_m(x_m | s_m, p_m)]
    + lambda sum_{m != k} w_m NLL_m(x_m | s_k, p_m ~ prior) + beta KL of every posterior

s_joint is drawn from the product of the experts that are there (Wu and Goodman 2018), s_m from the one of block m with
the prior. In the cross terms block m is decoded from what another block says of s, its private latents being drawn from
the prior: their own posterior would explain x_m without s (Palumbo 2023). w_m = D_min / D_m, so that each block counts
as much as the one with the fewest features. A block that a person does not have adds nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from neurovae.train.losses.divergence import kl_per_dimension
from neurovae.train.losses.experts import product

Decode = Callable[[int, Tensor, Tensor], Tensor]  # block, s, p -> what its likelihood needs, (people, features)
Draw = Callable[[tuple[Tensor, Tensor], int], Tensor]  # mean and log-variance, number of the draw -> a sample
Likelihood = Callable[[Tensor, Tensor, Tensor], Tensor]  # x, decoded, log-dispersion -> NLL (people,)


class Posteriors(NamedTuple):
    """Experts of the shared latents and posteriors of the private ones, per block: (people, latents), and presence."""

    shared: Sequence[tuple[Tensor, Tensor]]
    private: Sequence[tuple[Tensor, Tensor]]
    present: Tensor  # bool (blocks, people)

    def joint(self) -> tuple[Tensor, Tensor]:
        """Shared latents given all blocks of a person."""
        return product(torch.stack([one[0] for one in self.shared]), torch.stack([one[1] for one in self.shared]),
                       self.present)  # fmt: skip

    def single(self, block: int) -> tuple[Tensor, Tensor]:
        """Shared latents given one block; the prior where a person does not have it."""
        mu, logvar = self.shared[block]
        return product(mu[None], logvar[None], self.present[block][None])


class Terms(NamedTuple):
    """Parts of the loss per person: (people, blocks), (people, pairs of blocks) and (people, latents)."""

    own: Tensor  # both terms of each block, weighted
    cross: Tensor  # m from k, in the order (0, 1), (0, 2), ..., (1, 0), ..., weighted
    kl: Tensor  # s_joint, then s_m of each block, then p_m of each block

    def total(self, cross: float, beta: float) -> Tensor:
        """The loss (people,)."""
        return self.own.sum(dim=1) + cross * self.cross.sum(dim=1) + beta * self.kl.sum(dim=1)


def gaussian(x: Tensor, decoded: Tensor, log_sigma: Tensor) -> Tensor:
    """-log N(x; decoded, sigma^2 I) over the features that are there: (people, features) -> (people,).

    Missing features are NaN in x; they change nothing to the bit, value or gradient.
    """
    there = ~x.isnan()
    departure = torch.where(there, torch.nan_to_num(x) - decoded, 0)
    constant = log_sigma + math.log(2 * math.pi) / 2
    return departure.square().sum(dim=1) / (2 * (2 * log_sigma).exp()) + there.sum(dim=1) * constant


def terms(
    blocks: Sequence[Tensor],
    found: Posteriors,
    decode: Decode,
    draw: Draw,
    *,
    weights: Sequence[float],
    likelihoods: Sequence[Likelihood],
    log_sigma: Sequence[Tensor],
    log_sigma_cross: Sequence[Tensor],
) -> Terms:
    """Terms of the loss of people with some of the blocks.

    Args:
        blocks: x_m (people, features), NaN where a feature is missing.
        found: posteriors given them.
        decode: of a block, from shared and private latents.
        draw: a sample of a posterior; the number tells draws apart.
        weights: w_m.
        likelihoods: NLL_m.
        log_sigma, log_sigma_cross: log-dispersion of each block given its own latents, and given another block's.
    """
    count = len(blocks)
    joint, singles = found.joint(), [found.single(m) for m in range(count)]
    s_joint, s = draw(joint, 0), [draw(singles[m], 1 + m) for m in range(count)]
    p = [draw(found.private[m], 1 + count + m) for m in range(count)]
    own, cross = [], []
    for m, x in enumerate(blocks):
        nll, there = likelihoods[m], found.present[m]
        both = [nll(x, decode(m, shared, p[m]), log_sigma[m]) for shared in (s_joint, s[m])]
        own.append(torch.where(there, weights[m] * (both[0] + both[1]), 0))
        for k in (k for k in range(count) if k != m):
            prior = draw((torch.zeros_like(p[m]), torch.zeros_like(p[m])), 1 + 2 * count + m * count + k)
            value = weights[m] * nll(x, decode(m, s[k], prior), log_sigma_cross[m])
            cross.append(torch.where(there & found.present[k], value, 0))
    private = [torch.where(found.present[m][:, None], kl_per_dimension(*found.private[m]), 0) for m in range(count)]
    kl = torch.cat([kl_per_dimension(*one) for one in (joint, *singles)] + private, dim=1)
    return Terms(torch.stack(own, dim=1), torch.stack(cross, dim=1), kl)
