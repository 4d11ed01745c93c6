"""The memory that the trials of one search share: an Optuna journal, safe on NFS and with several workers at once.

What is reproducible: the draw of a trial depends on the seed, on how many trials were asked for before it and on their
results, so one worker at a time gives the same trials, to the bit, in whatever order Snakemake starts the jobs, and a
job that was killed and is run again tries the same values. With workers side by side the results known at the moment
of asking depend on who is faster, and so do the trials after the first `RANDOM`.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from neurovae.errors import InputError
from neurovae.plan import search_space

RANDOM = 8  # trials drawn at random before the sampler models the space
COMPARED = 4  # complete trials that a trial is compared to before it may be pruned
TAIL = 2**16  # bytes at the end of the journal in which its last line is looked for


class Lock(JournalFileOpenLock):
    """An exclusive file (O_EXCL: safe on NFS 3 and later); once held, a line that a killed writer left half is cut off.

    The lock of a killed holder is broken after the backend's 30 seconds.
    """

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._journal = Path(journal)

    def acquire(self) -> bool:
        """Wait for the lock, then mend the journal."""
        is_held = super().acquire()
        repair(self._journal)
        return is_held


def repair(journal: Path) -> None:
    """Cut off the last line where it is incomplete JSON: every line after it would be unreadable."""
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - TAIL)
        file.seek(start)
        tail = file.read()
        begin = tail.rstrip(b"\n").rfind(b"\n") + 1
        last = tail[begin:] if begin or not start else b""
        if last and not (last.endswith(b"\n") and _whole(last)):
            print(f"{journal}: the last line is half written (a worker was killed); it is cut off", flush=True)
            file.truncate(start + begin)


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def load(folder: Path) -> optuna.Study:
    """The study of a folder, begun where there is none; larger objectives are better.

    A trial is pruned when its best epoch so far is worse than the median of the complete trials at the same epoch.

    Raises:
        InputError: the journal cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    path = str((folder / "journal.log").resolve())
    pruner = optuna.pruners.MedianPruner(n_startup_trials=COMPARED, n_min_trials=COMPARED)
    try:
        storage = JournalStorage(JournalFileBackend(path, lock_obj=Lock(path)))
        return optuna.create_study(
            storage=storage, study_name="search", direction="maximize", load_if_exists=True, pruner=pruner
        )
    except (ValueError, KeyError, AssertionError) as error:
        raise InputError(
            f"{path}: the journal of the search is damaged ({error}); delete the folder {folder}: trials that are "
            "finished are kept as trial-*.json, the sampler forgets them"
        ) from None


def settled(study: optuna.Study, job: int) -> dict[str, Any] | None:
    """Return the result of a job that was finished before; None where it was not."""
    for attempt in of_job(study, job):
        if "result" in attempt.user_attrs:
            _close(study, attempt.number, attempt.user_attrs["result"])  # killed between the two?
            return dict(attempt.user_attrs["result"])
    return None


def tell(study: optuna.Study, trial: Trial, result: dict[str, Any], violation: float) -> None:
    """Record the result of a trial, from which the sampler learns.

    To Optuna a trial is complete only where it may be chosen, so that others are compared to such trials alone, and
    failed only where its job was killed. Of the rest it learns how far they are from the constraint.

    Args:
        study: of this search.
        trial: as asked for.
        result: state, objective, feasible, and whatever else is to be known of it; goes to JSON.
        violation: of the constraint; 0 or less meets it.
    """
    trial.set_constraint("health", violation)
    trial.set_user_attr("result", result)
    _close(study, trial.number, result)


def _close(study: optuna.Study, number: int, result: dict[str, Any]) -> None:
    value, state = (result["objective"], TrialState.COMPLETE) if result["feasible"] else (None, TrialState.PRUNED)
    study.tell(number, value, state=state, skip_if_finished=True)


def of_job(study: optuna.Study, job: int) -> list[FrozenTrial]:
    """The trials that a job has begun, oldest first."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get("job") == job]


def ask(study: optuna.Study, *, job: int, seed: int, allowed: dict[str, Any], entry_values: dict[str, Any]) -> Trial:
    """A new trial with its values; what a killed attempt of this job left running is marked as failed and tried again.

    Args:
        study: of this search.
        job: number of the trial among the jobs.
        seed: of the sampler.
        allowed: the space: a list of choices, or low, high and log, by key.
        entry_values: values of the model's entry; the first trial takes those that the space holds.
    """
    attempts = of_job(study, job)
    for attempt in attempts:
        if attempt.state == TrialState.RUNNING:
            study.tell(attempt.number, state=TrialState.FAIL)
    trial = study.ask()
    trial.set_user_attr("job", job)
    before = study.get_trials(deepcopy=False)[: trial.number]
    # the first attempt's, so that another one draws from the same seed
    orders = [attempt.user_attrs["order"] for attempt in attempts if "order" in attempt.user_attrs]
    order = orders[0] if orders else sum(earlier.state != TrialState.FAIL for earlier in before)
    trial.set_user_attr("order", order)
    fixed_values = {
        key: entry_values[key] for key in allowed if order == 0 and search_space.within(entry_values[key], allowed[key])
    }
    real = [key for key in fixed_values if isinstance(allowed[key], dict) and key not in search_space.WHOLE]
    fixed_values |= {key: float(fixed_values[key]) for key in real}  # 1.0, as the journal would give it back, and not 1
    earlier_values = [attempt.params for attempt in attempts if attempt.params.keys() == allowed.keys()]
    study.sampler = _sampler(_seed(seed, order), earlier_values[-1] if earlier_values else fixed_values)
    for key in sorted(allowed):
        _draw(trial, key, allowed[key])
    return trial


def _sampler(seed: int, fixed_values: dict[str, Any]) -> optuna.samplers.BaseSampler:
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM, multivariate=True, constant_liar=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(fixed_values, sampler) if fixed_values else sampler


def _seed(*counters: int) -> int:
    return int(np.random.SeedSequence(counters).generate_state(1)[0])


def _draw(trial: Trial, key: str, allowed: Any) -> None:
    if isinstance(allowed, list):
        trial.suggest_categorical(key, allowed)
    elif key in search_space.WHOLE:
        trial.suggest_int(key, allowed["low"], allowed["high"], log=allowed.get("log", False))
    else:
        trial.suggest_float(key, allowed["low"], allowed["high"], log=allowed.get("log", False))
