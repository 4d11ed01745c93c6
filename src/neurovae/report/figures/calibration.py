"""Calibration: observed against predicted, per score and learner."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from statsmodels.stats.proportion import proportion_confint

from neurovae.io.parquet import read_parquet
from neurovae.predict.features import BOTH, LATENTS
from neurovae.predict.learners import LEARNERS
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save, sentence
from neurovae.report.results import titled
from neurovae.report.words import METRICS

BINS = 5  # of a reliability curve, with equally many scans each
SHOWN = ("r2", "r", "auc", "log_loss")  # metrics in the title of a panel
ACROSS = 4  # panels in a row


def draw(*, predictions: Path, metrics: Path, name: str, out: Path) -> None:
    """Draw every score of one model by learner, from latents and confounds (latents alone if there are none).

    Args:
        predictions: predictions.parquet of predict.
        metrics: predict.parquet of the same.
        name: the model, for the title.
        out: PNG to write.
    """
    predicted, rows = read_parquet(predictions), read_parquet(metrics)
    scores = list(dict.fromkeys(rows.loc[rows["type"] != "survival", "score"].dropna()))
    if not scores and (rows["type"] == "survival").any():
        save(sentence(f"{name}: all scores are times to events; see their Kaplan-Meier curves"), out)
        return
    panels = [(score, learner) for score in scores or [None] for learner in LEARNERS]
    lines, across = -(-len(panels) // ACROSS), min(ACROSS, len(panels))
    figure, axes = plt.subplots(lines, across, figsize=(3.3 * across, 3 * lines), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (score, learner) in zip(axes.flat, panels, strict=False):
        of_score = rows[rows["score"] == score] if score else rows
        features = BOTH if (of_score["features"] == BOTH).any() else LATENTS
        chosen = "learner == @learner and features == @features and score == @score"
        part, found = predicted.query(chosen), of_score.query(chosen)
        if len(part):
            _panel(axis, part, found, f"{score}, {learner}, {features}")
            continue
        none = {"status": "no score", "reason": "none is declared"}
        _empty(axis, of_score.iloc[0].to_dict() if len(of_score) else none, score or name)
    first = rows.iloc[0].to_dict() if len(rows) else {"verdict": "no score", "policy": "nothing predicted"}
    title = f"{titled(name, first['verdict'])}, {first['policy']}: observed against predicted, held-out participants"
    figure.suptitle(title, fontsize=10)
    save(figure, out)


def reliability(probability: np.ndarray, truth: np.ndarray, person: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Mean probability, observed proportion with 95 % Wilson interval, in bins of about equally many scans (n).

    The interval is over participants, since the scans of one are dependent: (sum m)^2 / sum m^2 of them, with m the
    scans of each in the bin (Kish 1965), which is their number where all have equally many.
    """
    order = np.argsort(probability, kind="stable")
    rows = []
    for part in np.array_split(order, bins):
        people = len(part) ** 2 / np.square(np.unique(person[part], return_counts=True)[1]).sum()
        low, high = proportion_confint(truth[part].mean() * people, people, 0.05, method="wilson")
        rows.append(
            {
                "predicted": probability[part].mean(),
                "observed": truth[part].mean(),
                "low": low,
                "high": high,
                "n": len(part),
            }
        )
    return pd.DataFrame(rows)


def _panel(axis: Axes, part: pd.DataFrame, found: pd.DataFrame, title: str) -> None:
    value = {str(row["metric"]): row for row in found.to_dict("records")}
    if part["probability"].notna().any():
        _curve(axis, *(part[name].to_numpy() for name in ("probability", "truth", "person")))
    else:
        _scatter(axis, part, value)
    texts = [f"{METRICS[name]} {value[name]['value']:.2f}" for name in SHOWN if name in value]
    slope = value["calibration_slope"]
    texts.append(f"slope {slope['value']:.2f} [{slope['ci_low']:.2f}, {slope['ci_high']:.2f}]")
    axis.set_title(f"{title}\n{', '.join(texts)}", fontsize=8)


def _scatter(axis: Axes, part: pd.DataFrame, value: dict[str, dict[Any, Any]]) -> None:
    predicted, truth, mean = (part[name].to_numpy(float) for name in ("prediction", "truth", "training_mean"))
    axis.scatter(predicted, truth, s=10, color=BLUE, alpha=0.6, linewidths=0)
    ends = np.array([predicted.min(), predicted.max()])
    axis.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="predicted = observed")
    slope, miss = (value[f"calibration_{name}"]["value"] for name in ("slope", "intercept"))
    axis.plot(ends, mean.mean() + miss + slope * (ends - mean.mean()), color=ORANGE, linewidth=1.6, label="calibration")
    axis.set(xlabel="predicted", ylabel="observed")
    axis.legend(fontsize=7)


def _curve(axis: Axes, probability: np.ndarray, truth: np.ndarray, person: np.ndarray) -> None:
    table = reliability(probability, truth, person)
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="predicted = observed")
    error = np.abs(table[["low", "high"]].to_numpy().T - table["observed"].to_numpy())
    axis.errorbar(
        table["predicted"], table["observed"], error, fmt="o-", color=BLUE, markersize=4, linewidth=1, capsize=2
    )
    height = 0.04
    for observed, at in ((0, -height), (1, 1 + height)):  # a tick for every scan, by what was observed
        predicted = probability[truth == observed]
        axis.plot(predicted, np.full(len(predicted), at), "|", color=ORANGE, markersize=5, alpha=0.5)
    axis.set(
        xlabel="predicted probability",
        ylabel="observed proportion, 95 % CI",
        xlim=(-0.02, 1.02),
        ylim=(-0.08, 1.08),
    )


def _empty(axis: Axes, row: dict[Any, Any], label: str) -> None:
    axis.set_axis_off()
    axis.text(0, 0.5, f"{label}: {row['status']}\n{row['reason']}", fontsize=8, wrap=True)
