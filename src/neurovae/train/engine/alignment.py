"""The step and the evaluation of a model with aligned latents, in the training loop of all networks.

The loss is -ELBO of the scans + gamma (1 - r), summed over the scores. r depends on all training people at once, so a
batch is always all of them.
"""

import math
from typing import Any

import torch
from torch import Tensor

from neurovae.train.engine import rng
from neurovae.train.engine.data import Data
from neurovae.train.engine.evaluate import ACTIVE, Row
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loader import batches
from neurovae.train.losses.alignment import correlation
from neurovae.train.losses.divergence import kl_per_dimension
from neurovae.train.losses.multiblock import gaussian
from neurovae.train.models.network import sample


def gradients(
    model: Any, x: Tensor, size: int, hp: Hyperparameters, data: Data,
    *, beta: float, scale: float, queue: Tensor, counters: tuple[int, ...],
) -> Tensor:  # fmt: skip
    """Set the parameters' gradients to that of the loss; arguments as of `step.gradients`, x: all training people."""
    model.zero_grad()
    torch.manual_seed(rng.number(*counters, 3, data.rank, 0))  # of dropout
    features, codes, targets = model.split(x[:, 0])
    mu, logvar = model.encode(features, codes)
    eps = torch.randn(mu.shape, generator=rng.generator(*counters, 10)).to(x.device)
    nll = gaussian(features, model.decode(sample(mu, logvar, eps)), model.log_sigma)
    loss = (nll + beta * kl_per_dimension(mu, logvar).sum(dim=1)).mean()
    for k, target in enumerate(targets):
        loss = loss + model.gamma * (1 - correlation(mu[:, k], target))
    loss.backward()  # type: ignore[no-untyped-call]
    return queue


@torch.no_grad()
def epoch(model: Any, data: Data, hp: Hyperparameters, number: int, beta: float, scale: float) -> list[Row]:
    """A history row per split, at the posteriors' means and the final beta."""
    model.eval()
    found = {}
    for name, rows in data.index.items():
        (x,) = batches(data.volumes, [rows], data.device, data.held)
        features, codes, targets = model.split(x[:, 0])
        found[name] = (features, model.encode(features, codes), targets)
    _, (of_training, _), training = found["training"]
    out = []
    for name, (features, (mu, logvar), targets) in found.items():
        own = name == "training"
        r = [
            float(correlation(mu[:, k], one, None if own else (of_training[:, k], training[k])))
            for k, one in enumerate(targets)
        ]
        out.append({"epoch": number, "beta": beta if hp.kl else math.nan, "split": name,
                    **_row(model, features, mu, logvar, r, hp)})  # fmt: skip
    return out


def _row(model: Any, features: Tensor, mu: Tensor, logvar: Tensor, r: list[float], hp: Hyperparameters) -> Row:
    decoded = model.decode(mu)
    nll = float(gaussian(features, decoded, model.log_sigma).mean())
    kl = kl_per_dimension(mu, logvar).mean(dim=0)
    loss = nll + hp.beta * float(kl.sum()) + model.gamma * sum(1 - one for one in r)
    explained = 1 - float((features - decoded).square().sum() / features.square().sum())
    return {"nll": nll, "dssim": math.nan, "kl": float(kl.sum()), "mmd": math.nan, "loss": loss,
            "variance_explained": explained, "sigma": float(model.log_sigma.exp()),
            "active": int((mu.var(dim=0, correction=0) > ACTIVE).sum()), "kl_dimensions": kl.tolist()}  # fmt: skip
