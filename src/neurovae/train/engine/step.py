"""One optimiser step on a batch that may lie on several processes and be computed in several parts."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurovae.train.engine import devices, processes, rng
from neurovae.train.engine.data import Data
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.losses import divergence
from neurovae.train.losses.losses import gaussian_nll
from neurovae.train.losses.ssim import dssim
from neurovae.train.models.network import VAE, sample


class Part(NamedTuple):
    """Scans that are computed at a time: inputs, targets and random draws."""

    inputs: Tensor  # (scans, 1, x, y, z)
    targets: Tensor  # likewise
    eps: Tensor  # (samples, scans, latents)
    seed: int  # of dropout
    rows: Tensor  # where in the whole batch (scans,)


def gradients(
    model: VAE,
    x: Tensor,
    size: int,
    hp: Hyperparameters,
    data: Data,
    *,
    beta: float,
    scale: float,
    queue: Tensor,
    counters: tuple[int, ...],
) -> Tensor:
    """Set the parameters' gradients to that of the mean loss per scan; return the queue of codes for the next step.

    What depends on the whole batch, MMD and free bits, is found in a first pass without gradient, with the same
    dropout. So one process of 32 scans, two of 16 and two parts of 16 give the same gradient, except that dropout and
    augmentation are drawn for each process and part. Networks run under autocast, the backward pass not: it would
    take the products of the linear part to bf16 too.

    Args:
        x: this process's scans of the batch (scans, 1, x, y, z), every `world`-th from its rank on; may be none.
        size: scans in the whole batch.
        beta: weight of the KL now.
        scale: lambda, the weight of MMD.
        queue: codes of earlier steps (n, latents), without gradient.
        counters: seed, epoch and step, from which everything is drawn.
    """
    parts = _parts(x, size, hp, data, counters)
    pull, above_floor = (
        torch.zeros(size, hp.n_latent, device=x.device),
        torch.ones(hp.n_latent, device=x.device),
    )
    if hp.divergence == "mmd" or (hp.kl and hp.free_bits):
        z, kl = _ahead(model, parts, size, hp, data)
        above_floor = (kl > hp.free_bits).float()
        if hp.divergence == "mmd":
            prior = torch.randn(len(z) + len(queue), hp.n_latent, generator=rng.generator(*counters, 2))
            _, pull = divergence.mmd_pull(z, queue, prior.to(x.device), scale)
            queue = divergence.push(queue, z)
    model.zero_grad()
    for part in parts:
        with devices.autocast(x.device, hp.precision):
            mu, logvar, z = _drawn(model, part)
            loss = reconstruction(model, part.targets, z, hp, data).sum()
        if hp.kl:
            loss = loss + beta * (divergence.kl_per_dimension(mu, logvar) * above_floor).sum()
        (loss / size + (z[0] * pull[part.rows]).sum()).backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained if not parts else []:  # this process has none of the scans
        parameter.grad = torch.zeros_like(parameter)
    processes.total([parameter.grad for parameter in trained if parameter.grad is not None])
    return queue


def reconstruction(model: VAE, x: Tensor, z: Tensor, hp: Hyperparameters, data: Data) -> Tensor:
    """Loss of the reconstruction (scans,) of x from samples z (samples, scans, latents), averaged over samples."""
    x_hat, target = model.decode(z.flatten(0, 1)), x.repeat(len(z), 1, 1, 1, 1) if len(z) > 1 else x
    loss = torch.zeros(len(target), device=x.device)
    if hp.gaussian:
        loss = loss + gaussian_nll(target, x_hat, model.mask, model.log_sigma.exp())
    if hp.dssim:
        weight = hp.dssim_weight or model.mask.sum()
        loss = loss + weight * dssim(target, x_hat, model.mask, data_range=data.data_range, low=data.low)
    return loss.view(len(z), -1).mean(dim=0)


def _parts(x: Tensor, size: int, hp: Hyperparameters, data: Data, counters: tuple[int, ...]) -> list[Part]:
    """This process's scans in `accumulate` parts; noise and samples of a scan are the same in whatever part it is."""
    rows = torch.arange(data.rank, size, data.world)
    eps = torch.randn(hp.samples, size, hp.n_latent, generator=rng.generator(*counters, 0))
    eps = (eps if hp.sampled else torch.zeros_like(eps))[:, rows].to(x.device)
    noisy = x + hp.noise * _noise(x, rows, counters) if hp.noise and len(x) else x
    length = max(1, -(-len(x) // hp.accumulate))
    return [
        Part(noisy[i : i + length], x[i : i + length], eps[:, i : i + length], seed, rows[i : i + length].to(x.device))
        for i in range(0, len(x), length)
        for seed in [rng.number(*counters, 3, data.rank, i)]
    ]


def _noise(x: Tensor, rows: Tensor, counters: tuple[int, ...]) -> Tensor:
    """Standard normal noise like x, a generator per row of the batch, on the device."""
    generators = [torch.Generator(x.device).manual_seed(rng.number(*counters, 1, int(row))) for row in rows]
    return torch.stack([torch.randn(x.shape[1:], generator=generator, device=x.device) for generator in generators])


def _drawn(model: VAE, part: Part) -> tuple[Tensor, Tensor, Tensor]:
    """Posterior mean and log-variance (scans, latents), and samples (samples, scans, latents), of a part."""
    torch.manual_seed(part.seed)
    mu, logvar = model.encode(part.inputs)
    return mu, logvar, sample(mu, logvar, part.eps)


@torch.no_grad()
def _ahead(model: VAE, parts: list[Part], size: int, hp: Hyperparameters, data: Data) -> tuple[Tensor, Tensor]:
    """Codes of the whole batch (scans, latents) in its order, and its mean KL per dimension (latents,)."""
    codes = torch.zeros(2, size, hp.n_latent, device=data.device)
    for part in parts:
        with devices.autocast(data.device, hp.precision):
            mu, logvar, z = _drawn(model, part)
        codes[:, part.rows] = torch.stack([z[0], divergence.kl_per_dimension(mu, logvar)])
    processes.total([codes])
    return codes[0], codes[1].mean(dim=0)
