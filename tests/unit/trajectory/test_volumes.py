"""From tables to maps: a planted yearly change comes back in voxels, and the hidden scan is predicted from a PCA."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tiny

from neurovae import latents as latents_rule
from neurovae.interpret.images import read_maps
from neurovae.io.volumes import data_hash, read_volumes
from neurovae.report.plots import trajectory as plot
from neurovae.report.results import Run
from neurovae.report.sections.trajectories import methods, trajectories
from neurovae.train import weights
from neurovae.train.models import pca
from neurovae.trajectory import forecast, summary, trajectory, volume_change, yearly

PEOPLE, VISITS, FIT = 60, 3, "fold-0_seed-0"
CHANGE, OWN_PACE, NOISE = 0.3, 0.25, 0.3  # per year, of the first field: mean, SD over people; voxel noise


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty people with three visits a year apart, in a results folder with a PCA of two latents, run to the tables."""
    folder = tmp_path_factory.mktemp("visits") / "results"
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(PEOPLE), VISITS)
    years = np.tile(np.arange(VISITS, dtype=float), PEOPLE) * 2
    pace = CHANGE + OWN_PACE * rng.normal(size=PEOPLE)
    weights_of_fields = rng.normal(size=(PEOPLE, 2))[person] * [2.0, 1.0]
    weights_of_fields[:, 0] += pace[person] * years
    scans = [f"sub-{i:02d}_ses-{k}" for i in range(PEOPLE) for k in range(1, VISITS + 1)]
    table = pd.DataFrame({"scan": scans, "person": [scan[:6] for scan in scans], "session": [s[-1] for s in scans]})
    table = table.assign(acquisition="", run="")
    values = 3 + weights_of_fields @ fields() + NOISE * rng.normal(size=(len(scans), tiny.MASK.sum()))
    volumes = np.zeros((len(scans), *tiny.SHAPE), np.float16)
    volumes[:, tiny.MASK] = values
    (folder / "preprocess").mkdir(parents=True)
    np.save(folder / "preprocess/volumes.npy", volumes)
    table.assign(preproc_sha256=scans).to_parquet(folder / "preprocess/volumes.parquet")
    affine = np.diag([4.0, 4, 4, 1])
    nib.save(nib.Nifti1Image(tiny.MASK.astype(np.uint8), affine), folder / "preprocess/mask.nii.gz")
    pd.DataFrame({"scan": scans, "excluded": False}).to_parquet(folder / "preprocess/qc.parquet")
    order, score = table["session"].astype(int), (pace - CHANGE) / OWN_PACE + 0.3 * rng.normal(size=PEOPLE)
    (folder / "cohort").mkdir()
    table.assign(site="n/a", fold=person % 5, session_order=order, pace=score[person]).to_parquet(
        folder / "cohort/cohort.parquet"
    )
    (folder / "trajectory").mkdir()
    table[["scan", "person", "session"]].assign(years=years, age_first=(60.0 + person % 17)).to_parquet(
        folder / "trajectory/times.parquet"
    )
    labels = np.where(tiny.MASK, np.where(np.arange(16) < 8, 2, 1)[:, None, None], 0)
    (folder / "interpret").mkdir()
    nib.save(nib.Nifti1Image(labels.astype(np.int16), affine), folder / "interpret/atlas.nii.gz")
    regions = pd.DataFrame({"index": [1, 2], "name": "half", "hemisphere": ["left", "right"], "voxels": 1})
    regions.to_csv(folder / "interpret/atlas.tsv", sep="\t", index=False)
    for fold in range(5):
        model(folder, table, fold, person)
    commands(folder)
    return folder


def fields() -> np.ndarray:
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in tiny.SHAPE), indexing="ij")
    return np.stack([x + 0.2, np.sin(3 * z)])[:, tiny.MASK]


