"""The VAE: fitted by gradient around a fixed linear part; latents are posterior means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurovae.errors import InputError
from neurovae.export.source import Source
from neurovae.io.volumes import chunks, masked
from neurovae.plan import latent_maps
from neurovae.train.engine import devices, processes
from neurovae.train.engine.data import gather, mean, some
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loop import Row, Watch, train
from neurovae.train.models import local_network, map_grid, map_network, source_covariance
from neurovae.train.models.localised_components import localised
from neurovae.train.models.network import VAE, Linear, linear
from neurovae.train.models.pooled_components import WEIGHTS, Pooled, pooled
from neurovae.train.models.principal_components import principal
from neurovae.train.models.rotation import posterior, varimax
from neurovae.train.weights import Tensors

EPOCHS = True  # trained by gradient: takes a folder of checkpoints, and has a history


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    people: np.ndarray | None = None,
    state: Path | None = None,
    watch: Watch = lambda rows: None,
    source: Source | None = None,
    **options: Any,
) -> tuple[Tensors, dict[str, Any], list[Row]]:
    """Fit on the training set, stop early on the validation set; return the best weights, architecture and history.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan; "test" may be empty.
        mask: the fixed mask (x, y, z).
        people: person of each scan, whose scans stay together in cross-fitting; None: a person per scan.
        state: folder of checkpoints, from which a training that was killed continues.
        watch: called with the history rows of each epoch; may raise to stop training.
        source: the model of a larger cohort, at whose linear part, pooled with that of these people, training starts;
            at its network, too, where it is a vae of the same architecture.
        options: the fields of `Hyperparameters`, an entry of train.models.

    Raises:
        InputError: the loss is not finite before the first step, the requested device is not available, its memory is
            too small, or a map of latents has a linear part.
    """
    architecture_given = _architecture(mask, options)
    hp = Hyperparameters(**{**options, "n_latent": architecture_given["n_latent"]})
    rank, world, on = processes.start(devices.choose(device))
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a fifth of the time on a CPU
    torch.manual_seed(seed)
    model = _untrained(architecture_given, mask, hp.dropout)
    fewest = _fewest(split, people, hp.cross_fit)
    chosen = _start(model, volumes, split, mask, hp, source, architecture_given, fewest)
    group = _cross_fit(model, volumes, split, people, mask, hp, chosen, source) if hp.cross_fit else None
    model.to(on)
    model.without = [Linear(*(part.to(on) for part in one)) for one in model.without]
    if on.type == "cuda" or model.corrects:  # on a CPU, the local network takes two thirds of the time so
        for network_ in (model.encoder, model.decoder):  # the linear part has four axes, which this format refuses
            network_.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if hp.compile:
        model.encoder.compile()
        model.decoder.compile()
    data = gather(volumes, split, mask, on, rank, world, group)
    batch_share = -(-hp.batch // world)
    with devices.memory(on, -(-batch_share // hp.accumulate), batch_share):
        best, history = train(model, data, hp, seed=seed, folder=state, watch=watch)
    model.load_state_dict(best, strict=False)
    tensors = {name: value.cpu().contiguous().numpy() for name, value in model.state_dict().items()}
    architecture = {**architecture_given, "kl": hp.kl, "sampled": hp.sampled, **chosen}
    if hp.rotate == "varimax":
        units = np.eye(hp.n_latent + 1, hp.n_latent, dtype=np.float32)  # the last row is no latent at all
        decoded = np.concatenate([reconstruct(units[part], mask, tensors, architecture) for part in chunks(len(units))])
        tensors["rotation"] = varimax(decoded[:-1] - decoded[-1]).astype(np.float32)
    return tensors, architecture, history


def _architecture(mask: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
    """What the network is made from; of a map, the number and names of its latents follow from the mask."""
    found = {"shape": list(mask.shape), "n_latent": options["n_latent"], "base_channels": options["base_channels"]}
    if not latent_maps.is_map(options):
        return found | ({"network": "local"} if options.get("network") == "local" else {})
    side, exists = map_grid.grid(mask, options["map_mm"])
    channels, n_global = options["map_channels"], options["n_global"]
    n_latent = map_grid.size(exists, channels, n_global)
    if faults := latent_maps.problems(options, n_latent):
        raise InputError(faults)
    described = {"side": side, "channels": channels, "n_global": n_global}
    return {**found, "n_latent": n_latent, "map": described, "latents": map_grid.ids(exists, channels, n_global)}


def _untrained(architecture: dict[str, Any], mask: np.ndarray, dropout: float) -> VAE:
    """The network before its first step."""
    sizes = {key: architecture[key] for key in ("n_latent", "base_channels")}
    own: dict[str, Any] = {"mask": torch.from_numpy(mask), "dropout": dropout, **sizes}
    if architecture.get("network") == "local":
        return VAE(**own, parts=local_network.parts(architecture["shape"], **sizes), corrects=True)
    if "map" not in architecture:
        return VAE(**own)
    described = architecture["map"]
    of_map = {key: described[key] for key in ("channels", "n_global")} | {"base_channels": own["base_channels"]}
    points = map_grid.of_side(mask, described["side"])
    return VAE(
        **own, parts=(map_network.Encoder(points, dropout=dropout, **of_map), map_network.Decoder(points, **of_map))
    )


def _start(
    model: VAE,
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    hp: Hyperparameters,
    source: Source | None = None,
    architecture: dict[str, Any] | None = None,
    fewest: int | None = None,
) -> dict[str, Any]:
    """Set mean, linear part, sigma and a source's network before the first step; what was chosen of these.

    fewest: scans to which a linear part is fitted in cross-fitting; a plain PCA is no choice where they are too few.
    """
    rows = np.flatnonzero(split == "training")
    chosen: dict[str, Any] = {}
    model.mean.copy_(mean(volumes, rows, hp.flip) * model.mask)
    sigma = 1.0 if hp.sigma == "learned" else float(hp.sigma)
    taken = source_covariance.network(source, architecture or {}) if source else {}
    if hp.linear != "none":
        validation = np.flatnonzero(split == "validation")
        weights = [1.0] if "inward" in taken else WEIGHTS
        tapers = hp.taper_mm or ["none"]
        possible = [taper for taper in tapers if taper != "none" or fewest is None or hp.n_latent < fewest]
        found, weight, taper = _linear(volumes, rows, validation, mask, hp, possible or tapers, source, weights)
        left = source.meta["architecture"]["left"] if source and "inward" in taken else found.left
        chosen = {"left": left} | ({"taper_mm": taper} if hp.linear == "localised" else {})
        chosen |= {"source_weight": weight} if source else {}
        sigma = found.left**0.5 if hp.sigma == "learned" else sigma
        model.start_at(torch.from_numpy(found.components), torch.from_numpy(found.variances), sigma)
    elif hp.sigma == "learned":
        sigma = float(np.sqrt(np.square(masked(volumes[some(rows)], mask) - model.mean.numpy()[mask]).mean()))
    with torch.no_grad():
        model.log_sigma.fill_(np.log(sigma))
    _begin_at(model, taken)
    return chosen | ({"source": source.record, "source_network": bool(taken)} if source else {})


def _begin_at(model: VAE, taken: Tensors) -> None:
    """Set the tensors that a source of the same architecture gives."""
    state = model.state_dict()
    for name, value in taken.items():
        state[name].copy_(torch.from_numpy(value))


def _linear(
    volumes: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    mask: np.ndarray,
    hp: Hyperparameters,
    tapers: list[Any],
    source: Source | None,
    weights: Sequence[float] = WEIGHTS,
) -> Pooled:
    """Components of the rows in `training`, localised or not, pooled with a source's or not."""
    same: dict[str, Any] = {"n_latent": hp.n_latent, "flip": hp.flip, "blur": hp.blur}
    tapers = tapers if hp.linear == "localised" else ["none"]
    if source:
        covariance = source_covariance.of(source, mask)
        return pooled(volumes, some(training), validation, mask, covariance, tapers=tapers, weights=weights, **same)
    if hp.linear == "localised":
        found, taper = localised(volumes, some(training), validation, mask, tapers=tapers, **same)
        return Pooled(found, 0.0, taper)
    return Pooled(principal(volumes, some(training), mask, **same), 0.0, "none")


