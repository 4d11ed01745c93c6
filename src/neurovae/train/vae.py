"""The training loop of the VAE, on one page."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovae.errors import InputError
from neurovae.train.losses import gaussian_nll, kl_per_dimension
from neurovae.train.model import VAE, sample
from neurovae.train.pca import principal
from neurovae.train.weights import Tensors
from neurovae.volumes import SPLITS, chunks

Row = dict[str, Any]
HAS_KL = True
MOST = 1000  # training scans that the linear part is found from


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    latent: int,
    width: int,
    dropout: float,
    beta: float,
    sigma: float,
    noise: float,
    learning_rate: float,
    weight_decay: float,
    batch: int,
    epochs: int,
    patience: int,
    linear: str,
    flip: bool,
) -> tuple[Tensors, dict[str, Any], list[Row]]:
    """Train on the people in "weights", stop on those in "stop"; return the best weights, architecture and history.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        noise: standard deviation of the noise added to inputs while training.
        patience: epochs without a better loss on the stopping people after which training ends.
        linear: "pca" starts from the training people's probabilistic PCA and keeps it as the linear part; or "none".
        flip: mirror each training scan about the midline at random (world x -> -x).

    Raises:
        InputError: the loss is not finite, or the device asked for is not there.
    """
    on = choose(device)
    index = {name: np.flatnonzero(split == name) for name in SPLITS}
    architecture: dict[str, Any] = {"shape": list(volumes.shape[1:]), "voxels": int(mask.sum())}
    architecture |= {"latent": latent, "width": width, "dropout": dropout}
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = VAE(**architecture)
    model.mask.copy_(torch.from_numpy(mask))
    model.mean.copy_(_mean(volumes, index["weights"], flip) * model.mask)
    if linear == "pca":
        found = principal(volumes[index["weights"][:MOST]], mask, latent, flip)
        components = torch.from_numpy(found.components_.astype(np.float32))
        model.start_at(components, torch.from_numpy(found.explained_variance_.astype(np.float32)), sigma)
    model.to(on)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    centre = _mean(volumes, index["weights"], False).to(on)
    parts = list(index.items())
    history = [row for name, part in parts for row in _evaluate(model, volumes, part, name, 0, beta, sigma, centre)]
    best, best_loss, best_epoch, start = _state(model), history[1]["loss"], 0, time.monotonic()
    for epoch in range(1, epochs + 1):
        model.train()
        for x in _batches(volumes, index["weights"], batch, on, generator):
            x = _flipped(x, generator) if flip else x
            mu, logvar = model.encode(x + noise * _normal(x, generator))
            x_hat = model.decode(sample(mu, logvar, generator))
            kl = kl_per_dimension(mu, logvar).sum(dim=1)
            loss = (gaussian_nll(x, x_hat, model.mask, sigma) + beta * kl).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e4)
            optimiser.step()
        rows = [
            row for name in SPLITS for row in _evaluate(model, volumes, index[name], name, epoch, beta, sigma, centre)
        ]
        history += rows
        stop_loss = rows[1]["loss"]
        if not np.isfinite(stop_loss):
            raise InputError(f"epoch {epoch}: the loss is not finite; lower learning_rate (now {learning_rate:g})")
        if stop_loss < best_loss:
            best, best_loss, best_epoch = _state(model), stop_loss, epoch
        if epoch % 10 == 0 or epoch in (1, epochs):
            rate = (time.monotonic() - start) / epoch
            shares = ", ".join(f"{row['split']} {row['share']:.3f}" for row in rows[:2])
            print(
                f"epoch {epoch}/{epochs}: share {shares}; {rate:.2f} s an epoch, {rate * (epochs - epoch):.0f} s left"
            )
        if epoch - best_epoch >= patience:
            break
    print(f"the weights of epoch {best_epoch} are kept: the smallest loss on the stopping people")
    return {name: value.cpu().numpy() for name, value in best.items()}, architecture, history


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance, each (scans, latents)."""
    model = _network(tensors, architecture)
    with torch.no_grad():
        mu, logvar = model.encode(torch.from_numpy(volumes.astype(np.float32))[:, None])
    return mu.numpy(), logvar.numpy()


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) decoded from latents (scans, latents)."""
    model = _network(tensors, architecture)
    with torch.no_grad():
        return model.decode(torch.from_numpy(mu))[:, 0].numpy()[:, mask]


def choose(device: str) -> torch.device:
    """The device asked for; auto takes cuda, then cpu (mps is opt-in and untested).

    Raises:
        InputError: the device asked for is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "train.device is cuda, but torch sees no GPU here; set train.device: auto, or ask for a GPU node"
        )
    return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))


def _network(tensors: Tensors, architecture: dict[str, Any]) -> VAE:
    model = VAE(**architecture)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return model.eval()


def _state(model: VAE) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _mean(volumes: np.ndarray, rows: np.ndarray, flip: bool) -> Tensor:
    total = sum(volumes[rows[part]].sum(axis=0, dtype=np.float64) for part in chunks(len(rows)))
    mean = total / len(rows)
    return torch.from_numpy(((mean + mean[::-1]) / 2 if flip else mean).astype(np.float32))


def _flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each scan mirrored with probability one half; the grid is symmetric about the midline."""
    coin = torch.rand(len(x), generator=generator).to(x.device) < 0.5
    return torch.where(coin[:, None, None, None, None], x.flip(2), x)


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x.device)


def _batches(
    volumes: np.ndarray, rows: np.ndarray, batch: int, device: torch.device, generator: torch.Generator | None = None
) -> Iterator[Tensor]:
    """Volumes (scans, 1, x, y, z) in batches, shuffled when a generator is given."""
    order = rows if generator is None else rows[torch.randperm(len(rows), generator=generator).numpy()]
    for i in range(0, len(order), batch):
        yield torch.from_numpy(volumes[order[i : i + batch]].astype(np.float32))[:, None].to(device)


@torch.no_grad()
def _evaluate(
    model: VAE,
    volumes: np.ndarray,
    rows: np.ndarray,
    split: str,
    epoch: int,
    beta: float,
    sigma: float,
    centre: Tensor,
) -> list[Row]:
    """One history row: terms of the loss at z = mu, mean over scans, and the variance share about `centre`."""
    model.eval()
    nll = kl = error = total = 0.0
    for x in _batches(volumes, rows, 16, centre.device):
        mu, logvar = model.encode(x)
        x_hat = model.decode(mu)
        nll += float(gaussian_nll(x, x_hat, model.mask, sigma).sum())
        kl += float(kl_per_dimension(mu, logvar).sum())
        error += float((x - x_hat)[:, 0, model.mask].square().sum())
        total += float((x - centre)[:, 0, model.mask].square().sum())
    n = len(rows)
    terms = {"nll": nll / n, "kl": kl / n, "loss": (nll + beta * kl) / n, "share": 1 - error / total}
    return [{"epoch": epoch, "split": split, **terms}]
