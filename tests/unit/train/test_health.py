"""Measures against closed cases, each verdict, caveats and overruling, bounds in order, and a short proof of the verdict."""

import json
import math
from pathlib import Path
from typing import Any

import collapse_models
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from neurovae import latents
from neurovae.design.tables import STOPPING, joint_verdict, read_verdict
from neurovae.errors import InputError
from neurovae.io.files import write_json
from neurovae.io.volumes import masked
from neurovae.report import verdict as last_job
from neurovae.report.figures import health as picture
from neurovae.report.figures import losses, rates, reconstructions
from neurovae.report.results import verdict
from neurovae.train import fit
from neurovae.train.engine import data
from neurovae.train.health import evidence, health, judge, measures
from neurovae.train.health.measures import Identified
from neurovae.train.models import vae

MASK, SPLIT = collapse_models.MASK, collapse_models.SPLIT
LINEAR = {**collapse_models.VAE, **collapse_models.LINEAR}


@pytest.fixture(scope="module")
def volumes() -> np.ndarray:
    return collapse_models.people(seed=3)


# Measures


def test_the_anchors_of_the_share() -> None:
    x = np.random.default_rng(0).normal(size=(10, 50))
    mean = x.mean(axis=0)

    def explained(x_hat: np.ndarray) -> float:
        return measures.variance_explained(np.square(x - x_hat).sum(axis=1), np.square(x - mean).sum(axis=1))

    assert explained(np.broadcast_to(mean, x.shape)) == 0
    assert explained(x) == 1
    assert explained(mean + (x - mean) / 2) == pytest.approx(0.75)


def test_identification_in_closed_cases() -> None:
    x = np.random.default_rng(0).normal(size=(150, 400)).astype(np.float32)  # more than a block
    mean, rows, other = x.mean(axis=0), np.arange(150), np.roll(x, 1, axis=0)

    def rate(x_hat: np.ndarray) -> float:
        return measures.identification(lambda own: x_hat[own], lambda own: x[own], mean, rows)

    assert rate(x) == 1
    assert rate(mean + 0.01 * (x - mean)) == 1  # a correlation does not see the size
    assert rate(other) == 0
    assert rate(np.broadcast_to(mean, x.shape)) == rate(np.broadcast_to(x[7], x.shape)) == 1 / 150
    assert rate(np.where(rows[:, None] < 75, x, other)) == 0.5


@pytest.mark.parametrize("people", [2, 4, 12, 36, 512])
def test_the_bound_of_chance_is_binomial(people: int) -> None:
    bound = round(measures.chance(people) * people)
    assert binom.sf(bound, people, 1 / people) <= 0.01 < binom.sf(bound - 1, people, 1 / people)
    guess = Identified(1 / people, people, measures.chance(people), 0.0)
    assert guess.by_chance == (people >= 4)  # of fewer nothing can be told
    assert not guess._replace(rate=1.0).by_chance


def test_one_component_is_the_first_of_a_pca() -> None:
    x = np.random.default_rng(0).normal(size=(60, 300)) * np.r_[4.0, np.ones(299)]
    found = measures.first_component(lambda own: x[own].astype(np.float32), np.arange(60), x.mean(axis=0), 0)
    vector = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][0]
    assert abs(found @ vector) == pytest.approx(1, abs=5e-3)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_streamed_mean_and_range_are_those_of_the_training(volumes: np.ndarray) -> None:
    rows = np.flatnonzero(SPLIT == "training")
    whole = masked(volumes[rows], MASK)
    low, high = measures.limits(lambda own: masked(volumes[own], MASK), rows)
    assert [low, high] == pytest.approx(np.percentile(whole, [0.1, 99.9]), abs=2e-3)
    assert (low, high - low) == pytest.approx(data.intensities(volumes[rows], MASK), abs=2e-3)
    mean = measures.mean_image(lambda own: masked(volumes[own], MASK), rows)
    assert mean == pytest.approx(whole.mean(axis=0), abs=1e-5)


