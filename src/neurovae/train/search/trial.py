"""One trial of a search: ask for values, train on a fold's training set, return the result of its validation set.

The people of split "test" are dropped before anything else, and no file that is read here holds a score: neither
can change a choice.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.files import write_json
from neurovae.io.volumes import data_hash, read_mask, read_volumes, splits
from neurovae.plan import beta_schedule
from neurovae.train.engine import devices
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.health.verdicts import LOST
from neurovae.train.models import vae
from neurovae.train.search import outcome, study

THREADS = 2  # fixed: on a CPU another number of threads would give other bits
Row = dict[str, Any]


class Watch:
    """Follows a training by its epochs, and ends it once the warm-up is over and it is worse than most.

    What is compared is the objective of the epoch that would be kept now, that is the one with the smallest loss of
    the validation people; the bound is taken at z = mu, which is cheap, and good enough to compare. While beta is still
    below its value nothing is reported: a short KL would look like a good reconstruction.
    """

    def __init__(self, trial: optuna.Trial, hp: Hyperparameters, objective: str) -> None:
        self._trial, self._recipe, self._objective = trial, hp, objective
        self._loss = math.inf
        self.seen: Row = {}  # history row of the validation people at the epoch that would be kept
        self.epoch = 0

    def __call__(self, rows: list[Row]) -> None:
        """Take the history rows of one epoch; raises TrialPruned."""
        stop = next(row for row in rows if row["split"] == "validation")
        self.epoch = stop["epoch"]
        if stop["loss"] < self._loss:
            self._loss, self.seen = stop["loss"], stop
        hp = self._recipe
        if hp.kl and beta_schedule.warmup(self.epoch, hp.epochs, hp.warmup, hp.cycles) < 1:
            return
        self._trial.report(self.value(), self.epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned

    def value(self) -> float:
        """The objective from the epochs so far."""
        return float(
            self.seen["variance_explained"]
            if self._objective == "variance_explained"
            else -self.seen["nll"] - self.seen["kl"]
        )


def run(
    *,
    volumes: Path,
    rows: Path,
    mask: Path,
    folds: Path,
    state: Path,
    out: Path,
    fold: int,
    trial: int,
    device: Literal["auto", "cpu", "cuda", "mps"],
    code: str,
    options: Json,
    search: Json,
) -> None:
    """Run one trial of a search; the result of a finished trial is written again from the journal.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun trial

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        folds: table of folds and splits.
        state: folder of journals, which outlives a killed job.
        out: JSON to write: the values, the objective, the measures.
        fold: the fold whose people are never seen.
        trial: number of the trial.
        device: auto takes cuda, then cpu.
        code: fingerprint of code and environment; another one begins a new study.
        options: the model's entry in train.models.
        search: objective, min_active, seed and space of train.search.

    Raises:
        InputError: the requested device is not available, or the journal is damaged. What is wrong with the values of
            the
            trial (a loss that is not finite, too little memory) is a result, of state failed.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    on = devices.choose(device)
    array, table = read_volumes(volumes, rows)
    brain = read_mask(mask)
    split = visible(splits(table, folds, fold))
    the_study = study.load(state / digest([options, search, code], table, split, brain))
    result = study.settled(the_study, trial)
    if result is None:
        new_trial = study.ask(the_study, job=trial, seed=search["seed"], allowed=search["space"], entry_values=options)
        print(f"trial {trial}: {json.dumps(new_trial.params, sort_keys=True)}", flush=True)
        people = table["person"].to_numpy()
        result = attempt(new_trial, array, people, split, brain, on=on, options=options, search=search)
        study.tell(the_study, new_trial, result, outcome.violation(result, search["min_active"]))
    write_json(out, {"trial": trial, **result})
    print(f"trial {trial}: {result['state']}: {result['reason']}", flush=True)


def attempt(
    new_trial: optuna.Trial,
    array: np.ndarray,
    people: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    on: torch.device,
    options: Row,
    search: Row,
) -> Row:
    """Train with the values asked for, and measure; without an objective where it was pruned or failed.

    Args:
        new_trial: the trial, with its values.
        array: packed volumes (scans, x, y, z).
        people: person of each scan (scans,).
        split: "training", "validation" or "" of each scan (scans,).
        mask: the fixed mask (x, y, z).
        on: the device.
        options, search: as in `run`.
    """
    values = {**options, **new_trial.params}
    watch = Watch(new_trial, Hyperparameters(**values), search["objective"])
    trial_values = {"values": new_trial.params, "order": new_trial.user_attrs["order"]}
    try:
        # one seed for all trials: what differs between them is their values alone
        weights, architecture, history = vae.fit(
            array, split, mask, seed=search["seed"], device=str(on), people=people, watch=watch, **values
        )
    except optuna.TrialPruned:
        reason = f"after epoch {watch.epoch} worse than the median of the other trials at that epoch"
        visible_rows = {
            "reached": watch.value(),
            "variance_explained_validation": watch.seen["variance_explained"],
            "last_epoch": watch.epoch,
        }
        return {**trial_values, **outcome.nothing("pruned", reason), **visible_rows}
    except InputError as error:
        return {**trial_values, **outcome.nothing("failed", str(error))}
    if not np.isfinite(_last_loss(history)):
        return {**trial_values, **outcome.nothing("failed", f"{LOST} in epoch {history[-1]['epoch']}")}
    model = outcome.Fitted(weights=weights, architecture=architecture, mask=mask, on=on)
    record = outcome.measure(model, array, people, split, history, search["objective"], search["seed"])
    feasible = outcome.violation(record, search["min_active"]) == 0
    return {**trial_values, **record, "feasible": feasible}


def _last_loss(history: list[Row]) -> float:
    """Of the validation people; not finite where training diverged."""
    return float([row["loss"] for row in history if row["split"] == "validation"][-1])


def visible(split: np.ndarray) -> np.ndarray:
    """The splits (scans,) with "test" made nameless: no stage of a training looks at a scan without a split."""
    return np.where(split == "test", "", split)


def digest(values: list[Any], table: pd.DataFrame, split: np.ndarray, mask: np.ndarray) -> str:
    """Name of the study: other values, other code or another scan that is trained or stopped on begin a new one."""
    is_visible = split != ""
    text = json.dumps([*values, data_hash(table[is_visible]), *split[is_visible]], sort_keys=True)
    return hashlib.sha256(text.encode() + mask.tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    cli(run)
