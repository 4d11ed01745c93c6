"""Training curves of one model: terms of the loss, variance explained and active latents, for each of three sets."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import COLOURS, GREY, save

PANELS = {
    "nll": "negative log-likelihood (nats per scan)",
    "dssim": "weighted DSSIM per scan",
    "kl": "KL divergence (nats per scan)",
    "mmd": "MMD of latents and prior",
    "loss": "loss at the final beta",
    "variance_explained": "variance explained",
    "active": "active latents",
    "sigma": "sigma of the likelihood",
}
COLUMNS = 4


def draw(*, history: Path, name: str, out: Path) -> None:
    """Draw the history of one model: the terms that its loss has.

    Args:
        history: history.parquet of the training.
        name: the model, for the title.
        out: PNG to write.
    """
    table = read_parquet(history)
    shown = [column for column in PANELS if _relevant(table, column)]
    lines = -(-len(shown) // COLUMNS)
    across = -(-len(shown) // lines)
    figure, axes = plt.subplots(
        lines, across, figsize=(3.1 * across, 2.3 * lines + 0.5), squeeze=False, constrained_layout=True
    )
    for axis, column in zip(axes.ravel(), shown, strict=False):
        _panel(axis, table, column)
    for axis in axes.ravel()[len(shown) :]:
        axis.set_axis_off()
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(f"{name}; vertical line: the epoch that was kept (0: before the first step)", fontsize=10)
    save(figure, out)


def _relevant(table: pd.DataFrame, column: str) -> bool:
    """Whether it is a term of this loss; a constant sigma and a KL that is not penalised are left out."""
    values = table.get(column, pd.Series(dtype=float)).dropna()
    if column == "sigma":
        return bool(np.ptp(values.to_numpy(float)) > 0) if len(values) else False
    if column == "active":
        return _penalised(table)
    return bool(len(values))


def _penalised(table: pd.DataFrame) -> bool:
    beta = table.get("beta", pd.Series(dtype=float)).dropna()
    return bool((beta > 0).any())


def _panel(axis: Axes, table: pd.DataFrame, column: str) -> None:
    styles = {"training": "-", "validation": "--", "test": ":"}
    for split, rows in table.groupby("split", sort=False):
        colour = COLOURS[str(split)]
        axis.plot(
            rows["epoch"], rows[column], styles[str(split)], color=colour, label=str(split), linewidth=1.5,
            marker="o" if len(rows) == 1 else None,
        )  # fmt: skip
    stop = table[table["split"] == "validation"]
    if len(stop):
        axis.axvline(float(stop["epoch"].to_numpy()[stop["loss"].argmin()]), color=GREY, linewidth=0.8)
    if column in ("variance_explained", "mmd"):
        axis.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(xlabel="epoch")
    axis.set_title(PANELS[column] + (_beta(axis, table) if column == "kl" else ""), fontsize=9, loc="left")
    axis.ticklabel_format(axis="y", useOffset=False, scilimits=(-3, 6))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if column == "active":
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def _beta(axis: Axes, table: pd.DataFrame) -> str:
    """Beta in words, and its warm-up as a thin line where it has one."""
    if not _penalised(table):
        return " (not in the loss)"
    beta = table.loc[(table["split"] == "validation") & (table["epoch"] > 0), ["epoch", "beta"]]
    if beta["beta"].nunique() > 1:
        twin = axis.twinx()
        twin.plot(beta["epoch"], beta["beta"], color=GREY, linewidth=0.8)
        twin.set_ylim(bottom=0)
        twin.set_ylabel("beta (thin line)", color=GREY)
        twin.spines["right"].set_visible(True)
    return f"; beta = {beta['beta'].max():g}"
