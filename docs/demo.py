"""Draw docs/demo.png from a finished demo: `.venv/bin/python docs/demo.py` in the repository root."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import SubFigure

from neurovae.io.volumes import masked, read_mask, read_volumes
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE
from neurovae.train import weights
from neurovae.train.models import vae

RUN = Path("results/demo")
FIT = "vae/fold-0_seed-0"
PARTICIPANTS, SCORE, LATENTS = 4, "motor", 3


def brains(figure: SubFigure) -> None:
    """Test participants: input and reconstruction, and how each differs from the mean of the training set."""
    array, table = read_volumes(RUN / "preprocess/volumes.npy", RUN / "preprocess/volumes.parquet")
    mask = read_mask(RUN / "preprocess/mask.nii.gz")
    tensors, meta = weights.load(RUN / "train" / FIT / "weights.safetensors")
    held = table.index[table["person"].isin(meta["people"]["test"])][:PARTICIPANTS]
    mu, _ = vae.embed(array[held], mask, tensors, meta["architecture"])
    training = np.flatnonzero(table["person"].isin(meta["people"]["training"]))
    mean = masked(array[training], mask).mean(axis=0)
    x, x_hat = masked(array[held], mask), vae.reconstruct(mu, mask, tensors, meta["architecture"])
    lines = {"input": x, "reconstruction": x_hat, "input\n− mean": x - mean, "reconstruction\n− mean": x_hat - mean}
    low, high = np.percentile(x, [0.5, 99.7])
    far = float(np.percentile(np.abs(x_hat - mean), 99.5))
    axes = figure.subplots(len(lines), len(held), gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for row, (label, voxels) in enumerate(lines.items()):
        for column, values in enumerate(voxels):
            volume = np.full(mask.shape, np.nan, np.float32)
            volume[mask] = values
            scale = (
                {"cmap": "RdBu_r", "vmin": -far, "vmax": far}
                if row > 1
                else {"cmap": "gray", "vmin": low, "vmax": high}
            )
            axes[row, column].imshow(side_by_side(volume), **scale)
            axes[row, column].set(xticks=[], yticks=[], frame_on=False)
        axes[row, 0].set_ylabel(label)
    axes[0, 0].text(0.02, 0.98, "L", transform=axes[0, 0].transAxes, va="top", fontsize=8)
    for column, scan in enumerate(table.loc[held, "scan"]):
        axes[0, column].set_title(scan, fontsize=8)


def side_by_side(volume: np.ndarray) -> np.ndarray:
    """Axial and coronal slice through the ventricles, each cut to the brain's box; left is left."""
    brain = np.argwhere(np.isfinite(volume))
    (x0, y0, z0), (x1, y1, z1) = brain.min(axis=0), brain.max(axis=0) + 1
    box = volume[x0:x1, y0:y1, z0:z1]
    views = [box[:, :, round(0.52 * box.shape[2])].T[::-1], box[:, round(0.53 * box.shape[1])].T[::-1]]
    height = max(len(view) for view in views)
    gaps = [height - len(view) for view in views]
    padded = [
        np.pad(view, ((gap // 2, gap - gap // 2), (1, 1)), constant_values=np.nan)
        for view, gap in zip(views, gaps, strict=True)
    ]
    return np.concatenate(padded, axis=1)


def curves(figure: SubFigure) -> None:
    """The score against the latents with the smallest max-T p: participants, fitted spline, 95 % confidence band."""
    tests = pd.read_csv(RUN / "findings/associations.tsv", sep="\t").query("score == @SCORE and model == 'vae'")
    lines = pd.read_parquet(RUN / "associate" / FIT / "curves.parquet").query("score == @SCORE")
    scores = pd.read_parquet(RUN / "cohort/cohort.parquet")[["scan", SCORE]]
    points = pd.read_parquet(RUN / "latents" / FIT / "latents.parquet").merge(scores, on="scan")
    axes = figure.subplots(1, LATENTS, sharey=True, gridspec_kw={"wspace": 0.06})
    for axis, test in zip(axes, tests.sort_values("p_maxt").head(LATENTS).itertuples(), strict=True):
        for held, colour, label in ((False, GREY, "training or validation set"), (True, ORANGE, "test set")):
            part = points[(points["split"] == "test") == held]
            axis.scatter(part[test.latent], part[SCORE], s=10, color=colour, label=label, linewidths=0)
        curve = lines[lines["latent"] == test.latent]
        axis.plot(curve["latent_value"], curve["fitted"], color=BLUE, linewidth=1.6)
        axis.fill_between(curve["latent_value"], curve["low"], curve["high"], color=BLUE, alpha=0.18, linewidth=0)
        axis.set(xlabel=f"{test.latent} (posterior mean)", xlim=(-2.7, 2.7))
        axis.set_title(f"max-T p = {test.p_maxt:.2g}, partial R² = {test.partial_r2:.2f}", fontsize=8)
    axes[0].set_ylabel(f"simulated {SCORE} score")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=8, handletextpad=0.1)


def main() -> None:
    """Draw both panels."""
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    figure = plt.figure(figsize=(7.2, 7.0), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[4.5, 2.4], hspace=0.03)
    brains(top)
    curves(bottom)
    for part, letter, text in (
        (
            top,
            "a",
            "Participants of the test set, 4 mm grid; red: brighter than the mean of the training set",
        ),
        (bottom, "b", "The three latents with the smallest max-T p"),
    ):
        part.suptitle(f"    {text}", x=0.01, ha="left", fontsize=9)
        part.text(0.01, 0.995, letter, fontsize=9, fontweight="bold", va="top")
    figure.savefig("docs/demo.png", dpi=200, facecolor="white")


if __name__ == "__main__":
    main()
