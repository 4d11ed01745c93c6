"""What the demo knows of its own truth, held against what the chain found; printed by `make demo`, fails below a bar."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurovae.io.volumes import masked, read_mask, read_volumes

MADE = {
    "motor": "line",
    "falls": "count, log rate",
    "diagnosis": "logistic",
    "mmse": "bounded, ceiling",
    "stage": "ordinal",
    "ushape": "U",
}  # how cohort/people.py makes each score of the severity
POSE = ("rotation", "translation", "head_size", "shear")


def out_of_fold_r2(x: np.ndarray, y: np.ndarray, fold: np.ndarray, *, scale: bool = True) -> float:
    """R2 from pooled predictions of a ridge whose penalty is tuned in the training folds."""
    model = make_pipeline(StandardScaler(with_std=scale), RidgeCV(np.logspace(-3, 7, 21)))
    error = total = 0.0
    for k in np.unique(fold):
        guess = model.fit(x[fold != k], y[fold != k]).predict(x[fold == k])
        error += np.square(y[fold == k] - guess).sum()
        total += np.square(y[fold == k] - y[fold != k].mean()).sum()
    return 1 - error / total


def line(what: str, value: float, bar: str, met: bool, n: int) -> bool:
    """Print one check: measured value, bar, sample size."""
    print(f"{'passed' if met else 'FAILED'}: {what} {value:.3f} (bar {bar}), n {n}")
    return met


def known_truth(results: Path) -> list[bool]:
    """Recovery of the hidden severity, and what could have been predicted without the brain's shape."""
    truth = pd.read_csv(results / "cohort" / "truth" / "truth.tsv", sep="\t").rename(
        columns={"participant_id": "person"}
    )
    volumes, rows = read_volumes(results / "preprocess" / "volumes.npy", results / "preprocess" / "volumes.parquet")
    table = rows.merge(pd.read_parquet(results / "cohort" / "cohort.parquet")[["scan", "fold"]], on="scan")
    table = table.merge(truth[["person", "severity", "ventricles_ml"]], on="person")
    table = table.merge(pd.read_parquet(results / "preprocess" / "qc.parquet"), on="scan")
    assert table["scan"].tolist() == rows["scan"].tolist()
    y, fold = table["severity"].to_numpy(), table["fold"].to_numpy()
    x = masked(volumes, read_mask(results / "preprocess" / "mask.nii.gz")).astype(float)
    voxels = out_of_fold_r2(x, y, fold, scale=False)
    latents = pd.read_parquet(results / "latents" / "vae" / "fold-0_seed-0" / "latents.parquet")
    assert latents["scan"].tolist() == rows["scan"].tolist()
    found = out_of_fold_r2(latents.filter(like="mu_").to_numpy(), y, fold)
    crude = table[["mask_ml", *(name for name in table if str(name).startswith(POSE))]].to_numpy()
    nuisance = out_of_fold_r2(np.column_stack([crude, x.mean(axis=1)]), y, fold)
    centred, z = x - x.mean(axis=0), (y - y.mean()) / y.std()
    share = np.square(centred.T @ z / len(z)).sum() * len(z) / np.square(centred).sum()
    ventricles = out_of_fold_r2(table[["ventricles_ml"]].to_numpy(), y, fold)
    print(f"severity from voxels by ridge, R2 {voxels:.3f}; from the true ventricle volume alone, R2 {ventricles:.3f}")
    return [
        line("severity's share of the between-person voxel variance", share, "at most .05", share <= 0.05, len(y)),
        line("severity from the VAE's latents, R2", found, "at least .7", found >= 0.7, len(y)),
        line("the same minus voxel-wise ridge", found - voxels, "at least -.05", found - voxels >= -0.05, len(y)),
        line("severity from mask volume, mean, affine, R2", nuisance, "below .3", nuisance < 0.3, len(y)),
    ]


def brain_masks(results: Path) -> bool:
    """Dice of the extracted masks with the known ones."""
    found = []
    for path in sorted((results / "cohort" / "truth").glob("*_mask.nii.gz")):
        person = path.name.split("_")[0]
        ours = results / "preprocess" / "derivatives" / person / "anat" / f"{person}_desc-brain_mask.nii.gz"
        a, b = (np.asarray(nib.as_closest_canonical(nib.load(name)).dataobj) > 0 for name in (path, ours))
        found.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return line(
        "Dice of brain masks with the known ones, lowest", min(found), "at least .9", min(found) >= 0.9, len(found)
    )


def found(results: Path) -> list[bool]:
    """Each score beside how it was made: what the severity itself tells of it, and what inference and prediction found."""
    truth = pd.read_csv(results / "cohort" / "truth" / "truth.tsv", sep="\t").set_index("participant_id")["severity"]
    people = pd.read_csv(results / "cohort" / "bids" / "participants.tsv", sep="\t").set_index("participant_id")
    tests, whole, told = (
        pd.read_csv(results / path, sep="\t").query("model == 'vae'")
        for path in ("findings/associations.tsv", "findings/omnibus.tsv", "predict/predictions.tsv")
    )
    told = told.query("learner == 'linear' and features == 'latents' and metric in ['r2', 'auc']").set_index("score")
    print(
        f"{'score':<10} {'made as':<17} {'r with its shape':>16} {'max-T p':>8} {'omnibus p':>9} {'nonlinear q':>11} {'predicted':>10}"
    )
    for score, made in MADE.items():
        y = (people[score] == "patient").where(people[score].notna()) if score == "diagnosis" else people[score]
        shape = (truth - 0.5) ** 2 if score == "ushape" else truth
        r = y.astype(float).corr(shape.reindex(y.index))
        rows = tests[tests["score"] == score]
        bend = rows[["q_nonlinear", "q_quadratic"]].min().min()
        p = whole.loc[whole["score"] == score, "p"].iloc[0]
        value = f"{told.loc[score, 'metric']} {told.loc[score, 'value']:.2f}"
        print(f"{score:<10} {made:<17} {r:16.2f} {rows['p_maxt'].min():8.2g} {p:9.2g} {bend:11.2g} {value:>10}")
    omnibus = whole.set_index("score")["p"]
    return [
        line(
            f"{score}: p of the joint test of all latents",
            omnibus[score],
            "below .05",
            omnibus[score] < 0.05,
            len(people),
        )
        for score in ("motor", "diagnosis", "mmse", "stage")
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    checks = [*known_truth(folder), *found(folder), brain_masks(folder)]
    print(f"{sum(checks)} passed, {len(checks) - sum(checks)} failed, 0 skipped")
    sys.exit(not all(checks))
