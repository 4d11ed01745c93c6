"""Kaplan-Meier curves by thirds of the predicted risk: every person's risk is from a model without this person.

Thirds are of the ranks within a test fold, since predictors of two folds are of two models and have no common scale.
With delayed entry the curves are over the time since entry, as few people are at risk at the first times.
Band: 95 % by Greenwood's variance of log(-log S) (Kalbfleisch & Prentice 2002, section 1.4).
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from neurovae.io.parquet import read_parquet
from neurovae.predict.features import BOTH, CONFOUNDS, LATENTS
from neurovae.predict.survival_metrics import kaplan_meier
from neurovae.report.figures.drawing import BLUE, GREEN, ORANGE, save
from neurovae.report.results import titled
from neurovae.report.words import METRICS

THIRDS = ((BLUE, "lowest third"), (GREEN, "middle third"), (ORANGE, "highest third"))
SHOWN = ("c_harrell", "c_uno", "ipa")
TICKS = 5  # times at which the people at risk are given


def draw(*, predictions: Path, metrics: Path, scores: list[str], name: str, out: Path) -> None:
    """Draw every survival score of one model, a row each: all features, and the confounds alone.

    Args:
        predictions: predictions.parquet of predict.
        metrics: predict.parquet of the same.
        scores: names of the survival scores.
        name: the model, for the title.
        out: PNG to write.
    """
    predicted, rows = read_parquet(predictions), read_parquet(metrics)
    size = (9.5, 3.7 * len(scores) + 0.5)
    figure, axes = plt.subplots(len(scores), 2, figsize=size, squeeze=False, layout="constrained", sharey=True)
    for pair, score in zip(axes, scores, strict=True):
        of_score = rows[(rows["score"] == score) | rows["score"].isna()]
        full = BOTH if (of_score["features"] == BOTH).any() else LATENTS
        for axis, features in zip(pair, (full, CONFOUNDS), strict=True):
            part = predicted[(predicted["score"] == score) & (predicted["features"] == features)]
            if part.empty:
                _empty(axis, of_score, score, features)
                continue
            panel(axis, part, f"{score}: {features}", of_score[of_score["features"] == features])
    first = rows.iloc[0].to_dict()
    figure.suptitle(
        f"{titled(name, first['verdict'])}, {first['policy']}: Kaplan-Meier curves by thirds of the predicted risk of "
        "held-out participants",
        fontsize=10,
    )
    save(figure, out)


def thirds(predictor: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """0, 1 or 2 for each person: the third of the risk by rank within the test fold; ties share their mean rank."""
    rank = pd.Series(predictor).groupby(fold).rank() - 0.5
    return np.minimum(3 * rank / pd.Series(fold).groupby(fold).transform("size"), 2.999).astype(int).to_numpy()


def band(y: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kaplan-Meier estimate at these times, and its pointwise 95 % interval. y: (n, 3) entry, time, event."""
    survival = kaplan_meier(y, times)
    at, events = np.unique(y[y[:, 2] == 1, 1], return_counts=True)
    risk = np.array([np.sum((y[:, 0] < time) & (y[:, 1] >= time)) for time in at])
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.append(0.0, np.cumsum(events / (risk * (risk - events))))[np.searchsorted(at, times, side="right")]
        half = norm.ppf(0.975) * np.sqrt(total) / np.abs(np.log(survival))
        low, high = survival ** np.exp(half), survival ** np.exp(-half)
    return survival, np.where(survival < 1, low, 1.0), np.where(survival < 1, high, 1.0)


def panel(axis: Axes, part: pd.DataFrame, title: str, metrics: pd.DataFrame) -> None:
    """One set of predictions: a curve per third, a tick per censored person, and the numbers at risk below."""
    entry, time, event = part[["entry", "truth", "event"]].to_numpy(float).T
    y = np.column_stack([np.zeros(len(part)), time - entry, event])  # since entry: few are at risk at the first times
    group = thirds(part["prediction"].to_numpy(float), part["fold"].to_numpy(int))
    last = float(y[:, 1].max())
    ticks = [tick for tick in MaxNLocator(TICKS).tick_values(0.0, last) if tick <= last]
    below = []
    for k, (colour, name) in enumerate(THIRDS):
        own = y[group == k]
        if not len(own):
            continue
        times = np.unique(np.append(0.0, own[:, 1]))
        survival, low, high = band(own, times)
        label = f"{name} of risk (n = {len(own)}, {int(own[:, 2].sum())} events)"
        axis.step(times, survival, where="post", color=colour, linewidth=1.6, label=label)
        known = np.isfinite(low)
        axis.fill_between(times[known], low[known], high[known], step="post", color=colour, alpha=0.15, linewidth=0)
        lost = own[own[:, 2] == 0, 1]
        axis.plot(lost, kaplan_meier(own, lost), "|", color=colour, markersize=5)
        below.append([np.sum(own[:, 1] >= tick) for tick in ticks])
    names = [f"{tick:.3g}\n" + "\n".join(str(counts[j]) for counts in below) for j, tick in enumerate(ticks)]
    axis.set_xticks(ticks, names, fontsize=7)
    scale = "time since entry" if entry.any() else "time"
    axis.set(
        ylim=(-0.02, 1.02), ylabel="without the event", xlabel=f"{scale}; below: number at risk, lowest third first"
    )
    axis.tick_params(labelleft=True)
    axis.legend(fontsize=7, loc="lower left")
    value: dict[str, Any] = {row["metric"]: row for row in metrics.to_dict("records")}
    found = [value[one] for one in SHOWN if one in value and np.isfinite(value[one]["value"])]
    texts = [
        f"{METRICS[row['metric']]} {row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" for row in found
    ]
    axis.set_title("\n".join([title, *([", ".join(texts[:2])] if texts else []), *texts[2:]]), fontsize=8)


def _empty(axis: Axes, rows: pd.DataFrame, score: str, features: str) -> None:
    lost = rows[rows["status"] != "ok"].to_dict("records")
    reason = f"{lost[0]['status']}\n{lost[0]['reason']}" if lost else "no such predictions (there are no confounds)"
    axis.set_axis_off()
    axis.text(0, 0.5, f"{score}, {features}: {reason}", fontsize=8, wrap=True)
