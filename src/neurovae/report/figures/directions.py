"""Activation pattern of each score over the latents of one model, with bootstrap intervals."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, GREY, save
from neurovae.report.results import LEVEL, titled
from neurovae.report.text import p_value

ACROSS = 2  # panels in a row
MAX_TICKS = 32  # latents that are named below a panel


def draw(*, omnibus: Path, directions: Path, name: str, out: Path) -> None:
    """Draw a panel per score.

    Args:
        omnibus: omnibus.parquet of one model.
        directions: directions.parquet of the same model.
        name: the model, for the title.
        out: PNG to write.
    """
    tests, by_latent = read_parquet(omnibus).reset_index(drop=True), read_parquet(directions)
    lines = -(-len(tests) // ACROSS)
    figure, axes = plt.subplots(lines, ACROSS, figsize=(12, 2.5 * lines + 0.8), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, test in zip(axes.flat, tests.to_dict("records"), strict=False):
        if test["status"] == "ok":
            axis.set_axis_on()
            rows = by_latent[(by_latent["score"] == test["score"]) & (by_latent["status"] == "ok")]
            _panel(axis, test, rows.reset_index(drop=True))
        else:
            what = name if pd.isna(test["score"]) else test["score"]
            axis.text(0, 0.5, f"{what}: {test['status']}, {test['reason']}", fontsize=8, wrap=True)
    called = name if tests.empty else titled(name, tests["verdict"].iloc[0])
    figure.suptitle(
        f"{called}: activation pattern of each score over the latents, adjusted for confounds (Haufe 2014)\n"
        "SD of the latent per SD of the predicted score (the weighted sum of latents), 95 % bootstrap CI "
        f"(participants resampled); blue: CI excludes 0\nall grey where the joint test of all latents has "
        f"p of {LEVEL:g} or above",
        fontsize=9,
    )
    save(figure, out)


def _panel(axis: Axes, test: dict[Any, Any], rows: pd.DataFrame) -> None:
    place = np.arange(len(rows))
    pattern, low, high = (rows[column].to_numpy() for column in ("pattern", "pattern_low", "pattern_high"))
    sure = ((low > 0) | (high < 0)) & (test["p"] < LEVEL)
    axis.axhline(0, color=GREY, linewidth=0.6)
    for mask, colour in ((~sure, GREY), (sure, BLUE)):
        axis.vlines(place[mask], low[mask], high[mask], color=colour, linewidth=1.2, alpha=0.6)
        axis.plot(place[mask], pattern[mask], "o", color=colour, markersize=3.5)
    step = -(-len(rows) // MAX_TICKS)
    axis.set_xticks(place[::step], rows["latent"].iloc[::step], fontsize=6, rotation=90)
    axis.set(ylim=(-1.12, 1.12), ylabel="pattern")
    axis.margins(x=0.02)
    first = rows.iloc[0]
    axis.set_title(
        f"{test['score']}: n = {test['n']}, joint test p {p_value(test['p'])}, q {p_value(test['q'])}\n"
        f"cross-validated partial R² = {test['partial_r2_cv']:.2f}, r (predicted vs observed) = {first['r']:.2f} "
        f"(p {p_value(first['p_r'])})\nagreement of predicted scores (cosine): bootstrap vs full sample "
        f"{first['stability']:.2f}, split halves {first['halves']:.2f}",
        fontsize=7.5,
        loc="left",
    )
