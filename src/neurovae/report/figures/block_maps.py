"""Figures of the latents of a fused model: an edge matrix each, or the features that change most."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from nilearn import plotting

from neurovae.io import blocks
from neurovae.io.latent_table import short
from neurovae.io.parquet import read_parquet
from neurovae.report.figures import functional
from neurovae.report.figures.drawing import BLUE, ORANGE, save, sentence

MOST = 4  # latents that are drawn
FEATURES = 12  # features that are drawn of each latent of a table
EDGES = 60  # connections of each latent on the glass brain
LABEL = "change per SD of the latent (SD)"


def draw(*, maps: pd.DataFrame, folder: Path, out: Path) -> None:
    """Draw the strongest latents (`MOST`) in one block.

    Args:
        maps: rows of block_maps.parquet of one block.
        folder: of the block.
        out: PNG to write.
    """
    chosen = strongest(maps)
    if chosen.empty:
        save(sentence(f"No latent of the model changes {folder.name}."), out)
        return
    titles = [f"{short(str(name))}: {100 * value:.1f} %" for name, value in chosen.items()]
    by_latent = [maps[maps["latent"] == name].reset_index(drop=True) for name in chosen.index]
    if maps["first"].isna().all():
        save(_bars(by_latent, titles), out)
        return
    block = blocks.read(folder)
    parcels = read_parquet(folder / "parcels.parquet").query("kept").reset_index(drop=True)
    order, how = functional.ordered(functional.mean_matrix(block, parcels), parcels)
    matrices = [matrix(one, parcels) for one in by_latent]
    places = parcels[list(functional.PLACES)]
    if places.notna().all(axis=None):
        save(_in_brain(matrices, titles, order, how, parcels, places.to_numpy(float)), out)
    else:
        save(_matrices(matrices, titles, order, how, parcels), out)


def strongest(maps: pd.DataFrame) -> pd.Series:
    """The latents that change a block most: mean squared change of its features in SD, a fraction of their variance."""
    size = maps.assign(square=np.square(maps["change_sd"])).groupby("latent")["square"].mean()
    return size[size > 0].sort_values(ascending=False, kind="stable").head(MOST)


def matrix(one: pd.DataFrame, parcels: pd.DataFrame) -> np.ndarray:
    """The symmetric matrix (parcels, parcels) of one latent's changes in SD, 0 on the diagonal."""
    place = {name: k for k, name in enumerate(parcels["parcel"])}
    first, second = (one[name].map(place).to_numpy() for name in ("first", "second"))
    found = np.zeros((len(parcels), len(parcels)))
    found[first, second] = found[second, first] = one["change_sd"]
    return found


def _matrices(
    matrices: list[np.ndarray], titles: list[str], order: np.ndarray, how: str, parcels: pd.DataFrame
) -> Figure:
    """Matrices side by side, with one scale."""
    limit = _limit(matrices)
    figure, axes = plt.subplots(1, len(matrices), figsize=(2.9 * len(matrices) + 0.9, 3.3), layout="constrained",
                                squeeze=False)  # fmt: skip
    for axis, one, title in zip(axes[0], matrices, titles, strict=True):
        shown = axis.imshow(one[np.ix_(order, order)], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axis.set_title(title)
        _ticks(axis, order, how, parcels, axis is axes[0][0])
    figure.colorbar(shown, ax=list(axes[0]), shrink=0.8, label=LABEL)
    figure.supxlabel(f"{len(parcels)} parcels {how}", fontsize=9)
    return figure


def _in_brain(
    matrices: list[np.ndarray], titles: list[str], order: np.ndarray, how: str, parcels: pd.DataFrame,
    places: np.ndarray,
) -> Figure:  # fmt: skip
    """A row per latent: its matrix, and its strongest connections on the glass brain."""
    limit, rows = _limit(matrices), len(matrices)
    figure, axes = plt.subplots(rows + 1, 2, figsize=(10.5, 2.6 * rows + 0.7), width_ratios=[1, 2.4],
                                height_ratios=[1] * rows + [0.05], squeeze=False)  # fmt: skip
    for (left, right), one, title in zip(axes, matrices, titles, strict=False):
        shown = left.imshow(one[np.ix_(order, order)], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        left.set_title(title)
        _ticks(left, order, how, parcels, True)
        values = np.abs(one[np.tril_indices(len(one), -1)])
        threshold = np.sort(values)[-min(EDGES, len(values))]
        plotting.plot_connectome(one, places, edge_threshold=float(threshold), edge_cmap="RdBu_r", edge_vmin=-limit,
                                 edge_vmax=limit, node_size=8, node_color="0.3", edge_kwargs={"linewidth": 1.2},
                                 colorbar=False, axes=right)  # fmt: skip
    figure.colorbar(shown, cax=axes[-1][0], orientation="horizontal", label=LABEL)
    axes[-1][1].set_axis_off()
    axes[-1][1].set_title(f"The {EDGES} strongest connections of each latent")
    return figure


def _limit(matrices: list[np.ndarray]) -> float:
    """End of the colours: the 99.5 % quantile of the absolute changes of all connections."""
    lower = np.tril_indices(len(matrices[0]), -1)
    return float(np.quantile(np.abs([one[lower] for one in matrices]), 0.995)) or 1.0


def _ticks(axis: plt.Axes, order: np.ndarray, how: str, parcels: pd.DataFrame, named: bool) -> None:
    """Networks are divided by lines and named, where the parcels are ordered by them."""
    axis.set(xticks=[], yticks=[])
    if how != "by network":
        return
    names = parcels["network"].fillna("").astype(str).to_numpy()[order]
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    for start in starts[1:]:
        axis.axhline(start - 0.5, color="0.4", linewidth=0.5)
        axis.axvline(start - 0.5, color="0.4", linewidth=0.5)
    if named:
        middles = (starts + np.r_[starts[1:], len(names)] - 1) / 2
        axis.set_yticks(middles, names[starts], fontsize=7)
        axis.tick_params(length=0)


def _bars(by_latent: list[pd.DataFrame], titles: list[str]) -> Figure:
    """A panel per latent: the features that change most, as bars."""
    columns = min(2, len(by_latent))
    rows = -(-len(by_latent) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, 2.9 * rows + 0.3), layout="constrained",
                                sharex=True, squeeze=False)  # fmt: skip
    for axis, one, title in zip(axes.flat, by_latent, titles, strict=False):
        shown = one.loc[one["change_sd"].abs().nlargest(FEATURES).index[::-1]]
        axis.barh(shown["name"], shown["change_sd"], color=np.where(shown["change_sd"] > 0, ORANGE, BLUE), height=0.7)
        axis.axvline(0, color="0.4", linewidth=0.8)
        axis.set_title(title)
        axis.tick_params(axis="y", labelsize=7.5, length=0)
    for axis in axes.flat[len(by_latent) :]:
        axis.set_axis_off()
    figure.supxlabel(LABEL, fontsize=9)
    return figure
