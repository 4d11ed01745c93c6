"""Compare a model with its baselines: paired over the outer folds, on the same people, by the corrected t test.

Nadeau & Bengio 2003 (Machine Learning 52, eq. 8): the training sets of folds overlap, so the variance of the mean
difference over J folds is (1 / J + n_test / n_train) s^2, not s^2 / J; t with J - 1 degrees of freedom.
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score

from neurovae.cli import Json, cli
from neurovae.design.rows import sessions
from neurovae.design.tables import tidy
from neurovae.io.parquet import read_parquet, write_table
from neurovae.predict.features import BOTH, CONFOUNDS, LATENTS
from neurovae.predict.linear import log_losses
from neurovae.predict.survival_metrics import concordance

MEAN = "training mean"  # in place of the confounds where there are none
FOLDS = 3  # fewer common folds than this give no interval
VOXELS = {LATENTS: "voxels", BOTH: "voxels + confounds"}
METRICS = {"binary": ("auc", "log_loss"), "survival": ("c_harrell",)}  # others: r2
LOWER = ("log_loss",)  # metrics of which less is better
COLUMNS = {"score": "object", "type": "object", "model": "object", "seed": "Int64", "learner": "object",
    "features": "object", "against": "object", "metric": "object"} | dict.fromkeys(
    ["difference", "ci_low", "ci_high", "p"], "float64") | {
    "favours": "object", "folds": "Int64", "session": "object", "n": "Int64", "policy": "object", "status": "object",
    "reason": "object", "verdict": "object"}  # fmt: skip


def run(*, folder: Path, models: list[str], seeds: list[int], baselines: Json, out: Path, images: bool = True) -> None:
    """Compare every model with the confounds alone, the PCA of its size and the voxels, and tables with one another.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun compare

    Args:
        folder: the stage's results folder, with <model>/seed-<seed>/ and voxels/.
        models: names of the models.
        seeds: seeds that were trained.
        baselines: the models that each is compared with: PCAs, and of a table the tables after it.
        out: TSV to write.
        images: has the cohort images, so that there is a voxel-wise baseline?
    """
    predictions = {pair: _read(folder / pair[0] / f"seed-{pair[1]}") for pair in product(models, seeds)}
    voxels = {"voxels": _read(folder / "voxels")} if images else {}
    rows = []
    for (model, seed), (of_model, tests) in predictions.items():
        baselines_of_model = {name: predictions[name, seed] for name in baselines.get(model, [])} | voxels
        rows += comparisons(model, seed, of_model, tests, baselines_of_model)
    write_table(out, tidy(rows, COLUMNS))


def comparisons(
    model: str,
    seed: int,
    predictions: pd.DataFrame,
    tests: pd.DataFrame,
    baselines: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
) -> list[dict[str, Any]]:
    """Compare one model and seed, its latents and latents with confounds, with each baseline.

    Args:
        model, seed: that are compared.
        predictions: predictions of the model (predict.PREDICTIONS).
        tests: its metrics (predict.COLUMNS), which hold the reason where a score was not predicted.
        baselines: predictions and metrics of each baseline.
    """
    rows = []
    scores = {
        row.score: row.type for _, table in (*baselines.values(), (predictions, tests)) for row in table.itertuples()
    }
    for score, kind in scores.items():
        if pd.isna(score):
            continue
        base = {"score": score, "type": kind, "model": model, "seed": seed, "verdict": tests["verdict"].iloc[0]}
        of_score = predictions[predictions["score"] == score]
        if of_score.empty:
            rows.append(base | _missing(tests, score))
            continue
        full = BOTH if (of_score["features"] == BOTH).any() else LATENTS
        for learner, features in product(sorted(set(of_score["learner"])), dict.fromkeys([LATENTS, full])):
            of_learner = of_score[of_score["learner"] == learner]
            a = of_learner[of_learner["features"] == features]
            shared = base | {"learner": learner, "features": features}
            if features == full:
                rows += [shared | row for row in against(a, *_confounds_alone(of_learner, a))]
            for name, (other_predictions, other_tests) in baselines.items():
                features_of_baseline = VOXELS[features] if name == "voxels" else features
                b = other_predictions[
                    (other_predictions[["score", "learner", "features"]] == [score, learner, features_of_baseline]).all(
                        axis=1
                    )
                ]
                if b.empty:
                    rows.append(shared | {"against": name} | _missing(other_tests, score))
                else:
                    rows += [shared | row for row in against(a, name, b)]
    return rows


def against(a: pd.DataFrame, name: str, b: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare one learner's predictions `a` with those of a baseline `b`, per metric; positive: `a` is larger."""
    policy = " against ".join(dict.fromkeys([a["policy"].iloc[0], b["policy"].iloc[0]]))
    shared = {"against": name, "policy": policy, "n": a["person"].nunique()}
    shared |= {"session": sessions(a, np.arange(len(a)))}
    columns = ["scan", "person", "fold", "truth", "prediction", "probability"]
    joined = a.merge(b[columns], on=["scan", "person", "fold", "truth"], suffixes=("", "_b"), validate="one_to_one")
    if not len(joined) == len(a) == len(b):
        common = f"{len(joined)} scans in common of {len(a)} and {len(b)}"
        reason = f"{common}; rerun predict from one cohort, or give every scan a row in the table of latents"
        return [shared | {"status": "other people", "reason": reason}]
    rows = []
    for metric in METRICS.get(a["type"].iloc[0], ("r2",)):
        differences = {k: _metric(metric, part, "") - _metric(metric, part, "_b") for k, part in joined.groupby("fold")}
        rows.append(shared | {"metric": metric} | _test(metric, differences, joined))
        harmonised = list(dict.fromkeys([a["harmonised"].iloc[0], b["harmonised"].iloc[0]]))
        if len(harmonised) > 1:
            rows[-1]["reason"] = "; ".join(
                filter(None, [f"harmonised: {' against '.join(harmonised)}", rows[-1]["reason"]])
            )
        if policy == "transductive against per fold":
            note = "the model was trained on scans of the participants it is tested on; the baseline was not"
            rows[-1]["reason"] = "; ".join(filter(None, [note, rows[-1]["reason"]]))
    return rows


