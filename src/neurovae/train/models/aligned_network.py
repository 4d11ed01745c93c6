"""Latents that follow scores more closely than a line can: a perceptron around the linear twin of `aligned`.

Latents 1 to K each follow one of K scores; the others are free. The loss is -ELBO of the scans + gamma (1 - r) for each
score (`engine.alignment`; Zhao 2019 aligns a latent by a conditional prior instead). A Gaussian likelihood of isotropic
noise over the voxels is one over principal components of the training scans, beside what these leave, which does not
depend on the model. Training begins at the linear twin and at principal components of the rest, and ends when the
validation people's loss does not improve; test people are never read.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurovae.io.volumes import masked
from neurovae.stats.aligned import Direction
from neurovae.train.engine import alignment, devices
from neurovae.train.engine.data import Data
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loop import Row, Steps, train
from neurovae.train.losses.alignment import Target
from neurovae.train.models import aligned_start
from neurovae.train.models.block_network import Decoder, Encoder
from neurovae.train.models.fused import NEUTRAL
from neurovae.train.models.network import LOGVAR
from neurovae.train.supervision import Scores
from neurovae.train.weights import Tensors


class Aligned(nn.Module):
    """Standardised components and the twin's codes to latents and back; `sizes` are those of `aligned_start.Inputs`."""

    inward: Tensor
    outward: Tensor

    def __init__(self, sizes: list[int], n_latent: int, hidden: int, dropout: float, gamma: float = 0.0) -> None:
        super().__init__()
        self.sizes, self.gamma, self.group = sizes, gamma, None
        features, self.scores = sizes[:2]
        self.register_buffer("inward", torch.zeros(n_latent - self.scores, features))
        self.register_buffer("outward", torch.zeros(n_latent, features))
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.encoder = Encoder(features + self.scores, hidden, n_latent, dropout)
        self.decoder = Decoder(features, hidden, n_latent, dropout)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor, list[Target]]:
        """Features, codes of the twin, and targets, of rows (people, columns)."""
        features, codes, *targets = rows.split(self.sizes, dim=1)
        return features, codes, [Target(one[:, 0], one[:, 1:]) for one in targets]

    def change(self, features: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """What the perceptron adds to the linear latents, and log-variances, each (people, latents)."""
        change, logvar = self.encoder(torch.cat([features, codes], dim=1)).chunk(2, dim=1)
        return change, logvar.clamp(*LOGVAR)

    def linear(self, features: Tensor, codes: Tensor) -> Tensor:
        """The codes, then principal components of what they leave (people, latents)."""
        return torch.cat([codes, (features - codes @ self.outward[: self.scores]) @ self.inward.T], dim=1)

    def encode(self, features: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log-variance (people, latents)."""
        change, logvar = self.change(features, codes)
        return self.linear(features, codes) + change, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Standardised components (people, features)."""
        linear = z @ self.outward
        return linear + self.decoder(z, linear)  # type: ignore[no-any-return]


def fit(
    volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, twin: Tensors, *, seed: int, device: str, scores: Scores,
    scans: pd.DataFrame, supervised_by: list[str], direction: Direction, n_latent: int, n_components: int,
    hidden_units: int, alignment_weight: float, cross_fit: int, dropout: float, **options: Any,
) -> tuple[Tensors, dict[str, Any], list[Row]]:  # fmt: skip
    """Fit on training people, stop on validation people; the twin's tensors are part of the weights.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        twin: tensors of the linear model, of `aligned.fit`.
        seed: of groups, initial weights and samples.
        device: auto, cpu, cuda or mps.
        scores: of the people outside the test fold.
        scans: rows of the packed volumes.
        supervised_by: names of the scores.
        direction: of the twin.
        n_latent: latents, those of the scores included.
        n_components: largest number of principal components of the scans.
        hidden_units, dropout: of the perceptrons.
        alignment_weight: gamma, as a multiple of the number of components: that many nats are worth 1 - r.
        cross_fit: groups of training people, each with the twin of the others while it is trained on.
        options: further fields of `Hyperparameters`.

    Raises:
        InputError: too few training people, or more latents than components.
    """
    given = aligned_start.inputs(volumes, split, mask, scores, scans, supervised_by, direction, n_components, cross_fit,
                                 seed)  # fmt: skip
    linear = aligned_start.start(given, n_latent)
    is_training = given.split == "training"
    hp = Hyperparameters(**{**NEUTRAL, **options, "n_latent": n_latent, "base_channels": 1, "dropout": dropout,
                            "batch": int(is_training.sum()), "accumulate": 1, "precision": "float32"})  # fmt: skip
    torch.manual_seed(seed)
    model = Aligned(given.sizes, n_latent, hidden_units, dropout, alignment_weight * given.sizes[0])
    with torch.no_grad():
        for name in ("inward", "outward"):
            getattr(model, name).copy_(torch.from_numpy(getattr(linear, name).astype(np.float32)))
        model.encoder.start_at(torch.from_numpy(linear.logvar.astype(np.float32)))
        model.log_sigma.fill_(np.log(linear.noise) / 2)
    on = devices.choose(device)
    model.to(on)
    index = {name: np.flatnonzero(given.split == name) for name in ("training", "validation")}
    data = Data(volumes=given.values, index=index, centre=torch.zeros(1), low=0.0, data_range=1.0,
                held=torch.from_numpy(given.values)[:, None].to(on), device=on, rank=0, world=1)  # fmt: skip
    best, history = train(model, data, hp, seed=seed, folder=None, watch=lambda rows: None,
                          steps=Steps(alignment.gradients, alignment.epoch))  # fmt: skip
    model.load_state_dict(best, strict=False)
    model.cpu()
    tensors = {f"network.{name}": value.contiguous().numpy() for name, value in model.state_dict().items()}
    architecture = {"network": "perceptron", "sizes": given.sizes[:2], "n_latent": n_latent, "kl": hp.kl,
                    "hidden_units": hidden_units, "sampled": True,
                    "units": [*given.units.tolist(), *[1.0] * (n_latent - len(given.units))]}  # fmt: skip
    return {**twin, **given.tensors, **tensors}, architecture, history


def network(tensors: Tensors, architecture: dict[str, Any]) -> Aligned:
    """The network with its weights, on the CPU, without dropout."""
    model = Aligned(architecture["sizes"], architecture["n_latent"], architecture["hidden_units"], 0.0)
    own = {re.sub("^network[.]", "", name): torch.from_numpy(np.asarray(value)) for name, value in tensors.items()
           if name.startswith("network.")}  # fmt: skip
    model.load_state_dict(own)
    return model.eval()


def features(volumes: np.ndarray, mask: np.ndarray, tensors: Tensors) -> np.ndarray:
    """Standardised components (scans, features) of volumes."""
    x = (masked(volumes, mask) - tensors["centre"]) @ tensors["components"].T
    return np.asarray(x / tensors["scale"], np.float32)


@torch.no_grad()
def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any], twin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance (scans, latents) from the images alone; those of scores in units of the scores.

    twin: latents of the linear twin (scans, scores), to which the perceptron adds.
    """
    units, model = np.array(architecture["units"]), network(tensors, architecture)
    codes = torch.from_numpy((twin / units[: twin.shape[1]]).astype(np.float32))
    x = torch.from_numpy(features(volumes, mask, tensors))
    change, logvar = model.change(x, codes)
    linear = model.linear(x, codes)[:, twin.shape[1] :].double().numpy()
    mu = np.concatenate([twin, linear], axis=1) + units * change.double().numpy()
    return mu, logvar.double().numpy() + 2 * np.log(units)


@torch.no_grad()
def reconstruct(mu: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of latents (scans, latents)."""
    z = torch.from_numpy((mu / np.array(architecture["units"])).astype(np.float32))
    x = network(tensors, architecture).decode(z).numpy() * tensors["scale"]
    return np.asarray(tensors["centre"] + x @ tensors["components"])
