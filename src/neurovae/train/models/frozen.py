"""The model of another cohort, used as it is: nothing is trained but, if asked for, the mean image."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from neurovae.errors import InputError
from neurovae.export.source import Source
from neurovae.io.exported import CENTRED, inner_kind
from neurovae.train.engine.data import mean
from neurovae.train.models.vae import linear_only as linear_only
from neurovae.train.weights import Tensors


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    source: Source,
    n_latent: int | None = None,
    centre: str = "source",
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Tensors and architecture of the source, with its kind as `inner` and its record as `source`; no history.

    With `centre: own` the mean image, from which latents are departures, is that of the training people here. A
    difference between the cohorts that all people share, such as that of two scanners, then leaves the latents; so does
    a true difference between their averages.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan; "training" gives the mean of `centre: own`.
        mask: the fixed mask (x, y, z).
        seed, device: not used.
        source: the exported model.
        n_latent: of the source; None: whatever it is.
        centre: source or own.

    Raises:
        InputError: another mask or number of latents, or a mean asked of a kind that has none.
    """
    kind, architecture = inner_kind(source.meta), source.meta["architecture"]
    if source.mask.shape != mask.shape or (source.mask != mask).any():
        raise InputError(f"the mask of the source has {int(source.mask.sum())} voxels, this run's {int(mask.sum())}")
    if n_latent not in (None, architecture["n_latent"]):
        raise InputError(f"n_latent is {n_latent}, but the model has {architecture['n_latent']}; leave it out")
    tensors = dict(source.tensors)
    if centre == "own":
        if kind not in CENTRED:
            raise InputError(f"centre is own, but a {kind} has no mean image; set centre: source")
        flip = bool(source.meta.get("options", {}).get("flip"))
        own = mean(volumes, np.flatnonzero(split == "training"), flip).numpy()
        tensors["mean"] = own[mask] if tensors["mean"].ndim == 1 else own * mask
    return tensors, {**architecture, "inner": kind, "centre": centre, "source": source.record}, []


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and log-variance, as the inner kind gives them."""
    mu, logvar = _module(architecture).embed(volumes, mask, tensors, architecture)
    return mu, logvar


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of latents (scans, latents), as the inner kind decodes them."""
    voxels: np.ndarray = _module(architecture).reconstruct(mu, mask, tensors, architecture)
    return voxels


def _module(architecture: dict[str, Any]) -> ModuleType:
    return importlib.import_module(f"neurovae.train.models.{architecture['inner']}")