def _cross_fit(
    model: VAE,
    volumes: np.ndarray,
    split: np.ndarray,
    people: np.ndarray | None,
    mask: np.ndarray,
    hp: Hyperparameters,
    chosen: dict[str, Any],
    source: Source | None = None,
) -> np.ndarray:
    """Give the model a linear part without each group of training people; group of each scan, -1 outside training.

    In training, the network then corrects linear reconstructions of people whom the linear part has not seen, as it
    will those of new people. It would else learn the errors of an overfitted linear part, which new people do not have.
    """
    training = np.flatnonzero(split == "training")
    dealt = groups((np.arange(len(split)) if people is None else people)[training], hp.cross_fit)
    for group in range(hp.cross_fit):
        others, none = training[dealt != group], np.array([], dtype=int)
        choice = [chosen.get("taper_mm", "none")], source, [chosen.get("source_weight", 0.0)]
        found = _linear(volumes, others, none, mask, hp, *choice).principal
        tensors = torch.from_numpy(found.components), torch.from_numpy(found.variances)
        model.without.append(linear(*tensors, float(model.log_sigma.detach().exp())))
        print(
            f"cross-fitting: linear part {group + 1} of {hp.cross_fit}, without {sum(dealt == group)} scans", flush=True
        )
    of_scan = np.full(len(split), -1)
    of_scan[training] = dealt
    return of_scan


