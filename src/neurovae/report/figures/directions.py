"""Each score's direction in the latent space of one model: the pattern per latent with its bootstrap interval."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.report.figures.drawing import BLUE, GREY, save

LEVEL = 0.05  # omnibus p above it: drawn in grey, there is no direction to speak of
NAMED = 5  # latents named in a panel


def draw(*, omnibus: Path, directions: Path, name: str, out: Path) -> None:
    """Draw a panel per score.

    Args:
        omnibus: omnibus.parquet of one model.
        directions: directions.parquet of the same model.
        name: the model, for the title.
        out: PNG to write.
    """
    tests, by_latent = pd.read_parquet(omnibus), pd.read_parquet(directions)
    tests = tests.reset_index(drop=True)
    figure, axes = plt.subplots(
        len(tests), 1, figsize=(9.5, 2.1 * len(tests) + 0.9), squeeze=False, constrained_layout=True
    )
    for axis, test in zip(axes[:, 0], tests.to_dict("records"), strict=True):
        if test["status"] == "ok":
            rows = by_latent[(by_latent["score"] == test["score"]) & (by_latent["status"] == "ok")]
            _panel(axis, test, rows)
        else:
            axis.set_axis_off()
            what = name if pd.isna(test["score"]) else test["score"]
            axis.text(0, 0.5, f"{what}: {test['status']}, {test['reason']}", fontsize=8, wrap=True)
    verdict = "" if tests.empty else f" ({tests['verdict'].iloc[0]})"
    figure.suptitle(
        f"{name}{verdict}: what goes with each score in latent space, beside the confounds\n"
        "pattern: SD of the latent per SD of the score's direction; bars: 95 % bootstrap interval over people, model"
        f" fixed\nblue: interval without 0; all grey where the omnibus p is above {LEVEL:g}",
        fontsize=9,
    )
    save(figure, out)


def _panel(axis: Axes, test: dict[Any, Any], rows: pd.DataFrame) -> None:
    place = np.arange(len(rows))  # rows come in the order of the latents
    pattern, low, high = (rows[column].to_numpy() for column in ("pattern", "pattern_low", "pattern_high"))
    sure = ((low > 0) | (high < 0)) & (test["p"] <= LEVEL)
    axis.axhline(0, color=GREY, linewidth=0.6)
    for mask, colour in ((~sure, GREY), (sure, BLUE)):
        axis.vlines(place[mask], low[mask], high[mask], color=colour, linewidth=1.2, alpha=0.6)
        axis.plot(place[mask], pattern[mask], "o", color=colour, markersize=3.5)
    for k in np.argsort(-np.abs(pattern))[:NAMED]:
        if sure[k]:
            up = pattern[k] > 0
            axis.annotate(str(place[k]), (place[k], high[k] if up else low[k]), (0, 2 if up else -2),
                          textcoords="offset points", ha="center", va="bottom" if up else "top",
                          fontsize=7)  # fmt: skip
    axis.set(ylim=(-1.12, 1.12), xlabel="latent", ylabel="pattern")
    axis.margins(x=0.02)
    first = rows.iloc[0]
    axis.set_title(
        f"{test['score']}: omnibus p {test['p']:.2g}, q {test['q']:.2g}, n {test['n']}; cross-fitted"
        f" partial R² {test['partial_r2_cv']:.2f}, r {first['r']:.2f} (p {first['p_r']:.2g});"
        f" cosine of bootstraps {first['stability']:.2f}, of halves {first['halves']:.2f}",
        fontsize=8,
        loc="left",
    )
