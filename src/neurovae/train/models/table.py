"""Latents that exist as a table: its columns, standardised, or their principal components.

There is no decoder, and so no `reconstruct`: `forward` gives the voxels of a linear forward model (`models.forward`),
where the cohort has images.
"""

import re
from collections import Counter
from typing import Any

import numpy as np
from scipy.linalg import svd

from neurovae.errors import InputError
from neurovae.io.latent_table import MU
from neurovae.io.tables import some
from neurovae.train.models import forward as forward_model
from neurovae.train.weights import Tensors

STILL = 1e-10  # standard deviation, as a fraction of the largest value, below which a column is constant


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
    n_latent: int | None,
    standardise: bool,
    columns: list[str] | str | None = None,
    seen: str = "unknown",
    tangent: bool = False,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean, scale (columns,), components (latents, columns) where asked for, and the forward model, of "training".

    Args:
        values: columns of the table, or features of a block (scans, columns); NaN where a feature of a block is
            missing, whose place the training mean takes.
        split: split of each scan; "training" alone is used.
        mask: the fixed mask (x, y, z), whose voxels the forward model gives; without voxels there is none.
        seed, device: not used.
        names: of the columns.
        volumes: packed volumes (all scans, x, y, z); those of the training scans are read.
        rows: row of each scan in them.
        people: person of each scan.
        n_latent: number of principal components; None: the columns themselves.
        standardise: divide by the standard deviation (n - 1), after subtracting the mean.
        columns, seen: of the entry, which the description of the weights keeps.
        tangent: the values are covariances, which are projected into the tangent space of the training people's mean.

    Raises:
        InputError: columns that are latents and do not differ between the training people, or more components than
            there can be.
    """
    first = _first_steps(values[split == "training"], tangent)
    training = _ready(values[split == "training"], first)
    still = constant(training, names)
    if still and n_latent:
        print(f"warning: {len(still)} columns are the same for all training scans and have no weight: {some(still, 5)}")
    elif still:
        raise InputError(
            f"{len(still)} columns do not differ between the {len(training)} training scans: {some(still, 5)}; leave "
            "them out with columns, or take components (n_latent)"
        )
    tensors, architecture = projection(training, names, n_latent, standardise)
    tensors |= first
    return with_forward(tensors, architecture, values, split, mask, volumes, rows, people)


def _first_steps(training: np.ndarray, tangent: bool) -> Tensors:
    """What comes before standardisation: the reference of the tangent space, or means in place of missing features."""
    if tangent:
        from neurovae.blocks import connectivity  # nilearn takes two seconds

        return {"whitening": connectivity.reference(training)}
    if not np.isnan(training).any():
        return {}
    if (empty := np.isnan(training).all(axis=0)).any():
        raise InputError(f"{int(empty.sum())} features are missing in all {len(training)} training scans; set "
                         "constant: drop_parcel for the block")  # fmt: skip
    return {"fill": np.nanmean(training, axis=0)}


def _ready(values: np.ndarray, tensors: Tensors) -> np.ndarray:
    """Values (scans, columns) in the tangent space, or with missing features filled in, where the model does that.

    Raises:
        InputError: a missing feature, and nobody was without one in training.
    """
    if "whitening" in tensors:
        from neurovae.blocks import connectivity

        return connectivity.tangent(values, tensors["whitening"])
    missing = np.isnan(values)
    if not missing.any():
        return values
    fill = tensors["fill"] if "fill" in tensors else tensors["mean"]
    return np.where(missing, fill, values)


def constant(training: np.ndarray, names: list[str], still: float = STILL) -> list[str]:
    """Names of the columns of `training` (scans, columns) that do not differ between scans."""
    return [name for name, one in zip(names, _constant(training, still), strict=True) if one]


def _constant(training: np.ndarray, still: float) -> np.ndarray:
    alike: np.ndarray = training.std(axis=0, ddof=1) <= still * np.abs(training).max(axis=0)
    return alike


def projection(
    training: np.ndarray, names: list[str], n_latent: int | None, standardise: bool, still: float = STILL
) -> tuple[Tensors, dict[str, Any]]:
    """Mean and scale (columns,), components (latents, columns) where asked for, and the description of the weights.

    training: columns of the training scans (scans, columns); those that are constant (`still`) are not scaled.

    Raises:
        InputError: more components than there can be.
    """
    mean, spread = training.mean(axis=0), training.std(axis=0, ddof=1)
    spread[_constant(training, still)] = 1
    tensors = {"scale": spread if standardise else np.ones_like(spread)}
    tensors["mean"] = mean if standardise or n_latent else np.zeros_like(mean)
    architecture: dict[str, Any] = {"kl": False, "columns": names, "shape": [len(names)]}
    if n_latent is None:
        return tensors, architecture | {"n_latent": len(names), "latents": ids(names)}
    most = min(len(training) - 1, len(names))
    if n_latent > most:
        raise InputError(
            f"{n_latent} components, but {len(names)} columns of {len(training)} training scans have {most} at most; "
            "lower n_latent"
        )
    tensors["components"] = leading((training - tensors["mean"]) / tensors["scale"], n_latent)
    return tensors, architecture | {"n_latent": n_latent}


def with_forward(
    tensors: Tensors,
    architecture: dict[str, Any],
    values: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    volumes: np.ndarray,
    rows: np.ndarray,
    people: np.ndarray,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """What `fit` returns: tensors and description, with the latents' forward model if there are scans; no history."""
    if not mask.any():
        return tensors, architecture, []
    training = split == "training"
    z = embed(values[training], mask, tensors, architecture)[0]
    fitted, penalty = forward_model.fit(volumes, rows[training], people[training], mask, z)
    return {**tensors, **fitted}, {**architecture, "forward_penalty": penalty}, []


def leading(x: np.ndarray, count: int) -> np.ndarray:
    """The first principal axes (count, columns) of centred rows; of each, the largest weight is positive."""
    axes = svd(x, full_matrices=False)[2][:count]
    signed: np.ndarray = axes * np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])[:, None]
    return signed


def embed(
    values: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents); a table has no posterior variance (NaN)."""
    mu = (_ready(values, tensors) - tensors["mean"]) / tensors["scale"]
    mu = mu @ tensors["components"].T if "components" in tensors else mu
    return mu, np.full_like(mu, np.nan)


def forward(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (rows, voxels) that the forward model gives for latents (rows, latents)."""
    return forward_model.predict(mu, tensors)


def ids(names: list[str]) -> list[str]:
    """Ids of latents from names of columns: `Left Hippocampus` is left_hippocampus, and mu_000 is 000.

    Where two would be the same, the number of the column follows.
    """
    plain = [re.sub(r"[^a-z0-9]+", "_", name.removeprefix(MU).lower()).strip("_") or "column" for name in names]
    counts = Counter(plain)
    width = max(3, len(str(len(names))))
    numbered = [one if counts[one] == 1 else f"{one}_{k:0{width}d}" for k, one in enumerate(plain)]
    clash = len(set(numbered)) < len(numbered)
    return [f"{one}_{k:0{width}d}" for k, one in enumerate(plain)] if clash else numbered