def _fewest(split: np.ndarray, people: np.ndarray | None, count: int) -> int | None:
    """Training scans that are left without the largest group; None without cross-fitting."""
    if not count:
        return None
    training = np.flatnonzero(split == "training")
    dealt = groups((np.arange(len(split)) if people is None else people)[training], count)
    return len(training) - int(np.bincount(dealt).max())


def groups(people: np.ndarray, count: int) -> np.ndarray:
    """Deal people into groups of about equal size, the same for every seed; the group of each scan."""
    names, index = np.unique(people, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(names)) % count)[index]


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance, each (scans, latents); an autoencoder's log-variance is NaN."""
    model = network(mask, tensors, architecture)
    with torch.no_grad():
        mu, logvar = model.encode(torch.from_numpy(volumes.astype(np.float32))[:, None])
    found = mu.numpy(), logvar.numpy() if architecture["sampled"] else np.full(logvar.shape, np.nan, np.float32)
    return posterior(*found, tensors["rotation"]) if "rotation" in tensors else found


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) decoded from latents (scans, latents)."""
    model = network(mask, tensors, architecture)
    own = mu @ tensors["rotation"].T if "rotation" in tensors else mu
    with torch.no_grad():
        return model.decode(torch.from_numpy(own))[:, 0].numpy()[:, mask]


def linear_only(tensors: Tensors) -> Tensors:
    """The same weights with the networks' last layers at zero: what the linear part does alone."""
    last = {name.rsplit(".", 1)[0] for name in tensors if name.startswith(("encoder.", "decoder."))}
    ends = {max((name for name in last if name.startswith(part)), key=_number) for part in ("encoder.", "decoder.")}
    return {name: np.zeros_like(value) if name.rsplit(".", 1)[0] in ends else value for name, value in tensors.items()}


def _number(name: str) -> int:
    return int(name.split(".")[1])


def network(mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> VAE:
    """The network with its weights, on the CPU, without dropout; its latents are those before a rotation."""
    model = _untrained(architecture, mask, 0.0)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items() if name != "rotation"})
    return model.eval()
