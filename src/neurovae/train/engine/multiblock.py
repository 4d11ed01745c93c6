"""The step and the evaluation of a model of several blocks, in the training loop of all networks."""

import math

import numpy as np
import torch
from torch import Tensor

from neurovae.train.engine import devices, processes, rng
from neurovae.train.engine.data import Data, some
from neurovae.train.engine.evaluate import ACTIVE, Row
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.engine.loader import batches
from neurovae.train.losses import multiblock
from neurovae.train.models.block_network import Blocks
from neurovae.train.models.network import sample

AT_ONCE = 64  # people


def gradients(
    model: Blocks, x: Tensor, size: int, hp: Hyperparameters, data: Data,
    *, beta: float, scale: float, queue: Tensor, counters: tuple[int, ...],
) -> Tensor:  # fmt: skip
    """Set the parameters' gradients to that of the mean loss per person; arguments as of `step.gradients`.

    Samples of a person are the same in whatever process or part they are.
    """
    rows = torch.arange(data.rank, size, data.world)
    model.zero_grad()
    length = max(1, -(-len(x) // hp.accumulate))
    for i in range(0, len(x), length):
        torch.manual_seed(rng.number(*counters, 3, data.rank, i))  # of dropout
        of_part = rows[i : i + length]

        def draw(one: tuple[Tensor, Tensor], number: int, of_part: Tensor = of_part) -> Tensor:
            eps = torch.randn(size, one[0].shape[1], generator=rng.generator(*counters, 10, number))[of_part]
            return sample(*one, eps.to(x.device))

        with devices.autocast(x.device, hp.precision):
            found = terms(model, x[i : i + length, 0], draw)
        (found.total(model.cross, beta).sum() / size).backward()  # type: ignore[no-untyped-call]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    processes.total([parameter.grad for parameter in trained if parameter.grad is not None])
    return queue


def terms(model: Blocks, x: Tensor, draw: multiblock.Draw) -> multiblock.Terms:
    """Terms of the loss of rows (people, all features)."""
    parts = model.split(x)
    return multiblock.terms(
        parts, model.encode(parts), model.decode, draw,
        weights=model.weights, likelihoods=[block.likelihood for block in model.blocks],  # type: ignore[misc]
        log_sigma=[block.log_sigma for block in model.blocks],  # type: ignore[misc]
        log_sigma_cross=[block.log_sigma_cross for block in model.blocks],  # type: ignore[misc]
    )  # fmt: skip


def epoch(model: Blocks, data: Data, hp: Hyperparameters, number: int, beta: float, scale: float) -> list[Row]:
    """A history row per split; the loss is at the final beta and at the posteriors' means."""
    parts = {name: some(rows) if name == "training" else rows for name, rows in data.index.items()}
    shared = {"epoch": number, "beta": beta if hp.kl else math.nan}
    return [{**shared, "split": name, **_row(model, data, rows, hp)} for name, rows in parts.items()]


@torch.no_grad()
def _row(model: Blocks, data: Data, rows: np.ndarray, hp: Hyperparameters) -> Row:
    model.eval()
    order = [rows[i : i + AT_ONCE] for i in range(0, len(rows), AT_ONCE)][data.rank :: data.world]
    blocks = len(model.blocks)
    latents = model.n_shared * (1 + blocks) + model.n_private * blocks
    sums = torch.zeros(2 + 2 * blocks + latents + 2 * model.n_shared, dtype=torch.float64)
    for x in batches(data.volumes, order, data.device, data.held):
        with devices.autocast(data.device, hp.precision):
            found = terms(model, x[:, 0], lambda one, number: one[0])
            joint = model.encode(model.split(x[:, 0])).joint()[0]
        error = squares(model, x[:, 0])
        parts = [found.own.sum()[None], found.cross.sum()[None], error.flatten(), found.kl.sum(dim=0),
                 joint.sum(dim=0), joint.square().sum(dim=0)]  # fmt: skip
        sums += torch.cat([part.cpu().double() for part in parts])
    processes.total([sums])
    own, cross, error_sums, kl, total, square = sums.split(
        [1, 1, 2 * blocks, latents, model.n_shared, model.n_shared])  # fmt: skip
    mean_kl = kl / len(rows)
    variance = square / len(rows) - (total / len(rows)).square()
    errors = error_sums.view(2, blocks)
    loss = (float(own) + model.cross * float(cross)) / len(rows) + hp.beta * float(mean_kl.sum())
    sigma = torch.stack([block.log_sigma.exp().mean() for block in model.blocks]).mean()  # type: ignore[operator]
    return {"nll": float(own) / len(rows), "dssim": math.nan, "kl": float(mean_kl.sum()), "mmd": math.nan,
            "loss": loss, "variance_explained": float((1 - errors[0] / errors[1]).mean()), "sigma": float(sigma),
            "active": int((variance > ACTIVE).sum()), "kl_dimensions": mean_kl.tolist()}  # fmt: skip


def squares(model: Blocks, x: Tensor) -> Tensor:
    """Squared errors of reconstructions from all blocks, and squared departures from the mean: (2, blocks)."""
    parts = model.split(x)
    found = model.encode(parts)
    s = found.joint()[0]
    rows = []
    for m, part in enumerate(parts):
        there = ~part.isnan()
        decoded = model.decode(m, s, torch.where(found.present[m][:, None], found.private[m][0], 0))
        expected = model.blocks[m].expected(decoded)  # type: ignore[operator]
        given = torch.nan_to_num(part)
        rows.append(torch.stack([torch.where(there, given - expected, 0).square().sum(), given.square().sum()]))
    return torch.stack(rows, dim=1)
