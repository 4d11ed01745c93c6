"""The training loop: epochs, warm-up of beta, early stopping, checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurovae.errors import InputError
from neurovae.plan import beta_schedule
from neurovae.train.engine import checkpoint, evaluate, processes, resume, rng
from neurovae.train.engine.augment import augmented
from neurovae.train.engine.data import Data
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loader import batches
from neurovae.train.engine.step import gradients
from neurovae.train.health.verdicts import LOST

Row = dict[str, Any]
State = dict[str, Tensor]
Watch = Callable[[list[Row]], None]
RISE, FIRST = 0.3, 0.04  # of a cycle of the learning rate: share of the epochs that it rises in, and where it begins


class Steps(NamedTuple):
    """A model's loss: gradients of a batch (as `step.gradients`), a history row per split (as `evaluate.epoch`)."""

    gradients: Callable[..., Tensor]
    epoch: Callable[..., list[Row]]


def one_image() -> Steps:
    """The loss of models of one image."""
    return Steps(gradients, evaluate.epoch)


def train(
    model: Any,
    data: Data,
    hp: Hyperparameters,
    *,
    seed: int,
    folder: Path | None,
    watch: Watch,
    steps: Steps | None = None,
) -> tuple[State, list[Row]]:
    """Train until the validation loss has not improved for `patience` epochs of full beta.

    While beta is below its value, in a warm-up, a worse loss at the full beta is expected: such epochs may be the best,
    but do not count as waiting.

    Returns:
        The weights of the best epoch, 0 included (the linear part alone), and the history; its last loss is not finite
        where training diverged.

    Raises:
        InputError: the loss is not finite before the first step.
    """
    steps = steps or one_image()
    optimiser = _optimiser(model, hp)
    state, progress = _begin(model, data, hp, optimiser, folder, steps)
    start = last_save = time.monotonic()
    first_epoch = progress["epoch"]
    while progress["epoch"] < hp.epochs and progress["waited"] < hp.patience:
        epoch = progress["epoch"] + 1
        fraction = beta_schedule.warmup(epoch, hp.epochs, hp.warmup, hp.cycles) if hp.kl else 1.0
        beta = hp.beta * fraction
        state["queue"] = _pass(
            model, data, hp, optimiser, state["queue"], (seed, epoch), beta, progress["scale"], steps
        )
        rows = steps.epoch(model, data, hp, epoch, beta, progress["scale"])
        loss = evaluate.stopping(rows)
        progress |= {
            "epoch": epoch,
            "history": progress["history"] + rows,
            "waited": progress["waited"] + (fraction == 1),
        }
        if not np.isfinite(loss):
            print(f"epoch {epoch}: {LOST}; lower learning_rate (now {hp.learning_rate:g})", flush=True)
            break
        if loss < progress["loss"]:
            progress |= {"best": epoch, "loss": loss, "waited": 0}
            state |= resume.named("best", model)
        if folder and data.rank == 0 and time.monotonic() - last_save >= checkpoint.EVERY:
            resume.save(folder, model, optimiser, state, progress)
            last_save = time.monotonic()
        watch(rows)
        if data.rank == 0 and (epoch % 10 == 0 or epoch in (1, hp.epochs)):
            _report(rows, epoch, hp.epochs, (time.monotonic() - start) / (epoch - first_epoch))
    return {name[5:]: value for name, value in state.items() if name.startswith("best.")}, progress["history"]


def _begin(
    model: Any, data: Data, hp: Hyperparameters, optimiser: torch.optim.Optimizer, folder: Path | None, steps: Steps
) -> tuple[State, dict[str, Any]]:
    """Tensors and numbers of a training before its first epoch, or after the last that a checkpoint holds."""
    checkpoint_state = resume.load(folder, model, optimiser) if folder else None
    if not processes.agree(checkpoint_state[1]["epoch"] if checkpoint_state else 0):
        raise InputError(
            f"the processes found different checkpoints in {folder}; is it on a disk that all of them see?"
        )
    if checkpoint_state:
        return checkpoint_state
    processes.first([value for value in model.state_dict().values() if value.is_floating_point()])
    rows = steps.epoch(model, data, hp, 0, 0.0, 0.0)
    scale = _scale(model, rows[0], hp) if hp.divergence == "mmd" else 0.0
    rows = [{**row, "loss": row["loss"] + scale * row["mmd"]} if scale else row for row in rows]
    state = {"queue": torch.zeros(0, hp.n_latent, device=data.device), **resume.named("best", model)}
    if not np.isfinite(loss := evaluate.stopping(rows)):
        raise InputError(f"epoch 0: {LOST}; look at the packed volumes")
    return state, {"epoch": 0, "best": 0, "waited": 0, "loss": loss, "scale": scale, "history": rows}


