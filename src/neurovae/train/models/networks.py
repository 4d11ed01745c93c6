"""Functional networks: a model of time points, whose latents are courses over time (Qiang 2020).

Samples are the volumes of the cleaned series of a block. The principal components of the training people's volumes, at
most 512, are the input of a small VAE; `pca` and `ica` are its linear counterparts with the same number of courses.
Latents of a person are the SD of each course, the amplitude of their own map of each network, and the correlations of
all pairs of courses.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.linalg import eigh

from neurovae.errors import InputError
from neurovae.train.models.course_network import Network, trained
from neurovae.train.models.independent import independent
from neurovae.train.models.rotation import varimax
from neurovae.train.weights import Tensors

MOST = 512  # principal components that the network reads
Runs = list[np.ndarray]


def fit(
    values: Any,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    names: list[str],
    volumes: np.ndarray,
    rows: np.ndarray,
    people: np.ndarray,
    n_latent: int,
    method: str,
    rotate: str,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Components of the training people's volumes, and the network, its linear counterpart or independent components.

    Args:
        values: series of each scan (`inputs.Series`): values[mask] is a list of (volumes, parcels).
        split: split of each scan; "training" is fitted, "validation" decides when the VAE stops.
        mask, device, volumes, rows, people: not used; the networks are small, and fitted on the CPU.
        seed: of initial weights, batches, samples, and of ICA.
        names: of the parcels.
        n_latent: number of courses.
        method: vae, pca or ica.
        rotate: varimax: rotate the courses of vae and pca so that each map concerns few parcels; or none.

    Raises:
        InputError: more courses than parcels.
    """
    if n_latent >= len(names):
        raise InputError(f"{n_latent} networks, but the series have {len(names)} parcels; lower n_latent")
    training = Stream(values, np.flatnonzero(split == "training"))
    validation = Stream(values, np.flatnonzero(split == "validation"))
    tensors = components(training, min(MOST, len(names)))
    architecture = {
        "kl": False,
        "n_latent": n_latent,
        "latents": ids(n_latent),
        "method": method,
        "shape": [len(names)],
    }
    architecture |= {"columns": names, "roles": ["network"] * len(ids(n_latent))}
    history: list[dict[str, Any]] = []
    if method == "vae":
        with TemporaryDirectory() as folder:  # scores lie in files, so that memory does not grow with the runs
            parts = [_on_disk(runs, tensors, Path(folder) / name)
                     for name, runs in (("training.raw", training), ("validation.raw", validation))]  # fmt: skip
            network, history = trained(parts[0], parts[1], n_latent, seed)
        tensors |= {f"network.{name}": one.numpy() for name, one in network.state_dict().items()}
    if method == "ica":
        tensors["rotation"] = independent(tensors["components"][:n_latent], seed)
    elif rotate == "varimax" and n_latent > 1:  # the loss is the same for rotated latents: which are networks?
        tensors["rotation"] = varimax(maps(tensors, architecture, training)).T
    return tensors, architecture, history


def components(training: Iterable[np.ndarray], most: int) -> Tensors:
    """Mean (parcels,) and principal axes (components, parcels) of all volumes, from sums that are taken run by run.

    training: runs (volumes, parcels), which are gone through twice.
    """
    sums = [(len(run), run.sum(axis=0, dtype=np.float64)) for run in training]
    n, mean = sum(length for length, _ in sums), sum(total for _, total in sums) / sum(length for length, _ in sums)
    p = len(mean)
    covariance = np.zeros((p, p))
    for run in training:
        centred = run.astype(np.float64) - mean
        covariance += centred.T @ centred / n
    variances, axes = eigh(covariance, subset_by_index=[p - most, p - 1] if most < p else None)
    axes = axes[:, ::-1][:, :most].T
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    return {"mean": mean, "components": axes, "variances": variances[::-1][:most].copy()}


