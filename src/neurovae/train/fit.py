"""Fit one model on one fold with one seed: weights, history, health."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.files import write_json
from neurovae.parquet import write_table
from neurovae.train import health, weights
from neurovae.volumes import SPLITS, chunks, data_hash, masked, read_mask, read_volumes, splits

THREADS = 2  # fixed: on a CPU another number of threads would give other bits
HISTORY = ["epoch", "split", "nll", "kl", "loss", "share"]


def run(
    *,
    volumes: Path,
    rows: Path,
    mask: Path,
    folds: Path,
    out: Path,
    history: Path,
    checkup: Path,
    kind: Literal["vae", "pca"],
    fold: int,
    seed: int,
    device: Literal["auto", "cpu", "cuda", "mps"],
    options: Json,
) -> None:
    """Fit a model and write its weights, history and health.

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        folds: table of folds and splits.
        out: safetensors to write.
        history: Parquet to write, a row per epoch and split.
        checkup: JSON to write: verdict, variance shares, active units.
        kind: vae or pca: the module of this package that fits, embeds and reconstructs.
        fold: the fold whose people are only reported on.
        seed: of initial weights, batches and samples.
        device: auto takes cuda, then cpu.
        options: the model's entry in train.models (config/README.md).
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    array, table = read_volumes(volumes, rows)
    brain = read_mask(mask)
    split = splits(table, folds, fold)
    module = importlib.import_module(f"neurovae.train.{kind}")
    tensors, architecture, found = module.fit(array, split, brain, seed=seed, device=device, **options)
    people = {name: sorted(set(table.loc[split == name, "person"])) for name in SPLITS}
    meta = {"kind": kind, "fold": fold, "seed": seed, "data_hash": data_hash(table), "people": people}
    weights.save(out, tensors, {**meta, "architecture": architecture})
    tensors, _ = weights.load(out)
    write_table(history, pd.DataFrame(found, columns=HISTORY))
    checked = {**examine(module, array, split, brain, tensors, architecture), "kept_epoch": kept_epoch(found)}
    write_json(checkup, {**checked, **{f"people_{name}": len(people[name]) for name in SPLITS}})
    print(f"{checked['verdict']}: {checked['reason']}")


def kept_epoch(history: list[dict[str, Any]]) -> int | None:
    """The epoch with the smallest loss on the stopping people; 0: the linear part alone, None: no epochs."""
    stop = [row for row in history if row["split"] == "stop"]
    return min(stop, key=lambda row: row["loss"])["epoch"] if stop else None


def examine(
    module: ModuleType,
    array: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    tensors: weights.Tensors,
    architecture: dict[str, Any],
) -> dict[str, Any]:
    """The measures and verdict of health.json, from the weights as they are stored, a few scans at a time."""
    rows = np.flatnonzero(split == "weights")
    mean = sum(masked(array[rows[part]], mask).sum(axis=0, dtype=np.float64) for part in chunks(len(rows))) / len(rows)
    mu, error, total = [], [], []
    for part in chunks(len(array)):
        x = masked(array[part], mask)
        mu.append(module.embed(array[part], mask, tensors, architecture)[0])
        x_hat = module.reconstruct(mu[-1], mask, tensors, architecture)
        error.append(np.square(x - x_hat).sum(axis=1, dtype=np.float64))
        total.append(np.square(x - mean).sum(axis=1, dtype=np.float64))
    error, total = np.concatenate(error), np.concatenate(total)
    share = {name: health.variance_share(error[split == name], total[split == name]) for name in SPLITS}
    active = health.active_units(np.concatenate(mu)[split == "weights"]) if module.HAS_KL else None
    return health.judge(share, active)


if __name__ == "__main__":
    cli(run)
