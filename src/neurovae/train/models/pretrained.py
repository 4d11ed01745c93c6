"""Latents of a pretrained encoder: its embeddings, standardised, or their principal components (`table`).

With a decoder, latents are decoded: inverse projection, the autoencoder's own decoder, the run's grid, and intensities.
The decoder knows neither this grid's blur nor its intensities, so that decoded images are calibrated on training scans:
x = a D(z) + b, with one slope a for all voxels, and an intercept b for each. Without one, a forward model gives maps.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from neurovae.encode import autoencoder, geometry
from neurovae.errors import InputError
from neurovae.io.tables import some
from neurovae.io.volumes import chunks, evenly, masked
from neurovae.train.models import table
from neurovae.train.weights import Tensors

STILL = 1e-5  # as table.STILL, of embeddings in single precision
CALIBRATED = 64  # training scans on which the decoded intensities are calibrated, at most
PART = 4  # images that are decoded at a time
OWN = "autoencoder."  # before the names of the decoder's tensors


def fit(
    values: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    names: list[str],
    volumes: np.ndarray,
    rows: np.ndarray,
    people: np.ndarray,
    encoder: dict[str, Any],
    decoder: Path,
    n_latent: int | None,
    standardise: bool,
    seen: str = "unknown",
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean, scale and components of "training" embeddings, and the calibrated decoder or the forward model.

    Args:
        values: embeddings (scans, columns).
        split: split of each scan; "training" alone is used.
        mask: the fixed mask (x, y, z).
        seed, device: not used.
        names: of the columns.
        volumes: packed volumes (all scans, x, y, z); those of training scans are read.
        rows: row of each scan in them.
        people: person of each scan.
        encoder: its description, which the weights keep.
        decoder: its weights; an empty file where it has none.
        n_latent: number of principal components; None: the columns themselves.
        standardise: divide by the standard deviation (n - 1), after subtracting the mean.
        seen: of the entry, which the description of the weights keeps.

    Raises:
        InputError: columns that do not differ between the training people, where they are the latents; more components
            than there can be.
    """
    training = values[split == "training"]
    still = table.constant(training, names, STILL)
    if still and n_latent is None:
        raise InputError(
            f"{len(still)} numbers of the embedding do not differ between the {len(training)} training scans: "
            f"{some(still, 5)}; set n_latent, so that components take their place"
        )
    tensors, architecture = table.projection(training, names, n_latent, standardise, STILL)
    architecture |= {"encoder": encoder, "decodes": False}
    state = load_file(decoder)
    if not state:
        return table.with_forward(tensors, architecture, values, split, mask, volumes, rows, people)
    architecture["decodes"] = True
    tensors |= {OWN + name: one for name, one in state.items()}
    tensors |= _calibrated(values, split, mask, tensors, architecture, volumes, rows)
    return tensors, architecture, []


def embed(
    values: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents) of embeddings (scans, columns); no posterior variance (NaN)."""
    return table.embed(values, mask, tensors, architecture)


def forward(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (rows, voxels) that the forward model gives for latents (rows, latents)."""
    return table.forward(mu, mask, tensors, architecture)


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (rows, voxels), single precision, decoded from latents (rows, latents)."""
    decoded = _decoded(mu, mask, tensors, architecture)
    calibrated: np.ndarray = (tensors["slope"] * decoded + tensors["intercept"]).astype(np.float32)
    return calibrated


def _calibrated(
    values: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    tensors: Tensors,
    architecture: dict[str, Any],
    volumes: np.ndarray,
    rows: np.ndarray,
) -> Tensors:
    """Slope and intercepts (voxels,) of the packed voxels on the decoded ones, by least squares over training scans."""
    training = np.flatnonzero(split == "training")
    used = training[evenly(len(training), CALIBRATED)]
    decoded = _decoded(embed(values[used], mask, tensors, architecture)[0], mask, tensors, architecture)
    x = np.concatenate([masked(volumes[rows[used[part]]], mask) for part in chunks(len(used))])
    centre_x, centre = x.mean(axis=0, dtype=np.float64), decoded.mean(axis=0, dtype=np.float64)
    spread = np.square(decoded - centre).sum(dtype=np.float64)
    slope = ((decoded - centre) * (x - centre_x)).sum(dtype=np.float64) / spread if spread > 0 else 0.0
    mean = np.zeros(len(centre))
    for part in chunks(len(training)):
        mean += masked(volumes[rows[training[part]]], mask).sum(axis=0, dtype=np.float64) / len(training)
    return {"slope": np.array(slope), "intercept": (mean - slope * centre).astype(np.float32)}


def _decoded(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (rows, voxels) of decoded images on the run's grid, in the intensities of the decoder."""
    encoder = architecture["encoder"]
    flat = np.asarray(mu, np.float64) @ tensors["components"] * tensors["scale"] + tensors["mean"]
    network = _network(json.dumps(encoder["arguments"], sort_keys=True))
    own = {name.removeprefix(OWN): torch.from_numpy(one) for name, one in tensors.items() if name.startswith(OWN)}
    network.load_state_dict(own, strict=False)  # the encoder's weights are not among them
    image = encoder["input"]
    factor = 2 ** (len(encoder["arguments"]["channels"]) - 1)
    latent = (-1, *(side // factor for side in image["shape"]))
    there, here = geometry.affine_of(image), np.array(encoder["affine"])
    out = np.empty((len(flat), np.count_nonzero(mask)), np.float32)
    for part in chunks(len(flat), PART):
        z = torch.from_numpy(flat[part].astype(np.float32)).unflatten(1, latent)
        with torch.no_grad():
            images = network.decode(z)[:, 0].numpy()
        out[part] = [geometry.resampled(one, there, mask.shape, here)[mask] for one in images]
    return out


@lru_cache(maxsize=1)
def _network(arguments: str) -> Any:
    """An autoencoder with these arguments (JSON), whose weights are set at each use."""
    return autoencoder.network(json.loads(arguments))
