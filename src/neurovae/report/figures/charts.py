"""Figures that only the report has: the cohort's columns, effects of a score, spread and pairs of latents."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurovae.io import latent_table
from neurovae.report.figures.drawing import BLUE, COLOURS, GREEN, GREY, NAMES, ORANGE
from neurovae.report.sections.tested import LEVEL, tested

FEW = 8  # distinct values up to which a column is drawn as bars, levels up to which each has its colour
PALETTE = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#B8A800"]  # Okabe and Ito, yellow darker
MARKERS = "o^sDvP*X"


def columns(people: pd.DataFrame, names: list[str]) -> Figure:
    """Distribution of each column over people, by site where there are several (at most 8 colours)."""
    across = min(len(names), 4)
    down = -(-len(names) // across)
    figure, axes = plt.subplots(down, across, figsize=(2.6 * across, 1.9 * down), squeeze=False, layout="constrained")
    site = pooled(people["site"].fillna("not known"))
    sites = sorted(site.unique(), key=str)
    for axis, name in zip(axes.flat, names, strict=False):
        _column(axis, people[name], [people.loc[site == one, name].dropna() for one in sites])
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    axes[0, 0].set_ylabel("people")
    if len(sites) > 1:
        handles = [plt.Rectangle((0, 0), 1, 1, color=PALETTE[k]) for k in range(len(sites))]
        words = [plain(f"site {one}") for one in sites]
        figure.legend(handles, words, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def pooled(values: pd.Series) -> pd.Series:
    """Texts with at most 8 levels: of more, the 7 that most rows have, and "others (n)"; missing and numbers stay."""
    counts = values.value_counts()
    if len(counts) <= FEW or pd.api.types.is_numeric_dtype(values):
        return values
    kept = sorted(counts.index, key=lambda level: (-counts[level], level))[: FEW - 1]
    return values.where(values.isin(kept) | values.isna(), f"others ({len(counts) - len(kept)})")


def _column(axis: Axes, column: pd.Series, parts: list[pd.Series]) -> None:
    """parts: the known values of each site."""
    values = pooled(column.dropna())
    if values.nunique() <= FEW:
        numeric = pd.api.types.is_numeric_dtype(values)
        levels = sorted(values.unique()) if numeric else list(values.value_counts().index)
        below = np.zeros(len(levels))
        for k, part in enumerate(parts):
            counts = values[part.index].value_counts().reindex(levels, fill_value=0).to_numpy()
            axis.bar(range(len(levels)), counts, 0.7, bottom=below, color=PALETTE[k])
            below += counts
        axis.set_xticks(range(len(levels)), [plain(f"{v:g}" if isinstance(v, float) else v, 12) for v in levels])
    else:
        axis.hist(parts, bins=_edges(values), stacked=True, color=PALETTE[: len(parts)])
    missing = int(column.isna().sum())
    axis.set_title(plain(column.name) + (f" ({missing} missing)" if missing else ""), fontsize=9, loc="left")


def _edges(values: pd.Series) -> int | list[float]:
    """A bin per whole number where there are at most 30 of them, or 15 bins: others leave gaps between counts."""
    low, high = values.min(), values.max()
    whole = bool((values % 1 == 0).all()) and high - low < 30
    return [float(edge) for edge in np.arange(low - 0.5, high + 1)] if whole else 15


def plain(words: Any, most: int = 24) -> str:
    """A text for a figure, shortened."""
    short = str(words)
    return short if len(short) <= most else short[: most - 1] + "…"


def effects(rows: pd.DataFrame, most: int = 24) -> Figure:
    """Effect per SD of each latent with its 95 % interval, strongest first; filled: max-T p < .05; orange: flagged.

    A latent without an estimate is a cross at zero.
    """
    top = tested(rows).head(most)
    figure, axis = plt.subplots(figsize=(0.32 * max(len(top), 8) + 1.4, 2.3), layout="constrained")
    axis.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    for place, row in enumerate(top.to_dict("records")):
        colour = ORANGE if str(row["flagged"]) == "True" else BLUE
        face = colour if row["p_maxt"] < LEVEL else "white"
        axis.plot([place, place], [row["ci_low"], row["ci_high"]], color=colour, linewidth=1.3, zorder=1)
        lost = pd.isna(row["effect"])
        marker, height = ("X", 0) if lost else ("D" if colour == ORANGE else "o", row["effect"])
        axis.plot(place, height, marker, color=colour, markerfacecolor=face, markersize=5, zorder=2)
    axis.set_xticks(range(len(top)), [latent_table.short(name) for name in top["latent"]], fontsize=7, rotation=90)
    axis.set(xlabel="latent, smallest max-T p first", ylabel="effect per SD", xlim=(-0.7, max(len(top), 1) - 0.3))
    return figure


def spread(latents: pd.DataFrame, names: list[str]) -> Figure:
    """Distribution of every latent: quartiles and 5 to 95 % by split; dotted: the prior's -1.96, 0, 1.96."""
    figure, axis = plt.subplots(figsize=(10, 2.6), layout="constrained")
    for line in (-1.96, 0, 1.96):
        axis.axhline(line, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
    splits = [name for name in ("training", "validation", "test") if (latents["split"] == name).any()]
    for k, split in enumerate(splits):
        values = latents.loc[latents["split"] == split, names].to_numpy(float)
        low, first, middle, third, high = np.percentile(values, [5, 25, 50, 75, 95], axis=0)
        place = np.arange(len(names)) + 0.26 * (k - (len(splits) - 1) / 2)
        axis.vlines(place, low, high, color=COLOURS[split], linewidth=0.9)
        axis.vlines(
            place, first, third, color=COLOURS[split], linewidth=3, label=f"{NAMES[split]}, {len(values)} scans"
        )
        axis.plot(place, middle, "_", color="white", markersize=3)
    ticks = range(0, len(names), 1 if len(names) <= 32 else 2)
    axis.set_xticks(ticks, [latent_table.short(names[k]) for k in ticks], fontsize=7)
    axis.set(xlabel="latent", ylabel="posterior mean", xlim=(-0.8, len(names) - 0.2))
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
    axis.set(xlabel=f"latent {latent_table.short(a)}", ylabel=f"latent {latent_table.short(b)}")
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
