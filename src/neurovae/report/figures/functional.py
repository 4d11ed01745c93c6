"""Figure of a functional block: the mean matrix of its participants, and their motion and volumes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from nilearn import plotting
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist

from neurovae.io import blocks
from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, ORANGE, save, sentence
from neurovae.report.results import read_tsv

PLACES = ("x_mm", "y_mm", "z_mm")
STRONGEST = 98  # percent of the connections that are weaker than those on the glass brain


def draw(*, folder: Path, out: Path) -> None:
    """Draw the mean over participants of each connection, and a point per participant: volumes against displacement.

    Args:
        folder: of the block.
        out: PNG to write.
    """
    block, quality = blocks.read(folder), read_tsv(folder / "quality.tsv")
    parcels = read_parquet(folder / "parcels.parquet").query("kept").reset_index(drop=True)
    if not len(block.features):
        save(sentence(f"{folder.name} has no connectivity."), out)
        return
    placed = bool(parcels[list(PLACES)].notna().all(axis=None))
    figure, axes = plt.subplots(1 + placed, 2, figsize=(9.5, 4.2 + 3.2 * placed), width_ratios=[1.25, 1],
                                layout="constrained", squeeze=False)  # fmt: skip
    left, right = axes[0]
    matrix = mean_matrix(block, parcels)
    order, how = ordered(matrix, parcels)
    limit = float(np.nanquantile(np.abs(matrix[np.tril_indices(len(matrix), -1)]), 0.99))
    shown = left.imshow(matrix[np.ix_(order, order)], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    left.set(title=f"Mean of {len(block.rows)} participants, {len(parcels)} parcels {how}", xticks=[], yticks=[])
    figure.colorbar(shown, ax=left, shrink=0.8, label="mean feature (Fisher z where it was taken)")
    _motion(right, quality)
    if placed:
        _edges(figure, axes[1], matrix, parcels)
    save(figure, out)


def mean_matrix(block: blocks.Block, parcels: pd.DataFrame) -> np.ndarray:
    """The symmetric matrix (parcels, parcels) of mean features; the diagonal is missing unless there are variances."""
    place = {name: k for k, name in enumerate(parcels["parcel"])}
    first, second = (block.features[name].map(place).to_numpy() for name in ("first", "second"))
    matrix = np.full((len(parcels), len(parcels)), np.nan)
    matrix[first, second] = matrix[second, first] = np.nanmean(block.values, axis=0)
    return matrix


def ordered(matrix: np.ndarray, parcels: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Order of the parcels: by network where it is known, else by average-linkage clustering of their rows."""
    if parcels["network"].notna().any():
        return np.argsort(parcels["network"].fillna("").astype(str).to_numpy(), kind="stable"), "by network"
    if len(matrix) < 3:
        return np.arange(len(matrix)), "as in the files"
    tree = linkage(pdist(np.nan_to_num(matrix)), "average", optimal_ordering=True)
    return leaves_list(tree), "by clustering"


def _edges(figure: Figure, axes: Sequence[plt.Axes], matrix: np.ndarray, parcels: pd.DataFrame) -> None:
    """The strongest connections on the glass brain, below the matrix."""
    for axis in axes:
        axis.remove()
    axis = figure.add_subplot(2, 1, 2)
    symmetric = np.nan_to_num(matrix - np.diag(np.diag(matrix)))
    plotting.plot_connectome(symmetric, parcels[list(PLACES)].to_numpy(float), edge_threshold=f"{STRONGEST}%",
                             edge_cmap="RdBu_r", node_size=12, node_color="0.3", axes=axis, colorbar=True)  # fmt: skip
    words = f"Strongest connections (upper {100 - STRONGEST} % of absolute values)"
    figure.text(0.4, 0.0, words, ha="center", va="bottom")


def _motion(axis: plt.Axes, quality: pd.DataFrame) -> None:
    """Volumes against displacement, or volumes alone where it is not known."""
    known = quality[quality["status"] != "no file"]
    groups = (("used", known["status"] == "ok", BLUE), ("excluded", known["status"] != "ok", ORANGE))
    for label, rows, colour in groups:
        part = known[rows]
        if not len(part):
            continue
        if known["mean_fd"].notna().any():
            axis.plot(part["mean_fd"], part["volumes"], ".", color=colour, label=f"{label} ({len(part)})")
            axis.set(xlabel="mean framewise displacement (mm)", ylabel="volumes used")
        else:
            axis.hist(part["volumes"].astype(float), bins=20, color=colour, label=f"{label} ({len(part)})")
            axis.set(xlabel="volumes used", ylabel="participants")
    axis.legend()
    axis.set_title("Participants")
