"""The state from which a training that was killed continues: two files, written and renamed, loaded without pickle."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurovae.train import weights

EVERY = 30.0  # seconds of training between two checkpoints
Found = tuple[dict[str, Tensor], dict[str, Any]]


def save(folder: Path, epoch: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write the state after an epoch; the one before it is kept, older ones and half-written ones are removed."""
    write(folder / f"epoch-{epoch:06d}.safetensors", tensors, meta)
    for old in [*sorted(folder.glob("epoch-*.safetensors"))[:-2], *folder.glob(".*.safetensors")]:
        old.unlink()


def load(folder: Path) -> Found | None:
    """Return the newest intact state; a damaged file is named and the one before it used. None: no state."""
    for path in sorted(folder.glob("epoch-*.safetensors"), reverse=True):
        state = read(path)
        if state:
            return state
        path.unlink(missing_ok=True)
    return None


def write(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write named tensors and values that JSON can hold, with a digest of both."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    weights.save(path, arrays, {"digest": weights.model_hash(arrays, meta), "meta": meta})


def read(path: Path) -> Found | None:
    """Read what `write` wrote; None, and a line that names the file, where it is damaged."""
    try:
        arrays, metadata = weights.load(path)
        if weights.model_hash(arrays, metadata["meta"]) != metadata["digest"]:
            raise ValueError("its digest is not that of its content")
    except Exception as error:  # safetensors raises its own types
        print(
            f"{path}: a corrupted checkpoint ({error}); the one before it is used, or training starts anew", flush=True
        )
        return None
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata["meta"]


def clear(folder: Path) -> None:
    """Remove the states of a training that is finished."""
    shutil.rmtree(folder, ignore_errors=True)


def of_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments as named tensors."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{i}.{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()
    }


def to_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the optimiser's moments, each laid out in memory as its parameter is."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, i, key = name.split(".")
            like = parameters[int(i)]
            moment = tensor.clone() if key == "step" else torch.empty_like(like).copy_(tensor)
            state.setdefault(int(i), {})[key] = moment
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
