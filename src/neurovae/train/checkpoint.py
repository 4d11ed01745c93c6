"""What a training that was killed goes on from: two files, each written beside and renamed, loaded without pickle."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurovae.train import weights

EVERY = 30.0  # seconds of training between two checkpoints


def save(folder: Path, epoch: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write the state after an epoch; the one before it is kept, older ones are removed."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    digest = weights.model_hash(arrays, meta)
    weights.save(folder / f"epoch-{epoch:06d}.safetensors", arrays, {"digest": digest, "meta": meta})
    for old in sorted(folder.glob("epoch-*.safetensors"))[:-2]:
        old.unlink()


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest state that is whole; a corrupted file is named and the one before it used. None: no state."""
    for path in sorted(folder.glob("epoch-*.safetensors"), reverse=True):
        try:
            arrays, stored = weights.load(path)
            if weights.model_hash(arrays, stored["meta"]) != stored["digest"]:
                raise ValueError("its digest is not that of its content")
        except Exception as error:  # safetensors raises its own types
            print(f"{path}: a corrupted checkpoint ({error}); it is removed and the one before it used")
            path.unlink()
            continue
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, stored["meta"]
    return None


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
    """Give the optimiser its moments back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, i, key = name.split(".")
            state.setdefault(int(i), {})[key] = tensor.clone()
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