def corrected_t(differences: np.ndarray, ratio: float) -> tuple[float, float, float, float]:
    """Return mean, 95 % interval and two-sided p of differences (folds,); ratio: n_test / n_train."""
    count, mean = len(differences), float(differences.mean())
    error = float(np.sqrt((1 / count + ratio) * differences.var(ddof=1)))
    half = stats.t.ppf(0.975, count - 1) * error
    return mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, count - 1))


def _test(metric: str, differences: dict[Any, float], joined: pd.DataFrame) -> dict[str, Any]:
    defined = {k: value for k, value in differences.items() if np.isfinite(value)}
    values, missing = np.array(list(defined.values())), sorted(set(differences) - set(defined))
    reason = f"{metric} is not defined in fold {', '.join(map(str, missing))}" if missing else ""
    row: dict[str, Any] = {"folds": len(values), "reason": reason}
    if len(values) < FOLDS:
        return row | {"status": "too few folds", "reason": reason or f"{len(values)} folds, {FOLDS} are needed"}
    if np.ptp(values) <= 1e-12:
        return row | {"difference": values[0], "status": "no spread", "reason": f"{values[0]:g} in every fold"}
    n_test = joined[joined["fold"].isin(list(defined))].groupby("fold")["person"].nunique().mean()
    mean, low, high, p = corrected_t(values, n_test / (joined["person"].nunique() - n_test))
    better = "neither" if low <= 0 <= high else "model" if (mean > 0) != (metric in LOWER) else "baseline"
    return row | {"difference": mean, "ci_low": low, "ci_high": high, "p": p, "favours": better, "status": "ok"}


def _metric(metric: str, part: pd.DataFrame, which: str) -> float:
    truth, prediction = part["truth"].to_numpy(float), part[f"prediction{which}"].to_numpy(float)
    if metric == "log_loss":
        return float(log_losses(truth, part[f"probability{which}"].to_numpy(float)).mean())
    if metric == "auc":
        return float(roc_auc_score(truth, prediction)) if 0 < truth.sum() < len(truth) else np.nan
    if metric == "c_harrell":
        y = part[["entry", "truth", "event"]].to_numpy(float)
        return float(concordance(y, prediction, [np.arange(len(y))], np.ones(len(y)), np.inf, np.ones((1, len(y))))[0])
    total = np.sum((truth - part["training_mean"].to_numpy(float)) ** 2)
    return float(1 - np.sum((truth - prediction) ** 2) / total) if total > 0 else np.nan


def _confounds_alone(of_learner: pd.DataFrame, a: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Predictions from the confounds of the same model, or the training mean where there are none."""
    confounds = of_learner[of_learner["features"] == CONFOUNDS]
    if len(confounds):
        return CONFOUNDS, confounds
    mean = a["training_mean"].where(a["type"] != "survival", 0.0)  # everybody has the same hazard
    return MEAN, a.assign(prediction=mean, probability=a["training_mean"])


def _missing(tests: pd.DataFrame, score: str) -> dict[str, Any]:
    """Status and reason of a score without predictions, or of a model that is not tested."""
    rows = tests[(tests["score"] == score) | tests["score"].isna()]
    if rows.empty or rows["status"].iloc[0] == "ok":
        return {"status": "not predicted", "reason": "no such score, learner or features in the predictions"}
    return {"status": rows["status"].iloc[0], "reason": rows["reason"].iloc[0]}


def _read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return read_parquet(folder / "predictions.parquet"), read_parquet(folder / "predict.parquet")


if __name__ == "__main__":
    cli(run)
