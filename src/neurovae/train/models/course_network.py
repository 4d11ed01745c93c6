"""The network of `networks`: courses from components of volumes, and how it is trained on volumes that lie in files."""

from typing import Any

import numpy as np
import torch
from torch import nn

from neurovae.train.engine.evaluate import ACTIVE
from neurovae.train.engine.rng import generator, number
from neurovae.train.losses.divergence import kl_per_dimension

BATCH = 256  # volumes per step
LONGEST, PATIENCE = 200, 8  # epochs in all, and without a lower validation loss; with few volumes training takes more
PART = 1024  # volumes of which the loss is taken at a time
UNITS = 64  # of the hidden layers
RATE = 1e-3  # of Adam


class Network(nn.Module):
    """Encoder and decoder of one hidden layer each; the decoder adds a linear map of the latents."""

    def __init__(self, n_input: int, n_latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_input, UNITS), nn.GELU(), nn.Linear(UNITS, 2 * n_latent))
        self.direct = nn.Linear(n_input, n_latent)
        self.decoder = nn.Sequential(nn.Linear(n_latent, UNITS), nn.GELU(), nn.Linear(UNITS, n_input))
        self.linear = nn.Linear(n_latent, n_input)
        self.log_variance = nn.Parameter(torch.zeros(()))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance (volumes, latents) of the posterior."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu + self.direct(x), logvar.clamp(-10, 10)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Components (volumes, components) of latents."""
        decoded: torch.Tensor = self.decoder(z) + self.linear(z)
        return decoded


def trained(
    x: torch.Tensor, validation: torch.Tensor, n_latent: int, seed: int
) -> tuple[Network, list[dict[str, Any]]]:
    """The network of the epoch with the smallest validation loss, and a row per epoch and split."""
    torch.manual_seed(number(seed, 0))
    network = Network(x.shape[1], n_latent)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    history: list[dict[str, Any]] = []
    best, kept, since = np.inf, network.state_dict(), 0
    for epoch in range(LONGEST):
        draws = generator(seed, 1, epoch)
        for part in torch.randperm(len(x), generator=draws).split(BATCH):
            optimiser.zero_grad()
            loss(network, x[part], draws)[0].backward()
            optimiser.step()
        with torch.no_grad():
            for name, one in (("training", x), ("validation", validation)):
                history.append({"epoch": epoch, "split": name, "beta": 1.0, **_row(network, one)})
        since += 1
        if history[-1]["loss"] < best:
            best, since = history[-1]["loss"], 0
            kept = {name: one.clone() for name, one in network.state_dict().items()}
        if since >= PATIENCE:
            break
    network.load_state_dict(kept)
    return network, history


def _row(network: Network, x: torch.Tensor) -> dict[str, Any]:
    """Terms of the loss, variance of the components explained and active latents, over all volumes in parts."""
    parts = [(len(part), loss(network, part, None)) for part in x.split(PART)]
    total, nll, kl = (sum(n * float(terms[k]) for n, terms in parts) / len(x) for k in range(3))
    codes = [network.encode(part) for part in x.split(PART)]
    mu, logvar = (torch.cat([one[k] for one in codes]) for k in (0, 1))
    squares = sum(float(part.square().sum()) for part in x.split(PART))
    decoded = zip(x.split(PART), mu.split(PART), strict=True)
    errors = sum(float((part - network.decode(one)).square().sum()) for part, one in decoded)
    return {"nll": nll, "kl": kl, "loss": total, "variance_explained": 1 - errors / squares,
            "sigma": float((network.log_variance / 2).exp()),
            "active": int((mu.var(dim=0, correction=0) > ACTIVE).sum()),
            "kl_dimensions": kl_per_dimension(mu, logvar).mean(dim=0).tolist()}  # fmt: skip


def loss(network: Network, x: torch.Tensor, draws: torch.Generator | None) -> tuple[torch.Tensor, ...]:
    """Negative ELBO, its Gaussian likelihood with learned variance and its KL, in nats per volume.

    draws: of the samples; None: the posterior mean is decoded.
    """
    mu, logvar = network.encode(x)
    z = mu if draws is None else mu + torch.exp(logvar / 2) * torch.randn(mu.shape, generator=draws)
    error = (x - network.decode(z)).square().sum(dim=1).mean()
    log_variance = network.log_variance
    nll = (x.shape[1] * (log_variance + np.log(2 * np.pi)) + error * torch.exp(-log_variance)) / 2
    kl = (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1).mean() / 2
    return nll + kl, nll, kl
