"""One latent per declared score: the direction in the voxels that predicts it beyond the confounds.

Supervised: the scores and confounds of the people outside the test fold enter the fit, those of nobody else. The latent
of any other person comes from the image alone. It is in units of the score: the part of it that the image predicts
beyond the confounds. `stats.aligned` finds the direction w; what is decoded is the pattern, the regression of the
voxels on the latents (Haufe 2014), not w.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from neurovae.io.volumes import chunks, masked
from neurovae.stats.aligned import Direction, coefficients, decomposed
from neurovae.stats.products import products
from neurovae.train.models import aligned_network
from neurovae.train.supervision import Scores, cases
from neurovae.train.weights import Tensors


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
    direction: Direction,
    network: str = "none",
    **options: Any,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Directions (scores, voxels), their origins (scores,), mean (voxels,) and patterns (scores, voxels); no history.

    With a network, these are its linear twin, and what it adds is fitted after it (`aligned_network`).

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan; all but "test" are fitted on: no direction is stopped early, so that the people of
            "validation" decide nothing about it.
        mask: the fixed mask (x, y, z).
        seed, device: of a network.
        scores: of the people outside the test fold.
        scans: rows of the packed volumes.
        supervised_by: names of the scores.
        direction: ridge or pls.
        network: none, or perceptron.
        options: of the network.

    Raises:
        InputError: too few people with a score and all confounds.
    """
    everyone = np.flatnonzero(split != "test")
    mean = _mean(volumes, everyone, mask)
    directions, origins, counts = [], [], {}
    for name in supervised_by:
        rows, y, x = cases(scores, name, scans)
        gram = products(volumes[rows], mask)
        a = coefficients(decomposed(gram, x), y[None], direction)[0]
        w = _weighted(volumes, rows, mask, a - a.mean())  # a sums to zero, as the scans are centred
        directions.append(w)
        origins.append(_mean(volumes, rows, mask) @ w)
        counts[name] = len(rows)
    tensors = {"mean": mean, "directions": np.array(directions), "origins": np.array(origins)}
    tensors["patterns"] = _patterns(volumes, everyone, mask, tensors)
    stored = {name: tensor.astype(np.float64 if name == "origins" else np.float32) for name, tensor in tensors.items()}
    architecture = {"n_latent": len(supervised_by), "kl": False, "latents": ids(supervised_by), "people": counts}
    architecture |= {"targets": list(supervised_by), "confounds": scores.confounds}
    if network == "none":
        return stored, architecture, []
    stored, added, history = aligned_network.fit(
        volumes, split, mask, stored, seed=seed, device=device, scores=scores, scans=scans,
        supervised_by=supervised_by, direction=direction, **options,
    )  # fmt: skip
    free = added["n_latent"] - len(supervised_by)
    names = ids([*supervised_by, *(f"free {k:02d}" for k in range(free))])
    return stored, architecture | added | {"latents": names, "targets": [*supervised_by, *[None] * free]}, history


def ids(scores: list[str]) -> list[str]:
    """Ids of the latents of scores: `UPDRS III` is updrs_iii, with a number where two would be the same."""
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "score" for name in scores]
    return [one if plain.count(one) == 1 else f"{one}_{k:02d}" for k, one in enumerate(plain)]


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents) from the images alone, and of a network their log-variance; the twin has none (NaN)."""
    z = masked(volumes, mask).astype(np.float64) @ tensors["directions"].T.astype(np.float64) - tensors["origins"]
    if "network" in architecture:
        return aligned_network.embed(volumes, mask, tensors, architecture, z)
    return z, np.full_like(z, np.nan)


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of latents (scans, latents); without a network, the mean image and the patterns."""
    if "network" in architecture:
        return aligned_network.reconstruct(mu, tensors, architecture)
    voxels: np.ndarray = tensors["mean"] + mu.astype(np.float32) @ tensors["patterns"]
    return voxels


def _parts(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """A few scans at a time: their places among the rows, and their voxels (scans, voxels) in double precision."""
    for part in chunks(len(rows)):
        yield part, masked(volumes[rows[part]], mask).astype(np.float64)


def _mean(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.asarray(sum(x.sum(axis=0) for _, x in _parts(volumes, rows, mask)) / len(rows))


def _weighted(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, a: np.ndarray) -> np.ndarray:
    """X'a: (voxels,)."""
    return np.asarray(sum(a[part] @ x for part, x in _parts(volumes, rows, mask)))


def _patterns(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, tensors: Tensors) -> np.ndarray:
    """Regression coefficients (scores, voxels) of the voxels on the latents of the people who were fitted on."""
    latents = [embed(volumes[rows[part]], mask, tensors, {})[0] for part in chunks(len(rows))]
    z = np.concatenate(latents)
    z = z - z.mean(axis=0)
    weights = z @ np.linalg.pinv(z.T @ z)  # (scans, scores)
    return np.array([_weighted(volumes, rows, mask, weights[:, k]) for k in range(z.shape[1])])
