"""One optimiser step on a batch that may lie on several processes and be computed in several parts."""

import torch
from torch import Tensor

from neurovae.train import divergence, processes, seeds
from neurovae.train.data import Data
from neurovae.train.losses import gaussian_nll
from neurovae.train.model import VAE, sample
from neurovae.train.recipe import Recipe
from neurovae.train.ssim import ssim

Parts = list[tuple[Tensor, Tensor, Tensor]]


def gradients(
    model: VAE,
    x: Tensor,
    size: int,
    recipe: Recipe,
    data: Data,
    *,
    beta: float,
    scale: float,
    queue: Tensor,
    counters: tuple[int, ...],
) -> Tensor:
    """Add the gradient of the mean loss per scan to the parameters; return the queue of codes for the next step.

    What depends on the whole batch, MMD and free bits, is found in a first pass without gradient, with the same
    dropout; so one process of 32 scans, two of 16 and two parts of 16 give the same gradient.

    Args:
        x: this process's scans of the batch (scans, 1, x, y, z), every `world`-th from its rank on.
        size: scans in the whole batch.
        beta: weight of the KL now.
        scale: lambda, the weight of MMD.
        queue: codes of earlier steps (n, latents), without gradient.
        counters: seed, epoch and step, from which everything is drawn.
    """
    eps = torch.randn(recipe.samples, size, recipe.latent, generator=seeds.generator(*counters, 0))
    eps = (eps if recipe.sampled else torch.zeros_like(eps))[:, data.rank :: data.world].to(x.device)
    noise = torch.Generator(x.device).manual_seed(seeds.number(*counters, 1, data.rank))
    noisy = x + recipe.noise * torch.randn(x.shape, generator=noise, device=x.device) if recipe.noise else x
    part = -(-len(x) // recipe.accumulate)
    parts = list(zip(noisy.split(part), x.split(part), eps.split(part, dim=1), strict=True))
    pull, counted = torch.zeros_like(eps[0]), torch.ones(recipe.latent, device=x.device)
    if recipe.divergence == "mmd" or recipe.free_bits:
        z, kl = _ahead(model, parts, size, data, counters)
        counted = (kl > recipe.free_bits).float()
        if recipe.divergence == "mmd":
            prior = torch.randn(len(z) + len(queue), recipe.latent, generator=seeds.generator(*counters, 2))
            _, slope = divergence.mmd_pull(z, queue, prior.to(x.device), scale)
            pull, queue = slope[data.rank :: data.world], divergence.push(queue, z)
    for i, (inputs, targets, drawn) in enumerate(parts):
        torch.manual_seed(seeds.number(*counters, 3, data.rank, i))
        mu, logvar = model.encode(inputs)
        z = sample(mu, logvar, drawn)
        loss = reconstruction(model, targets, z, recipe, data.data_range).sum()
        if recipe.kl:
            loss = loss + beta * (divergence.kl_per_dimension(mu, logvar) * counted).sum()
        (loss / size + (z[0] * pull[i * part : i * part + len(mu)]).sum()).backward()
    processes.total([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    return queue


def reconstruction(model: VAE, x: Tensor, z: Tensor, recipe: Recipe, data_range: float) -> Tensor:
    """Loss of the reconstruction (scans,) of x from samples z (samples, scans, latents), averaged over samples."""
    x_hat, target = model.decode(z.flatten(0, 1)), x.repeat(len(z), 1, 1, 1, 1)
    loss = torch.zeros(len(target), device=x.device)
    if recipe.gaussian:
        loss = loss + gaussian_nll(target, x_hat, model.mask, model.log_sigma.exp())
    if recipe.dssim:
        weight = recipe.dssim_weight or int(model.mask.sum())
        loss = loss + weight * (1 - ssim(target, x_hat, model.mask, data_range=data_range))
    return loss.view(len(z), -1).mean(dim=0)


@torch.no_grad()
def _ahead(model: VAE, parts: Parts, size: int, data: Data, counters: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Codes of the whole batch (scans, latents) in its order, and its mean KL per dimension (latents,)."""
    found = []
    for i, (inputs, _, drawn) in enumerate(parts):
        torch.manual_seed(seeds.number(*counters, 3, data.rank, i))
        mu, logvar = model.encode(inputs)
        found.append(torch.stack([sample(mu, logvar, drawn)[0], divergence.kl_per_dimension(mu, logvar)]))
    whole = torch.zeros(2, size, found[0].shape[2], device=found[0].device)
    whole[:, data.rank :: data.world] = torch.cat(found, dim=1)
    processes.total([whole])
    return whole[0], whole[1].mean(dim=0)
