"""The mean change in a year: decoded map over the mean brain, and the regions that change most."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.report.figures.brains import busiest, located, outline, overlay
from neurovae.report.figures.drawing import BLUE, GREY, save, sentence
from neurovae.report.figures.finding import HIGHEST
from neurovae.report.figures.maps import SIDES
from neurovae.report.results import titled

MOST = 8  # regions


def draw(*, images: Path, regions: Path, mask: Path, name: str, out: Path) -> None:
    """Draw the map of one model.

    Args:
        images: folder with change, low, high and first.
        regions: regions.parquet.
        mask: the fixed mask.
        name: the model, for the title.
        out: PNG to write.
    """
    parts = read_parquet(regions)
    if parts["status"].iloc[0] != "ok":
        save(sentence(f"{name}: no map of yearly change, {parts['status'].iloc[0]}, {parts['reason'].iloc[0]}"), out)
        return
    brain, affine = read_mask(mask), read_image(mask).affine
    found = {
        what: np.asarray(read_image(images / f"{what}.nii.gz").dataobj, np.float32)
        for what in ("change", "low", "high", "first")
    }
    figure, axes = plt.subplots(1, 2, figsize=(14, 3.4), layout="constrained", width_ratios=[1.5, 1])
    place, limit = busiest(found["change"], brain), float(np.percentile(np.abs(found["change"][brain]), HIGHEST))
    shown = overlay(axes[0], found["first"], found["change"], brain, place, limit or 1.0)
    outline(axes[0], ((found["low"] > 0) | (found["high"] < 0)) & brain, place)
    located(axes[0], brain.shape, place, affine)
    figure.colorbar(shown, ax=axes[0], orientation="horizontal", extend="both", shrink=0.6, aspect=40,
                    label="change of normalised intensity in a year; outlines: 95 % interval without 0, uncorrected",
                    )  # fmt: skip
    _bars(axes[1], parts)
    row = parts.iloc[0]
    figure.suptitle(f"{titled(name, row['verdict'])}: mean change in a year within people, {row['n']} people, "
                    f"{row['resamples']} resamples", fontsize=10)  # fmt: skip
    save(figure, out)


def _bars(axis: Axes, parts: pd.DataFrame) -> None:
    top = parts.reindex(parts["change"].abs().sort_values(ascending=False).index).head(MOST)
    at, low, high = np.arange(len(top)), top["low"].to_numpy(float), top["high"].to_numpy(float)
    axis.barh(at, top["change"], height=0.6, color=np.where((low > 0) | (high < 0), BLUE, GREY), alpha=0.55)
    axis.hlines(at, low, high, color="black", linewidth=1)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_yticks(at, [f"{SIDES.get(row.hemisphere, '')}{row.region}" for row in top.itertuples()], fontsize=7)
    axis.set_ylim(len(top) - 0.4, -0.6)
    axis.set_xlabel("normalised intensity per year")
    axis.set_title("mean change of the regions that change most, 95 % CI", fontsize=8, loc="left")