def test_a_gain_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    total = rng.uniform(1, 2, 200)
    linear = 0.5 * total * rng.uniform(0.9, 1.1, 200)
    people = np.repeat(np.arange(100), 2)
    value, low, high = measures.gain(linear - 0.1 * total, linear, total, people, 0)
    assert value == pytest.approx(0.1) and low == pytest.approx(0.1) and high == pytest.approx(0.1)
    assert measures.gain(linear, linear, total, people, 0) == (0, 0, 0)
    value, low, high = measures.gain(linear + rng.normal(0, 0.3, 200), linear, total, people, 0)
    assert low < 0 < high and low < value < high
    assert measures.gain(linear + 0.1, linear, total, people, 0)[2] < 0


# Verdicts


def judged(
    training: float = 0.5, held: float = 0.4, active: int | None = 6, known: float = 0.9, told: float = 0.9, **more: Any
) -> tuple[str, str]:
    """The verdict on a model of six latents that is healthy but for what is given."""
    identified = {
        "training": Identified(known, 36, measures.chance(36), 0.05),
        "test": Identified(told, 12, measures.chance(12), 0.1),
    }
    explained = {"training": training, "validation": held, "test": held}
    given: dict[str, Any] = {"variance": np.ones(6), "linear": False, "kept_epoch": 5, **more}
    return judge.judge(explained=explained, identification=identified, active=active, **given)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, "healthy"), ({"active": None}, "healthy"), ({"kept_epoch": None}, "healthy"), ({"active": 3}, "healthy"),
        ({"training": 0.049, "held": 0.03}, "collapsed"), ({"training": 0.051, "held": 0.05}, "healthy"), ({"training": 0.3, "held": 0.049}, "partial"),
        ({"active": 0}, "collapsed"), ({"known": 4 / 36}, "collapsed"), ({"known": 5 / 36}, "healthy"),
        ({"known": 1 / 36, "variance": np.ones(1), "active": 1}, "healthy"),
        ({"training": 0.8, "held": 0.4}, "overfit"), ({"held": 0.0}, "overfit"), ({"training": 0.69, "held": 0.4}, "healthy"),
        ({"active": 2}, "partial"), ({"told": 4 / 12}, "partial"), ({"active": 2, "held": -0.1}, "overfit"),
        ({"training": math.nan}, "diverged"), ({"variance": np.r_[np.inf, 1]}, "diverged"), ({"training": -3}, "diverged"),
        ({"training": 0.0, "held": 0.0, "has_trained": False}, "untrained"),
        ({"training": 0.0, "held": 0.0, "has_trained": False, "kept_epoch": None, "active": None}, "collapsed"),
        ({"has_trained": False, "linear": True, "kept_epoch": 0}, "healthy"),
    ],
)  # fmt: skip
def test_verdicts(given: dict[str, Any], verdict: str) -> None:
    found, reason = judged(**given)
    assert found == verdict, reason
    assert reason


def test_the_reason_says_what_was_measured_and_the_advice_what_to_change() -> None:
    verdict, reason = judged(training=0.012, held=0.004, active=0)
    assert "training variance explained below 0.05" in reason and "no active latent" in reason and "0.012" in reason
    assert "training 32 of 36 participants" in reason and "0 of 6 latents active" in reason
    assert "test 11 of 12 (99th percentile of the chance distribution: 4)" in reason  # chance itself is 1 of 12
    said = judge.advice(verdict, {**collapse_models.VAE, "beta": 20.0, "warmup": 0, "mmd_weight": 1.0}, 40, 40)
    assert "lower beta (now 20)" in said and "raise warmup (now 0)" in said and "raise epochs (the last, 40" in said
    assert "mmd_weight" not in said and "set linear: pca" in said
    assert "lower n_latent (now 6)" in judge.advice("overfit", collapse_models.PCA, None, None)
    assert judge.advice("overfit", {**collapse_models.PCA, "capped": True}, None, None) == ""
    assert judge.advice("healthy", collapse_models.VAE, 3, 9) == ""
    assert judge.advice("collapsed", collapse_models.PCA, None, None)


# Marks and overruling


def written(
    folder: Path, verdict: str, kept_collapsed: bool = False, transductive: bool = False, finite: bool = True
) -> Path:
    """A health file with its caveats, where the last job looks for it."""
    path = folder / "m" / "fold-0_seed-0" / "health.json"
    write_json(
        path,
        {"verdict": verdict, "reason": "why", **health.with_caveats(verdict, finite, kept_collapsed, transductive)},
    )
    return path


