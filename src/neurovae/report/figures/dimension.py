"""Intrinsic dimension of volumes and latents; norm of the latent vectors relative to its mean under the prior."""

import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from neurovae.report.figures.drawing import BLUE, COLOURS, GREEN, GREY, ORANGE, save
from neurovae.report.text import count

ESTIMATES = {"TwoNN": (BLUE, "o", -0.13), "MLE": (ORANGE, "s", 0.13)}
SUGGESTED = "latents suggested"
BELOW = 1.7  # inches for the labels of an axis and the legend under it


def draw(*, table: Path, out: Path) -> None:
    """Draw the dimensions of one cohort.

    Args:
        table: dimension.tsv of the audits.
        out: PNG to write.
    """
    rows = pd.read_csv(table, sep="\t", na_values=["n/a"])
    whole, latents = rows[rows["what"] == "volumes"], rows[rows["what"] == "latents"]
    models = [*dict.fromkeys(latents["model"])]
    height = 1.2 + BELOW + 0.33 * (len(models) + 1)
    figure, axes = plt.subplots(1, 2, figsize=(11.5, height), width_ratios=[1.15, 1])
    figure.subplots_adjust(top=1 - 0.85 / height, bottom=BELOW / height, wspace=0.25)  # inches
    _dimensions(axes[0], whole, latents, models)
    if _with_lengths(latents).empty:  # without a posterior variance, |z|^2 has no counterpart
        axes[1].set_axis_off()
    else:
        _lengths(axes[1], latents, models)
    rows = whole[whole["measure"] == SUGGESTED]
    reason = "" if rows.empty else f"{rows['value'].iloc[0]:.0f} latents suggested: {rows['reason'].iloc[0]}"
    title = [f"Intrinsic dimension{_people(whole)}"] if len(whole) else []  # else the panel's title says it
    figure.suptitle(
        "\n".join([*title, *textwrap.wrap(reason, 150)]),
        fontsize=9,
        y=1,
        va="top",
    )
    save(figure, out)


def _people(whole: pd.DataFrame) -> str:
    return "" if whole["n"].isna().all() else f", {whole['n'].max():.0f} participants"


def _dimensions(axis: Axes, whole: pd.DataFrame, latents: pd.DataFrame, models: list[Any]) -> None:
    """Both estimates with their 95 % intervals: first line the volumes, then each model's latents."""
    volumes = [] if whole.empty else ["volumes"]  # a cohort without images has none
    groups = [whole] * len(volumes) + [latents[latents["model"] == model] for model in models]
    for name, (colour, marker, shift) in ESTIMATES.items():
        for k, group in enumerate(groups):
            for row in group[group["measure"] == name].itertuples():
                if row.status != "ok":
                    axis.text(0.5, k + shift, f"{name}: {row.status}", fontsize=7, va="center")
                    continue
                axis.plot([row.low, row.high], [k + shift] * 2, color=colour, linewidth=1.4)
                axis.plot(row.value, k + shift, marker, color=colour, markersize=5)
                axis.plot(row.half, k + shift, marker, color=colour, markersize=4, fillstyle="none")
    value = whole.set_index("measure")["value"]
    for measure, style in (("components above smooth noise", ":"), (SUGGESTED, "-")):
        if measure in value:
            axis.axvline(value[measure], color=GREEN if style == "-" else GREY, linestyle=style, linewidth=1.2)
    for k, model in enumerate(models, start=len(volumes)):
        size = latents.loc[(latents["model"] == model) & (latents["measure"] == "mean |z|^2"), "expected"]
        if size.notna().any():
            axis.plot(size.iloc[0], k, "|", color="black", markersize=11)
    axis.set_yticks(range(len(groups)), [*volumes, *models])
    axis.set(ylim=(len(groups) - 0.5, -0.5), xlabel="dimensions")
    axis.set_xlim(left=0)
    handles = [
        *(plt.Line2D([], [], color=colour, marker=marker, label=f"{name}, 95 % CI")
          for name, (colour, marker, _) in ESTIMATES.items()),
        plt.Line2D([], [], color=GREY, marker="o", linestyle="none", fillstyle="none", label="half the participants"),
        plt.Line2D([], [], color="black", marker="|", linestyle="none", markersize=9, label="number of latents"),
        *([plt.Line2D([], [], color=GREEN, label=SUGGESTED),
           plt.Line2D([], [], color=GREY, linestyle=":", label="principal components above smooth noise")]
          if volumes else []),
    ]  # fmt: skip
    _below(axis, handles, 3)
    axis.set_title("intrinsic dimension", fontsize=9, loc="left")


def _lengths(axis: Axes, latents: pd.DataFrame, models: list[Any]) -> None:
    """Mean |z|^2 over participants relative to the prior's, with its SD over participants beside that of the prior."""
    known = _with_lengths(latents)
    drawn = [model for model in models if model in set(known["model"])]
    for k, model in enumerate(drawn):
        of_model = known[known["model"] == model]
        size = of_model.loc[of_model["measure"] == "mean |z|^2", "expected"].iloc[0]
        shell = np.sqrt(2 / size)
        axis.fill_between([1 - shell, 1 + shell], k - 0.36, k + 0.36, color=GREY, alpha=0.25, linewidth=0)
        for split, shift in (("training", -0.14), ("test", 0.14)):
            value = of_model[of_model["split"] == split].set_index("measure")
            if value.empty:
                continue
            mean, spread = (value.loc[name, "value"] / size for name in ("mean |z|^2", "spread of |z|^2"))
            axis.plot([mean - spread, mean + spread], [k + shift] * 2, color=COLOURS[split], linewidth=1.2)
            bounds = value.loc["mean |z|^2", ["low", "high"]].to_numpy(float) / size
            axis.plot(bounds, [k + shift] * 2, color=COLOURS[split], linewidth=4, solid_capstyle="butt")
    axis.axvline(1, color="black", linewidth=0.8)
    free = set(known.loc[known["reason"].notna(), "model"])
    axis.set_yticks(range(len(drawn)), [f"{model}*" if model in free else str(model) for model in drawn])
    axis.set(ylim=(max(len(drawn), 1) - 0.5, -0.5), xlabel="|z|² divided by its mean under the prior")
    axis.set_xlim(left=0)
    notes = [f"* {text}" for text in dict.fromkeys(known["reason"].dropna())]
    if others := [str(model) for model in models if model not in drawn]:
        notes.append(f"not shown: {count(len(others), 'model')} without a posterior variance ({', '.join(others)})")
    handles = [
        *(plt.Line2D([], [], color=COLOURS[split], linewidth=4, label=f"{split} set: mean, 95 % CI (thin: SD)")
          for split in ("training", "test")),
        Patch(color=GREY, alpha=0.25, label="prior: mean ± SD of |z|² (mean = number of latents)"),
        *(plt.Line2D([], [], linestyle="none", label=note) for note in notes),
    ]  # fmt: skip
    _below(axis, handles, 1)
    axis.set_title("squared norm of the latent vectors, |μ|² + Σσ²", fontsize=9, loc="left")


def _with_lengths(latents: pd.DataFrame) -> pd.DataFrame:
    """Rows with the length of the latent vectors."""
    return latents[(latents["status"] == "ok") & latents["measure"].isin(["mean |z|^2", "spread of |z|^2"])]


def _below(axis: Axes, handles: list[Any], columns: int) -> None:
    """A legend under the axis and its label."""
    axis.legend(handles=handles, fontsize=7, ncols=columns, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=5)
