"""Inputs, reconstructions and residuals of test participants beside the training mean."""

import importlib
import json
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from neurovae.io import latent_table
from neurovae.io.volumes import SPLITS, chunks, read_mask, read_volumes
from neurovae.report.figures.brains import OVERLAY, slices
from neurovae.report.figures.drawing import save
from neurovae.report.results import passed
from neurovae.train import weights

PEOPLE = 5
WIDTH = 170  # characters of a line of the title


def draw(
    *, volumes: Path, rows: Path, mask: Path, model: Path, latents: Path, health: Path, name: str, out: Path
) -> None:
    """Draw test participants: input, reconstruction, mean training image, and residual.

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        model: weights.
        latents: latents.parquet of the model, read where the model does not embed scans itself.
        health: health.json of the model.
        name: the model, for the title.
        out: PNG to write.
    """
    array, table = read_volumes(volumes, rows)
    brain = read_mask(mask)
    tensors, meta = weights.load(model)
    held = table.index[table["person"].isin(meta["people"][SPLITS[2]])][:PEOPLE]
    training = np.flatnonzero(table["person"].isin(meta["people"][SPLITS[0]]))
    mean = sum(array[training[part]].sum(axis=0, dtype=np.float64) for part in chunks(len(training))) / len(training)
    module = importlib.import_module(f"neurovae.train.models.{meta['kind']}")
    x = array[held].astype(np.float32)
    if weights.reads_scans(meta):
        mu = module.embed(x, brain, tensors, meta["architecture"])[0]
    else:
        given = latent_table.read(latents).set_index("scan").loc[table.loc[held, "scan"]]
        mu = given[latent_table.columns(given)].to_numpy()
    x_hat = np.zeros_like(x)
    x_hat[:, brain] = module.reconstruct(mu, brain, tensors, meta["architecture"])
    judged = json.loads(health.read_text())
    lines = {
        "input": x,
        "reconstruction": x_hat,
        "training mean": np.broadcast_to(mean, x.shape),
        "residual": x - x_hat,
    }
    figure = _draw(lines, list(table.loc[held, "scan"]), brain)
    text = f"{name}, test participants. {passed(judged).capitalize()}: {judged['reason']}"
    figure.suptitle(textwrap.fill(text, WIDTH), fontsize=10)
    save(figure, out)


def _draw(lines: dict[str, np.ndarray], titles: list[str], brain: np.ndarray) -> plt.Figure:
    shown = lines["input"][:, brain]
    low, high = np.percentile(shown, [1, 99.5])
    spread = float(np.percentile(np.abs(lines["residual"][:, brain]), 99))
    figure, axes = plt.subplots(
        len(lines), len(titles), figsize=(2.9 * len(titles), 1.3 * len(lines)), squeeze=False, constrained_layout=True
    )
    for row, (label, images) in enumerate(lines.items()):
        limits = (
            dict(cmap=OVERLAY, vmin=-spread, vmax=spread)
            if label == "residual"
            else dict(cmap="gray", vmin=low, vmax=high)
        )
        for column, image in enumerate(images):
            outside = 0.0 if label == "residual" else float(low)
            axes[row, column].imshow(slices(np.where(brain, image, outside), outside=outside), **limits)
            axes[row, column].set(xticks=[], yticks=[], frame_on=False)
            if row == 0:
                axes[row, column].set_title(titles[column], fontsize=8)
        axes[row, 0].set_ylabel(label, fontsize=8)
    return figure
