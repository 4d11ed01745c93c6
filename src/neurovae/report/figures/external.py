"""External validation: observed against predicted by another cohort's model, and effects of both cohorts per latent."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.external.words import ALL, UNTOUCHED
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.predict.features import LATENTS
from neurovae.report.figures.calibration import reliability
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save, sentence
from neurovae.report.text import plain

NAMED = 12  # latents that were found, from which on none is labelled
NONE = "No score of the other cohort was tested here."


def draw(*, replication: Path, transfer: Path, predictions: Path, out: Path) -> None:
    """Draw two panels per score.

    Args:
        replication: replication.parquet of external.
        transfer: transfer.parquet of the same.
        predictions: predictions.parquet of the same.
        out: PNG to write.
    """
    tests, metrics, predicted = (read_parquet(path) for path in (replication, transfer, predictions))
    scores = list(dict.fromkeys(tests["score"].dropna()))
    if not scores:
        save(sentence(NONE), out)
        return
    size = (7.4, 3.2 * len(scores))
    figure, axes = plt.subplots(len(scores), 2, figsize=size, squeeze=False, layout="constrained")
    for (left, right), score in zip(axes, scores, strict=True):
        found = {str(row["metric"]): row for row in _chosen(metrics, score).to_dict("records")}
        _predicted(left, _chosen(predicted, score), found, score)
        _effects(right, tests[tests["score"] == score], score)
    figure.suptitle("External validation: another cohort's predictors and effects in these participants", fontsize=10)
    save(figure, out)


def _chosen(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Rows of the predictor from latents, as it is."""
    return table[(table[["score", "features", "application"]] == [score, LATENTS, UNTOUCHED]).all(axis=1)]


def _predicted(axis: Axes, part: pd.DataFrame, found: dict[str, dict[Any, Any]], score: str) -> None:
    if part.empty or "calibration_slope" not in found:
        _empty(axis, f"{score}: not predicted")
        return
    slope = found["calibration_slope"]
    if part["probability"].notna().any():
        table = reliability(*(part[name].to_numpy() for name in ("probability", "truth", "person")))
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        error = np.abs(table[["low", "high"]].to_numpy().T - table["observed"].to_numpy())
        axis.errorbar(table["predicted"], table["observed"], error, fmt="o-", color=BLUE, markersize=4, capsize=2)
        axis.set(xlabel="probability predicted by the other cohort's model", ylabel="observed proportion, 95 % CI")
    else:
        predicted, truth = part["prediction"].to_numpy(float), part["truth"].to_numpy(float)
        axis.scatter(predicted, truth, s=12, color=BLUE, alpha=0.6, linewidths=0)
        ends = np.array([predicted.min(), predicted.max()])
        axis.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="predicted = observed")
        line = truth.mean() + slope["value"] * (ends - predicted.mean())
        axis.plot(ends, line, color=ORANGE, linewidth=1.6, label="calibration")
        axis.set(xlabel="predicted by the other cohort's model", ylabel="observed")
        axis.legend(fontsize=7)
    head = found.get("r2") or found.get("auc") or slope
    name = {"r2": "R²", "auc": "AUC"}.get(str(head["metric"]), "")
    texts = [f"{plain(label)} {one['value']:.2f} [{one['ci_low']:.2f}, {one['ci_high']:.2f}]"
             for label, one in ((name, head), ("slope", slope))]  # fmt: skip
    axis.set_title(f"{plain(score)}, latents, untouched\n{', '.join(texts)}", fontsize=8)


def _effects(axis: Axes, tests: pd.DataFrame, score: str) -> None:
    rows = tests[(tests["latent"] != ALL) & tests["same_sign"].notna()]
    if rows.empty:
        _empty(axis, f"{score}: no latent was tested in both cohorts")
        return
    found = rows["found"].to_numpy(bool)
    for chosen, colour, label in ((~found, GREY, "not found there"), (found, ORANGE, "found there")):
        part = rows[chosen]
        if part.empty:
            continue
        error = np.abs(part[["ci_low", "ci_high"]].to_numpy(float).T - part["effect"].to_numpy(float))
        axis.errorbar(
            part["effect_source"],
            part["effect"],
            error,
            fmt="o",
            color=colour,
            markersize=4,
            linewidth=0.8,
            label=label,
        )
    for row in rows[found].to_dict("records") if found.sum() <= NAMED else []:
        at = (row["effect_source"], row["effect"])
        axis.annotate(latent_table.short(row["latent"]), at, (3, 3), textcoords="offset points", fontsize=7)
    axis.axhline(0, color=GREY, linewidth=0.6)
    axis.axvline(0, color=GREY, linewidth=0.6)
    axis.set(xlabel="effect in the other cohort", ylabel="effect here, 95 % CI")
    axis.legend(fontsize=7)
    whole = tests[tests["latent"] == ALL].to_dict("records")
    r = "" if not whole or pd.isna(whole[0]["r_effects"]) else (
        f"r = {whole[0]['r_effects']:.2f} [{whole[0]['r_low']:.2f}, {whole[0]['r_high']:.2f}]")  # fmt: skip
    axis.set_title(f"{plain(score)}, effect of each latent\n{r}", fontsize=8)


def _empty(axis: Axes, words: str) -> None:
    axis.set_axis_off()
    axis.text(0, 0.5, words, fontsize=8, wrap=True)
