"""Hyperparameter search: the objective of every trial against each searched value."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from neurovae.cli import Json
from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save

COLUMNS = 3  # panels in a row
LABELS = {"variance_explained": "variance explained, validation set", "elbo": "ELBO (nats per scan), validation set"}
WORDS = {"n_latent": "number of latents", "base_channels": "channels of the first layer", "mixup": "mixup"}


class Mark(NamedTuple):
    """How trials of one outcome are drawn; shapes differ as well as colours."""

    label: str
    marker: str
    colour: str
    filled: bool
    size: float


MARKS = {
    "feasible": Mark("eligible", "o", BLUE, True, 26),
    "infeasible": Mark("not eligible (not healthy, or too few active latents)", "x", ORANGE, True, 28),
    "pruned": Mark("pruned", "v", GREY, False, 24),
    "failed": Mark("failed", "|", GREY, True, 60),
}
CHOSEN = Mark("chosen", "*", GREEN, True, 190)


def draw(
    *,
    trials: Path,
    name: str,
    fold: int,
    objective: Literal["variance_explained", "elbo"],
    min_active: int,
    space: Json,
    out: Path,
) -> None:
    """Draw the trials of one search.

    Args:
        trials: trials.tsv.
        name: the model, for the title.
        fold: of the search, for the title.
        objective: what was maximised.
        min_active: smallest number of active latents of an eligible trial.
        space: the values that could be chosen, by key.
        out: PNG to write.
    """
    table = pd.read_csv(trials, sep="\t", na_values="n/a").sort_values("order", ignore_index=True)
    table["outcome"] = [outcome(row) for row in table.to_dict("records")]
    low, high = limits(table)
    strip = low - 0.12 * (high - low)  # where trials without a value, or with a lower one, are drawn
    table["y"] = table["objective"].where(table["objective"] >= low, strip)
    keys = [key for key in sorted(space) if table[key].nunique() > 1]
    active = ["active"] if table["active"].nunique() > 1 else []
    panels = ["order", *keys, *active]
    rows = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(10, 2.7 * rows + 0.9), squeeze=False, sharey=True, constrained_layout=True
    )
    for axis, key in zip(axes.ravel(), panels, strict=False):
        _panel(axis, table, key, space.get(key))
        axis.axhspan(
            strip - 0.06 * (high - low), low - 0.05 * (high - low), color=GREY, alpha=0.12, linewidth=0, zorder=0
        )
        axis.set_ylim(strip - 0.06 * (high - low), high + 0.08 * (high - low))
    if active:
        _constraint(axes.ravel()[len(panels) - 1], min_active)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel(LABELS[objective])
        ticks = [tick for tick in axis.get_yticks() if low <= tick <= axis.get_ylim()[1]]
        axis.set_yticks([strip, *ticks], ["lower or\nno value", *axis.yaxis.get_major_formatter().format_ticks(ticks)])
    _words(figure, table, name, fold)
    save(figure, out)


def outcome(row: dict[Any, Any]) -> str:
    """The caveats that a trial has."""
    if row["state"] != "complete":
        return str(row["state"])
    return "feasible" if row["feasible"] else "infeasible"


def limits(table: pd.DataFrame) -> tuple[float, float]:
    """Range of the objective that is drawn: that of the eligible trials, and as much again below it.

    A single diverged trial would otherwise compress all others into a line.
    """
    ended, good = table["objective"].dropna(), table.loc[table["outcome"] == "feasible", "objective"]
    span = float(good.max() - good.min()) or max(abs(float(good.max())), 1e-3) * 0.1
    return max(min(float(ended.min()), float(good.max()) - span), float(good.min()) - span), float(ended.max())


def _panel(axis: Axes, table: pd.DataFrame, key: str, allowed: Any) -> None:
    x = _positions(axis, table, key, allowed)
    best = table["chosen"].to_numpy(dtype=bool)
    for name, mark in MARKS.items():
        those = (table["outcome"] == name).to_numpy() & ~best
        _draw(axis, x[those], table.loc[those, "y"], mark)
    axis.axhline(float(table.loc[best, "y"].iloc[0]), color=GREEN, linewidth=0.8, linestyle=":", zorder=1)
    _draw(axis, x[best], table.loc[best, "y"], CHOSEN)
    if key == "order":
        good = table["objective"].where(table["outcome"] == "feasible").cummax().ffill()
        axis.step(x, good, where="post", color=BLUE, linewidth=1, zorder=1)
    words = {"order": "trial; line: best so far", "active": "active latents"}
    axis.set_xlabel({**WORDS, **words}.get(key, key.replace("_", " ")))


def _draw(axis: Axes, x: np.ndarray, y: pd.Series, mark: Mark) -> None:
    face = mark.colour if mark.filled else "white"
    if mark.marker in "x|":
        axis.scatter(
            x, y, s=mark.size, marker=mark.marker, color=mark.colour, linewidths=1.3, label=mark.label, zorder=3
        )
        return
    edge = "white" if mark is CHOSEN else mark.colour
    axis.scatter(
        x, y, s=mark.size, marker=mark.marker, facecolor=face, edgecolor=edge, linewidths=1, label=mark.label, zorder=3
    )


def _positions(axis: Axes, table: pd.DataFrame, key: str, allowed: Any) -> np.ndarray:
    """Positions of the trials on the axis: choices side by side, ranges as numbers, on a log scale if searched so."""
    values = table[key].to_numpy(dtype=float)
    if isinstance(allowed, list):
        choices = sorted(allowed)
        axis.set_xticks(range(len(choices)), [f"{choice:g}" for choice in choices])
        axis.set_xlim(-0.5, len(choices) - 0.5)
        beside = np.random.default_rng(0).uniform(-0.18, 0.18, len(values))  # equal trials would hide each other
        return np.array([choices.index(value) for value in values]) + beside
    if isinstance(allowed, dict):
        low, high = allowed["low"], allowed["high"]
        if allowed.get("log"):
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        beyond = (high / low) ** 0.05 if allowed.get("log") else 0.05 * (high - low)
        axis.set_xlim((low / beyond, high * beyond) if allowed.get("log") else (low - beyond, high + beyond))
        return values
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return values + (key == "order")


def _constraint(axis: Axes, min_active: int) -> None:
    """Shade trials with too few active latents."""
    left = min(axis.get_xlim()[0], min_active - 1)
    axis.axvspan(left, min_active - 0.5, color=GREY, alpha=0.15, linewidth=0, zorder=0)
    axis.set_xlim(left, axis.get_xlim()[1])
    axis.set_xlabel(f"active latents; shaded: fewer than {min_active}")


def _words(figure: Figure, table: pd.DataFrame, name: str, fold: int) -> None:
    best = table[table["chosen"]].iloc[0]
    counts = table["outcome"].value_counts()
    figure.suptitle(
        f"{name}, fold {fold}: {len(table)} trials; trial {best['trial']} chosen ({best['objective']:.4g}, dotted)",
        fontsize=10,
    )
    seen = {
        label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    present = [mark for key, mark in MARKS.items() if key in counts.index]
    order = [CHOSEN.label, *(mark.label for mark in present)]
    figure.legend([seen[label] for label in order], order, loc="outside lower center", ncols=len(order))
