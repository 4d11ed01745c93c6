"""Whether the latents of an aligned model are those of an honest fit; a network is not fitted again for it.

Linear latents are compared with a fit to the training people. Of a network, the twin in the weights must be that of a
fit to the training people's scores, and the latents must be what the weights give for the images, in numpy, without the
code that wrote them. That the file of scores is the one that was read is checked for both; what the perceptron was
trained on is known from it alone.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erf

from neurovae.errors import InputError
from neurovae.io.volumes import chunks, masked
from neurovae.train.weights import Tensors

SAME = 1e-3  # of a standard deviation: latents and refit differ by single precision, not by more


class Weights(NamedTuple):
    """Tensors of one fold and their architecture."""

    tensors: Tensors
    architecture: dict[str, Any]


def same_files(training_scores: Sequence[Path], metas: Sequence[dict[str, Any]]) -> None:
    """Refuse weights that were trained with another file of scores than the one that is there.

    Raises:
        InputError: the folds whose file has another digest.
    """
    others = [
        str(meta["fold"])
        for path, meta in zip(training_scores, metas, strict=True)
        if meta.get("scores_sha256") != hashlib.sha256(path.read_bytes()).hexdigest()
    ]
    if others:
        raise InputError(
            f"weights of fold {', '.join(others)}: trained with other scores than training_scores holds now; rerun "
            "with --forcerun training_scores"
        )


def latents(volumes: np.ndarray, mask: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Latents of the twin, and of the network, of each score (scans, scores), from volumes (scans, x, y, z)."""
    parts = [_some(masked(volumes[part], mask), weights) for part in chunks(len(volumes))]
    return np.concatenate([one[0] for one in parts]), np.concatenate([one[1] for one in parts])


def _some(voxels: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    tensors, units = weights.tensors, np.array(weights.architecture["units"])
    twin = voxels.astype(np.float64) @ tensors["directions"].T.astype(np.float64) - tensors["origins"]
    count = twin.shape[1]
    features = (voxels - tensors["centre"]) @ tensors["components"].T / tensors["scale"]
    given = np.hstack([features, twin / units[:count]])
    hidden = given @ _layer(tensors, 1, "weight").T + _layer(tensors, 1, "bias")
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2  # GELU
    change = hidden @ _layer(tensors, 4, "weight")[:count].T + _layer(tensors, 4, "bias")[:count]
    return twin, twin + units[:count] * change


def _layer(tensors: Tensors, number: int, what: str) -> np.ndarray:
    return tensors[f"network.encoder.layers.{number}.{what}"].astype(np.float64)


def same(z: np.ndarray, again: np.ndarray, name: str) -> None:
    """Refuse latents that are not those of a fit on the training people's scores with their own confounds."""
    difference = float(np.abs(z - again).max() / max(again.std(), 1e-300))
    if difference > SAME:
        raise InputError(
            f"latents of {name}: a fit to the training people of each fold gives others (by up to {difference:.3g} "
            "SD), so something else has entered the models; rerun with --forcerun train"
        )


def same_network(
    z: np.ndarray, twin: np.ndarray, volumes: np.ndarray, brain: np.ndarray, fold: np.ndarray,
    networks: dict[int, Weights], name: str,
) -> None:  # fmt: skip
    """As `same` of the linear twin in the weights; and of the latents what the weights give for the images."""
    stored, embedded = np.empty((2, len(z)))
    for k in np.unique(fold):
        at = networks[int(k)].architecture["targets"].index(name)
        both = latents(volumes[fold == k], brain, networks[int(k)])
        stored[fold == k], embedded[fold == k] = (one[:, at] for one in both)
    same(stored, twin, f"the linear twin of {name}")
    difference = float(np.abs(z - embedded).max() / max(embedded.std(), 1e-300))
    if difference > SAME:
        raise InputError(
            f"latents of {name}: the weights give others for the same images (by up to {difference:.3g} SD), so "
            "something else has entered the latents; rerun with --forcerun latents"
        )
