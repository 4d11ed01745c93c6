"""Each score against its top latents: people, fitted spline and its band; the tutorial's figure 3."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.cli import Json, cli
from neurovae.report.pictures import BLUE, GREY, ORANGE, save


def run(
    *,
    cohort: Path,
    latents: Path,
    glm: Path,
    curves: Path,
    scores: Json,
    most: int,
    name: str,
    out: Path,
) -> None:
    """Draw every score of one model against the latents with the smallest p.

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet.
        glm: glm.parquet.
        curves: curves.parquet of the splines.
        scores: the scores of the configuration.
        most: latents per score.
        name: the model, for the title.
        out: PNG to write.
    """
    points = pd.read_parquet(latents).merge(
        pd.read_parquet(cohort).drop(columns=["person", "fold"]), on="scan", validate="one_to_one"
    )
    tests, lines = pd.read_parquet(glm), pd.read_parquet(curves)
    height = 2.4 * max(len(scores), 1)
    figure, axes = plt.subplots(
        max(len(scores), 1), most, figsize=(3.2 * most, height), squeeze=False, constrained_layout=True
    )
    for row, score in enumerate(scores):
        top = tests[(tests["score"] == score["name"]) & (tests["status"] == "ok")].sort_values("p").head(most)
        for axis in axes[row, len(top) :]:
            axis.set_axis_off()
        if top.empty:
            found = tests.loc[tests["score"] == score["name"], ["status", "reason"]].head(1).to_numpy().ravel()
            axes[row, 0].text(0, 0.5, f"{score['name']}: not tested\n" + "\n".join(map(str, found)), fontsize=8)
        for axis, test in zip(axes[row], top.to_dict("records"), strict=False):
            curve = lines[(lines["score"] == score["name"]) & (lines["latent"] == test["latent"])]
            _panel(axis, points, curve, test, score["name"])
    verdict = "" if tests.empty else f" ({tests['verdict'].iloc[0]})"
    figure.suptitle(
        f"{name}{verdict}: scores against the latents with the smallest p, {most} each\n"
        "orange: held out of the model; curve: spline at average confounds with its 95 % band",
        fontsize=10,
    )
    save(figure, out)


def _panel(axis: Axes, points: pd.DataFrame, curve: pd.DataFrame, test: dict[Any, Any], score: str) -> None:
    held = points["split"] == "report"
    jitter = np.random.default_rng(0).normal(0, 0.02, len(points)) * (points[score].nunique() < 6)
    for mask, colour, label in ((~held, GREY, "seen by the model"), (held, ORANGE, "held out")):
        axis.scatter(
            points.loc[mask, test["latent"]],
            (points[score] + jitter)[mask],
            s=9,
            color=colour,
            label=label,
            linewidths=0,
        )
    axis.plot(curve["latent_value"], curve["fitted"], color=BLUE, linewidth=1.6)
    axis.fill_between(curve["latent_value"], curve["low"], curve["high"], color=BLUE, alpha=0.2, linewidth=0)
    axis.set(xlabel=test["latent"].replace("mu_", "latent "), ylabel=score)
    axis.set_title(
        f"p {test['p']:.2g}, q {test['q']:.2g}, partial R² {test['partial_r2']:.2f}, n {test['n']}", fontsize=8
    )


if __name__ == "__main__":
    cli(run)
