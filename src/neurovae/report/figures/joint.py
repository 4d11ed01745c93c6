"""A joint model in left-out participants: predicted scores, scores against shared latents, and decoded changes."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io import latent_table
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.report.figures import brains
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, PALETTE, save
from neurovae.report.text import two_digits

HIGHEST = 99.5  # percentile of |value| over the mask at which the colours end
UNUSED = 0.05  # SD of a posterior mean, of a prior of SD 1, below which a latent says nothing
GIVEN = {"image": "joint, from the image", "clinical": "joint, from other scores",
         "clinical+image": "joint, from image and other scores"}  # fmt: skip
LOWEST = -0.6  # end of the axis of R2
MAX_SCORES = 12  # in a figure: those predicted best
SUPERVISED = "supervised, cross-fitted; left-out participants alone"


def predicted(folder: Path, name: str, out: Path) -> None:
    """Draw a row per score: observed against predicted from the image alone, and R2 of each method with its interval.

    Args:
        folder: results of the stage supervised of one model and seed.
        name: of the model.
        out: PNG to write.
    """
    rows, people = read_parquet(folder / "scores.parquet"), read_parquet(folder / "left_out.parquet")
    shown = best(rows)
    figure, axes = plt.subplots(len(shown), 2, figsize=(9, 2.6 * len(shown)), squeeze=False, layout="constrained",
                                width_ratios=[1, 1.5])  # fmt: skip
    for (left, right), score in zip(axes, shown, strict=True):
        own = people[(people["score"] == score) & (people["method"] == "joint") & (people["inputs"] == "image")]
        _scatter(left, own, score)
        if score == shown[0]:
            left.legend(title="test fold", fontsize=6, title_fontsize=6, markerscale=0.8, handletextpad=0.1)
        _methods(right, rows[rows["score"] == score])
    figure.suptitle(f"{name}: scores from the image ({SUPERVISED})", fontsize=10)
    save(figure, out)


def best(rows: pd.DataFrame) -> list[str]:
    """Scores in their order; of many, those that are predicted best from the image."""
    own = rows[(rows["method"] == "joint") & (rows["inputs"] == "image")]
    chosen = set(own.sort_values("r2", ascending=False)["score"].head(MAX_SCORES))
    return [score for score in own["score"] if score in chosen]


def _scatter(axis: Axes, own: pd.DataFrame, score: str) -> None:
    discrete = own["truth"].nunique() < 12
    shift = np.random.default_rng(0).uniform(-0.15, 0.15, len(own)) if discrete else 0.0
    for k, (fold, part) in enumerate(own.groupby("fold")):
        y = part["truth"] + (pd.Series(shift, own.index)[part.index] if discrete else 0.0)
        axis.scatter(part["prediction"], y, s=9, color=PALETTE[k % len(PALETTE)], label=f"{fold}")
    ends = [own["prediction"].min(), own["prediction"].max()]
    axis.plot(ends, ends, color="0.7", lw=0.8, zorder=0)
    axis.set(xlabel=f"{score}, predicted from the image", ylabel=f"{score}, observed")
    axis.set_title(f"n = {len(own)}", fontsize=9)


def _methods(axis: Axes, rows: pd.DataFrame) -> None:
    names = [GIVEN[row.inputs] if row.method == "joint" else row.method for row in rows.itertuples()]
    places = np.arange(len(rows))[::-1]
    colours = [
        (BLUE if row.inputs == "image" else ORANGE) if row.method == "joint" else GREY for row in rows.itertuples()
    ]
    lowest = max(min(float(rows["r2_low"].min()), -0.05), LOWEST)
    for at, row, colour in zip(places, rows.itertuples(), colours, strict=True):
        axis.plot([row.r2_low, row.r2_high], [at, at], color=colour, lw=1.2)
        axis.plot(row.r2, at, "o", color=colour, ms=4)
        label = two_digits(row.r2) if row.r2 >= lowest else f"{two_digits(row.r2)} (off the axis)"
        shift, side = ((0, 4), "center") if row.r2 >= lowest else ((3, 4), "left")
        axis.annotate(label, (max(row.r2, lowest), at), textcoords="offset points", xytext=shift, ha=side, fontsize=6)
    axis.axvline(0, color="0.8", lw=0.7, zorder=0)
    axis.set(yticks=places, yticklabels=names, xlabel="R² in left-out participants, 95 % interval", xlim=(lowest, 1))
    axis.tick_params(axis="y", labelsize=7)


def shared(folder: Path, latents: Path, name: str, out: Path) -> None:
    """Draw scores (rows) against shared latents from the image alone (columns), in the test people of one fold.

    Args:
        folder: results of the stage supervised of one model and seed.
        latents: latents.parquet of the fold that is shown.
        name: of the model.
        out: PNG to write.
    """
    rows, people, table = (read_parquet(path) for path in
                           (folder / "scores.parquet", folder / "left_out.parquet", latents))  # fmt: skip
    table = table[table["split"] == "test"]
    index = read_parquet(latents.with_name(latent_table.INDEX))
    every = index.loc[index["role"] == "shared", "latent"].tolist()
    fold, names = int(table["fold"].iloc[0]), [one for one in every if table[one].std() > UNUSED] or every[:1]
    shown = best(rows)
    size = (max(1.9 * len(names), 4.5), 1.7 * len(shown))
    figure, axes = plt.subplots(len(shown), len(names), figsize=size, squeeze=False, layout="constrained",
                                sharex="col", sharey="row")  # fmt: skip
    for line, score in zip(axes, shown, strict=True):
        own = people[(people["score"] == score) & (people["method"] == "joint") & (people["inputs"] == "image")]
        both = own[own["fold"] == fold].merge(table[["scan", *names]], on="scan")
        for axis, latent in zip(line, names, strict=True):
            axis.scatter(both[latent], both["truth"], s=8, color=BLUE, alpha=0.7, lw=0)
            r = np.corrcoef(both[latent], both["truth"])[0, 1] if both[latent].std() and both["truth"].std() else np.nan
            axis.set_title("no variation" if np.isnan(r) else f"r = {two_digits(r)}", fontsize=7)
            axis.tick_params(labelsize=6)
        line[0].set_ylabel(score, fontsize=8)
    for axis, latent in zip(axes[-1], names, strict=True):
        axis.set_xlabel(latent_table.short(latent), fontsize=8)
    figure.suptitle(
        f"{name}, fold {fold}: scores of its {len(table)} test scans and their shared latents\n"
        f"from the image alone; {len(names)} of {len(every)} are used (supervised, cross-fitted)",
        fontsize=9,
    )
    save(figure, out)


def change(folder: Path, mask: Path, background: np.ndarray, name: str, out: Path) -> None:
    """Draw a row per score: the decoded change per unit, mean of the folds, and where its interval over folds is off 0.

    Args:
        folder: results of the stage supervised of one model and seed.
        mask: the fixed mask.
        background: mean image (x, y, z).
        name: of the model.
        out: PNG to write.
    """
    rows, brain, affine = read_parquet(folder / "scores.parquet"), read_mask(mask), read_image(mask).affine
    volumes = rows.drop_duplicates("score").set_index("score")["volume"]
    shown = best(rows)
    maps = {one: np.asarray(read_image(folder / f"change_{one}.nii.gz").dataobj, np.float32)
            for one in ("mean", "low", "high")}  # fmt: skip
    figure, axes = plt.subplots(len(shown), 2, figsize=(10, 2.9 * len(shown)), squeeze=False, layout="constrained")
    for line, score in zip(axes, shown, strict=True):
        mean, low, high = (found[..., volumes[score]] for found in maps.values())
        agreed = np.where((low > 0) | (high < 0), mean, 0)
        place = brains.busiest(mean, brain)
        limit = float(np.percentile(np.abs(mean[brain]), HIGHEST)) or 1.0
        titles = (f"{score}: change per unit, mean of the folds", "where the interval over folds excludes 0")
        for axis, values, title in zip(line, (mean, agreed), titles, strict=True):
            image = brains.overlay(axis, background, values, brain, place, limit)
            brains.located(axis, brain.shape, place, affine)
            axis.set_title(title, fontsize=9)
            bar = figure.colorbar(
                image, ax=axis, orientation="horizontal", shrink=0.6, aspect=35, pad=0.09, extend="both"
            )
            bar.set_label(f"change of intensity per unit of {score}", fontsize=7)
            bar.ax.tick_params(labelsize=6)
    figure.suptitle(f"{name}: images decoded from scores (supervised, cross-fitted)", fontsize=10)
    save(figure, out)
