"""One trial of a search: ask for values, train with them on a fold's weights people, tell how the stop people fared.

The people of split "report" are dropped before anything else, and no file that is read here holds a score: neither
can change a choice.
"""

import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.files import write_json
from neurovae.train import devices, health, study, vae
from neurovae.volumes import chunks, data_hash, masked, read_mask, read_volumes, splits

THREADS = 2  # fixed: on a CPU another number of threads would give other bits
DRAWS = 8  # samples of the posterior per scan, of which the bound is the mean
Row = dict[str, Any]


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
    """Run one trial, or write again what the journal knows of it where it was finished before.

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
        InputError: the device asked for is not there, or the journal is damaged. What is wrong with the values of the
            trial (a loss that is not finite, too little memory) is a result, of state failed.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    devices.choose(device)
    array, table = read_volumes(volumes, rows)
    brain = read_mask(mask)
    split = visible(splits(table, folds, fold))
    opened = study.load(state / digest([options, search, code], table, split, brain))
    attempts = study.of_job(opened, trial)
    known = [attempt for attempt in attempts if attempt.user_attrs.get("result", {}).get("state") in ("complete", "pruned")]
    known = [attempt for attempt in known if attempt.state.is_finished() and attempt.state != optuna.trial.TrialState.FAIL]
    if not known:
        asked = study.ask(opened, job=trial, seed=search["seed"], allowed=search["space"], own=options)
        print(f"trial {trial}: {json.dumps(asked.params, sort_keys=True)}", flush=True)
        found = attempt(asked, array, split, brain, device=device, options=options, search=search)
        study.tell(asked, found, search["min_active"])
    else:
        found = known[-1].user_attrs["result"]
    write_json(out, {"trial": trial, **found})