def test_marks_go_into_every_later_table(tmp_path: Path) -> None:
    assert read_verdict(written(tmp_path, "healthy")) == ("healthy", "why")
    marked = read_verdict(written(tmp_path, "overfit", transductive=True))
    assert marked == ("overfit; hyperparameters transductive", "why")
    assert read_verdict(written(tmp_path, "healthy", kept_collapsed=True)) == ("healthy", "why")  # nothing to overrule
    both = joint_verdict({"a": marked, "b": ("healthy; hyperparameters transductive", ""), "c": marked})
    assert both == ("overfit; healthy; hyperparameters transductive", "")


@pytest.mark.parametrize("verdict", STOPPING)
def test_a_model_that_stops_is_tested_only_when_overruled(tmp_path: Path, verdict: str) -> None:
    found = read_verdict(written(tmp_path, verdict, transductive=True))
    assert found == (verdict, "why; hyperparameters transductive")
    assert joint_verdict({"a": ("healthy", ""), "b": found}) == (found[0], f"b: {found[1]}")
    arguments = {"train": tmp_path, "models": ["m"], "fits": ["fold-0_seed-0"], "out": tmp_path / "v.txt"}
    with pytest.raises(InputError, match=rf"latents of m \({verdict}\) were not tested"):
        last_job.run(**arguments)
    kept_collapsed = read_verdict(written(tmp_path, verdict, kept_collapsed=True, transductive=True))
    assert kept_collapsed == (f"{verdict}; collapsed model kept by request; hyperparameters transductive", "why")
    assert joint_verdict({"a": ("healthy", ""), "b": kept_collapsed})[0].startswith(
        f"healthy; {verdict}; collapsed model kept by request"
    )
    last_job.run(**arguments)
    assert "collapsed model kept by request" in (tmp_path / "v.txt").read_text()
    assert read_verdict(written(tmp_path, verdict, kept_collapsed=True, finite=False))[0] == verdict


def test_a_file_without_a_verdict_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "health.json", {"variance_explained": 1})
    with pytest.raises(InputError, match=r"health\.json: no key 'verdict', found variance_explained"):
        read_verdict(tmp_path / "health.json")


# Models


def test_a_purely_linear_model_has_no_gain(volumes: np.ndarray) -> None:
    trained = collapse_models.train("vae", {**LINEAR, "epochs": 0}, volumes)
    found = collapse_models.judged(trained, volumes)
    assert (found["gain_test"], found["gain_test_low"], found["gain_test_high"]) == (0, 0, 0)
    for name in ("training", "validation", "test"):
        assert found[f"variance_explained_{name}"] == found[f"variance_explained_linear_{name}"]
    assert found["verdict"] == "healthy" and found["kept_epoch"] == 0 and found["active_units"] == 6
    rows = np.flatnonzero(SPLIT == "test")
    tensors, architecture = trained[2:4]
    x_hat = vae.reconstruct(vae.embed(volumes[rows], MASK, tensors, architecture)[0], MASK, tensors, architecture)
    x, mean = masked(volumes[rows], MASK), masked(volumes[SPLIT == "training"], MASK).mean(axis=0)
    assert found["variance_explained_test"] == pytest.approx(
        1 - np.square(x - x_hat).sum() / np.square(x - mean).sum(), abs=1e-5
    )
    assert found["elbo"] <= found["importance_bound"]
    assert found["importance_bound"] - found["elbo"] < 0.1  # the posterior is exact, but for its correlations
    assert found["information_training"] == pytest.approx(math.log(36), abs=0.01) == found["information_training_max"]
    assert 0.5 < found["ssim_test"] < 1


def test_more_samples_never_give_a_worse_bound() -> None:
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(4, 30)).astype(np.float32), rng.normal(size=(50, 30)).astype(np.float32)
    mu, logvar = rng.normal(size=(50, 4)), np.full((50, 4), -1.0)  # a posterior that is not the right one
    found = evidence.bounds_of(lambda own: x[own], lambda z: z @ w, np.arange(50), mu, logvar, 1.0, 0)
    assert found["importance_bound"] > found["elbo"]
    assert found["bound_scans"] == 50
    cov = w.T @ w + np.eye(30)
    truth = torch.distributions.MultivariateNormal(torch.zeros(30), torch.from_numpy(cov.astype(np.float32)))
    assert found["importance_bound"] < float(truth.log_prob(torch.from_numpy(x)).mean())


