"""Prediction of each score by every model and baseline: R2, AUC or Harrell's C with its interval."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save
from neurovae.report.words import METRICS

CONFOUNDS = "confounds"
SEARCHED = "hyperparameters transductive"  # a caveat of the verdict
LEARNERS = {"linear": "ridge, logistic or Cox", "svm": "SVM"}
NO_SVM = "there is no SVM of a survival score"
CHANCE = {"r2": 0.0, "auc": 0.5, "c_harrell": 0.5}
LOWEST = {
    "r2": -0.6,
    "auc": 0.25,
    "c_harrell": 0.25,
}  # lower limit of an axis: a value far below chance would compress the others
MARKS = [
    ("o", BLUE, BLUE, "model and confounds"),
    ("o", GREEN, GREEN, "PCA or voxels, and confounds"),
    ("D", ORANGE, ORANGE, "latents or voxels alone"),
    ("o", BLUE, "white", "open: trained on scans that included those of the test folds (transductive)"),
]
TABLES = [
    ("o", BLUE, BLUE, "model and confounds"),
    ("D", ORANGE, ORANGE, "latents alone"),
    ("o", BLUE, "white", "open: transductive"),
]  # of models in a cohort without images


def draw(*, predictions: Path, baselines: list[str], out: Path) -> None:
    """Draw every score, a panel per learner, a line per model; the confounds alone as a band.

    Args:
        predictions: predictions.tsv of all models and the voxels.
        baselines: names of the PCAs.
        out: PNG to write.
    """
    table = pd.read_csv(predictions, sep="\t", keep_default_na=False, na_values=["n/a"], dtype={"score": object})
    scores = list(dict.fromkeys(table["score"].dropna())) or [None]
    lines = max(len(table[["model", "seed"]].drop_duplicates()), 3)
    size = (10, len(scores) * (0.23 * lines + 0.9) + 0.7)
    figure, axes = plt.subplots(len(scores), len(LEARNERS), figsize=size, squeeze=False, layout="constrained")
    for row, score in zip(axes, scores, strict=True):
        found = of_score(table, score)
        for axis, learner in zip(row, LEARNERS, strict=True):
            _panel(axis, found, learner, {*baselines, "voxels"})
        row[0].set_title(f"{score or 'no score'}: {LEARNERS['linear']}", loc="left")
        row[1].set_yticklabels([])
    marks = [
        Line2D([], [], marker=m, color=edge, markerfacecolor=face, linestyle="", markersize=5, label=text)
        for m, edge, face, text in (MARKS if set(table["model"]) & {*baselines, "voxels"} else TABLES)
    ]
    band = Line2D([], [], color=GREY, alpha=0.3, linewidth=8, label="confounds alone (95 % CI)")
    figure.legend(handles=[*marks, band], loc="outside lower center", ncols=3, fontsize=8)
    title = (
        "Cross-validated prediction of held-out participants; 95 % bootstrap CI (participants resampled, models fixed)"
    )
    searched = bool(table["verdict"].astype(str).str.contains(SEARCHED).any())
    figure.suptitle(title + "\n† hyperparameters chosen on participants who are tested here" * searched, fontsize=10)
    save(figure, out)


def of_score(table: pd.DataFrame, score: str | None) -> pd.DataFrame:
    """Rows of a score in R2, AUC or C, and rows with the reason where there are none; `line` orders the models.

    From the bottom: models without a prediction, then by the linear learner's value with all features.
    """
    rows = table[(table["score"] == score) | table["score"].isna()]
    rows = rows[rows["metric"].isin(CHANCE) | rows["metric"].isna()].copy()
    several = table["seed"].dropna().nunique() > 1
    seed = rows["seed"].map(lambda value: f", seed {value:.0f}" if several and pd.notna(value) else "")
    rows["label"] = rows["model"].astype(str) + seed + rows["verdict"].astype(str).map(mark)
    linear = rows[(rows["learner"] == "linear") & (rows["features"] != CONFOUNDS)]
    full = linear.assign(both=linear["features"].map(with_confounds)).sort_values("both", kind="stable")
    value = full.groupby("label")["value"].last().reindex(rows["label"].unique())
    order = {label: k for k, label in enumerate(value.sort_values(kind="stable", na_position="first").index)}
    return rows.assign(line=rows["label"].map(order))


def mark(verdict: str) -> str:
    """What the verdict adds to a model's name."""
    return " (overfit)" * ("overfit" in verdict) + " †" * (SEARCHED in verdict)


def with_confounds(features: str) -> bool:
    """Whether a feature set holds the confounds beside latents or voxels."""
    return features.endswith(f"+ {CONFOUNDS}")


def _panel(axis: Axes, found: pd.DataFrame, learner: str, baselines: set[str]) -> None:
    labels = found.drop_duplicates("label").sort_values("line")
    axis.set_yticks(labels["line"], labels["label"], fontsize=8)
    axis.set_ylim(-0.7, len(labels) - 0.3)
    axis.set_title(LEARNERS[learner], loc="left")
    mine = found[found["learner"] == learner]
    metric = next(iter(mine["metric"].dropna()), next(iter(found["metric"].dropna()), "r2"))
    if mine.empty and metric == "c_harrell":
        axis.set_axis_off()
        axis.text(0.02, 0.5, NO_SVM, fontsize=8, color=GREY, transform=axis.transAxes)
        return
    chance = CHANCE[metric]
    axis.axvline(chance, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_xlabel(METRICS[metric])
    alone = mine[mine["features"] == CONFOUNDS].head(1)
    for row in alone.itertuples():
        axis.axvspan(row.ci_low, row.ci_high, color=GREY, alpha=0.15, linewidth=0)
        axis.axvline(row.value, color=GREY, linewidth=1)
    for row in mine[mine["features"] != CONFOUNDS].to_dict("records"):
        _mark(axis, row, row["model"] in baselines)
    for row in found[found["status"] != "ok"].drop_duplicates("label").itertuples():
        axis.text(chance, row.line, f" {row.status}", va="center", fontsize=7, color=GREY)
    shown = mine[["value", "ci_low", "ci_high"]].to_numpy(float)
    if np.isfinite(shown).any():
        low = max(np.nanmin([np.nanmin(shown), chance]), LOWEST[metric])
        axis.set_xlim(low - 0.03, max(np.nanmax(shown), chance) + 0.03)


def _mark(axis: Axes, row: dict[Any, Any], baseline: bool) -> None:
    """One feature set of one model; residualised latents are in the tables only."""
    if row["features"].endswith("without confounds"):
        return
    both = with_confounds(row["features"])
    colour = (GREEN if baseline else BLUE) if both else ORANGE
    y = row["line"] + (0.12 if both else -0.16)
    face = colour if row["policy"] == "per fold" else "white"
    axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.2 if both else 0.8, zorder=1)
    size = 5.0 if both else 3.5
    axis.plot(row["value"], y, "o" if both else "D", color=colour, markerfacecolor=face, markersize=size, zorder=2)
