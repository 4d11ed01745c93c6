"""The terms of the loss over each split's people, at z = mu; nothing is drawn but the codes that MMD is about."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovae.train import divergence, processes, seeds
from neurovae.train.data import MOST, Data
from neurovae.train.feed import batches
from neurovae.train.losses import gaussian_nll
from neurovae.train.model import VAE, sample
from neurovae.train.recipe import Recipe
from neurovae.train.ssim import ssim

ACTIVE = 0.01  # variance over people of a latent's posterior mean above which it is active (Burda 2016)
Row = dict[str, Any]


def epoch(model: VAE, data: Data, recipe: Recipe, number: int, beta: float, scale: float) -> list[Row]:
    """A history row per split; `beta` is that of the epoch, the loss is formed with the final weights."""
    parts = {name: rows[:MOST] if name == "weights" else rows for name, rows in data.index.items()}
    shared = {"epoch": number, "beta": beta if recipe.kl else math.nan}
    return [{**shared, "split": name, **terms(model, data, rows, recipe, scale)} for name, rows in parts.items()]


def stopping(rows: list[Row]) -> float:
    """The loss that ends the training and chooses its epoch: of the people in "stop"."""
    return next(float(row["loss"]) for row in rows if row["split"] == "stop")


@torch.no_grad()
def terms(model: VAE, data: Data, rows: np.ndarray, recipe: Recipe, scale: float) -> Row:
    """Terms of the loss, mean over scans, and the share of variance about the training people's mean.

    Args:
        scale: lambda, the weight of MMD.
    """
    model.eval()
    sums = torch.zeros(5, dtype=torch.float64)  # nll, dssim, squared error, squared distance to the mean, scans
    codes = [torch.zeros(2, 0, recipe.latent)]
    order = [rows[i : i + 16] for i in range(0, len(rows), 16)][data.rank :: data.world]
    for x in batches(data.volumes, order, data.device, data.held):
        mu, logvar = model.encode(x)
        x_hat = model.decode(mu)
        if recipe.gaussian:
            sums[0] += float(gaussian_nll(x, x_hat, model.mask, model.log_sigma.exp()).sum())
        if recipe.dssim:
            sums[1] += float((1 - ssim(x, x_hat, model.mask, data_range=data.data_range)).sum())
        sums[2] += float(((x - x_hat) * model.mask).square().sum())
        sums[3] += float(((x - data.centre) * model.mask).square().sum())
        sums[4] += len(x)
        codes.append(torch.stack([mu, logvar]).cpu())
    everyone = _together(torch.cat(codes, dim=1), data.rank, data.world)
    processes.total([sums])
    nll, dssim, error, total, scans = sums.tolist()
    found = {
        "nll": nll / scans if recipe.gaussian else math.nan,
        "dssim": (recipe.dssim_weight or int(model.mask.sum())) * dssim / scans if recipe.dssim else math.nan,
        "share": 1 - error / total,
        "sigma": float(model.log_sigma.exp()) if recipe.gaussian else math.nan,
    }
    return {**found, **_divergence(found, everyone, recipe, scale)}


def _divergence(found: Row, codes: Tensor, recipe: Recipe, scale: float) -> Row:
    """KL and MMD of codes (2, scans, latents), active units, and the loss as a whole."""
    kl = divergence.kl_per_dimension(codes[0], codes[1])
    loss = sum(found[name] for name in ("nll", "dssim") if not math.isnan(found[name]))
    mmd = math.nan
    if recipe.kl:
        loss += recipe.beta * float(divergence.free_bits(kl, recipe.free_bits).sum())
    if recipe.divergence == "mmd":
        drawn = seeds.generator(0)
        z = sample(codes[0], codes[1], torch.randn(codes[0].shape, generator=drawn))
        mmd = float(divergence.mmd(z, torch.randn(z.shape, generator=drawn)))
        loss += scale * mmd
    return {
        "kl": float(kl.sum(dim=1).mean()) if recipe.divergence != "none" else math.nan,
        "mmd": mmd,
        "loss": loss,
        "active": int((codes[0].var(dim=0, correction=0) > ACTIVE).sum()),
        "kl_dimensions": kl.mean(dim=0).tolist() if recipe.divergence != "none" else [],
    }


def _together(own: Tensor, rank: int, world: int) -> Tensor:
    """The codes (2, scans, latents) of all processes, one process's after another's."""
    counts = torch.zeros(world)
    counts[rank] = own.shape[1]
    processes.total([counts])
    everyone = torch.zeros(2, int(counts.sum()), own.shape[2])
    first = int(counts[:rank].sum())
    everyone[:, first : first + own.shape[1]] = own
    processes.total([everyone])
    return everyone
