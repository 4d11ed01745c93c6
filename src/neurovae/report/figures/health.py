"""One model's health: information in each latent, variance explained, and identification accuracy."""

import json
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, COLOURS, GREY, save
from neurovae.report.results import passed
from neurovae.train.health.verdicts import NO_DECODER, NOT_APPLICABLE

WIDTH = 150  # characters of a line of the title


def draw(*, health: Path, index: Path, name: str, out: Path) -> None:
    """Draw the health of one model.

    Args:
        health: health.json.
        index: latent_index.parquet, a row per latent.
        name: the model, for the title.
        out: PNG to write.
    """
    found = json.loads(health.read_text(encoding="utf-8"))
    table = read_parquet(index)
    figure, axes = plt.subplots(
        1, 3, figsize=(11, 3.6), constrained_layout=True, gridspec_kw={"width_ratios": [1.7, 1, 1]}
    )
    _latents(axes[0], table, found)
    _shares(axes[1], found)
    _identification(axes[2], found)
    figure.suptitle(title(name, found), fontsize=10, x=0.01, ha="left", linespacing=1.3)
    save(figure, out)


def title(name: str, found: dict[str, Any]) -> str:
    """Name, verdict with caveats, reason and advice, wrapped."""
    lines = [f"{name}: {passed(found)}", *textwrap.wrap(found["reason"], WIDTH)]
    return "\n".join(lines + textwrap.wrap(f"Suggested change: {found['advice']}" if found["advice"] else "", WIDTH))


def _latents(axis: Axes, table: pd.DataFrame, found: dict[str, Any]) -> None:
    """KL per latent, largest first, inactive ones hatched; standard deviation where the loss has no KL."""
    kl = bool(found["logvar_calibrated"])
    column = "kl_training" if kl else "variance_training"
    if column not in table or table.empty:
        _say(axis, "no latents: values are not finite")
        return
    table = table.sort_values(column, ascending=False, kind="stable")
    values = table[column].to_numpy(float) ** (1 if kl else 0.5)
    at = np.arange(1, len(table) + 1)
    wide = 0.8 if len(table) > 6 else 0.4
    silent = (~table["active"].fillna(True)).to_numpy(bool)
    axis.bar(at[~silent], values[~silent], color=BLUE, width=wide, label="active" if kl else None)
    if silent.any():
        axis.bar(
            at[silent], values[silent], color="white", edgecolor=GREY, hatch="////", width=wide, label="not active"
        )
        for x in at[silent]:
            axis.text(x, values[x - 1], "×", ha="center", va="bottom", color=GREY, fontsize=8)
    axis.set(xlabel="latents, largest first", xlim=(0.3, len(table) + 0.7))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if kl:
        axis.set(ylabel="KL from the prior (nats per scan)", ylim=(0, max(float(values.max()), 0.01) * 1.12))
        units = f"{found['active_units']} of {len(table)} latents active"
        axis.set_title(f"{units} (×: not active); total KL {values.sum():.1f} nats", fontsize=9, loc="left")
    else:
        axis.set(ylabel="SD over training participants")
        axis.set_title("SD of each latent (no KL divergence)", fontsize=9, loc="left")


def _shares(axis: Axes, found: dict[str, Any]) -> None:
    """Variance explained in training, validation and test set; hatched: the linear part alone."""
    names = [name for name in COLOURS if found.get(f"variance_explained_{name}") is not None]
    if not names:
        _say(axis, f"no variance explained: {_why(found)}")
        return
    both = f"variance_explained_linear_{names[0]}" in found
    for place, name in enumerate(names):
        _bar(axis, place - 0.2 * both, found[f"variance_explained_{name}"], COLOURS[name], None)
        if both:
            _bar(axis, place + 0.2, found[f"variance_explained_linear_{name}"], COLOURS[name], "////")
    axis.axhline(0, color=GREY, linewidth=0.8)
    values = [value for key, value in found.items() if key.startswith("variance_explained_")]
    low, high = min(0.0, *values), max(0.1, *values)
    axis.set(ylim=(low - 0.12 * (high - low) * (low < 0), high + 0.1 * (high - low)), ylabel="variance explained")
    axis.set_xticks(range(len(names)), names)
    interval = f"{found.get('gain_test_low', 0):+.3f} to {found.get('gain_test_high', 0):+.3f}"
    note = f"hatched: linear part alone\ngain, test set: {interval} (95 % CI)" if both else "variance explained"
    axis.set_title(note, fontsize=9, loc="left")


def _bar(axis: Axes, at: float, value: float, colour: str, hatch: str | None) -> None:
    face = colour if hatch is None else "white"
    axis.bar(at, value, 0.36, color=face, edgecolor=colour, hatch=hatch)
    up = value >= 0
    axis.annotate(
        f"{value:.2f}".replace("-0.00", "0.00"), (at, value), (0, 2 if up else -2), textcoords="offset points",
        ha="center", va="bottom" if up else "top", fontsize=7,
    )  # fmt: skip


def _identification(axis: Axes, found: dict[str, Any]) -> None:
    """Accuracy on training and test participants; line: 99th percentile by chance; cross: PCA of one component."""
    keys = {name: f"identification_accuracy_{name}" for name in ("training", "test")}
    shown = {name: found[key] for name, key in keys.items() if key in found}
    if not shown:
        _say(axis, f"no identification accuracy: {_why(found)}")
        return
    for place, (name, rates) in enumerate(shown.items()):
        _bar(axis, place, rates["rate"], COLOURS[name], None)
        chance, component = "99th percentile of the chance distribution", "reconstruction from one principal component"
        axis.plot([place - 0.32, place + 0.32], [rates["chance"]] * 2, "k--", label=None if place else chance)
        axis.plot(place + 0.26, rates["component"], "kx", markersize=6, label=None if place else component)
    axis.set(ylim=(0, 1.35), ylabel="accuracy", yticks=[0, 0.25, 0.5, 0.75, 1])
    axis.set_xticks(range(len(shown)), [f"{name}\nn = {rates['people']}" for name, rates in shown.items()])
    axis.legend(fontsize=7, loc="upper left", handlelength=2)
    axis.set_title("identification accuracy", fontsize=9, loc="left")


def _why(found: dict[str, Any]) -> str:
    """Why there are no reconstructions to measure, or no identification."""
    if "explained_by_block" in found:
        return "the model has several blocks"
    return NO_DECODER if found["verdict"] == NOT_APPLICABLE else "values are not finite"


def _say(axis: Axes, text: str) -> None:
    axis.set_axis_off()
    axis.text(0.5, 0.5, "\n".join(textwrap.wrap(text, 28)), ha="center", va="center", transform=axis.transAxes)
