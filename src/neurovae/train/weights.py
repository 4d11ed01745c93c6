"""Trained weights on disk (safetensors: no code runs on load), with the description of how they came about."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from neurovae.files import write_beside

Tensors = dict[str, np.ndarray]


def save(path: Path, tensors: Tensors, meta: dict[str, Any]) -> None:
    """Write tensors with their description: kind, architecture, fold, seed, data hash, people per split.

    safetensors writes the memory of an array as it lies: one in Fortran order would come back scrambled.
    """
    rows_first = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with write_beside(path) as temporary:
        save_file(rows_first, temporary, metadata={"neurovae": json.dumps(meta, sort_keys=True)})


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read tensors and their description."""
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        return tensors, json.loads(file.metadata()["neurovae"])


def model_hash(tensors: Tensors, meta: dict[str, Any]) -> str:
    """Digest of the weights' values and description."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()[:16]
