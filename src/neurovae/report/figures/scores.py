"""Each score against the latents with the smallest max-T p: participants, and the tested spline with its band."""

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
from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save
from neurovae.report.results import tested, titled
from neurovae.report.text import p_value

MAX_LEVELS = 6  # a score with fewer distinct values is spread a little, since its points would hide each other


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
    """Draw every score of one model against the latents with the smallest max-T p, on the participants tested.

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
    points = join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc))
    tests, lines = with_maxt(read_parquet(glm), read_parquet(permute)), read_parquet(curves)
    height = max(len(scores), 1)
    figure, axes = plt.subplots(
        height, most, figsize=(3.2 * most, 2.5 * height + 0.6), squeeze=False, layout="constrained"
    )
    for row, score in zip(axes, scores, strict=False):
        _row(row, points, tests[tests["score"] == score["name"]], lines, score, confounds)
    called = name if tests.empty else titled(name, tests["verdict"].iloc[0])
    figure.suptitle(f"{called}: each score against the {most} latents with the smallest max-T p", fontsize=10)
    legends = [axis.get_legend_handles_labels()[0] for axis in axes.flat]
    if handles := next((found for found in legends if found), None):
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    save(figure, out)


def _row(
    axes: np.ndarray,
    points: pd.DataFrame,
    tests: pd.DataFrame,
    lines: pd.DataFrame,
    score: dict[str, Any],
    confounds: list[dict[str, Any]],
) -> None:
    top = tested(tests).head(len(axes))
    for axis in axes[len(top) :]:
        axis.set_axis_off()
    if top.empty:
        said = tests[["status", "reason"]].head(1).to_numpy().ravel()
        text = "\n".join([f"{score['name']}: not tested", *map(str, said)])
        axes[0].text(0, 0.5, text, fontsize=8, wrap=True, transform=axes[0].transAxes)
    of_score = participants(points, score, confounds)
    for axis, test in zip(axes, top.to_dict("records"), strict=False):
        line = curve(lines, score["name"], test["latent"])
        panel(axis, of_score, test["latent"], line, label(score))
        axis.set_title(_title(test, line), fontsize=8)


def participants(points: pd.DataFrame, score: dict[str, Any], confounds: list[dict[str, Any]]) -> pd.DataFrame:
    """The scans on which a score was tested (one per participant), with its values in the column `drawn`.

    Values are on the score's own scale, a binary one as 0 and 1.
    """
    low, high = score["bounds"] if score["type"] == "bounded" else (0.0, 1.0)
    values = low + (high - low) * score_values(points, score)
    return points.assign(drawn=values).iloc[design(points, score, confounds).rows]


def curve(lines: pd.DataFrame, score: str, latent: str) -> pd.DataFrame:
    """The fitted spline of one score and latent."""
    return lines[(lines["score"] == score) & (lines["latent"] == latent)]


def label(score: dict[str, Any]) -> str:
    """Name of a score for an axis."""
    positive = score.get("positive")
    if score["type"] == "binary":
        return f"{score['name']} (1: {'yes' if positive is None else positive})"
    return str(score["name"]) + (" (level)" if score["type"] == "ordinal" else "")


def panel(axis: Axes, points: pd.DataFrame, latent: str, line: pd.DataFrame, name: str) -> None:
    """Participants, and the natural cubic spline (3 df) at mean confounds with its pointwise 95 % confidence band."""
    test = (points["latents_split"] == "test").to_numpy()
    few = points["drawn"].nunique() < MAX_LEVELS
    drawn = points["drawn"] + np.random.default_rng(0).normal(0, 0.025 * np.ptp(points["drawn"]), len(points)) * few
    for part, colour, text in ((~test, GREY, "training or validation set"), (test, ORANGE, "test set")):
        axis.scatter(points.loc[part, latent], drawn[part], s=9, color=colour, label=text, linewidths=0)
    x, low, high = (line[column] for column in ("latent_value", "low", "high"))
    axis.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0, label="pointwise 95 % confidence band")
    axis.plot(x, line["fitted"], color=BLUE, linewidth=1.6, label="natural spline (3 df), confounds at their means")
    axis.set(xlabel=latent, ylabel=name)


def _title(test: dict[Any, Any], line: pd.DataFrame) -> str:
    linear = f"linear p {p_value(test['p'])}, partial R² = {test['partial_r2']:.2f}"
    linear = linear if test["status"] == "ok" else test["status"]
    bent = "no spline" if line.empty else f"nonlinearity p {p_value(line['p_nonlinear'].iloc[0])}"
    return f"{linear}\nmax-T p {p_value(test['p_maxt'])}; {bent}; n = {test['n']}"
