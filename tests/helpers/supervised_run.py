"""A supervised model as the rules make it, of a cohort small enough to fit in a second: files of two folds."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import simulated_aligned
import simulated_joint
from tiny import MASK, cohort  # MASK: of the volumes

from neurovae import latents
from neurovae.supervised import aligned, joint, refits
from neurovae.supervised.training_scores import left_in
from neurovae.train import fit

PEOPLE, FOLDS = 60, 2
SCORES = [{"name": "score", "type": "continuous"}]
CONFOUNDS = [{"name": "age", "type": "continuous"}]
SETTINGS = {"permutations": 99, "splits": 4, "bootstraps": 100, "seed": 0, "fold": 0}
OPTIONS: dict[str, Any] = {"supervised_by": ["score"], "direction": "ridge"}
NETWORK: dict[str, Any] = {**OPTIONS, **simulated_aligned.NETWORK, "n_latent": 4, "epochs": 30, "hidden_units": 8}
JOINT = {**simulated_joint.OPTIONS, "supervised_by": ["score"], "n_shared": 2, "epochs": 2, "hidden_units": 8,
         "declared": [{"name": "score", "type": "continuous", "bounds": None}]}  # fmt: skip


def write(folder: Path) -> None:
    """The tables and packed volumes of a cohort whose score follows the images and age; folds and files of scores."""
    volumes, _ = cohort(PEOPLE)
    rng, names = np.random.default_rng(5), [f"sub-{k:02d}" for k in range(PEOPLE)]
    np.save(folder / "v.npy", volumes)
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), np.eye(4)), folder / "m.nii.gz")
    keys = pd.DataFrame({"scan": names, "person": names, "session": "", "acquisition": "", "run": ""})
    keys.assign(preproc_sha256=[f"{k:x}" for k in range(PEOPLE)]).to_parquet(folder / "v.parquet")
    keys[["scan"]].assign(excluded=False, status="ok").to_parquet(folder / "qc.parquet")
    fold, age = rng.permutation(np.arange(PEOPLE) % FOLDS), rng.normal(60, 8, PEOPLE)
    brain = volumes[:, MASK].astype(float)
    first = np.linalg.svd(brain - brain.mean(axis=0), full_matrices=False)[0][:, 0] * np.sqrt(PEOPLE)
    table = keys.assign(site="n/a", fold=fold, session_order=1, age=age, item=rng.normal(size=PEOPLE))
    table["score"] = first + 0.05 * age + 0.3 * rng.normal(size=PEOPLE)
    table.to_parquet(folder / "cohort.parquet")
    splits = {f"split_{k}": np.where(fold == k, "test", "training").astype(object) for k in range(FOLDS)}
    for k in range(FOLDS):
        splits[f"split_{k}"][np.flatnonzero(fold != k)[:3]] = "validation"
        left_in(table, k, ["score"], {"confounds": CONFOUNDS}).to_parquet(folder / f"scores-{k}.parquet")
    pd.DataFrame({"person": names, "site": "n/a", "fold": fold, **splits}).to_csv(
        folder / "f.tsv", sep="\t", index=False
    )


def fit_fold(folder: Path, fold: int, kind: str = "aligned", options: dict[str, Any] | None = None) -> None:
    """Rules train and latents of one fold; options: those of the kind, unless given."""
    packed = {"volumes": folder / "v.npy", "rows": folder / "v.parquet", "mask": folder / "m.nii.gz"}
    weights = folder / f"fold-{fold}" / "weights.safetensors"
    fit.run(
        **packed, folds=folder / "f.tsv", out=weights, history=weights.with_name("history.parquet"), kind=kind,
        fold=fold, seed=0, device="cpu", options=options or (OPTIONS if kind == "aligned" else JOINT), scores=str(folder / f"scores-{fold}.parquet"),
    )  # fmt: skip
    latents.run(
        **packed, model=weights, name="axis", out=weights.with_name("latents.parquet"),
        index=weights.with_name("latent_index.parquet"),
    )  # fmt: skip


def refitted(folder: Path, permutations: int, splits: int) -> Path:
    """Rule aligned_refits."""
    folders = [folder / f"fold-{k}" for k in range(FOLDS)]
    refits.run(
        cohort=folder / "cohort.parquet", qc=folder / "qc.parquet", volumes=folder / "v.npy",
        rows=folder / "v.parquet", mask=folder / "m.nii.gz",
        training_scores=[folder / f"scores-{k}.parquet" for k in range(FOLDS)],
        latents=[one / "latents.parquet" for one in folders], weights=[one / "weights.safetensors" for one in folders],
        permutations=permutations, splits=splits, seed=0, out=folder / "refits.parquet",
    )  # fmt: skip
    return folder / "refits.parquet"


def results(folder: Path, again: str = "") -> pd.DataFrame:
    """Rule aligned: the table of tests; again: of `refitted`."""
    folders = [folder / f"fold-{k}" for k in range(FOLDS)]
    aligned.run(
        cohort=folder / "cohort.parquet", qc=folder / "qc.parquet", volumes=folder / "v.npy",
        rows=folder / "v.parquet", mask=folder / "m.nii.gz",
        training_scores=[folder / f"scores-{k}.parquet" for k in range(FOLDS)],
        latents=[one / "latents.parquet" for one in folders],
        weights=[one / "weights.safetensors" for one in folders],
        scores=SCORES, confounds=CONFOUNDS, tests=folder / "tests.parquet", folds=folder / "folds.parquet",
        predictions=folder / "predictions.parquet", mean=folder / "mean.nii.gz", sd=folder / "sd.nii.gz", refits=again,
        **SETTINGS,
    )  # fmt: skip
    return pd.read_parquet(folder / "tests.parquet")


def joint_results(folder: Path) -> pd.DataFrame:
    """Rule joint: the table of scores. The latents of fold 0 stand in for those of an unsupervised model."""
    folders = [folder / f"fold-{k}" for k in range(FOLDS)]
    joint.run(
        cohort=folder / "cohort.parquet", qc=folder / "qc.parquet", volumes=folder / "v.npy",
        rows=folder / "v.parquet", mask=folder / "m.nii.gz",
        training_scores=[folder / f"scores-{k}.parquet" for k in range(FOLDS)],
        latents=[one / "latents.parquet" for one in folders], weights=[one / "weights.safetensors" for one in folders],
        unsupervised=[folders[0] / "latents.parquet"], relatives={"score": ["score"]}, bootstraps=100, seed=0,
        scores=folder / "scores.parquet", images=folder / "images.parquet", left=folder / "left_out.parquet",
        blocks=folder / "health.parquet", mean=folder / "mean.nii.gz", low=folder / "low.nii.gz",
        high=folder / "high.nii.gz",
    )  # fmt: skip
    return pd.read_parquet(folder / "scores.parquet")
