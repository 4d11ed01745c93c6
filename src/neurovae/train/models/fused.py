"""Several blocks in one latent space: shared latents s and private ones p_m of each block, fitted by gradient.

The network starts at linear shared and private factors (`shared_factors`) and learns what they cannot; q(s | blocks) is
the product of the experts of the blocks that are there. No score is read.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovae.errors import InputError
from neurovae.io.volumes import SPLITS
from neurovae.train.engine import devices, multiblock, processes
from neurovae.train.engine.data import Data
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loader import resident
from neurovae.train.engine.loop import Row, Steps, Watch, train
from neurovae.train.models import shared_factors
from neurovae.train.models.block_network import Fused, ImageDecoder
from neurovae.train.side_by_side import IMAGE, SideBySide, standardised
from neurovae.train.weights import Tensors

EPOCHS = True
FEW = 64  # training scans from which it is seen which latents are used
NEUTRAL: dict[str, Any] = {"flip": False, "blur": 0.0, "linear": "none", "reconstruction": "gaussian",
           "sigma": "learned", "noise": 0.0, "jitter": 0.0, "mixup": 0.0, "divergence": "kl"}  # fmt: skip


def fit(
    array: SideBySide,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    n_shared: int,
    n_private: int,
    cross_weight: float,
    hidden_units: int,
    base_channels: int,
    dropout: float,
    people: np.ndarray | None = None,
    state: Path | None = None,
    watch: Watch = lambda rows: None,
    **options: Any,
) -> tuple[Tensors, dict[str, Any], list[Row]]:
    """Fit on the training set, stop early on the validation set; return the best weights, architecture and history.

    Args:
        array: the blocks of all scans, NaN where missing.
        split: split of each scan.
        mask: the fixed mask (x, y, z) of images.
        n_shared, n_private: shared latents, and private latents of each block.
        cross_weight: lambda, the weight of the terms that decode a block from another.
        hidden_units: of the networks of tables and connectivity.
        base_channels: of the network of images.
        dropout: fraction of units of the networks of tables and connectivity that are dropped.
        people: person of each scan.
        state: folder of checkpoints.
        watch: called with the history rows of each epoch.
        options: further fields of `Hyperparameters`, an entry of train.models.

    Raises:
        InputError: fewer than two blocks, or too few training scans with all of them.
    """
    latents = n_shared + n_private * len(array.parts)
    hp = Hyperparameters(
        **{**NEUTRAL, **options, "n_latent": latents, "base_channels": base_channels, "dropout": dropout}
    )
    described = array.described()
    architecture: dict[str, Any] = {
        "blocks": described, "n_shared": n_shared, "n_private": n_private, "hidden_units": hidden_units,
        "base_channels": base_channels, "n_latent": latents,
        "latents": ids([one["name"] for one in described], n_shared, n_private), "kl": hp.kl, "sampled": True,
        "decodes": any(part.type == IMAGE for part in array.parts),
    }  # fmt: skip
    rank, world, on = processes.start(devices.choose(device))
    torch.manual_seed(seed)
    model = _untrained(architecture, mask, dropout)
    model.cross = cross_weight
    _start(model, array, np.flatnonzero(split == "training"), people)
    model.to(on)
    nothing = torch.zeros(mask.shape)
    data = Data(
        volumes=array,  # type: ignore[arg-type]
        index={name: np.flatnonzero(split == name) for name in SPLITS if (split == name).any()},
        centre=nothing, low=0.0, data_range=1.0, held=resident(array, on),  # type: ignore[arg-type]
        device=on, rank=rank, world=world,
    )  # fmt: skip
    with devices.memory(on, hp.batch, hp.batch):
        steps = Steps(multiblock.gradients, multiblock.epoch)
        best, history = train(model, data, hp, seed=seed, folder=state, watch=watch, steps=steps)
    model.load_state_dict(best, strict=False)
    tensors = {name: value.cpu().contiguous().numpy() for name, value in model.state_dict().items()}
    mu = embed(array[np.flatnonzero(split == "training")[:FEW]], mask, tensors, architecture)[0]
    return tensors, {**architecture, "unused": unused(architecture, mu)}, history


def unused(architecture: dict[str, Any], mu: np.ndarray) -> list[str]:
    """Ids of latents that are the same for all scans: shared ones that nothing supports stay at the prior."""
    names: list[str] = architecture["latents"]
    return [name for name, still in zip(names, (mu == mu[0]).all(axis=0), strict=True) if still]


def ids(names: list[str], n_shared: int, n_private: int) -> list[str]:
    """Ids of the latents: shared_00 and on, then those of each block."""
    width = max(2, len(str(max(n_shared, n_private) - 1)))
    shared = [f"shared_{k:0{width}d}" for k in range(n_shared)]
    return shared + [f"{name}_{k:0{width}d}" for name in names for k in range(n_private)]


def roles(architecture: dict[str, Any]) -> tuple[list[str], list[str | None]]:
    """Role and block of each latent, in their order."""
    n_shared, n_private = architecture["n_shared"], architecture["n_private"]
    names = [one["name"] for one in architecture["blocks"]]
    of_blocks: list[str | None] = [name for name in names for _ in range(n_private)]
    return ["shared"] * n_shared + ["private"] * len(of_blocks), [None] * n_shared + of_blocks


def _untrained(architecture: dict[str, Any], mask: np.ndarray, dropout: float) -> Fused:
    sizes = {"n_shared": architecture["n_shared"], "n_private": architecture["n_private"]}
    return Fused(architecture["blocks"], torch.from_numpy(mask), **sizes, hidden=architecture["hidden_units"],
                 base_channels=architecture["base_channels"], dropout=dropout)  # fmt: skip


def _start(model: Fused, blocks: SideBySide, training: np.ndarray, people: np.ndarray | None) -> None:
    """Set mean, scale, linear part, log-variances and dispersions before the first step."""
    standard = standardised(blocks, training)
    both = np.array([~np.isnan(x).all(axis=1) for x, _, _ in standard]).all(axis=0).sum()
    wanted = model.n_shared + model.n_private
    if both <= wanted:
        raise InputError(
            f"{both} training scans have all blocks, but {wanted} latents (n_shared + n_private) need more; lower "
            "n_shared or n_private, or leave a block out"
        )
    filled = [np.where(np.isnan(x).all(axis=1)[:, None], x, np.nan_to_num(x)) for x, _, _ in standard]
    own = None if people is None else people[training]
    found = shared_factors.fit(filled, model.weights, model.n_shared, model.n_private, own)
    with torch.no_grad():
        for block, (_, mean, scale), factors, weight in zip(model.blocks, standard, found, model.weights, strict=True):
            linear = shared_factors.posterior(factors, weight)
            logvar = np.log(np.concatenate([linear.shared_variance, linear.private_variance]))
            tensors = {"mean": mean, "scale": scale, "inward": np.concatenate([linear.shared, linear.private]),
                       "outward": np.concatenate([factors.shared.T, factors.private.T])}  # fmt: skip
            for name, value in tensors.items():
                getattr(block, name).copy_(torch.from_numpy(value.astype(np.float32)))
            block.encoder.start_at(torch.from_numpy(logvar.astype(np.float32)))  # type: ignore[operator,union-attr]
            block.log_sigma.fill_(np.log(factors.noise) / 2)  # type: ignore[operator,union-attr]
            left = factors.noise + (np.square(factors.shared).sum() + np.square(factors.private).sum()) / len(mean)
            block.log_sigma_cross.fill_(np.log(left) / 2)  # type: ignore[operator,union-attr]
            if isinstance(block.decoder, ImageDecoder):
                block.decoder.mean[block.decoder.mask] = block.mean  # type: ignore[assignment]


def network(mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> Fused:
    """The network with its weights, on the CPU, without dropout."""
    model = _untrained(architecture, mask, 0.0)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return model.eval()


def embed(
    values: np.ndarray,
    mask: np.ndarray,
    tensors: Tensors,
    architecture: dict[str, Any],
    use: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance, each (scans, latents), shared ones first.

    Private latents of a block that is not used or not there are those of the prior: mean 0, log-variance 0.

    Args:
        use: which blocks are used of each scan, bool (blocks, scans); None: all that are there.
    """
    model = network(mask, tensors, architecture)
    with torch.no_grad():
        parts = model.split(torch.from_numpy(values.astype(np.float32)))
        found = model.encode(parts, None if use is None else torch.from_numpy(use))
        pairs = zip(found.private, found.present, strict=True)
        private = [torch.where(there[:, None], value, 0) for one, there in pairs for value in one]
        shared = found.joint()
        mu, logvar = torch.cat([shared[0], *private[::2]], dim=1), torch.cat([shared[1], *private[1::2]], dim=1)
    return mu.numpy(), logvar.numpy()


def decoded(
    mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any], private: bool = True
) -> dict[str, np.ndarray]:
    """Features (scans, features) of each block, in their own units, of latents (scans, latents); by name.

    private: use the private latents too, not their prior mean 0.
    """
    model = network(mask, tensors, architecture)
    n_shared, n_private = architecture["n_shared"], architecture["n_private"]
    z = torch.from_numpy(np.asarray(mu, np.float32))
    found: dict[str, np.ndarray] = {}
    with torch.no_grad():
        for m, one in enumerate(architecture["blocks"]):
            own: Tensor = z[:, n_shared + m * n_private : n_shared + (m + 1) * n_private]
            standard = model.decode(m, z[:, :n_shared], own if private else torch.zeros_like(own))
            block: Any = model.blocks[m]
            scale = torch.where(block.scale.isinf(), 0, block.scale)
            found[one["name"]] = (block.mean + scale * standard).numpy()
    return found


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of the block that the scans are, decoded from latents (scans, latents)."""
    image = next(one["name"] for one in architecture["blocks"] if one["type"] == IMAGE)
    return decoded(mu, mask, tensors, architecture)[image]
