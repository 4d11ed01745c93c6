"""Rate and distortion of all models on test participants."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save
from neurovae.train.health.verdicts import STOPPING

LINES = ("--", ":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))  # of models without a rate
SAME = ("kind", "sigma", "linear", "n_latent", "reconstruction", "divergence")  # of models along one curve
Health = dict[str, Any]


def draw(*, train: Path, models: list[str], fit: str, out: Path) -> None:
    """Draw all models of a run: distortion and variance explained against rate.

    Args:
        train: folder that holds <model>/<fit>/health.json.
        models: names of the models.
        fit: fold and seed ("fold-0_seed-0").
        out: PNG to write.
    """
    found = {name: json.loads((train / name / fit / "health.json").read_text(encoding="utf-8")) for name in models}
    with_kl = {name: health for name, health in found.items() if health.get("rate") is not None}
    bounded = {name: health for name, health in with_kl.items() if health.get("distortion") is not None}
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    _distortion(axes[0], bounded)
    _shares(axes[1], with_kl, {name: health for name, health in found.items() if name not in with_kl})
    figure.suptitle(f"{fit}, test participants; open circles: models that were not analysed further", fontsize=10)
    save(figure, out)


def _distortion(axis: Axes, models: dict[str, Health]) -> None:
    """Distortion against rate; models that differ in beta only are joined. Nats compare within one sigma only."""
    axis.set(xlabel="rate: KL from the prior (nats per scan)", ylabel="distortion: −E log p(x|z) (nats per scan)")
    if not models:
        _note(axis, "no model of this run has a KL divergence\nand a Gaussian likelihood")
        return
    alike: dict[str, list[Health]] = {}
    for health in models.values():
        alike.setdefault(str([health.get(key) for key in SAME]), []).append(health)
    for same in alike.values():
        same.sort(key=lambda health: health["rate"])
        axis.plot([m["rate"] for m in same], [m["distortion"] for m in same], color=GREY, linewidth=0.8, zorder=0)
    _points(axis, models, "distortion")
    sigmas = {f"{health['sigma']:g}" if health["sigma"] != "learned" else "learned" for health in models.values()}
    curve = any(len(same) > 1 for same in alike.values())
    joined = "; models that differ in beta only are joined" if curve else ""
    axis.set_title(f"sigma = {', '.join(sorted(sigmas))}{joined}", fontsize=9, loc="left")


def _shares(axis: Axes, with_kl: dict[str, Health], without: dict[str, Health]) -> None:
    """Held-out variance explained against rate; a model without a KL has no rate and is a line."""
    axis.set(xlabel="rate: KL from the prior (nats per scan)", ylabel="held-out variance explained")
    _points(axis, with_kl, "variance_explained_test")
    lines = {
        name: health["variance_explained_test"]
        for name, health in without.items()
        if health.get("variance_explained_test") is not None
    }
    for i, (name, share) in enumerate(sorted(lines.items(), key=lambda line: -line[1])):
        axis.axhline(share, color=GREY, linewidth=1, linestyle=LINES[i % len(LINES)], label=f"{name}: {share:.3f}")
    if lines:
        axis.legend(
            title="without a KL divergence", fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1)
        )
    if not with_kl:
        _note(axis, "no model of this run has a KL divergence")
        axis.set_xticks([])


def _points(axis: Axes, models: dict[str, Health], column: str) -> None:
    for place, (name, health) in enumerate(sorted(models.items(), key=lambda model: model[1]["rate"])):
        stopped = health["verdict"] in STOPPING
        colour = ORANGE if health["verdict"] == "overfit" else BLUE
        face = "white" if stopped else colour
        axis.plot(health["rate"], health[column], "o", markersize=6, markeredgecolor=colour, color=face)
        up = place % 2 == 0
        axis.annotate(
            f"{name}, β = {health['beta']:g}", (health["rate"], health[column]), (4, 6 if up else -12),
            textcoords="offset points", fontsize=7, bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
        )  # fmt: skip
    axis.margins(0.25, 0.18)
    if models and np.ptp([health[column] for health in models.values()]) == 0:
        value = next(iter(models.values()))[column]
        axis.set_ylim(value - 0.05 * max(abs(value), 1), value + 0.05 * max(abs(value), 1))


def _note(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color=GREY)
