"""Trained weights on disk (safetensors: no code runs on load), with a description of how they were trained."""

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from neurovae.errors import InputError
from neurovae.io.files import write_beside
from neurovae.train.supervision import SUPERVISED

Tensors = dict[str, np.ndarray]


def save(path: Path, tensors: Tensors, meta: dict[str, Any]) -> None:
    """Write tensors with their description: kind, architecture, fold, seed, data hash, people per split.

    safetensors writes the memory of an array as it lies: one in Fortran order would be read in a wrong order.
    """
    rows_first = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with write_beside(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask leaves; safetensors would leave it to the owner alone
        save_file(rows_first, temporary, metadata={"neurovae": json.dumps(meta, sort_keys=True)})
        temporary.chmod(mode)


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read tensors and their description.

    Raises:
        InputError: cut short, or not written by neurovae.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            description = (file.metadata() or {}).get("neurovae")
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read as weights ({error}); delete it and run again") from error
    if description is None:
        raise InputError(f"{path}: weights of another program: they do not say what they were trained on")
    return tensors, json.loads(description)


def has_decoder(meta: dict[str, Any]) -> bool:
    """Whether a model can decode latents into volumes; a pretrained one if its decoder came with it."""
    return hasattr(_module(meta), "reconstruct") and bool(meta.get("architecture", {}).get("decodes", True))


def reads_scans(meta: dict[str, Any]) -> bool:
    """Whether a model embeds scans alone; if not, it reads latents that exist already, or several blocks."""
    return not hasattr(_module(meta), "forward") and "blocks" not in meta.get("architecture", {})


def _module(meta: dict[str, Any]) -> Any:
    return importlib.import_module(f"neurovae.train.models.{meta['kind']}")


def load_own(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read weights that name the people they were trained with.

    Raises:
        InputError: an exported model, which holds counts in their place.
    """
    tensors, meta = load(path)
    if "exported_from" in meta:
        raise InputError(
            f"{path}: an exported model, which does not name the people it was trained with, so that nothing keeps "
            "them apart from new ones; give the weights in results/<cohort>/train, or use neurovae.estimator.model"
        )
    return tensors, meta


def refuse_supervised(path: Path, meta: dict[str, Any]) -> None:
    """Raise InputError for a model that a score entered: outside its folds nothing keeps its people apart from others.

    meta: of `load`.
    """
    if meta.get("track") == SUPERVISED:
        raise InputError(
            f"{path}: supervised by {', '.join(meta['options']['supervised_by'])} on people outside fold "
            f"{meta['fold']}; in these people its latents follow the score by construction. The stage supervised alone "
            "uses it; give an unsupervised model"
        )


def model_hash(tensors: Tensors, meta: dict[str, Any]) -> str:
    """Digest of the weights' values and description."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()[:16]
