"""One participant against the norm: maps of z over the scan, and the z of all regions with its uncertainty."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import norm

from neurovae.io.images import read_image
from neurovae.norm.words import IMAGE, MODEL
from neurovae.report.figures.brains import busiest, located, overlay
from neurovae.report.figures.drawing import BLUE, GREY, save, sentence
from neurovae.report.figures.maps import SIDES

LIMIT, BEYOND = 4.0, 1.96  # z at the ends of the colours; the range that is shaded
TITLES = {MODEL: "scan minus reconstruction", IMAGE: "smoothed scan, no model"}
CENTILES = (2.5, 50.0, 97.5)


@dataclass(frozen=True)
class Person:
    """What is drawn: the row of deviation.parquet, rows of deviation_regions.parquet, the scan and maps (x, y, z)."""

    row: pd.Series
    regions: pd.DataFrame
    scan: np.ndarray
    maps: dict[str, np.ndarray]  # by way
    brain: np.ndarray
    affine: np.ndarray


def absent(people: pd.DataFrame, person: str) -> str:
    """Why a participant has no maps; empty where there are some. people: of deviation.parquet."""
    rows = people[people["person"] == person]
    if rows.empty:
        return f"{person}: no deviation; excluded, without age or sex, or not held out of any model of this run."
    status, reason = rows[["status", "reason"]].iloc[0]
    return "" if status == "ok" else f"{person}: no maps of deviation, {reason}."


def read_map(images: Path, scan: str, way: str) -> np.ndarray:
    """A map of z as written by `norm.deviation`, (x, y, z)."""
    return np.asarray(read_image(images / f"{scan}_{way}_z.nii.gz").dataobj, np.float32)


def draw(person: Person, out: Path) -> None:
    """Draw one participant. out: PNG to write."""
    figure = plt.figure(figsize=(13, 6.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.35, 1])
    for k, (way, title) in enumerate(TITLES.items()):
        axis, z = figure.add_subplot(grid[k, 0]), person.maps[way]
        place = busiest(np.where(person.brain, z, 0), person.brain)
        shown = overlay(axis, person.scan, z, person.brain, place, LIMIT)
        located(axis, person.brain.shape, place, person.affine)
        axis.set_title(f"z of the {title}", fontsize=9, loc="left")
        figure.colorbar(shown, ax=axis, extend="both", shrink=0.8, aspect=15, label="z")
    _regions(figure.add_subplot(grid[:, 1]), person.regions)
    row = person.row
    figure.suptitle(
        f"{row['person']}, {row['age']:.0f} years: deviation from {row['n_reference']} reference participants. "
        "Not a diagnosis.", fontsize=10)  # fmt: skip
    save(figure, out)


def refused(reason: str, out: Path) -> None:
    """Draw the reason in place of the figure."""
    save(sentence(reason), out)


def _regions(axis: Axes, table: pd.DataFrame) -> None:
    """z of each region by both ways, with the 95 % interval of the model's; the largest |z| of the model on top."""
    table = table.assign(label=[f"{SIDES.get(row.hemisphere, '')}{row.region}" for row in table.itertuples()])
    own = table[table["way"] == MODEL].set_index("label")
    own = own.reindex(own["z"].abs().sort_values(ascending=False).index)
    image = table[table["way"] == IMAGE].set_index("label").reindex(own.index)
    at = np.arange(len(own))
    axis.axvspan(-BEYOND, BEYOND, color=GREY, alpha=0.12, linewidth=0)
    low, high = (norm.ppf(own[f"centile_{end}"] / 100).clip(-9, 9) for end in ("low", "high"))
    axis.hlines(at, low, high, color=BLUE, linewidth=1.2)
    axis.scatter(own["z"], at, s=16, color=BLUE, zorder=3, label=TITLES[MODEL])
    axis.scatter(image["z"], at, s=14, facecolors="none", edgecolors=GREY, zorder=3, label=TITLES[IMAGE])
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_yticks(at, own.index, fontsize=6)
    axis.set(
        ylim=(len(own) - 0.4, -0.6), xlabel="z of the mean of a region, 95 % interval; shaded: 2.5 to 97.5 centile"
    )
    reach = max(3.2, float(np.abs([low.min(), high.max(), *image["z"]]).max()) + 0.2)
    axis.set_xlim(-reach, reach)
    top = axis.secondary_xaxis("top")
    top.set_xticks(norm.ppf(np.array(CENTILES) / 100), [f"{one:g}" for one in CENTILES])
    top.set_xlabel("centile", fontsize=8)
    axis.legend(fontsize=7, loc="lower right")