def test_information_is_that_of_people_who_are_told_apart() -> None:
    far, near = 100.0 * np.arange(20.0)[:, None], np.zeros((20, 1))
    tight = np.full((20, 1), -4.0)
    assert evidence.information(far, tight, 0)["information"] == pytest.approx(math.log(20), abs=1e-6)
    assert evidence.information(near, tight, 0)["information"] == pytest.approx(0, abs=1e-9)


def test_a_short_proof_of_the_verdict(volumes: np.ndarray) -> None:
    """Eight models of four kinds; whole in collapse.py."""
    wells, ills, ruins = collapse_models.healthy(), collapse_models.collapsed(), collapse_models.ruined()
    known = {
        name: collapse_models.train(*wells[name], volumes)
        for name in ("vae, linear, Gaussian", "autoencoder, linear", "pca", "isomap")
    }
    known |= {
        name: collapse_models.train(*ills[name], volumes)
        for name in ("vae, Gaussian, beta 1e6", "autoencoder, learning rate 1e-9")
    }
    for name in ("vae, linear, latents not decoded", "pca, components random", "pca, components NaN"):
        source, ruin = ruins[name]
        kind, options, tensors, architecture, history = known[source]
        known[name] = (kind, options, ruin(tensors), architecture, history)
    found = {name: collapse_models.judged(trained, volumes) for name, trained in known.items()}
    stopped = {name for name, one in found.items() if one["verdict"] in STOPPING}
    assert stopped == set(found) - set(wells), {name: one["reason"] for name, one in found.items()}
    assert found["vae, Gaussian, beta 1e6"]["verdict"] == "collapsed"
    assert found["autoencoder, learning rate 1e-9"]["verdict"] == "untrained"
    assert found["vae, linear, latents not decoded"]["active_units"] == 6  # by active units alone it would pass
    assert "rate" not in found["pca"] and found["pca"]["active_units"] is None


# From files


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, volumes: np.ndarray) -> Path:
    """Packed files, and weights with their health, of a VAE, an MMD-VAE without a KL, and a PCA."""
    folder = tmp_path_factory.mktemp("health")
    np.save(folder / "v.npy", volumes)
    people = list(collapse_models.PERSON)
    table = pd.DataFrame({"scan": people, "person": people, "session": "", "acquisition": "", "run": ""})
    table.assign(preproc_sha256=people).to_parquet(folder / "v.parquet")
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), np.eye(4)), folder / "m.nii.gz")
    roles = pd.DataFrame({"person": people, "site": "n/a", "fold": 0, "split_0": SPLIT})
    roles.to_csv(folder / "f.tsv", sep="\t", index=False)
    entries = {
        "vae": ("vae", {**LINEAR, "epochs": 1}), "pca": ("pca", collapse_models.PCA),
        "mmd": ("vae", {**LINEAR, "epochs": 1, "divergence": "mmd", "beta": 0.0, "mmd_weight": 0.1}),
    }  # fmt: skip
    for name, (kind, options) in entries.items():
        own = folder / name / "fold-0_seed-0"
        shared = {"volumes": folder / "v.npy", "rows": folder / "v.parquet", "mask": folder / "m.nii.gz"}
        files = {"out": own / "w.safetensors", "history": own / "h.parquet"}
        fit.run(
            **shared, **files, folds=folder / "f.tsv", kind=kind, fold=0, seed=0, device="cpu", options=options
        )  # fmt: skip
        health.run(
            **shared, model=own / "w.safetensors", history=own / "h.parquet", out=own / "health.json",
            seed=0, transductive=name == "mmd",
        )  # fmt: skip
        latents.run(
            **shared,
            model=own / "w.safetensors",
            name=name,
            out=own / "latents.parquet",
            index=own / "latent_index.parquet",
        )
    return folder


