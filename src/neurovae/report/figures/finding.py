"""The two figures of a finding on the first screen: score against latent, and the score's map in the brain."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neurovae.interpret.images import in_file
from neurovae.io.images import read_image
from neurovae.io.volumes import read_mask
from neurovae.report.figures import brains, scores
from neurovae.report.results import LEVEL

HIGHEST = 99.5  # percentile of |value| over the mask at which the colours end


def association(points: pd.DataFrame, score: dict[str, Any], lines: pd.DataFrame, latent: str) -> Figure:
    """A score against one latent with the tested spline; points: as `scores.participants` gives them."""
    figure, axis = plt.subplots(figsize=(3.9, 2.2), layout="constrained")
    scores.panel(axis, points, latent, scores.curve(lines, score["name"], latent), scores.label(score))
    return figure


def score_map(maps: Path, mask: Path, score: str, row: dict[Any, Any]) -> Figure:
    """Three slices of a score's map through its peak, the voxels with max-T p < .05 outlined.

    Args:
        maps: folder of the score maps of a model.
        mask: the fixed mask.
        score: name of the score.
        row: its row of maps.parquet.
    """
    brain, affine = read_mask(mask), read_image(mask).affine
    found = read_map(maps, score)
    place = brains.voxel(affine, [row[f"peak_{axis}"] for axis in "xyz"])
    limit = float(np.percentile(np.abs(found["map"][brain]), HIGHEST)) or 1.0
    figure, axis = plt.subplots(figsize=(3.9, 1.7), layout="constrained")
    image = brains.overlay(axis, found["mean"], found["map"], brain, place, limit)
    brains.outline(axis, (found["p"] < LEVEL) & brain, place)
    brains.located(axis, brain.shape, place, affine)
    bar = figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.6, aspect=35, pad=0.07, extend="both")
    bar.ax.tick_params(labelsize=6)
    return figure


def read_map(maps: Path, score: str) -> dict[str, np.ndarray]:
    """A score's map, its p per voxel, and the mean of the volumes decoded at its low and high end."""
    paths = {end: maps / f"{in_file(score)}_{end}.nii.gz" for end in ("map", "p", "from", "to")}
    found = {end: np.asarray(read_image(path).dataobj, np.float32) for end, path in paths.items()}
    return {"map": found["map"], "p": found["p"], "mean": (found["from"] + found["to"]) / 2}
