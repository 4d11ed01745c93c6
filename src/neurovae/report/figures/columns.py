"""Histograms and counts of the cohort's columns, by site."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurovae.report.figures.drawing import PALETTE
from neurovae.report.text import plain

FEW = len(PALETTE)  # distinct values up to which a column is drawn as bars, levels up to which each has its colour


def histograms(people: pd.DataFrame, names: list[str]) -> Figure:
    """Distribution of each column over participants, by site where there are several (at most 8 colours)."""
    across = min(len(names), 4)
    down = -(-len(names) // across)
    figure, axes = plt.subplots(down, across, figsize=(2.6 * across, 1.9 * down), squeeze=False, layout="constrained")
    site = pooled(people["site"].fillna("not known"))
    sites = sorted(site.unique(), key=str)
    for axis, name in zip(axes.flat, names, strict=False):
        _column(axis, people[name], [people.loc[site == one, name].dropna() for one in sites])
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    axes[0, 0].set_ylabel("participants")
    if len(sites) > 1:
        handles = [plt.Rectangle((0, 0), 1, 1, color=PALETTE[k]) for k in range(len(sites))]
        words = [plain(f"site {one}") for one in sites]
        figure.legend(handles, words, loc="outside lower center", ncols=4, fontsize=8)
    return figure


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


def pooled(values: pd.Series) -> pd.Series:
    """Texts with at most 8 levels: of more, the 7 most frequent ones and "others (n)"; missing values, numbers stay."""
    counts = values.value_counts()
    if len(counts) <= FEW or pd.api.types.is_numeric_dtype(values):
        return values
    kept = sorted(counts.index, key=lambda level: (-counts[level], level))[: FEW - 1]
    return values.where(values.isin(kept) | values.isna(), f"others ({len(counts) - len(kept)})")