def test_a_training_that_ended_without_a_finite_loss_has_diverged(trained: Path, tmp_path: Path) -> None:
    own = trained / "vae" / "fold-0_seed-0"
    table = pd.read_parquet(own / "h.parquet")
    table.loc[table["epoch"] == table["epoch"].max(), "loss"] = math.nan
    table.to_parquet(tmp_path / "h.parquet")
    files = {"volumes": trained / "v.npy", "rows": trained / "v.parquet", "mask": trained / "m.nii.gz"}
    health.run(
        **files, out=tmp_path / "health.json", model=own / "w.safetensors", history=tmp_path / "h.parquet", seed=0
    )
    found = json.loads((tmp_path / "health.json").read_text())
    assert found["verdict"] == "diverged" and found["reason"].startswith("the loss is not finite in epoch 1 (")
    assert "lower learning_rate" in found["advice"] and found["kept_epoch"] == 0
    assert read_verdict(tmp_path / "health.json")[0] == "diverged"


def test_health_from_files(trained: Path) -> None:
    found = {
        name: json.loads((trained / name / "fold-0_seed-0" / "health.json").read_text())
        for name in ("vae", "mmd", "pca")
    }
    tables = {name: pd.read_parquet(trained / name / "fold-0_seed-0" / "latent_index.parquet") for name in found}
    assert [found["vae"][f"people_{name}"] for name in ("training", "validation", "test")] == [36, 12, 12]
    assert found["mmd"]["caveats"] == ["hyperparameters transductive"] and found["vae"]["caveats"] == []
    assert [found[name]["logvar_calibrated"] for name in found] == [True, False, False]
    assert [found[name]["active_units"] for name in found] == [6, None, None]
    assert "variance_explained_linear_test" in found["mmd"] and "variance_explained_linear_test" not in found["pca"]
    assert tables["vae"]["active"].tolist() == [True] * 6 and tables["pca"]["active"].isna().all()
    assert tables["vae"]["kl_test"].sum() == pytest.approx(found["vae"]["rate"])
    assert tables["pca"]["kl_test"].isna().all() and (tables["pca"]["variance_training"] > 1).all()
    assert not any(
        isinstance(value, float) and not math.isfinite(value) for one in found.values() for value in one.values()
    )


def test_people_do_not_depend_on_how_many_are_read_at_a_time(
    volumes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = collapse_models.train("pca", collapse_models.PCA, volumes)
    found = collapse_models.judged(trained, volumes)
    monkeypatch.setattr(measures, "BLOCK", 7)
    again = collapse_models.judged(trained, volumes)
    assert again == found


def test_every_picture_is_drawn(trained: Path, tmp_path: Path) -> None:
    for name in ("vae", "mmd", "pca"):
        own = trained / name / "fold-0_seed-0"
        picture.draw(
            health=own / "health.json", index=own / "latent_index.parquet", name=name, out=tmp_path / f"{name}.png"
        )
        assert verdict(json.loads((own / "health.json").read_text())).startswith("healthy")
    own = trained / "mmd" / "fold-0_seed-0"
    losses.draw(history=own / "h.parquet", name="mmd", out=tmp_path / "losses.png")
    for models in (["vae", "mmd", "pca"], ["pca"]):
        rates.draw(train=trained, models=models, fit="fold-0_seed-0", out=tmp_path / f"rates{len(models)}.png")
    reconstructions.draw(
        volumes=trained / "v.npy", rows=trained / "v.parquet", mask=trained / "m.nii.gz",
        model=own / "w.safetensors", latents=own / "latents.parquet", health=own / "health.json", name="mmd",
        out=tmp_path / "people.png",
    )  # fmt: skip
    lost = {**health.with_caveats("diverged", False, True, False), "verdict": "diverged", "reason": "why", "advice": ""}
    write_json(tmp_path / "lost.json", {**lost, "logvar_calibrated": True, "active_units": None})
    pd.DataFrame({"latent": []}).to_parquet(tmp_path / "lost.parquet")
    picture.draw(health=tmp_path / "lost.json", index=tmp_path / "lost.parquet", name="lost", out=tmp_path / "lost.png")
    assert len(list(tmp_path.glob("*.png"))) == 8
