"""The term that aligns latents with scores: 1 - r, r the partial correlation of a latent and a score given confounds.

With e the score's residual on the confounds, M the projection that takes the confounds out, and |e| = 1,
    r = e'z / |M z|   and   dr/dz = (e - r M z / |M z|) / |M z|.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Target(NamedTuple):
    """A score of people (n,) with its confounds.

    residual: of the score on the confounds, with coefficients of the training people; NaN where a person lacks it.
    basis: confounds (n, columns), orthonormal over the training people who have the score, 0 for those who lack it.
    """

    residual: Tensor
    basis: Tensor


def adjusted(z: Tensor, target: Target, training: tuple[Tensor, Target]) -> Tensor:
    """Latent (n,) without what the confounds say of it, with coefficients of the training people.

    Args:
        z: latent (n,).
        target: of these people.
        training: latent and target of the training people; the same ones where they are these people.
    """
    return z - target.basis @ (training[1].basis.T @ training[0])


def correlation(z: Tensor, target: Target, training: tuple[Tensor, Target] | None = None) -> Tensor:
    """Correlation () of latent and score, both adjusted; in training people it is the partial correlation.

    Where the latent does not vary it is 0.
    """
    known = ~target.residual.isnan()
    rest = adjusted(z, target, training or (z, target))[known]
    e = target.residual[known]
    if training:
        rest, e = rest - rest.mean(), e - e.mean()
    size = rest.norm() * e.norm()
    return torch.where(size > 0, (rest * e).sum() / size.clamp(min=1e-30), 0.0)
