"""Loss curves of one model: likelihood, divergence and variance share over epochs, by split."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from neurovae.cli import cli
from neurovae.report.pictures import COLOURS, GREY, NAMES, save

PANELS = {"nll": "negative log-likelihood, nats a scan", "kl": "KL divergence, nats a scan", "share": "variance share"}


def run(*, history: Path, name: str, out: Path) -> None:
    """Draw the history of one model.

    Args:
        history: history.parquet of the training.
        name: the model, for the title.
        out: PNG to write.
    """
    table = pd.read_parquet(history)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), constrained_layout=True)
    for axis, (column, label) in zip(axes, PANELS.items(), strict=True):
        _panel(axis, table, column, label)
    axes[0].legend()
    figure.suptitle(f"{name}; vertical line: the epoch whose weights are kept (0: the linear part alone)")
    save(figure, out)


def _panel(axis: Axes, table: pd.DataFrame, column: str, label: str) -> None:
    for split, rows in table.groupby("split", sort=False):
        axis.plot(rows["epoch"], rows[column], color=COLOURS[str(split)], label=NAMES[str(split)], linewidth=1.4)
    stop = table[table["split"] == "stop"]
    if len(stop):
        axis.axvline(float(stop["epoch"].to_numpy()[stop["loss"].argmin()]), color=GREY, linewidth=0.8)
    if column == "share":
        axis.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(xlabel="epoch", ylabel=label)


if __name__ == "__main__":
    cli(run)