def _pass(
    model: Any,
    data: Data,
    hp: Hyperparameters,
    optimiser: torch.optim.Optimizer,
    queue: Tensor,
    counters: tuple[int, int],
    beta: float,
    scale: float,
    steps: Steps | None = None,
) -> Tensor:
    """One pass over the training people; the queue of codes that it leaves."""
    model.train()
    order = _order(data, hp, counters)
    for step, (x, size) in enumerate(_batches(data, hp, counters, order)):
        model.group = None if data.group is None else int(data.group[order[step][0]])
        if hp.learning_rate_cycle:
            progress = (counters[1] - 1 + (step + 1) / len(order)) / hp.epochs
            for group in optimiser.param_groups:
                group["lr"] = hp.learning_rate * one_cycle(progress)
        queue = (steps or one_image()).gradients(
            model, x, size, hp, data, beta=beta, scale=scale, queue=queue, counters=(*counters, step)
        )
        torch.nn.utils.clip_grad_norm_(model.parameters(), hp.clip)
        optimiser.step()
    model.group = None
    return queue


def _order(data: Data, hp: Hyperparameters, counters: tuple[int, int]) -> list[np.ndarray]:
    """The rows of each shuffled batch; where there are groups, a batch holds scans of one of them."""
    rows, generator = data.index["training"], rng.generator(*counters)
    shuffled = rows[torch.randperm(len(rows), generator=generator).numpy()]
    if data.group is None:
        return [shuffled[i : i + hp.batch] for i in range(0, len(rows), hp.batch)]
    apart = [shuffled[data.group[shuffled] == group] for group in np.unique(data.group[rows])]
    found = [part[i : i + hp.batch] for part in apart for i in range(0, len(part), hp.batch)]
    return [found[i] for i in torch.randperm(len(found), generator=generator).tolist()]


def _batches(
    data: Data, hp: Hyperparameters, counters: tuple[int, int], order: list[np.ndarray]
) -> Iterator[tuple[Tensor, int]]:
    """This process's augmented scans of each batch, and the scans of the whole batch."""
    own_rows = [batch[data.rank :: data.world] for batch in order]
    for step, x in enumerate(batches(data.volumes, own_rows, data.device, data.held)):
        generator = rng.generator(*counters, step, 4, data.rank)
        changed = {name: getattr(hp, name) for name in ("flip", "mixup", "jitter", "mosaic", "mosaic_mm")}
        yield augmented(x, generator, **changed, centre=data.centre), len(order[step])


def _optimiser(model: nn.Module, hp: Hyperparameters) -> torch.optim.AdamW:
    """AdamW; biases (one is the posterior's log-variance) and the likelihood's sigma are not decayed.

    The likelihood's sigma is fixed unless it is learned.
    """
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2].startswith("log_sigma"):
            parameter.requires_grad_(hp.sigma == "learned" and hp.gaussian)
    with_decay = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": with_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=hp.learning_rate, weight_decay=hp.weight_decay, fused=True)


def one_cycle(progress: float) -> float:
    """The share of the learning rate at a share of the training: up in its first 30 %, then down (Smith 2018)."""
    rising = progress < RISE
    at = progress / RISE if rising else 1 - (progress - RISE) / (1 - RISE)
    low = FIRST if rising else 0.0
    return low + (1 - low) * (1 - math.cos(math.pi * at)) / 2


def _scale(model: Any, row: Row, hp: Hyperparameters) -> float:
    """Lambda, the weight of MMD: a multiple of the reconstruction loss per scan before the first step.

    That loss may be near zero or negative when sigma is small; then lambda has little meaning, and a message says so.
    """
    loss, voxels = abs(evaluate.reconstruction(row, hp)), int(model.mask.sum())
    print(
        f"lambda, the weight of MMD, is {hp.mmd_weight * loss:.4g} ({hp.mmd_weight:g} x {loss:.4g} nats)",
        flush=True,
    )
    if loss < 0.1 * voxels:
        print("warning: less than .1 nat a voxel: raise mmd_weight, or give another sigma", flush=True)
    return hp.mmd_weight * loss


def _report(rows: list[Row], epoch: int, epochs: int, rate: float) -> None:
    explained = ", ".join(f"{row['split']} {row['variance_explained']:.3f}" for row in rows[:2])
    estimate = f"{rate:.2f} s an epoch, at most {rate * (epochs - epoch):.0f} s left"
    print(f"epoch {epoch}/{epochs}: variance explained: {explained}; {estimate}", flush=True)
