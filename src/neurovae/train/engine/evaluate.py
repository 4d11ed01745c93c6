"""The terms of the loss over each split's people, at z = mu; nothing is drawn but the codes that MMD is about."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovae.train.engine import devices, processes, rng
from neurovae.train.engine.data import MAX_SCANS, Data, some
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loader import batches
from neurovae.train.losses import divergence
from neurovae.train.losses.losses import gaussian_nll, squared_error
from neurovae.train.losses.ssim import dssim
from neurovae.train.models.network import VAE, sample

ACTIVE = 0.01  # variance over people of a latent's posterior mean above which it is active (Burda 2016)
AT_ONCE = 16  # scans
Row = dict[str, Any]


def epoch(model: VAE, data: Data, hp: Hyperparameters, number: int, beta: float, scale: float) -> list[Row]:
    """A history row per split; `beta` is that of the epoch, the loss is formed with the final weights."""
    parts = {name: some(rows) if name == "training" else rows for name, rows in data.index.items()}
    shared = {"epoch": number, "beta": beta if hp.kl else math.nan}
    return [{**shared, "split": name, **terms(model, data, rows, hp, scale)} for name, rows in parts.items()]


def stopping(rows: list[Row]) -> float:
    """The loss of the validation people, which stops training and chooses the epoch."""
    return next(float(row["loss"]) for row in rows if row["split"] == "validation")


def reconstruction(row: Row, hp: Hyperparameters) -> float:
    """The part of the loss that compares images; not finite where one of its terms is not."""
    return sum(float(row[name]) for name, is_used in (("nll", hp.gaussian), ("dssim", hp.dssim)) if is_used)


@torch.no_grad()
def terms(model: VAE, data: Data, rows: np.ndarray, hp: Hyperparameters, scale: float) -> Row:
    """Terms of the loss, mean over scans, and the variance explained about the training people's mean.

    Args:
        scale: lambda, the weight of MMD.
    """
    model.eval()
    sums = torch.zeros(4, dtype=torch.float64)
    codes = torch.zeros(2, len(rows), hp.n_latent, dtype=torch.float64)  # in the order of the rows
    parts = [np.arange(len(rows))[i : i + AT_ONCE] for i in range(0, len(rows), AT_ONCE)][data.rank :: data.world]
    scans = batches(data.volumes, [rows[at] for at in parts], data.device, data.held)
    for at, x in zip(parts, scans, strict=True):
        with devices.autocast(data.device, hp.precision):
            mu, logvar = model.encode(x)
            x_hat = model.decode(mu)
        codes[:, at] = torch.stack([mu, logvar]).cpu().double()
        sums += _sums(model, x, x_hat, hp, data).cpu().double()
    processes.total([sums, codes])
    nll, dssim_sum, error, total = sums.tolist()
    weight = hp.dssim_weight or int(model.mask.sum())
    row = {
        "nll": nll / len(rows) if hp.gaussian else math.nan,
        "dssim": weight * dssim_sum / len(rows) if hp.dssim else math.nan,
        "variance_explained": 1 - error / total,
        "sigma": float(model.log_sigma.exp()) if hp.gaussian else math.nan,
    }
    return {**row, **_divergence(row, codes.float(), hp, scale)}


def _sums(model: VAE, x: Tensor, x_hat: Tensor, hp: Hyperparameters, data: Data) -> Tensor:
    """Over some scans: likelihood term, DSSIM, squared error, and squared distance to the mean (4,)."""
    nothing = torch.zeros(len(x), device=x.device)
    nll = gaussian_nll(x, x_hat, model.mask, model.log_sigma.exp()) if hp.gaussian else nothing
    dissimilarity = dssim(x, x_hat, model.mask, data_range=data.data_range, low=data.low) if hp.dssim else nothing
    error, total = squared_error(x, x_hat, model.mask), squared_error(x, data.centre, model.mask)
    return torch.stack([nll, dissimilarity, error, total]).sum(dim=1)


def _divergence(row: Row, codes: Tensor, hp: Hyperparameters, scale: float) -> Row:
    """KL and MMD of codes (2, scans, latents), active units, and the loss as a whole."""
    kl = divergence.kl_per_dimension(codes[0], codes[1])
    loss = reconstruction(row, hp)
    mmd = math.nan
    if hp.kl:
        loss += hp.beta * float(divergence.free_bits(kl, hp.free_bits).sum())
    if hp.divergence == "mmd":
        sampled, subset = (
            rng.generator(0),
            codes[:, some(np.arange(codes.shape[1]))],
        )  # takes the square of their number
        z = sample(subset[0], subset[1], torch.randn(subset[0].shape, generator=sampled))
        mmd = float(divergence.mmd(z, torch.randn(MAX_SCANS, hp.n_latent, generator=sampled)))
        loss += scale * mmd
    return {
        "kl": float(kl.sum(dim=1).mean()) if hp.divergence != "none" else math.nan,
        "mmd": mmd,
        "loss": loss,
        "active": int((codes[0].var(dim=0, correction=0) > ACTIVE).sum()),
        "kl_dimensions": kl.mean(dim=0).tolist() if hp.divergence != "none" else [],
    }
