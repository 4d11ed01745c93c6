"""Permutation importance of the latents: increase of the loss when one latent is permuted (Breiman 2001)."""

import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save
from neurovae.report.results import titled

INK = {"linear": (BLUE, "o", -0.16), "svm": (ORANGE, "s", 0.16)}
OTHER = (GREEN, "D", 0.0)
ACROSS = 3  # panels side by side where all folds share one model


def draw(*, table: Path, name: str, out: Path, most: int = 6) -> None:
    """Draw the top latents of each score: a column per fold where each has its own model, else a panel per score.

    Args:
        table: importance.parquet of one model and seed.
        name: the model, for the title.
        out: PNG to write.
        most: latents per panel.
    """
    rows = read_parquet(table)
    panels = [part for _, part in rows.groupby(["score", "fold"], sort=False, dropna=False)]
    folds = rows["fold"].nunique()
    columns = folds if folds else min(ACROSS, len(panels))
    lines = -(-len(panels) // columns) if not folds else rows["score"].nunique(dropna=False)
    size = (max(2.6 * columns, 7), (0.9 + 0.2 * most) * lines + 0.9)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    scores, next_in = [*dict.fromkeys(rows["score"])], dict.fromkeys(range(lines), 0)
    for k, part in enumerate(panels):
        line = scores.index(part["score"].iloc[0]) if folds else k // columns
        _panel(axes[line, next_in[line]], part, most)
        next_in[line] += 1
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, label=f"{learner}, ± SD over permutations")
        for learner, (colour, marker, _) in _inks(rows).items()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    figure.suptitle(_title(rows, name, max(90, 28 * columns)), fontsize=9)
    save(figure, out)


def top(part: pd.DataFrame, most: int) -> list[str]:
    """Latents of one score and fold, the largest mean increase over the learners first."""
    found = part.groupby("latent", sort=False)["increase"].mean()
    return [*found.sort_values(ascending=False, kind="stable").index[:most]]


def _title(rows: pd.DataFrame, name: str, width: int) -> str:
    verdict, averaged = rows["verdict"].dropna(), rows["averaged"].dropna()
    parts = [
        f"{titled(name, verdict.iloc[0])}:" if len(verdict) else f"{name}:",
        "permutation importance of the latents in held-out participants: % increase in loss",
        f"averaged {averaged.iloc[0]}" if len(averaged) else "",
    ]
    return "\n".join(textwrap.wrap(", ".join([" ".join(parts[:2]), *(part for part in parts[2:] if part)]), width))


def _inks(rows: pd.DataFrame) -> dict[str, tuple[str, str, float]]:
    return {learner: INK.get(learner, OTHER) for learner in dict.fromkeys(rows["learner"].dropna())}


def _panel(axis: Axes, part: pd.DataFrame, most: int) -> None:
    first: dict[str, Any] = {str(key): value for key, value in part.iloc[0].items()}
    if first["status"] != "ok":
        text = f"{first['score']}: {first['status']}, {first['reason']}"
        axis.text(0, 0.5, "\n".join(textwrap.wrap(text, 40)), fontsize=8, va="center")
        return
    axis.set_axis_on()
    latents = top(part, most)
    for learner, (colour, marker, shift) in _inks(part).items():
        found = part[part["learner"] == learner].set_index("latent").loc[latents]
        share, spread = (100 * (found[column] / found["base"]).to_numpy(float) for column in ("increase", "sd"))
        at = np.arange(len(latents)) + shift
        axis.hlines(at, share - spread, share + spread, color=colour, linewidth=1.2)
        axis.plot(share, at, marker, color=colour, markersize=4)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set_yticks(range(len(latents)), latents)
    axis.set_ylim(len(latents) - 0.5, -0.5)
    axis.tick_params(labelsize=7)
    axis.set_xlabel(f"% increase in {first['loss']}", fontsize=7)
    fold = "" if pd.isna(first["fold"]) else f", fold {first['fold']}"
    axis.set_title(f"{first['score']}{fold}: n = {first['n']}", fontsize=8, loc="left")