def courses(run: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Latent courses (volumes, latents) of a run (volumes, parcels)."""
    n_latent, scores = architecture["n_latent"], _reduced([run], tensors)
    if architecture["method"] == "vae":
        with torch.no_grad():
            leading = np.asarray(_network(tensors, n_latent).encode(scores)[0].numpy(), np.float64)
    else:
        leading = scores[:, :n_latent].numpy().astype(np.float64)
    return leading @ np.linalg.pinv(tensors["rotation"]) if "rotation" in tensors else leading


def reconstructed(run: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """A run (volumes, parcels) decoded from its courses."""
    z = courses(run, tensors, architecture)
    leading = z @ tensors["rotation"] if "rotation" in tensors else z
    if architecture["method"] == "vae":
        with torch.no_grad():
            scores = _network(tensors, z.shape[1]).decode(torch.from_numpy(leading.astype(np.float32))).numpy()
        return np.asarray(scores @ tensors["components"] + tensors["mean"])
    return np.asarray(leading @ tensors["components"][: z.shape[1]] + tensors["mean"])


def maps(tensors: Tensors, architecture: dict[str, Any], runs: Iterable[np.ndarray]) -> np.ndarray:
    """Map of each network (latents, parcels): regression of the parcels on all courses, over these runs (training)."""
    n, n_latent = 0, architecture["n_latent"]
    z_sum, x_sum = np.zeros(n_latent), np.zeros(len(tensors["mean"]))
    gram, products = np.zeros((n_latent, n_latent)), np.zeros((n_latent, len(tensors["mean"])))
    for run in runs:  # sums, so that memory does not grow with the runs
        z, x = courses(run, tensors, architecture), run - tensors["mean"]
        n, z_sum, x_sum = n + len(z), z_sum + z.sum(axis=0), x_sum + x.sum(axis=0)
        gram, products = gram + z.T @ z, products + z.T @ x
    gram, products = gram - np.outer(z_sum, z_sum) / n, products - np.outer(z_sum, x_sum) / n
    return np.asarray(np.linalg.lstsq(gram, products, rcond=None)[0])


def embed(
    values: Any, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Features of each scan (scans, features), in the order of `ids`; no variance (NaN)."""
    mu = np.array([features(run, courses(run, tensors, architecture)) for run in values])
    return mu, np.full_like(mu, np.nan)


def features(run: np.ndarray, z: np.ndarray) -> np.ndarray:
    """SD of each course, amplitude of each map and Fisher z of each pair's correlation.

    The map of a person is the regression of their series on all their courses, each in standard deviations; its
    amplitude is the root mean square over parcels, in units of the series.

    Args:
        run: series (volumes, parcels).
        z: courses (volumes, latents).
    """
    spread = z.std(axis=0, ddof=1)
    unit = np.divide(z - z.mean(axis=0), spread, out=np.zeros_like(z), where=spread > 0)
    own = np.linalg.lstsq(unit, run - run.mean(axis=0, dtype=np.float64), rcond=None)[0]
    lower = np.tril_indices(z.shape[1], -1)
    r = np.corrcoef(z.T)[lower] if z.shape[1] > 1 else np.array([])
    amplitude = np.sqrt(np.square(own).mean(axis=1))
    return np.concatenate([spread, amplitude, np.arctanh(np.clip(r, -1 + 1e-7, 1 - 1e-7))])


def forward(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Not possible: features of courses say nothing of voxels."""
    raise InputError("networks: features of courses have no forward model")


def ids(n_latent: int) -> list[str]:
    """Ids of the features: sd_00, ..., amplitude_00, ..., r_01_00, ..."""
    first, second = np.tril_indices(n_latent, -1)
    of_each = [f"{name}_{k:02d}" for name in ("sd", "amplitude") for k in range(n_latent)]
    return of_each + [f"r_{a:02d}_{b:02d}" for a, b in zip(first, second, strict=True)]


class Stream:
    """Some runs (volumes, parcels) of `values`, read one at a time, each time they are gone through."""

    def __init__(self, values: Any, rows: np.ndarray) -> None:
        self.values, self.rows = values, rows

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.values[[row]][0] for row in self.rows)


def _on_disk(runs: Iterable[np.ndarray], tensors: Tensors, path: Path) -> torch.Tensor:
    """As `_reduced`, in a file that is mapped."""
    with path.open("wb") as file:
        for run in runs:
            file.write(_reduced([run], tensors).numpy().tobytes())
    width = len(tensors["components"])
    return torch.from_file(str(path), size=path.stat().st_size // 4).view(-1, width)


def _reduced(runs: Runs, tensors: Tensors) -> torch.Tensor:
    """Scores of the components (all volumes, components), single precision."""
    parts = [(run - tensors["mean"]) @ tensors["components"].T for run in runs]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


def _network(tensors: Tensors, n_latent: int) -> Network:
    network = Network(len(tensors["components"]), n_latent)
    prefix = "network."
    network.load_state_dict({name.removeprefix(prefix): torch.from_numpy(one) for name, one in tensors.items()
                             if name.startswith(prefix)})  # fmt: skip
    return network