def model(folder: Path, table: pd.DataFrame, fold: int, person: np.ndarray) -> None:
    """A PCA of the people outside the fold, with its latents and verdict."""
    packed = {"volumes": folder / "preprocess/volumes.npy", "rows": folder / "preprocess/volumes.parquet"}
    volumes, rows = read_volumes(packed["volumes"], packed["rows"])
    split = np.where(person % 5 == fold, "test", np.where(person % 10 == (fold + 1) % 5, "validation", "training"))
    tensors, architecture, _ = pca.fit(
        volumes, split, tiny.MASK, seed=0, device="cpu", n_latent=2, flip=False, blur=0.0
    )
    meta: dict[str, Any] = {"kind": "pca", "architecture": architecture, "options": {}, "fold": fold, "seed": 0}
    meta |= {"data_hash": data_hash(rows)}
    meta |= {"people": {name: sorted(set(table.loc[split == name, "person"])) for name in set(split)}}
    place = f"pca/fold-{fold}_seed-0"
    (folder / "train" / place).mkdir(parents=True)
    (folder / "latents" / place).mkdir(parents=True)
    weights.save(folder / "train" / place / "weights.safetensors", tensors, meta)
    (folder / "train" / place / "health.json").write_text(json.dumps({"verdict": "healthy", "reason": ""}))
    latents_rule.run(
        **packed,
        mask=folder / "preprocess/mask.nii.gz",
        model=folder / "train" / place / "weights.safetensors",
        name="pca",
        out=folder / "latents" / place / "latents.parquet",
        index=folder / "latents" / place / "latent_index.parquet",
    )


def commands(folder: Path) -> None:
    """The commands of the stage's rules, in their order."""
    tables = {
        "cohort": folder / "cohort/cohort.parquet",
        "qc": folder / "preprocess/qc.parquet",
        "times": folder / "trajectory/times.parquet",
    }
    fits = [f"pca/fold-{fold}_seed-0" for fold in range(5)]
    own = {
        "latents": folder / "latents" / fits[0] / "latents.parquet",
        "health": folder / "train" / fits[0] / "health.json",
    }
    out = folder / "trajectory/pca"
    trajectory.run(
        **tables, **own, index=folder / "latents" / fits[0] / "latent_index.parquet",
        scores=[{"name": "pace", "type": "continuous"}], confounds=[], age=None, ahead=1.0, permutations=1000, seed=0,
        out=out / FIT,
    )  # fmt: skip
    images = {"mask": folder / "preprocess/mask.nii.gz", "confounds": [], "age": None, "bootstraps": 200, "seed": 0}
    forecast.run(
        **tables, **images,
        latents=[folder / "latents" / fit / "latents.parquet" for fit in fits],
        health=[folder / "train" / fit / "health.json" for fit in fits],
        weights=[folder / "train" / fit / "weights.safetensors" for fit in fits],
        volumes=folder / "preprocess/volumes.npy", rows=folder / "preprocess/volumes.parquet", ahead=2.0,
        people=["sub-03", "sub-99"], hidden=out / "seed-0/hidden.parquet", out=out / "seed-0/forecast.parquet",
        images=out / "seed-0/volumes",
    )  # fmt: skip
    yearly.run(
        **tables, **own, **images, model=folder / "train" / fits[0] / "weights.safetensors",
        atlas=folder / "interpret/atlas.nii.gz", images=out / FIT / "yearly", out=out / FIT / "regions.parquet",
    )  # fmt: skip
    volume_change.run(
        yearly=out / FIT / "yearly", regions=out / FIT / "regions.tsv", mask=folder / "preprocess/mask.nii.gz",
        atlas=folder / "interpret/atlas.nii.gz", images=out / FIT / "volume_change", out=out / FIT / "volume_change.tsv",
    )  # fmt: skip
    summary.run(folder=folder / "trajectory", models=["pca"], primary="pca", fits=[FIT], seeds=[0])
    (folder / "report").mkdir()
    plot.run(results=folder, models=["pca"], decoded=["pca"], fit=FIT, seed=0)


def test_the_planted_change_of_a_year_comes_back(results: Path) -> None:
    """Map against CHANGE x the first field: within 15 % in size, r > .98; the halves have its sign."""
    found = read_maps(results / f"trajectory/pca/{FIT}/yearly/change.nii.gz", tiny.MASK)
    planted = CHANGE * fields()[0]
    assert np.corrcoef(found, planted)[0, 1] > 0.98
    assert found @ planted / (planted @ planted) == pytest.approx(1, abs=0.15)
    low, high = (
        read_maps(results / f"trajectory/pca/{FIT}/yearly/{name}.nii.gz", tiny.MASK) for name in ("low", "high")
    )
    assert (low <= found).all() and (found <= high).all()
    regions = pd.read_parquet(results / f"trajectory/pca/{FIT}/regions.parquet")
    assert regions["change"].abs().is_monotonic_decreasing and set(regions["hemisphere"]) == {"left", "right"}


