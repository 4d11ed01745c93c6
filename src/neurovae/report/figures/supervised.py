"""Supervised latents in left-out participants: score against latent given confounds, and the latent's pattern."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.report.figures import brains
from neurovae.report.figures.drawing import PALETTE, save
from neurovae.report.results import Row
from neurovae.report.text import p_value, two_digits

HIGHEST = 99.5  # percentile of |value| over the mask at which the colours end
UNIT = "change of intensity per SD of the latent"


def draw(*, folder: Path, mask: Path, background: np.ndarray, name: str, out: Path) -> None:
    """Draw a row per score: left-out participants by fold, mean pattern of the folds, and its SD over folds.

    Args:
        folder: results of the stage supervised of one model and seed.
        mask: the fixed mask.
        background: mean image (x, y, z).
        name: of the model.
        out: PNG to write.
    """
    tests = read_parquet(folder / "tests.parquet").to_dict("records")
    points = read_parquet(folder / "predictions.parquet")
    brain, affine = read_mask(mask), read_image(mask).affine
    maps = [np.asarray(read_image(folder / f"pattern_{one}.nii.gz").dataobj, np.float32) for one in ("mean", "sd")]
    figure, axes = plt.subplots(len(tests), 3, figsize=(11, 2.9 * len(tests)), squeeze=False, layout="constrained",
                                width_ratios=[1, 1.6, 1.6])  # fmt: skip
    for k, row in enumerate(tests):
        scatter(axes[k, 0], points[points["score"] == row["score"]], row)
        mean, sd = (found[..., k] for found in maps)
        place = brains.busiest(mean, brain)
        for axis, values, title in ((axes[k, 1], mean, "mean of the folds"), (axes[k, 2], sd, "SD over folds")):
            limit = float(np.percentile(np.abs(mean[brain]), HIGHEST)) or 1.0
            image = brains.overlay(axis, background, values, brain, place, limit)
            brains.located(axis, brain.shape, place, affine)
            axis.set_title(f"pattern of {row['score']}, {title}")
            bar = figure.colorbar(
                image, ax=axis, orientation="horizontal", shrink=0.6, aspect=35, pad=0.09, extend="both"
            )
            bar.set_label(UNIT, fontsize=7)
            bar.ax.tick_params(labelsize=6)
    figure.suptitle(f"{name}: supervised, cross-fitted; left-out participants alone", fontsize=10)
    save(figure, out)


def scatter(axis: Axes, points: pd.DataFrame, row: Row) -> None:
    """Score against latent, both given confounds and fold, a colour per fold."""
    for k, (fold, part) in enumerate(points.groupby("fold")):
        axis.scatter(part["residual_value"], part["residual"], s=9, color=PALETTE[k % len(PALETTE)], label=f"{fold}")
    axis.axhline(0, color="0.8", lw=0.6, zorder=0)
    axis.set(xlabel=f"latent of {row['score']}, given confounds", ylabel=f"{row['score']}, given confounds")
    p = "" if pd.isna(row["p_permutation"]) else f", permutation p {p_value(row['p_permutation'])}"
    of_twin = row.get("twin_partial_r")
    twin = "" if of_twin is None or pd.isna(of_twin) else f"\n(linear twin {two_digits(of_twin)})"
    axis.set_title(f"partial r {two_digits(row['partial_r'])}{p}, n = {row['n']}{twin}", fontsize=9)
    axis.legend(title="test fold", fontsize=6, title_fontsize=6, markerscale=0.8, handletextpad=0.1)
