"""The latent abandoned by a powerful decoder (the tutorial's information preference), on the package's own losses.

Our decoder sees z alone, and so has no way round it. Here it may also see voxels that come earlier in the scan,
through a masked convolution: p(x|z) = prod_v N(x_v; f(z, earlier neighbours of v), sigma^2) is a likelihood like any
other, and its capacity is the number of neighbours. What they tell need not be paid for in nats of z.
"""

from itertools import product
from typing import Any

import numpy as np
import torch
from collapse_models import MASK, SPLIT
from torch import Tensor, nn

from neurovae.train.engine import rng
from neurovae.train.health import bounds, evidence, measures
from neurovae.train.losses.divergence import kl_per_dimension
from neurovae.train.losses.losses import gaussian_nll
from neurovae.train.models.network import VAE, sample

REACHES = {0: 0, 1: 1, 3: 1, 13: 1, 62: 2, 171: 3}  # number of earlier neighbours -> how far the kernel reaches
LATENT, WIDTH, EPOCHS, BATCH, RATE, SIGMA = 6, 8, 120, 6, 2e-3, 3.0


def earlier(count: int) -> Tensor:
    """The kernel's mask (side, side, side): the `count` nearest of the voxels before the centre."""
    reach = REACHES[count]
    side = 2 * reach + 1
    offsets = [offset for offset in product(range(-reach, reach + 1), repeat=3) if offset < (0, 0, 0)]
    mask = torch.zeros(side, side, side)
    for offset in sorted(offsets, key=lambda o: (sum(abs(step) for step in o), o))[:count]:
        mask[tuple(step + reach for step in offset)] = 1
    return mask


class Context(nn.Module):
    """VAE whose decoder adds to what z gives a function of the neighbours that come earlier; zero at the start."""

    def __init__(self, mean: Tensor, neighbours: int) -> None:
        super().__init__()
        self.vae = VAE(mask=torch.from_numpy(MASK), n_latent=LATENT, base_channels=WIDTH, dropout=0.0)
        self.vae.mean.copy_(mean)
        self.seen = earlier(neighbours)
        self.near = nn.Conv3d(1, 16, self.seen.shape[0], padding="same")
        self.far = nn.Conv3d(16, 1, 1)
        nn.init.zeros_(self.far.weight)
        nn.init.zeros_(self.far.bias)  # type: ignore[arg-type]

    def decode(self, z: Tensor, x: Tensor) -> Tensor:
        """x_hat (scans, 1, x, y, z), each voxel from z and from the voxels of x that come before it."""
        departure = (x - self.vae.mean) * self.vae.mask
        weight = self.near.weight * self.seen
        near = nn.functional.conv3d(departure, weight, self.near.bias, padding="same")
        alone: Tensor = self.vae.decode(z)
        return alone + self.far(nn.functional.gelu(near)) if self.seen.any() else alone


def fitted(volumes: np.ndarray, neighbours: int, seed: int) -> tuple[Context, Tensor]:
    """Model trained at beta = 1, with the weights of the epoch that has the smallest loss on the validation people."""
    torch.manual_seed(seed)
    x = torch.from_numpy(volumes.astype(np.float32))[:, None]
    model = Context(x[SPLIT == "training"].mean(dim=0)[0], neighbours)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    rows, best = np.flatnonzero(SPLIT == "training"), (np.inf, {})
    for epoch in range(EPOCHS):
        for step, batch in enumerate(np.random.default_rng((seed, epoch)).permutation(rows).reshape(-1, BATCH)):
            optimiser.zero_grad()
            mu, logvar = model.vae.encode(x[batch])
            eps = torch.randn(mu.shape, generator=rng.generator(seed, epoch, step))
            _loss(model, x[batch], mu, logvar, sample(mu, logvar, eps)).mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1e4)
            optimiser.step()
        with torch.no_grad():
            stop = x[SPLIT == "validation"]
            mu, logvar = model.vae.encode(stop)
            loss = float(_loss(model, stop, mu, logvar, mu).mean())
        if loss < best[0]:
            best = loss, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best[1])
    return model.eval(), x


def _loss(model: Context, x: Tensor, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
    """-ELBO (scans,)."""
    return gaussian_nll(x, model.decode(z, x), model.vae.mask, SIGMA) + kl_per_dimension(mu, logvar).sum(dim=1)


@torch.no_grad()
def capacity(volumes: np.ndarray, neighbours: int, seed: int) -> dict[str, Any]:
    """What the latents of a model with so many neighbours hold of people, and how well it reconstructs, held out."""
    with torch.enable_grad():
        model, x = fitted(volumes, neighbours, seed)
    everyone = {name: model.vae.encode(x[SPLIT == name]) for name in ("training", "test")}
    held, (mu, logvar) = x[SPLIT == "test"], everyone["test"]
    nll = gaussian_nll(held, model.decode(mu, held), model.vae.mask, SIGMA)
    swapped = gaussian_nll(held, model.decode(mu.roll(1, 0), held), model.vae.mask, SIGMA)
    error = ((held - model.decode(mu, held)) * model.vae.mask).square().sum()
    total = ((held - model.vae.mean) * model.vae.mask).square().sum()
    return {
        "neighbours": neighbours,
        "seed": seed,
        "information": bounds.mutual_information(
            *everyone["training"], samples=evidence.SAMPLES, generator=rng.generator(seed)
        ),
        "rate": evidence.rate(mu.numpy(), logvar.numpy()),
        "active": measures.active_units(everyone["training"][0].numpy()),
        "variance_explained": float(1 - error / total),
        "nll": float(nll.mean()),
        "elbo": -float((nll + kl_per_dimension(mu, logvar).sum(dim=1)).mean()),
        "lost": float((swapped - nll).mean()),  # nats a scan, with another person's z
    }