def test_the_hidden_scan_is_predicted(results: Path) -> None:
    """All 60 people, each by the fold that has not seen them: better than all three alternatives, in voxels."""
    table = pd.read_parquet(results / "trajectory/pca/seed-0/forecast.parquet").query("status == 'ok'")
    voxels = table[table["space"] == "voxels"].set_index("against")
    assert set(voxels.index) == {"last scan", "its reconstruction", "last scan + mean change"}
    assert (voxels["ci_high"] < 1).all() and (voxels["n"] == PEOPLE).all() and (voxels["folds"] == 5).all()
    coverage = table[table["measure"].str.startswith("coverage")]["value"].iloc[0]
    assert 0.8 < coverage < 0.98
    hidden = pd.read_parquet(results / "trajectory/pca/seed-0/hidden.parquet")
    assert (hidden["scan_hidden"].str[-1] == "3").all() and (hidden["scan_last"].str[-1] == "2").all()
    person = hidden["person"].str[-2:].astype(int)
    assert (person % 5 == hidden["fold"]).all()


def test_a_prediction_error_by_hand(results: Path) -> None:
    """Of one person: last scan against the hidden one, over the voxels of the mask."""
    hidden = pd.read_parquet(results / "trajectory/pca/seed-0/hidden.parquet").set_index("person")
    volumes, rows = read_volumes(results / "preprocess/volumes.npy", results / "preprocess/volumes.parquet")
    last, truth = (
        volumes[rows.index[rows["scan"] == hidden.loc["sub-07", name]][0]][tiny.MASK].astype(float)
        for name in ("scan_last", "scan_hidden")
    )
    assert hidden.loc["sub-07", "voxels_last"] == pytest.approx(np.square(last - truth).sum(), rel=1e-6)


def test_predicted_volumes_are_the_last_scan_and_the_decoded_change(results: Path) -> None:
    folder = results / "trajectory/pca/seed-0/volumes"
    volumes, rows = read_volumes(results / "preprocess/volumes.npy", results / "preprocess/volumes.parquet")
    last = volumes[rows.index[rows["scan"] == "sub-03_ses-3"][0]][tiny.MASK].astype(np.float32)
    volume, change = (read_maps(folder / f"sub-03_{name}.nii.gz", tiny.MASK) for name in ("predicted", "change"))
    np.testing.assert_allclose(volume, last + change, atol=1e-4)
    sidecar = json.loads((folder / "sub-03_predicted.json").read_text())
    assert sidecar["Scan"] == "sub-03_ses-3" and sidecar["YearsAhead"] == 2 and sidecar["Fold"] == 3
    table = pd.read_parquet(results / "trajectory/pca/seed-0/forecast.parquet")
    refused = table[table["status"] == "not predicted"]
    assert refused["measure"].tolist() == ["predicted volume of sub-99"]


def test_the_score_of_pace_is_found(results: Path) -> None:
    table = pd.read_csv(results / "trajectory/change.tsv", sep="\t")
    best = table.loc[table["p_maxt"].idxmin()]
    assert best["p_maxt"] <= 0.002 and best["permutations"] == 1000 and best["n_repeated"] == PEOPLE
    people = pd.read_parquet(results / f"trajectory/pca/{FIT}/people.parquet")
    assert people["slope_reliability"].between(0, 1).all() and (people["visits"] == VISITS).all()


def test_report(results: Path) -> None:
    """Sentences, figures and tables; a run without the stage has neither section nor methods."""
    captions = Path(__file__).parents[3] / "workflow" / "report"
    run = Run(results, ["pca"], FIT, "pca", ["pca"], captions, {"cohort": {"simulate": {}}})
    blocks = trajectories(run)
    assert [block["kind"] for block in blocks].count("figure") == 2
    said = " ".join(block.get("text", "") for block in blocks)
    assert "of 2 latents, " in said and "60 unseen participants was predicted in voxels" in said
    assert "pace (max-T p = " in said
    assert "hidden and predicted" in methods(run) and "[laird, bernal]" in methods(run)
    empty = Run(results / "nowhere", ["pca"], FIT, "pca", ["pca"], captions, {})
    assert trajectories(empty) == [] and methods(empty) == ""
