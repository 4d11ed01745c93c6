"""Brain age against age with the gaps of groups; and calibration, extreme voxels and latents of a norm."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io.parquet import read_parquet
from neurovae.norm.words import EXPECTED, NORMED, REFERENCE
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save, sentence
from neurovae.report.text import plain, two_digits

KINDS = ((True, BLUE, "reference"), (False, ORANGE, "others"))
WAYS = {"model": (BLUE, "scan minus reconstruction"), "image": (GREY, "smoothed scan, no model")}


def brain_age(*, ages: Path, groups: Path, metrics: Path, out: Path) -> None:
    """Draw predicted against true age with identity and regression line, and the mean gap of each group.

    Args:
        ages: brain_age.parquet of norm.
        groups: brain_age_groups.parquet of the same.
        metrics: brain_age_metrics.parquet of the same.
        out: PNG to write.
    """
    table, by_group, accurate = read_parquet(ages), read_parquet(groups), read_parquet(metrics)
    if table.empty:
        save(sentence(f"Age was not predicted: {accurate['reason'].iloc[0]}."), out)
        return
    panels = 1 + bool(len(by_group))
    size = (4.2 * panels, max(3.8, 1.4 + 0.45 * len(by_group)))
    figure, axes = plt.subplots(1, panels, figsize=size, squeeze=False, layout="constrained")
    left = axes[0, 0]
    for kind, colour, label in KINDS:
        part = table[table["reference"] == kind]
        if len(part):
            left.scatter(
                part["true_age"], part["predicted_age"], s=12, color=colour, alpha=0.6, linewidths=0, label=label
            )
    own = table[table["reference"].astype(bool)]
    ends = np.array([table["true_age"].min(), table["true_age"].max()])
    slope, intercept = np.polyfit(own["true_age"].to_numpy(float), own["predicted_age"].to_numpy(float), 1)
    left.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", label="predicted = true")
    left.plot(ends, intercept + slope * ends, color="black", linewidth=1.4, label=f"regression, slope {slope:.2f}")
    left.set(xlabel="age at the scan, years", ylabel="predicted age, years, out of fold", title=_accuracy(accurate))
    left.legend(fontsize=7)
    if panels > 1:
        _gaps(axes[0, 1], by_group)
    save(figure, out)


def _accuracy(metrics: pd.DataFrame) -> str:
    found = metrics[metrics["people"] == "reference"].set_index("metric")
    mae, mean, r2 = (found.loc[name, "value"] for name in ("mae", "mae_of_the_mean", "r2"))
    low, high = found.loc["mae", ["age_min", "age_max"]]
    return f"Uncorrected: MAE {mae:.1f} years (the mean: {mean:.1f}), R² {two_digits(r2)}\nages {low:.0f} to {high:.0f}"


def _gaps(axis: Axes, table: pd.DataFrame) -> None:
    place = np.arange(len(table))[::-1]
    for column, shift, colour, label in (("gap", 0.12, GREY, "uncorrected"), ("gap_adjusted", -0.12, BLUE, "adjusted")):
        values = table[column].to_numpy(float)
        error = np.abs(table[[f"{column}_low", f"{column}_high"]].to_numpy(float).T - values)
        axis.errorbar(values, place + shift, xerr=error, fmt="o", markersize=4, capsize=2, color=colour, label=label)
    names = [f"{_group(row['grouping'], row['level'])} (n = {row['n']})" for row in table.to_dict("records")]
    axis.set_yticks(place, names, fontsize=8)
    axis.axvline(0, color=GREY, linewidth=0.6)
    axis.set(xlabel="mean gap, years, 95 % CI", ylim=(-0.6, len(table) - 0.4), title="Predicted minus true age")
    axis.legend(fontsize=7)


def _group(grouping: str, level: str) -> str:
    """The reference and the others by their own name, a level of a score with that of the score."""
    return level if grouping == REFERENCE else f"{plain(grouping)}: {plain(level)}"


def deviation(*, people: Path, calibrated: Path, out: Path) -> None:
    """Draw the calibration of each region and age tercile, the share of extreme voxels and the latents' percentile.

    Args:
        people: deviation.parquet of norm.
        calibrated: deviation_calibration.parquet of the same.
        out: PNG to write.
    """
    table, cells = read_parquet(people), read_parquet(calibrated)
    if table["status"].iloc[0] not in NORMED:
        save(sentence(f"No norm: {table['reason'].iloc[0]}."), out)
        return
    panels = 3 if len(cells) else 1
    figure, axes = plt.subplots(1, panels, figsize=(3.6 * panels, 3.6), squeeze=False, layout="constrained")
    if panels == 3:
        _calibration(axes[0, 0], cells[cells["scope"] == "region and age tercile"])
        _strips(axes[0, 1], table, {"extreme": "model", "extreme_image": "no model"}, 100.0)
        axes[0, 1].set(ylabel="extreme voxels, %", title="Share of extreme voxels")
    _strips(axes[0, -1], table, {"d2_percentile": "latents"}, 1.0)
    axes[0, -1].set(ylabel="percentile among reference people", ylim=(-3, 103), title="Distance of the latents")
    save(figure, out)


def _calibration(axis: Axes, cells: pd.DataFrame) -> None:
    for k, (way, (colour, label)) in enumerate(WAYS.items()):
        part = cells[cells["way"] == way]
        for tercile, one in part.groupby("tercile"):
            at = tercile + (k - 0.5) * 0.4
            x = at + np.linspace(-0.12, 0.12, len(one))
            axis.scatter(x, 100 * one["share"], s=8, color=colour, linewidths=0, label=label if tercile == 1 else None)
            axis.hlines(100 * one[["low", "high"]].iloc[0], at - 0.17, at + 0.17, color=colour, linewidth=1)
    axis.axhline(100 * EXPECTED, color="black", linewidth=0.6, linestyle="--")
    axis.set_xticks([1, 2, 3], ["youngest", "middle", "oldest"])
    axis.set(
        xlabel="age tercile",
        ylim=(None, 1.3 * axis.get_ylim()[1]),
        ylabel="held-out reference people beyond 1.96, %",
        title="Calibration, a dot per region",
    )
    axis.legend(fontsize=7)


def _strips(axis: Axes, table: pd.DataFrame, columns: dict[str, str], factor: float) -> None:
    """A point per participant, reference beside others, the median as a line; spread evenly by rank."""
    ticks, names = [], []
    for k, (column, name) in enumerate(columns.items()):
        for j, (kind, colour, label) in enumerate(KINDS):
            values = np.sort(factor * table.loc[table["reference"] == kind, column].dropna().to_numpy(float))
            if not len(values):
                continue
            at = 2.4 * k + j
            axis.scatter(
                at + 0.3 * np.sin(2.4 * np.arange(len(values))), values, s=9, color=colour, alpha=0.6, linewidths=0
            )
            axis.hlines(np.median(values), at - 0.35, at + 0.35, color="black", linewidth=1.4)
            ticks.append(at)
            names.append(f"{label}\n{name}\nn = {len(values)}")
    axis.set_xticks(ticks, names, fontsize=7)
    axis.set_xlim(min(ticks, default=0) - 0.7, max(ticks, default=0) + 0.7)
