"""Distribution of the latents, and pairs of them by score and site."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurovae.report.figures.columns import pooled
from neurovae.report.figures.drawing import COLOURS, GREY, PALETTE
from neurovae.report.text import plain

MARKERS = "o^sDvP*X"


def spread(latents: pd.DataFrame, names: list[str], label: str, prior: bool) -> Figure:
    """Distribution of every latent: quartiles and 5 to 95 % by split; dotted: -1.96, 0, 1.96 of the prior, if any."""
    figure, axis = plt.subplots(figsize=(10, 2.6), layout="constrained")
    for line in (-1.96, 0, 1.96) if prior else ():
        axis.axhline(line, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
    splits = [name for name in COLOURS if (latents["split"] == name).any()]
    for k, split in enumerate(splits):
        values = latents.loc[latents["split"] == split, names].to_numpy(float)
        low, first, middle, third, high = np.percentile(values, [5, 25, 50, 75, 95], axis=0)
        place = np.arange(len(names)) + 0.26 * (k - (len(splits) - 1) / 2)
        axis.vlines(place, low, high, color=COLOURS[split], linewidth=0.9)
        axis.vlines(place, first, third, color=COLOURS[split], linewidth=3, label=f"{split} set, {len(values)} scans")
        axis.plot(place, middle, "_", color="white", markersize=3)
    ticks = range(0, len(names), -(-len(names) // 32))
    axis.set_xticks(ticks, [names[k] for k in ticks], fontsize=7, rotation=90)
    axis.set(xlabel="latent", ylabel=label, xlim=(-0.8, len(names) - 0.2))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=8)
    return figure


def pairs(points: pd.DataFrame, top: list[str], coloured: list[str]) -> Figure:
    """Pairs of up to three latents (a column each), coloured by scores and site (a row each)."""
    chosen = [(a, b) for i, a in enumerate(top) for b in top[i + 1 :]][:3]
    down, across = max(len(coloured), 1), max(len(chosen), 1)
    figure, axes = plt.subplots(
        down, across, figsize=(3.1 * across + 0.6, 2.3 * down), squeeze=False, layout="constrained"
    )
    for row, name in zip(axes, coloured, strict=False):
        for axis, (a, b) in zip(row, chosen, strict=False):
            _pair(axis, points, a, b, name, last=axis is row[-1])
    return figure


def _pair(axis: Axes, points: pd.DataFrame, a: str, b: str, name: str, last: bool) -> None:
    values = pooled(points[name])
    known = values.notna().to_numpy()
    axis.set(xlabel=a, ylabel=b)
    axis.set_title(f"by {plain(name)}", fontsize=9, loc="left")
    axis.scatter(points[a][~known], points[b][~known], s=10, facecolors="none", edgecolors=GREY, linewidths=0.5)
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 2:
        found = axis.scatter(points[a][known], points[b][known], c=values[known].astype(float), s=14, cmap="viridis")
        if last:
            axis.figure.colorbar(found, ax=axis, label=plain(name))
        return
    for k, level in enumerate(sorted(values[known].unique(), key=str)):
        part = (values == level).to_numpy()
        text = plain(f"{level:g}" if isinstance(level, float) else level, 14)
        axis.scatter(
            points[a][part], points[b][part], s=14, color=PALETTE[k], marker=MARKERS[k], label=text, linewidths=0
        )
    if last:
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, handletextpad=0.2)
