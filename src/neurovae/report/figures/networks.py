"""Figure of functional networks: slices and glass brain, places of parcels, or a matrix where no place is known."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from nilearn import plotting
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist

from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import save

METHOD = "dual"
MOST = 10  # networks that are drawn
TITLE: dict[str, Any] = {"size": 9, "color": "black", "bgcolor": "white", "alpha": 0.8}
TOP = 0.995  # quantile of |map| at which the colours end


def draw(*, folder: Path, out: Path) -> None:
    """Draw the group's maps of the first networks (`MOST`).

    Args:
        folder: with network_maps.parquet and the folder networks, as the rule `networks` writes them.
        out: PNG to write.
    """
    table, image = read_parquet(folder / "network_maps.parquet"), folder / "networks" / f"group_{METHOD}.nii.gz"
    if image.exists():
        save(_brains(nib.load(image)), out)
    elif table[["x_mm", "y_mm", "z_mm"]].notna().all(axis=None):
        save(_places(table), out)
    else:
        save(_matrix(table), out)


def _brains(image: Any) -> Figure:
    """A row per network: three slices through its peak, and the glass brain."""
    data = np.asarray(image.dataobj)
    shown = min(MOST, data.shape[-1])
    figure, axes = plt.subplots(shown, 2, figsize=(11, 2.1 * shown), width_ratios=[1, 1.1], squeeze=False)
    for k, (left, right) in enumerate(axes):
        one = nib.Nifti1Image(data[..., k], image.affine)
        limit = float(np.quantile(np.abs(data[..., k][data[..., k] != 0]), TOP))
        cuts = plotting.find_xyz_cut_coords(one)
        shown_map = plotting.plot_stat_map(one, axes=left, cut_coords=cuts, vmax=limit, vmin=-limit, cmap="RdBu_r",
                                           threshold=limit / 4)  # fmt: skip
        shown_map.title(f"network {k:02d}", **TITLE)
        plotting.plot_glass_brain(one, axes=right, plot_abs=False, vmin=-limit, vmax=limit, cmap="RdBu_r",
                                  threshold=limit / 2)  # fmt: skip
    return figure


def _places(table: pd.DataFrame) -> Figure:
    """A glass brain per network, with a marker per parcel."""
    networks = sorted(table["network"].unique())[:MOST]
    figure, axes = plt.subplots(len(networks), 1, figsize=(7, 2.1 * len(networks)), squeeze=False)
    for k, axis in zip(networks, axes[:, 0], strict=True):
        one = table[table["network"] == k]
        limit = float(np.quantile(np.abs(one[METHOD]), TOP))
        places = one[["x_mm", "y_mm", "z_mm"]].to_numpy()
        markers = plotting.plot_markers(one[METHOD].to_numpy(), places, axes=axis, node_size=20,
                                        node_cmap="RdBu_r", node_vmin=-limit, node_vmax=limit)  # fmt: skip
        markers.title(f"network {k:02d}", **TITLE)
    return figure


def _matrix(table: pd.DataFrame) -> Figure:
    """Networks x parcels, both ordered by clustering, since no place is known."""
    matrix = table.pivot(index="network", columns="parcel", values=METHOD)
    values = matrix.to_numpy()
    columns = leaves_list(linkage(pdist(values.T), "average", optimal_ordering=True))
    limit = float(np.quantile(np.abs(values), TOP))
    figure, axis = plt.subplots(figsize=(9.5, 0.28 * len(values) + 2.4), layout="constrained")
    shown = axis.imshow(values[:, columns], aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit,
                        interpolation="nearest")  # fmt: skip
    axis.set_yticks(range(len(values)), [f"{k:02d}" for k in matrix.index])
    axis.set(xlabel=f"{values.shape[1]} parcels, by clustering", ylabel="network", xticks=[])
    figure.colorbar(shown, ax=axis, label="regression coefficient (standardised)")
    return figure
