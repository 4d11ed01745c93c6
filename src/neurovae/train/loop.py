"""The training loop, on one page: epochs, warm-up of beta, early stopping, checkpoints."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurovae.errors import InputError
from neurovae.train import checkpoint, devices, divergence, evaluate, seeds
from neurovae.train.augment import augmented
from neurovae.train.data import Data
from neurovae.train.feed import batches
from neurovae.train.model import VAE
from neurovae.train.recipe import Recipe
from neurovae.train.step import gradients

Row = dict[str, Any]
State = dict[str, Tensor]
Watch = Callable[[list[Row]], None]
FIXED = {"mean", "mask", "inward", "outward"}  # found before training; a checkpoint leaves them out


def train(
    model: VAE, data: Data, recipe: Recipe, *, seed: int, folder: Path | None, watch: Watch
) -> tuple[State, list[Row]]:
    """Train until the stopping people's loss has not improved for `patience` epochs.

    Returns:
        The weights of the best epoch, 0 included (the linear part alone), and the history.
    """
    optimiser = _optimiser(model, recipe)
    state, told = _begin(model, data, recipe, optimiser, folder)
    start = saved = time.monotonic()
    done = told["epoch"]
    while told["epoch"] < min(recipe.epochs, told["best"] + recipe.patience):
        epoch = told["epoch"] + 1
        beta = recipe.beta * divergence.warmup(epoch, recipe.epochs, recipe.warmup, recipe.cycles)
        state["queue"] = _pass(model, data, recipe, optimiser, state["queue"], (seed, epoch), beta, told["scale"])
        rows = evaluate.epoch(model, data, recipe, epoch, beta, told["scale"])
        loss = evaluate.stopping(rows)
        if not np.isfinite(loss):
            raise InputError(
                f"epoch {epoch}: the loss is not finite; lower learning_rate (now {recipe.learning_rate:g})"
            )
        told |= {"epoch": epoch, "history": told["history"] + rows}
        if loss < told["loss"]:
            told |= {"best": epoch, "loss": loss}
            state |= {f"best.{name}": value for name, value in weights_of(model).items()}
        if folder and data.rank == 0 and time.monotonic() - saved >= checkpoint.EVERY:
            checkpoint.save(folder, epoch, {**state, **_now(model, optimiser)}, told)
            saved = time.monotonic()
        watch(rows)
        if data.rank == 0 and (epoch % 10 == 0 or epoch in (1, recipe.epochs)):
            _tell(rows, epoch, recipe.epochs, (time.monotonic() - start) / (epoch - done))
    return {name[5:]: value for name, value in state.items() if name.startswith("best.")}, told["history"]


def _begin(
    model: VAE, data: Data, recipe: Recipe, optimiser: torch.optim.Optimizer, folder: Path | None
) -> tuple[State, dict[str, Any]]:
    """Tensors and numbers of a training before its first epoch, or after the last that a checkpoint holds."""
    found = checkpoint.load(folder) if folder else None
    if found:
        tensors, told = {name: value.to(data.device) for name, value in found[0].items()}, found[1]
        model.load_state_dict(
            {name[6:]: value for name, value in tensors.items() if name[:6] == "model."}, strict=False
        )
        checkpoint.to_optimiser(optimiser, tensors)
        print(f"going on after epoch {told['epoch']}, as found in {folder}", flush=True)
        return {name: value for name, value in tensors.items() if name[:5] in ("best.", "queue")}, told
    rows = evaluate.epoch(model, data, recipe, 0, 0.0, 0.0)
    first = rows[0]
    scale = recipe.mmd_weight * sum(first[name] for name in ("nll", "dssim") if np.isfinite(first[name]))
    state = {"queue": torch.zeros(0, recipe.latent, device=data.device)}
    state |= {f"best.{name}": value for name, value in weights_of(model).items()}
    rows = evaluate.epoch(model, data, recipe, 0, 0.0, scale)
    return state, {"epoch": 0, "best": 0, "loss": evaluate.stopping(rows), "scale": abs(scale), "history": rows}


def _pass(
    model: VAE,
    data: Data,
    recipe: Recipe,
    optimiser: torch.optim.Optimizer,
    queue: Tensor,
    counters: tuple[int, int],
    beta: float,
    scale: float,
) -> Tensor:
    """One pass over the training people; the queue of codes that it leaves."""
    model.train()
    for step, (x, size) in enumerate(_batches(data, recipe, counters)):
        optimiser.zero_grad()
        with devices.autocast(data.device, recipe.precision):
            queue = gradients(
                model, x, size, recipe, data, beta=beta, scale=scale, queue=queue, counters=(*counters, step)
            )
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
    return queue


def _batches(data: Data, recipe: Recipe, counters: tuple[int, int]) -> Iterator[tuple[Tensor, int]]:
    """This process's augmented scans of each shuffled batch, and the scans of the whole batch."""
    rows = data.index["weights"]
    shuffled = rows[torch.randperm(len(rows), generator=seeds.generator(*counters)).numpy()]
    order = [shuffled[i : i + recipe.batch] for i in range(0, len(rows), recipe.batch)]
    order = [batch for batch in order if len(batch) >= data.world]
    own = [batch[data.rank :: data.world] for batch in order]
    for step, x in enumerate(batches(data.volumes, own, data.device, data.held)):
        drawn = seeds.generator(*counters, step, 4, data.rank)
        yield augmented(x, drawn, flip=recipe.flip, mix=recipe.mix, jitter=recipe.jitter), len(order[step])


def _optimiser(model: VAE, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; the likelihood's sigma is not decayed, and stands still unless it is learned."""
    model.log_sigma.requires_grad_(recipe.sigma == "learned" and recipe.gaussian)
    others = [parameter for name, parameter in model.named_parameters() if name != "log_sigma"]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [model.log_sigma], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def weights_of(model: VAE) -> State:
    """Copies of what training changes."""
    return {name: value.detach().clone() for name, value in model.state_dict().items() if name not in FIXED}


def _now(model: VAE, optimiser: torch.optim.Optimizer) -> State:
    return {
        **{f"model.{name}": value for name, value in weights_of(model).items()},
        **checkpoint.of_optimiser(optimiser),
    }


def _tell(rows: list[Row], epoch: int, epochs: int, rate: float) -> None:
    shares = ", ".join(f"{row['split']} {row['share']:.3f}" for row in rows[:2])
    left = f"{rate:.2f} s an epoch, at most {rate * (epochs - epoch):.0f} s left"
    print(f"epoch {epoch}/{epochs}: share {shares}; {left}", flush=True)
