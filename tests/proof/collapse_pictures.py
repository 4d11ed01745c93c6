"""Pictures of the collapse proof: the border over beta, and the latent abandoned by a powerful decoder."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save


def betas(table: pd.DataFrame, edge: float, path: Path) -> None:
    """Measures and verdict over beta; `edge` is the linear theory's border."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), constrained_layout=True)
    for column, colour, style, label in (
        ("variance_explained_training", BLUE, "o-", "share, training"),
        ("variance_explained_test", ORANGE, "s--", "share, held out"),
        ("identification_accuracy_training", GREEN, "^:", "identified, training"),
    ):
        axes[0].plot(table["beta"], table[column], style, color=colour, label=label, markersize=5)
    axes[0].axhline(0.05, color=GREY, linewidth=0.8, linestyle=":")
    axes[0].text(table["beta"].min(), 0.06, "share of a collapse: .05", fontsize=7, color=GREY)
    axes[0].set(ylabel="variance explained, or of people", ylim=(-0.05, 1.15))
    axes[1].plot(table["beta"], table["active_units"], "o-", color=BLUE, label="active units", markersize=5)
    axes[1].plot(table["beta"], table["rate"], "s--", color=ORANGE, label="rate, nats a scan", markersize=5)
    axes[1].set(ylabel="units, or nats", yscale="symlog", ylim=(-0.1, 300))
    words = table["verdict"].tolist()
    for axis in axes:
        stopped = table.loc[table["stops"], "beta"]
        if len(stopped):
            start = np.sqrt(stopped.min() * table.loc[~table["stops"], "beta"].max())
            axis.axvspan(start, table["beta"].max() * 1.6, color=GREY, alpha=0.15, linewidth=0, label="stopped")
        axis.axvline(edge, color="k", linestyle="-.", linewidth=1, label="theory of a linear VAE")
        axis.set(xscale="log", xlabel="beta", xlim=(table["beta"].min() / 1.6, table["beta"].max() * 1.6))
        axis.legend(fontsize=8, loc="center left" if axis is axes[0] else "lower left")
    runs = [i for i in range(len(words)) if i == 0 or words[i] != words[i - 1]]
    said = ", ".join(f"{words[i]} from {table['beta'][i]:g}" for i in runs)
    figure.suptitle(f"The border of a collapse over beta (Gaussian, sigma 1, network alone): {said}", fontsize=10)
    save(figure, path)


def capacities(table: pd.DataFrame, people: int, sigma: float, path: Path) -> None:
    """What the latents hold, and how well is reconstructed, by what the decoder sees beside z; a point per seed."""
    counts = sorted(table["neighbours"].unique())
    at = table["neighbours"].map({count: place for place, count in enumerate(counts)})
    mean = table.groupby("neighbours").mean()
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    panels = (
        (axes[0], "information", BLUE, "o-", "I(x; z)"),
        (axes[0], "rate", ORANGE, "s--", "rate: KL from the prior"),
        (axes[1], "variance_explained", BLUE, "o-", "test variance explained"),
        (axes[2], "lost", BLUE, "o-", "lost with another person's z"),
    )
    for axis, column, colour, style, label in panels:
        axis.plot(range(len(counts)), mean[column], style, color=colour, label=label, markersize=5)
        axis.plot(at, table[column], style[0], color=colour, markersize=3, alpha=0.5)
        axis.set(xlabel="earlier neighbours that the decoder sees")
        axis.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes[0].axhline(np.log(people), color=GREY, linestyle=":", linewidth=1, label=f"most that {people} people can show")
    axes[0].set(ylabel="nats a scan", ylim=(0, None))
    axes[0].legend(fontsize=8)
    axes[1].set(ylabel="variance explained", ylim=(0, 1.05))
    axes[2].set(ylabel="nats a scan", yscale="symlog", ylim=(0, None))
    for axis, text in zip(
        axes, ("what the latents hold", "the reconstruction stays", "nats lost with another person's z"), strict=True
    ):
        axis.set_title(text, fontsize=9, loc="left")
    figure.suptitle(
        f"A decoder that sees earlier voxels abandons the latent (Gaussian, sigma {sigma:g}, beta 1)", fontsize=10
    )
    save(figure, path)
