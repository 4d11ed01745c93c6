"""The content of a training's checkpoint, and a training that continues from one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurovae.train.engine import checkpoint

State = dict[str, Tensor]


def fixed_tensors(model: nn.Module) -> State:
    """Return the tensors that are found before training, such as the linear part: the model's buffers."""
    buffers = dict(model.named_buffers())
    return {name: value for name, value in model.state_dict().items() if name in buffers}


def named(prefix: str, model: nn.Module) -> State:
    """Return copies of the tensors that training changes."""
    fixed = fixed_tensors(model)
    return {
        f"{prefix}.{name}": value.detach().clone() for name, value in model.state_dict().items() if name not in fixed
    }


def save(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: State, progress: dict[str, Any]
) -> None:
    """Write the state after an epoch; the linear part only once: another machine would find other last digits."""
    fixed = folder / "fixed.safetensors"
    if not fixed.exists():
        checkpoint.write(fixed, fixed_tensors(model), {})
    tensors = {**named("model", model), **checkpoint.of_optimiser(optimiser)}
    checkpoint.save(folder, progress["epoch"], {**state, **tensors}, progress)


def load(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[State, dict[str, Any]] | None:
    """Set model and optimiser to the newest state that is whole, and return the rest of it; None: there is none."""
    checkpoint_state, path = checkpoint.load(folder), folder / "fixed.safetensors"
    fixed = checkpoint.read(path) if checkpoint_state else None
    if not checkpoint_state or not fixed:
        checkpoint.clear(folder)
        return None
    device = next(model.parameters()).device
    tensors = checkpoint_state[0]
    model.load_state_dict({**fixed[0], **{name[6:]: value for name, value in tensors.items() if name[:6] == "model."}})
    checkpoint.to_optimiser(optimiser, tensors)
    print(f"going on after epoch {checkpoint_state[1]['epoch']}, as found in {folder}", flush=True)
    return {
        name: value.to(device) for name, value in tensors.items() if name[:5] in ("best.", "queue")
    }, checkpoint_state[1]
