"""Each score against its top latents: people, the tested spline and its band; the tutorial's figure 3."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.cli import Json
from neurovae.design.design import design, join, score_values
from neurovae.findings import with_maxt
from neurovae.io import latent_table
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save
from neurovae.report.sections.tested import brief, tested

FEW = 6  # distinct values


def draw(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    glm: Path,
    permute: Path,
    curves: Path,
    scores: Json,
    confounds: Json,
    most: int,
    name: str,
    out: Path,
) -> None:
    """Draw every score of one model against the latents with the smallest max-T p, the people as they were tested.

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet.
        qc: qc.parquet.
        glm: glm.parquet.
        permute: permute.parquet.
        curves: curves.parquet of the splines.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        most: latents per score.
        name: the model, for the title.
        out: PNG to write.
    """
    points = join(*(pd.read_parquet(path) for path in (cohort, latents, qc)))
    tests, lines = with_maxt(pd.read_parquet(glm), pd.read_parquet(permute)), pd.read_parquet(curves)
    height = max(len(scores), 1)
    figure, axes = plt.subplots(
        height, most, figsize=(3.2 * most, 2.5 * height + 0.6), squeeze=False, layout="constrained"
    )
    for row, score in enumerate(scores):
        top = tested(tests[tests["score"] == score["name"]]).head(most)
        for axis in axes[row, len(top) :]:
            axis.set_axis_off()
        if top.empty:
            found = tests.loc[tests["score"] == score["name"], ["status", "reason"]].head(1).to_numpy().ravel()
            text = "\n".join([f"{score['name']}: not tested", *map(str, found)])
            axes[row, 0].text(0, 0.5, text, fontsize=8, wrap=True, transform=axes[row, 0].transAxes)
        rows = design(points, score, confounds).rows  # one scan per person
        for axis, test in zip(axes[row], top.to_dict("records"), strict=False):
            curve = lines[(lines["score"] == score["name"]) & (lines["latent"] == test["latent"])]
            _panel(axis, points.iloc[rows], shown(points, score)[rows], curve, test, label(score))
    verdict = "" if tests.empty else f" ({tests['verdict'].iloc[0]})"
    figure.suptitle(f"{name}{verdict}: scores against the latents with the smallest max-T p, {most} each", fontsize=10)
    legends = [axis.get_legend_handles_labels()[0] for axis in axes.flat]
    if handles := next((found for found in legends if found), None):
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    save(figure, out)


def shown(points: pd.DataFrame, score: dict[str, Any]) -> np.ndarray:
    """The score's values on its own scale; a binary one as 0 and 1."""
    low, high = score["bounds"] if score["type"] == "bounded" else (0.0, 1.0)
    return low + (high - low) * score_values(points, score)


def label(score: dict[str, Any]) -> str:
    """Name of a score for an axis."""
    positive = score.get("positive")
    if score["type"] == "binary":
        return f"{score['name']}: {'1' if positive is None else positive}"
    return str(score["name"]) + (" (level)" if score["type"] == "ordinal" else "")


def _panel(
    axis: Axes, points: pd.DataFrame, values: np.ndarray, curve: pd.DataFrame, test: dict[Any, Any], name: str
) -> None:
    held = (points["latents_split"] == "test").to_numpy()
    few = len(np.unique(values)) < FEW  # such values would lie on each other
    drawn = values + np.random.default_rng(0).normal(0, 0.025 * np.ptp(values), len(values)) * few
    for mask, colour, text in ((~held, GREY, "seen by the model"), (held, ORANGE, "held out of the model")):
        axis.scatter(points.loc[mask, test["latent"]], drawn[mask], s=9, color=colour, label=text, linewidths=0)
    axis.fill_between(
        curve["latent_value"],
        curve["low"],
        curve["high"],
        color=BLUE,
        alpha=0.2,
        linewidth=0,
        label="pointwise 95 % band",
    )
    axis.plot(curve["latent_value"], curve["fitted"], color=BLUE, linewidth=1.6, label="fitted at mean confounds")
    axis.set(xlabel=f"latent {latent_table.short(test['latent'])}", ylabel=name)
    shape = (
        "" if curve.empty else f"spline, {curve['df'].iloc[0]} df; nonlinearity: p {curve['p_nonlinear'].iloc[0]:.2g}"
    )
    line = f"line: p {test['p']:.2g}, partial R² {test['partial_r2']:.2f}" if test["status"] == "ok" else test["status"]
    axis.set_title(f"{line}, max-T p {brief(test['p_maxt'])}, n {test['n']}\n{shape or 'no curve'}", fontsize=8)
