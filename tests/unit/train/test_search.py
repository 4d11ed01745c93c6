"""The search of hp: planted optima, kills, workers at once, determinism, what it must not see or choose."""

import copy
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
import yaml
from project import CONFIG, Copy, Project

from neurovae.errors import InputError
from neurovae.plan import config as configuration
from neurovae.plan import search_flags, search_space
from neurovae.report.figures import search as picture
from neurovae.train.engine.hyperparameters import Hyperparameters
from neurovae.train.models import vae
from neurovae.train.search import choose, outcome, study, trial

ROOT = Path(__file__).parents[3]
SHAPE = (16, 24, 16)
BETA = {"beta": {"low": 0.1, "high": 10, "log": True}}
MIXED = {**BETA, "n_latent": [2, 3], "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
SEARCH: dict[str, Any] = {"objective": "variance_explained", "min_active": 2, "seed": 0, "space": MIXED}
OPTIONS: dict[str, Any] = dict(
    n_latent=3, flip=True, blur=0, linear="pca", base_channels=2, dropout=0.1, reconstruction="gaussian", sigma=1.0, noise=0.1,
    jitter=0, mixup=0, learning_rate=1e-3, weight_decay=0.01, clip=1e4, batch=8, accumulate=1, epochs=2, patience=2,
    divergence="kl", beta=1.0, warmup=0, cycles=0, free_bits=0, mmd_weight=1, samples=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "THREADS", 1)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 people who differ along three smooth fields, as `pack` and `folds` leave them."""
    folder = tmp_path_factory.mktemp("packed")
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    fields = np.stack([x * y, np.sin(3 * z), x**2 - y])
    volumes = 1 + np.tensordot(rng.normal(size=(25, 3)), fields, 1) + 0.1 * rng.normal(size=(25, *SHAPE))
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:14, 3:21, 2:14] = 1
    np.save(folder / "volumes.npy", (volumes * mask).astype(np.float16))
    nib.save(nib.Nifti1Image(mask, np.eye(4)), folder / "mask.nii.gz")
    people = [f"p{i:02d}" for i in range(25)]
    pd.DataFrame({"scan": people, "person": people, "preproc_sha256": people}).to_parquet(folder / "rows.parquet")
    split = list(itertools.islice(itertools.cycle(["training", "training", "training", "validation", "test"]), 25))
    pd.DataFrame({"person": people, "split_0": split}).to_csv(folder / "folds.tsv", sep="\t", index=False)
    return folder


def arguments(packed: Path, folder: Path, number: int, **others: Any) -> dict[str, Any]:
    return {
        "volumes": packed / "volumes.npy", "rows": packed / "rows.parquet", "mask": packed / "mask.nii.gz",
        "folds": packed / "folds.tsv", "state": folder / "state", "out": folder / f"trial-{number}.json", "fold": 0,
        "trial": number, "device": "cpu", "code": "c", "options": OPTIONS, "search": SEARCH, **others,
    }  # fmt: skip


def tried(packed: Path, folder: Path, number: int, **others: Any) -> dict[str, Any]:
    """Run a trial; what it wrote."""
    given = arguments(packed, folder, number, **others)
    trial.run(**given)
    return dict(json.loads(given["out"].read_text()))


def played(folder: Path, trials: int, allowed: dict[str, Any], play: Any, seed: int = 0) -> list[dict[str, Any]]:
    """Trials of a game in place of a training: `play` gives objective and feasibility of values."""
    opened, found = study.load(folder), []
    for job in range(trials):
        asked = study.ask(opened, job=job, seed=seed, allowed=allowed, entry_values={"beta": 1, "n_latent": 2})
        objective, feasible = play(asked.params)
        row = {"objective": objective, "feasible": feasible, "values": asked.params, "order": job, "state": "complete"}
        study.tell(opened, asked, row, 0.0 if feasible else 1.0)
        found.append(row)
    return found


def test_a_planted_optimum_is_found_inside_the_constraint(tmp_path: Path) -> None:
    def game(values: dict[str, Any]) -> tuple[float, bool]:
        return -(math.log10(values["beta"] / 3) ** 2) - (values["n_latent"] != 8) / 2, True

    allowed = {"beta": {"low": 0.01, "high": 100, "log": True}, "n_latent": [2, 4, 8, 16]}
    best = choose.choice(played(tmp_path / "a", 40, allowed, game))
    assert best and best["values"]["n_latent"] == 8
    assert 1.5 < best["values"]["beta"] < 6  # a factor of two, in four decades

    def forbidden(values: dict[str, Any]) -> tuple[float, bool]:
        return math.log10(values["beta"]), values["beta"] < 1  # the larger the better, but from 1 on not healthy

    found = played(tmp_path / "b", 30, {"beta": allowed["beta"]}, forbidden)
    best = choose.choice(found)
    assert best and 0.5 < best["values"]["beta"] < 1
    assert sum(row["feasible"] for row in found[10:]) > 10  # the sampler has learned where the constraint is


WORKER = """
import sys
from pathlib import Path
from neurovae.train.search import study
opened = study.load(Path(sys.argv[1]))
for job in range(int(sys.argv[2]), int(sys.argv[3])):
    asked = study.ask(opened, job=job, seed=0, allowed={"beta": {"low": .1, "high": 10, "log": True}}, entry_values={"beta": 1})
    asked.report(0.5, 1)
    study.tell(opened, asked, {"objective": asked.params["beta"], "feasible": True, "state": "complete"}, 0.0)
"""


def start(code: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def test_workers_at_once_lose_no_trial(tmp_path: Path) -> None:
    with start(WORKER, str(tmp_path), "0", "10") as one, start(WORKER, str(tmp_path), "10", "20") as other:
        assert [one.wait(timeout=60), other.wait(timeout=60)] == [0, 0]
    opened = study.load(tmp_path)
    found = [study.settled(opened, job) for job in range(20)]
    assert None not in found and study.settled(opened, 20) is None
    assert len({row["objective"] for row in found if row}) == 20  # nobody drew what another has drawn
    assert {state.name for state in (one.state for one in opened.get_trials())} == {"COMPLETE"}


@pytest.mark.parametrize("rest", [b'{"op_code":4,"worker_id":"half of', b'{"op_co\n'])
def test_a_half_written_last_line_is_mended(tmp_path: Path, rest: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    first = played(tmp_path, 2, BETA, lambda values: (values["beta"], True))
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + rest)
    opened = study.load(tmp_path)
    asked = study.ask(opened, job=2, seed=0, allowed=BETA, entry_values={"beta": 1})
    assert "half written" in capsys.readouterr().out
    assert journal.read_bytes().startswith(whole) and rest not in journal.read_bytes()
    assert [study.settled(study.load(tmp_path), job) for job in (0, 1)] == first
    assert asked.params["beta"] not in [row["values"]["beta"] for row in first]


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    played(tmp_path, 2, BETA, lambda values: (values["beta"], True))
    journal = tmp_path / "journal.log"
    journal.write_bytes(b"nonsense\n" + journal.read_bytes())
    with pytest.raises(InputError, match=r"journal.log: the journal of the search is damaged .* delete the folder"):
        study.load(tmp_path)


KILLED = """
import json, sys, time
from pathlib import Path
from neurovae.train.search import trial
from neurovae.train.models import vae
def fit(*given, **options):
    print("training", flush=True)
    time.sleep(600)
vae.fit = fit
given = json.loads(sys.argv[1])
paths = ("volumes", "rows", "mask", "folds", "state", "out")
trial.run(**{key: Path(value) if key in paths else value for key, value in given.items()})
"""


def test_a_killed_trial_is_tried_again_with_the_same_values(packed: Path, tmp_path: Path) -> None:
    before = tried(packed, tmp_path, 0)
    with start(KILLED, json.dumps(arguments(packed, tmp_path, 1), default=str)) as worker:
        watchdog = threading.Timer(60, worker.kill)
        watchdog.start()
        assert worker.stdout and any("training" in line for line in worker.stdout)
        worker.send_signal(signal.SIGKILL)
        watchdog.cancel()
    journal = next((tmp_path / "state").rglob("journal.log"))
    (killed,) = study.of_job(study.load(journal.parent), 1)
    assert killed.state.name == "RUNNING" and not (tmp_path / "trial-1.json").exists()
    again = tried(packed, tmp_path, 1)
    assert again["values"] == killed.params != before["values"]
    assert [one.state.name for one in study.of_job(study.load(journal.parent), 1)][0] == "FAIL"
    clean = tmp_path / "clean"
    assert [tried(packed, clean, number) for number in (0, 1)] == [before, again]  # as if there had been no kill
    texts = [[(folder / f"trial-{number}.json").read_text() for number in (0, 1)] for folder in (tmp_path, clean)]
    assert texts[0] == texts[1]


def test_a_finished_trial_is_written_again_and_not_trained_again(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tried(packed, tmp_path, 0)
    monkeypatch.setattr(vae, "fit", None)  # would fail if called
    assert tried(packed, tmp_path, 0) == first
    opened = study.load(next((tmp_path / "state").rglob("journal.log")).parent)
    asked = study.ask(opened, job=1, seed=0, allowed=MIXED, entry_values=OPTIONS)
    asked.set_user_attr("result", first)  # killed after the result and before it was told
    assert study.settled(opened, 1) == first
    assert opened.get_trials()[-1].state.name == "COMPLETE"
    with pytest.raises(TypeError):
        tried(packed, tmp_path, 0, code="other")  # other code begins a new study


def test_one_worker_gives_the_same_trials_in_any_order(packed: Path, tmp_path: Path) -> None:
    first = [tried(packed, tmp_path / "a", number) for number in (0, 1, 2)]
    other = [tried(packed, tmp_path / "b", number) for number in (2, 0, 1)]
    assert [{**row, "trial": 0} for row in first] == [{**row, "trial": 0} for row in other]
    assert first[0]["values"] == {key: OPTIONS[key] for key in MIXED}  # the entry's own values come first
    assert {row["state"] for row in first} == {"complete"} and first[0]["verdict"] == "healthy"
    assert first[0]["objective"] == first[0]["variance_explained_validation"] > 0.5 and first[0]["feasible"]
    assert torch.are_deterministic_algorithms_enabled()


def test_noise_in_people_who_are_reported_on_changes_nothing(packed: Path, tmp_path: Path) -> None:
    first = tried(packed, tmp_path, 0)
    other = tmp_path / "noisy"
    other.mkdir()
    for name in ("mask.nii.gz", "folds.tsv"):
        (other / name).write_bytes((packed / name).read_bytes())
    volumes, table = np.load(packed / "volumes.npy"), pd.read_parquet(packed / "rows.parquet")
    report = (pd.read_csv(packed / "folds.tsv", sep="\t")["split_0"] == "test").to_numpy()
    volumes[report] = 1000 * np.random.default_rng(1).normal(size=volumes[report].shape)
    table.loc[report, "preproc_sha256"] = "other"
    np.save(other / "volumes.npy", volumes)
    table.to_parquet(other / "rows.parquet")
    assert tried(other, tmp_path / "b", 0) == first
    studies = [path.parent.name for path in tmp_path.rglob("journal.log")]
    assert len(studies) == 2 and len(set(studies)) == 1  # it is even the same study
    volumes[~report] += np.float16(0.5) * np.random.default_rng(2).normal(size=volumes[~report].shape).astype("f2")
    np.save(other / "volumes.npy", volumes)
    assert tried(other, tmp_path / "c", 0) != first


def test_the_bound_is_an_objective_of_its_own(packed: Path, tmp_path: Path) -> None:
    found = tried(packed, tmp_path, 0, search={**SEARCH, "objective": "elbo"})
    assert found["objective"] == found["elbo_validation"] < 0
    brain = nib.Nifti1Image.from_filename(packed / "mask.nii.gz").get_fdata().sum()
    nll = brain * math.log(2 * math.pi) / 2 + brain * 0.1**2 / 2  # sigma 1, residuals of 0.1: all but the KL
    assert -nll - found["rate_validation"] - 60 < found["elbo_validation"] < -nll - found["rate_validation"]


@pytest.mark.parametrize(
    ("changed", "expected"), [({"warmup": 3}, 4), ({"warmup": 2, "cycles": 2}, 3), ({"divergence": "none"}, 1)]
)
def test_nothing_is_pruned_before_the_warm_up_has_ended(tmp_path: Path, changed: dict[str, Any], expected: int) -> None:
    opened = study.load(tmp_path)
    for job in range(study.COMPARED):
        asked = study.ask(opened, job=job, seed=0, allowed=BETA, entry_values={"beta": 1})
        for epoch in range(1, 9):
            asked.report(0.9, epoch)
        study.tell(opened, asked, {"objective": 0.9, "feasible": True}, 0.0)
    asked = study.ask(opened, job=9, seed=0, allowed=BETA, entry_values={"beta": 1})
    watch = trial.Watch(
        asked, Hyperparameters(**{**OPTIONS, "warmup": 3, "epochs": 8, **changed}), "variance_explained"
    )
    with pytest.raises(optuna.TrialPruned):
        for epoch in range(1, 9):
            watch(
                [
                    {
                        "split": "validation",
                        "epoch": epoch,
                        "loss": 10 - epoch,
                        "variance_explained": 0.1,
                        "nll": 5,
                        "kl": 1,
                    }
                ]
            )
    assert watch.epoch == expected
    assert sorted(asked.storage.get_trial(asked._trial_id).intermediate_values) == [expected]


def test_a_worker_waits_for_the_lock(tmp_path: Path) -> None:
    opened = study.load(tmp_path)
    lock = tmp_path / "journal.log.lock"
    lock.touch()  # as another worker would hold it
    given = {"job": 0, "seed": 0, "allowed": BETA, "entry_values": {"beta": 1}}
    asking = threading.Thread(target=study.ask, args=[opened], kwargs=given)
    asking.start()
    asking.join(0.3)
    assert asking.is_alive()
    lock.unlink()
    asking.join(30)
    assert not asking.is_alive() and len(study.of_job(opened, 0)) == 1


def test_another_attempt_takes_the_values_whatever_was_learned_since(tmp_path: Path) -> None:
    played(tmp_path, study.RANDOM + 2, BETA, lambda values: (-values["beta"], True))
    opened, given = study.load(tmp_path), {"seed": 0, "allowed": BETA, "entry_values": {"beta": 1}}
    first = study.ask(opened, job=50, **given)
    for job in range(60, 64):  # other workers
        asked = study.ask(opened, job=job, **given)
        study.tell(opened, asked, {"objective": asked.params["beta"], "feasible": True}, 0.0)
    again = study.ask(opened, job=50, **given)
    begun = [
        study.ask(study.load(tmp_path / "new"), job=0, seed=0, allowed=BETA, entry_values={"beta": 1}) for _ in range(2)
    ]
    assert [repr(one.params["beta"]) for one in begun] == ["1.0", "1.0"]
    assert again.params == first.params and again.user_attrs["order"] == first.user_attrs["order"]
    assert [one.state.name for one in study.of_job(opened, 50)] == ["FAIL", "RUNNING"]


def test_a_trial_is_compared_to_those_that_may_be_chosen_alone(tmp_path: Path) -> None:
    opened, given = study.load(tmp_path), {"seed": 0, "allowed": BETA, "entry_values": {"beta": 1}}
    for job in range(study.COMPARED):
        asked = study.ask(opened, job=job, **given)
        asked.report(0.9, 1)
        study.tell(opened, asked, {"objective": 0.9, "feasible": False}, 1.5)
    assert [one.constraints for one in opened.get_trials()] == [{"health": 1.5}] * study.COMPARED
    watch = trial.Watch(study.ask(opened, job=9, **given), Hyperparameters(**OPTIONS), "variance_explained")
    watch([{"split": "validation", "epoch": 1, "loss": 1, "variance_explained": 0.1, "nll": 5, "kl": 1}])
    assert watch.value() == 0.1


def row(number: int, objective: float | None, **values: Any) -> dict[str, Any]:
    """A trial as it is written, healthy unless said otherwise."""
    found = {**outcome.nothing("complete", "healthy: why"), "verdict": "healthy", "active": 3, "feasible": True}
    own = {"trial": number, "order": number, "values": {"beta": 0.5 + number, "n_latent": 3}, "objective": objective}
    return {**found, **own, "reached": objective, **values}


PRUNED = {"state": "pruned", "verdict": None, "feasible": False, "active": None, "reached": 0.4, "reason": "worse"}
ROWS = [
    row(0, 0.3),
    row(1, 0.9, verdict="overfit", feasible=False, reason="overfit: gap"),
    row(2, 0.8, active=1, feasible=False),
    row(3, 0.5),
    row(4, 0.5),
    row(5, None, **PRUNED),
    row(6, None, state="failed", verdict=None, feasible=False, active=None, reason="the loss is not finite"),
    row(7, -5.0, verdict="diverged", feasible=False),
]


def chosen(folder: Path, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]:
    """What the choice writes: options, table, entry."""
    for one in rows:
        (folder / f"trial-{one['trial']}.json").write_text(json.dumps(one))
    paths = {"out": folder / "chosen.json", "table": folder / "trials.tsv", "written": folder / "chosen.yaml"}
    entry = {"kind": "vae", **OPTIONS, "dssim_weight": None, "weight_decay": 1e-5}
    keys = {
        "objective": "variance_explained",
        "min_active": 2,
        "searched": ["beta", "n_latent"],
        "entry": entry,
        "name": "v",
        "fold": 0,
    }
    choose.run(folder=folder, trials=len(rows), **keys, **paths)  # type: ignore[arg-type]
    table = pd.read_csv(paths["table"], sep="\t", na_values="n/a")
    return json.loads(paths["out"].read_text()), table, yaml.safe_load(paths["written"].read_text())


def test_what_may_not_be_chosen_is_not_chosen(tmp_path: Path) -> None:
    options, table, (entry,) = chosen(tmp_path, ROWS)
    assert options == {"beta": 3.5, "n_latent": 3}  # of equals the first
    assert list(table["trial"]) == list(range(8)) and list(table["chosen"]).index(True) == 3
    assert list(table["feasible"]) == [True, False, False, True, True, False, False, False]
    assert table.loc[1, "objective"] == 0.9 and table.loc[6, "reason"] == "the loss is not finite"
    train = configuration.validate(
        {"cohort": {"name": "x"}, "train": {"models": [entry]}}, configuration.load_schema()
    )["train"]
    assert train["models"][0]["beta"] == 3.5 and train["models"][0]["transductive"]
    assert entry["weight_decay"] == 1e-5 and isinstance(entry["weight_decay"], float)
    with pytest.raises(InputError) as caught:
        chosen(tmp_path, [ROWS[1], {**ROWS[2], "trial": 0, "order": 0}, ROWS[1]][1:])
    text = str(caught.value)
    assert "none of the 2 trials of 'v' on fold 0 may be chosen" in text and "fewer latents" in text
    assert "at least 2 active units" in text and "lower train.search.min_active" in text


@pytest.mark.parametrize(
    ("found", "violation"),
    [
        (row(0, 0.5), 0),
        (row(0, 0.5, verdict="partial"), 0),
        (row(0, 0.5, active=None), 0),  # no KL, no active units: judged by the verdict alone
        (row(0, 0.5, active=1), 0.5),
        (row(0, 0.5, verdict="collapsed", active=0), 2),
        (row(0, 0.5, verdict="overfit"), 1),
        (row(0, None, state="failed"), 2),
        (row(0, None, **PRUNED), 0),
    ],
)
def test_the_constraint(found: dict[str, Any], violation: float) -> None:
    assert outcome.violation(found, 2) == violation


def test_values_that_cannot_be_trained_with_are_a_result(packed: Path, tmp_path: Path) -> None:
    found = tried(
        packed, tmp_path, 0, options={**OPTIONS, "n_latent": 15}, search={**SEARCH, "space": {"n_latent": [15]}}
    )
    assert found["state"] == "failed" and "15 latents need more" in found["reason"] and not found["feasible"]
    with pytest.raises(InputError, match="train.device is cuda"):
        tried(packed, tmp_path, 1, device="cuda") if not torch.cuda.is_available() else pytest.skip("a GPU is here")


def test_the_picture_is_drawn_of_any_outcome(tmp_path: Path) -> None:
    asked = {"beta": {"low": 0.1, "high": 10, "log": True}, "n_latent": [2, 3]}
    for name, rows in (("all", ROWS), ("one", ROWS[:1] + [{**ROWS[5], "trial": 1}])):
        (tmp_path / name).mkdir()
        chosen(tmp_path / name, rows)
        out = tmp_path / f"{name}.png"
        picture.draw(
            trials=tmp_path / name / "trials.tsv",
            name="v",
            fold=0,
            objective="variance_explained",
            min_active=2,
            space=asked,
            out=out,
        )
        assert out.stat().st_size > 20_000
    shapes = [mark.marker for mark in (*picture.MARKS.values(), picture.CHOSEN)]
    assert len(set(shapes)) == len(shapes)  # told apart without colour


def config(**keys: Any) -> dict[str, Any]:
    whole = {"cohort": {"name": "x"}, "train": {"search": {"model": "vae", **keys}}}
    if "entry" in keys:
        whole["train"] = {
            "search": {"model": "vae", **{key: value for key, value in keys.items() if key != "entry"}},
            "models": [{"name": "vae", "kind": "vae", **keys["entry"]}],
        }
    return configuration.validate(whole, configuration.load_schema())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "gone"}, "train.search.model: no model 'gone'; train.models has vae"),
        ({"entry": {"kind": "pca"}}, "'vae' is of kind pca; name a model of kind vae"),
        ({"entry": {"divergence": "none"}, "space": BETA}, "space.beta: without effect where divergence is none"),
        ({"space": {"mmd_weight": [1, 2]}}, "space.mmd_weight: without effect where divergence is kl"),
        ({"space": {"n_latent": [2.5, 8]}}, "space.n_latent: 2.5 is no whole number"),
        ({"space": {"n_latent": [8, 8]}}, "space.n_latent: a choice is given twice"),
        ({"space": {"beta": {"low": 3, "high": 1}}}, "space.beta: low is 3, high is 1; low must be below high"),
        ({"space": {"beta": {"low": 0, "high": 1, "log": True}}}, "low is 0; on a log scale it must be above 0"),
        ({"space": {"dropout": [0.5, 1]}}, "space.dropout: 1 is not below 1"),
        ({"space": {"n_latent": [8, 80]}, "entry": {"network": "dense"}}, "space.n_latent: 80, but only about 70 people are left"),
        ({"space": {"batch": [2, 8]}, "entry": {"accumulate": 4}}, "space.batch: 2 is less than the entry's accumulate, 4"),
        ({"min_active": 101}, "min_active: 101 active units, but only 100 latents"),
        ({"objective": "elbo", "entry": {"reconstruction": "dssim"}}, "elbo needs reconstruction: gaussian, found dssim"),
        ({"objective": "elbo", "entry": {"divergence": "mmd"}}, "elbo needs divergence: kl, found mmd"),
        ({"objective": "elbo", "space": {"beta": [0, 1]}}, "elbo needs beta above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_before_the_first_job(keys: dict[str, Any], message: str) -> None:
    problems = search_space.problems(config(**keys), configuration.load_schema(), 100)
    assert any(message in problem for problem in problems), problems


def test_what_can_be_searched_is_not_refused() -> None:
    for keys in ({}, {"model": None}, {"objective": "elbo"}, {"space": {"dropout": {"low": 0, "high": 0.5}}}):
        assert search_space.problems(config(**keys), configuration.load_schema(), 100) == []


def test_more_trials_leave_those_that_are_done_as_they_are() -> None:
    less, more, other = (
        config(**keys)["train"] for keys in ({"trials": 5}, {"trials": 9}, {"trials": 5, "min_active": 3})
    )
    assert search_flags.trial_flags(less) == search_flags.trial_flags(more) != search_flags.trial_flags(other)
    assert search_flags.choose_flags(less) != search_flags.choose_flags(more)
    assert search_flags.trial_flags(config(model=None)["train"]) == {}


def listed(project: Project, *arguments: str) -> tuple[Counter[str], str]:
    """Jobs by rule of a dry run, and its text."""
    done = project.snakemake("-n", "-p", *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    return Counter(re.findall(r"^rule (\w+):", done.stdout, flags=re.M)), done.stdout


def test_the_jobs_of_a_search_are_listed_where_one_is_asked_for(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    without, _ = listed(project)
    asked = copy.deepcopy(CONFIG)
    asked["train"] |= {
        "folds": [0, 1, 2, 3, 4],
        "search": {"model": "vae", "trials": 3, "space": BETA, "min_active": 1},
    }
    project.write(asked)
    counted, text = listed(project)
    found = {name: counted[name] for name in ("trial", "choose")}
    assert found == {"trial": 15, "choose": 5} and not without.keys() & found.keys()
    fits = re.findall(r"neurovae.train.fit .* --out (\S+) .* --chosen '(\S*)'", text)
    assert len(fits) == 15
    for out, given in fits:
        folder = Path(out).parent
        mine = str(folder.parent / f"{folder.name.split('_')[0]}_search" / "chosen.json")
        assert given == (mine if folder.parent.name == "vae" else "")
    commands = re.findall(r"python -m neurovae.train.search.trial .*", text)
    assert len(commands) == 15 and not re.search("severity|shuffled|cohort.parquet", "".join(commands))  # no score
    asked["train"]["search"]["space"] = {"beta": [1, 1]}
    project.write(asked)
    done = project.snakemake("-n")
    assert done.returncode != 0 and "space.beta: a choice is given twice" in done.stdout
    assert "Traceback" not in done.stdout
