"""What a checkpoint holds of a training, and a training that goes on from one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurovae.train.engine import checkpoint
from neurovae.train.models.network import VAE

FIXED = ("mean", "mask", "inward", "outward")  # found before training: written once
BOXES = ("inward", "outward")  # of these, the voxels of the mask
State = dict[str, Tensor]


def named(prefix: str, model: VAE) -> State:
    """Copies of what training changes."""
    return {
        f"{prefix}.{name}": value.detach().clone() for name, value in model.state_dict().items() if name not in FIXED
    }


def save(folder: Path, model: VAE, optimiser: torch.optim.Optimizer, state: State, told: dict[str, Any]) -> None:
    """Write the state after an epoch; the linear part only once: another machine would find other last digits."""
    fixed = folder / "fixed.safetensors"
    if not fixed.exists():
        whole = {name: getattr(model, name) for name in FIXED}
        checkpoint.write(fixed, {**whole, **{name: whole[name][:, model.mask] for name in BOXES}}, {})
    now = {**named("model", model), **checkpoint.of_optimiser(optimiser)}
    checkpoint.save(folder, told["epoch"], {**state, **now}, told)


def load(folder: Path, model: VAE, optimiser: torch.optim.Optimizer) -> tuple[State, dict[str, Any]] | None:
    """Set model and optimiser to the newest state that is whole, and return the rest of it; None: there is none."""
    found, path = checkpoint.load(folder), folder / "fixed.safetensors"
    fixed = checkpoint.read(path) if found else None
    if not found or not fixed:
        checkpoint.clear(folder)
        return None
    device = model.mean.device
    tensors, whole = (
        found[0],
        {**fixed[0], **{name: torch.zeros_like(getattr(model, name), device="cpu") for name in BOXES}},
    )
    for name in BOXES:
        whole[name][:, whole["mask"]] = fixed[0][name]
    model.load_state_dict({**whole, **{name[6:]: value for name, value in tensors.items() if name[:6] == "model."}})
    checkpoint.to_optimiser(optimiser, tensors)
    print(f"going on after epoch {found[1]['epoch']}, as found in {folder}", flush=True)
    return {name: value.to(device) for name, value in tensors.items() if name[:5] in ("best.", "queue")}, found[1]
