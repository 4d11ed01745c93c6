"""An image and declared scores in one latent space: shared latents and private ones, each decoded from the other.

Supervised: the scores of training and validation people enter the fit, and no others. Latents of test people come from
the image alone. The image enters as its principal components of the training people, all of them up to
`n_components`: a Gaussian likelihood of isotropic noise over the voxels is one over these, up to a constant. Encoders
and decoders are perceptrons around a linear part (`joint_start`), at which training begins.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neurovae.io.volumes import SPLITS
from neurovae.train.engine import devices, multiblock, processes
from neurovae.train.engine.data import Data
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loader import resident
from neurovae.train.engine.loop import Row, Steps, Watch, train
from neurovae.train.losses.items import dispersion
from neurovae.train.models import joint_start
from neurovae.train.models.fused import NEUTRAL, unused
from neurovae.train.models.joint_inputs import Inputs, components_of, inputs
from neurovae.train.models.joint_network import CLINICAL, IMAGE, Joint
from neurovae.train.supervision import Scores
from neurovae.train.weights import Tensors

EPOCHS = True
PAIRS = 128  # samples of a posterior and their mirror images, over which predictions are averaged
VALIDATED = 8  # samples per validation person, by which the weight of the scores is chosen


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    scores: Scores,
    scans: pd.DataFrame,
    supervised_by: list[str],
    declared: list[dict[str, Any]],
    n_shared: int,
    n_private: int,
    n_components: int,
    clinical_weight: list[float],
    cross_weight: float,
    cross_fit: int,
    hidden_units: int,
    dropout: float,
    people: np.ndarray | None = None,
    state: Path | None = None,
    watch: Watch = lambda rows: None,
    **options: Any,
) -> tuple[Tensors, dict[str, Any], list[Row]]:
    """Fit with each weight of the scores; keep that which predicts them best in validation people, from the image.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        seed: of batches and samples.
        device: auto, cpu, cuda or mps.
        scores: of the people outside the test fold.
        scans: rows of the packed volumes.
        supervised_by: names of the scores, which are the clinical block.
        declared: their type and bounds.
        n_shared, n_private: shared latents, and private latents of image and scores each.
        n_components: largest number of principal components of the image.
        clinical_weight: weights of the scores beside w_m, among which one is chosen.
        cross_weight: lambda, the weight of the terms that decode one from the other.
        cross_fit: groups of training people, each encoded by the linear part of the others while it is trained on.
        hidden_units, dropout: of the perceptrons.
        people: not used.
        state: folder of checkpoints.
        watch: called with the history rows of each epoch.
        options: further fields of `Hyperparameters`.

    Raises:
        InputError: too few training people.
    """
    hp = Hyperparameters(**{**NEUTRAL, **options, "n_latent": n_shared + 2 * n_private, "base_channels": 1,
                            "dropout": dropout})  # fmt: skip
    given = inputs(volumes, split, mask, scores, scans, declared, n_components)
    names = [f"shared_{k:02d}" for k in range(n_shared)] + [f"image_{k:02d}" for k in range(n_private)]
    architecture: dict[str, Any] = {
        "items": given.items, "components": len(given.tensors["components"]), "n_shared": n_shared,
        "n_private": n_private, "hidden_units": hidden_units, "cross_fit": cross_fit, "n_latent": len(names),
        "latents": names, "roles": ["shared"] * n_shared + ["private"] * n_private,
        "block_of": [None] * n_shared + ["image"] * n_private, "kl": hp.kl, "sampled": True,
    }  # fmt: skip
    place = processes.start(devices.choose(device))
    found = []
    for weight in clinical_weight:
        torch.manual_seed(seed)
        model = _untrained(architecture, dropout)
        model.cross = cross_weight
        model.weights[CLINICAL] *= weight
        group = _start(model, given, seed)
        folder = state / f"weight-{weight:g}" if state else None
        history = _trained(model, given, group, hp, place, seed, folder, watch)
        model.cpu()
        model.eval()
        loss = _validation(model, given)
        print(f"clinical_weight {weight:g}: {loss:.4f} nats a validation person, scores given the image", flush=True)
        found.append((loss, weight, {name: value.contiguous().numpy() for name, value in model.state_dict().items()},
                      history))  # fmt: skip
    loss, weight, tensors, history = min(found, key=lambda one: one[0])
    tensors = {**{f"network.{name}": value for name, value in tensors.items()}, **given.tensors}
    architecture |= {"clinical_weight": weight, "validation": {f"{one[1]:g}": one[0] for one in found}}
    first = volumes[np.flatnonzero(split == "training")[:64]]
    return (
        tensors,
        {**architecture, "unused": unused(architecture, embed(first, mask, tensors, architecture)[0])},
        history,
    )


def _untrained(architecture: dict[str, Any], dropout: float) -> Joint:
    return Joint(architecture["items"], architecture["components"], n_shared=architecture["n_shared"],
                 n_private=architecture["n_private"], groups=architecture["cross_fit"],
                 hidden=architecture["hidden_units"], dropout=dropout)  # fmt: skip


def _start(model: Joint, given: Inputs, seed: int) -> np.ndarray:
    """Set the linear part from training people; the group of each row."""
    codes, names = pd.factorize(given.people)
    groups = max(len(model.blocks[IMAGE].inward_without), 1)  # type: ignore[arg-type]
    group = np.random.default_rng(seed).permutation(len(names))[codes] % groups
    size = model.sizes[IMAGE]
    rows = np.flatnonzero((given.split == "training") & ~np.isnan(given.values[:, 0]))
    x, y = given.values[rows, :size].astype(np.float64), given.values[rows, size:].astype(np.float64)
    mean, scale = np.array([[one["mean"], one["scale"]] for one in given.items]).T
    middle, spread = x.mean(axis=0), np.full(size, np.sqrt(x.var(axis=0).mean()))
    start = joint_start.fit((x - middle) / spread, (y - mean) / scale, group[rows], model.n_shared, model.n_private,
                            model.weights[IMAGE])  # fmt: skip
    image, clinical = model.blocks
    tensors = {
        (image, "mean"): middle, (image, "scale"): spread, (image, "inward"): start.inward[0],
        (image, "inward_without"): start.inward[1:][: len(image.inward_without)],  # type: ignore[arg-type]
        (image, "outward"): np.concatenate([start.image.shared.T, start.image.private.T]),
        (clinical, "mean"): mean, (clinical, "scale"): scale, (clinical, "noise"): start.left,
        (clinical, "outward"): np.concatenate([start.scores.shared.T, start.scores.private.T]),
    }  # fmt: skip
    with torch.no_grad():
        for (block, name), value in tensors.items():
            getattr(block, name).copy_(torch.from_numpy(np.asarray(value, np.float32)))
        image.encoder.start_at(torch.from_numpy(start.logvar.astype(np.float32)))  # type: ignore[operator,union-attr]
        image.log_sigma.fill_(np.log(start.image.noise) / 2)  # type: ignore[operator,union-attr]
        image.log_sigma_cross.zero_()  # type: ignore[operator,union-attr]
        for name, left in (("log_sigma", start.left), ("log_sigma_cross", start.left_cross)):
            values = [dispersion(one, float(part)) for one, part in zip(given.items, left, strict=True)]
            getattr(clinical, name).copy_(torch.tensor(values))
    return group


def _trained(
    model: Joint, given: Inputs, group: np.ndarray, hp: Hyperparameters,
    place: tuple[int, int, torch.device], seed: int, folder: Path | None, watch: Watch,
) -> list[Row]:  # fmt: skip
    """Train in the loop of all networks; the model then holds the best weights."""
    rank, world, on = place
    model.to(on)
    index = {name: np.flatnonzero(given.split == name) for name in SPLITS if (given.split == name).any()}
    data = Data(
        volumes=given.values, index=index, centre=torch.zeros(1), low=0.0, data_range=1.0,
        held=resident(given.values, on), device=on, rank=rank, world=world,
        group=group if len(model.blocks[IMAGE].inward_without) else None,  # type: ignore[arg-type]
    )  # fmt: skip
    with devices.memory(on, hp.batch, hp.batch):
        steps = Steps(multiblock.gradients, multiblock.epoch)
        best, history = train(model, data, hp, seed=seed, folder=folder, watch=watch, steps=steps)
    model.load_state_dict(best, strict=False)
    return history


@torch.no_grad()
def _validation(model: Joint, given: Inputs) -> float:
    """Mean negative log-likelihood of the scores given the image alone, in validation people, unweighted."""
    parts = model.split(torch.from_numpy(given.values[given.split == "validation"]))
    s, p = from_image(model, parts, VALIDATED, np.random.default_rng(0))
    clinical: Any = model.blocks[CLINICAL]
    found = [clinical.likelihood(parts[CLINICAL], model.decode(CLINICAL, s[k], p[k]), clinical.log_sigma_cross)
             for k in range(len(s))]  # fmt: skip
    return float(torch.stack(found).mean())


def from_image(
    model: Joint, parts: list[Tensor], pairs: int, generator: np.random.Generator, use: tuple[int, ...] = (IMAGE,)
) -> tuple[Tensor, Tensor]:
    """Samples (2 pairs, people, latents) of shared latents given some blocks, and of clinical ones by the prior.

    With the clinical block in use, its private latents are sampled given the scores that are known. Samples come in
    pairs that mirror each other about the mean.
    """
    chosen = torch.zeros(2, len(parts[0]), dtype=torch.bool)
    chosen[list(use)] = True
    found = model.encode(parts, chosen)
    mu, logvar = found.joint()
    private = found.private[CLINICAL] if CLINICAL in use else (torch.zeros(len(mu), model.n_private),) * 2
    samples = []
    for m, v in ((mu, logvar), private):
        eps = torch.from_numpy(generator.standard_normal((pairs, 1, m.shape[1])).astype(np.float32))
        samples.append(m + torch.cat([eps, -eps]) * (v / 2).exp())
    return samples[0], samples[1]


def network(tensors: Tensors, architecture: dict[str, Any]) -> Joint:
    """The network with its weights, on the CPU, without dropout."""
    model = _untrained(architecture, 0.0)
    own = {re.sub("^network[.]", "", name): torch.from_numpy(value) for name, value in tensors.items()
           if name.startswith("network.")}  # fmt: skip
    model.load_state_dict(own)
    return model.eval()


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance (scans, latents) from the images alone: shared ones, then those of the image."""
    x = components_of(volumes, np.arange(len(volumes)), mask, tensors)
    model = network(tensors, architecture)
    nothing = np.full((len(x), len(architecture["items"])), np.nan, np.float32)
    with torch.no_grad():
        found = model.encode(model.split(torch.from_numpy(np.concatenate([x, nothing], axis=1))))
        shared, private = found.joint(), found.private[IMAGE]
    return tuple(torch.cat([a, b], dim=1).numpy() for a, b in zip(shared, private, strict=True))  # type: ignore[return-value]


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of latents (scans, latents)."""
    model, z = network(tensors, architecture), torch.from_numpy(np.asarray(mu, np.float32))
    with torch.no_grad():
        return voxels(model, tensors, z[:, : model.n_shared], z[:, model.n_shared :])


def voxels(model: Joint, tensors: Tensors, s: Tensor, p: Tensor) -> np.ndarray:
    """Masked voxels (people, voxels) of shared latents and private ones of the image."""
    image: Any = model.blocks[IMAGE]
    x = image.mean + image.scale * model.decode(IMAGE, s, p)
    return np.asarray(tensors["mean"] + x.detach().numpy() @ tensors["components"])
