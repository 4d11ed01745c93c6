"""Pictures of the proof: rejections with their interval per test, family and size; powers beside the oracle; through a model."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save

SIZE_COLOURS = {60: BLUE, 120: ORANGE, 300: GREEN, 500: GREEN}
COLUMNS = 4


def rejections(found: pd.DataFrame, path: Path, title: str) -> None:
    """A panel per test: share of rejections by family, a point per size, its interval as a grey bar; crosses fail."""
    tests = list(dict.fromkeys(found["test"]))
    rows = -(-len(tests) // COLUMNS)
    wide = min(len(tests), COLUMNS)
    figure, axes = plt.subplots(
        rows, wide, figsize=(1.6 + 2.7 * wide, 0.9 + 2.7 * rows), sharey=True, squeeze=False, constrained_layout=True
    )
    families = list(dict.fromkeys(found["family"]))[::-1]
    most = max(0.12, 1.08 * float(found[["share", "high"]].max().max()))
    for axis, test in zip(axes.flat, tests, strict=False):
        part = found[found["test"] == test]
        sizes = sorted(part["n"].unique())
        for row in part.itertuples():
            at = families.index(row.family) + 0.22 * (sizes.index(row.n) - (len(sizes) - 1) / 2)
            axis.plot([row.low, row.high], [at, at], color=GREY, alpha=0.35, linewidth=5, solid_capstyle="butt")
            mark = "o" if row.holds else "X"
            axis.plot(row.share, at, mark, color=SIZE_COLOURS[row.n], markersize=4 if row.holds else 7, clip_on=False)
        axis.axvline(0.05, color="k", linewidth=0.6)
        axis.set(xlim=(0, most), title=test)
        axis.set_yticks(range(len(families)), families)
    for axis in list(axes.flat)[len(tests) :]:
        axis.set_axis_off()
    marks = [
        Line2D([], [], color=SIZE_COLOURS[n], marker="o", linestyle="", label=f"{n} people")
        for n in sorted(found["n"].unique())
    ]
    marks += [
        Line2D([], [], color=GREY, alpha=0.35, linewidth=5, label="99.9 % binomial interval"),
        Line2D([], [], color="k", marker="X", linestyle="", label="outside"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8)
    figure.suptitle(f"{title}: share of cohorts rejected at .05 where no latent matters", fontsize=10)
    save(figure, path)


def powers(found: pd.DataFrame, bends: pd.DataFrame, path: Path) -> None:
    """Power over the effect: a column per shape, a row per size; the last columns are bends."""
    sizes = sorted(found["n"].unique())
    shapes = [("", s) for s in dict.fromkeys(found["shape"])] + [("bend: ", s) for s in dict.fromkeys(bends["shape"])]
    figure, axes = plt.subplots(
        len(sizes), len(shapes), figsize=(2.1 * len(shapes), 2.4 * len(sizes) + 0.6), sharey=True, squeeze=False,
        constrained_layout=True,
    )  # fmt: skip
    styles = {
        "oracle": ("k", "-", "oracle: true shape and family"), "seer": (GREY, ":", "it also knows the confounds' effect"),
        "ours": (BLUE, "-", "ours: GLM, quadratic, spline's bend"), "maxt": (GREEN, "-", "ours: max-T"), "spline": (ORANGE, "--", "3-df spline"),
    }  # fmt: skip
    for i, n in enumerate(sizes):
        for j, (what, shape) in enumerate(shapes):
            table, axis = (bends if what else found), axes[i, j]
            part = table[(table["shape"] == shape) & (table["n"] == n)]
            for column, (colour, style, _) in styles.items():
                if column in part:
                    axis.plot(
                        part["effect"], part[column] / part["cohorts"], style, marker="o", color=colour, markersize=3
                    )
            axis.axhspan(0.5, 0.9, color=GREY, alpha=0.12, linewidth=0)
            axis.set(ylim=(0, 1.02))
            if i == 0:
                axis.set_title(f"{what}{shape}")
            if j == 0:
                axis.set_ylabel(f"power, {n} people")
            if i == len(sizes) - 1:
                axis.set_xlabel("effect")
    handles = [
        Line2D([], [], color=c, linestyle=s, marker="o", markersize=3, label=label) for c, s, label in styles.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(
        "Power at .05 / 16 latents (bends: at .05) beside an oracle; the ratio is judged in the grey band", fontsize=10
    )
    save(figure, path)


def through(found: pd.DataFrame, path: Path) -> None:
    """Power curves through each model beside the true factor's own."""
    models, factors = list(dict.fromkeys(found["model"])), list(dict.fromkeys(found["factor"]))
    figure, axes = plt.subplots(
        len(factors), len(models), figsize=(3.1 * len(models), 2.6 * len(factors) + 0.5), sharex=True, sharey=True,
        squeeze=False, constrained_layout=True,
    )  # fmt: skip
    styles = {
        "own": ("k", "-", "o", "the true factor's own test"), "omnibus": (BLUE, "-", "o", "omnibus"),
        "omnibus predicted": (BLUE, ":", "", "F test of six latents of that recovery"),
        "direction": (ORANGE, "-", "s", "cross-fitted direction"),
        "direction oracle": (ORANGE, "--", "", "the same on true factors of that recovery"),
        "direction bound": (GREY, ":", "", "one column of that recovery"),
    }  # fmt: skip
    for i, factor in enumerate(factors):
        for j, model in enumerate(models):
            part, axis = found[(found["model"] == model) & (found["factor"] == factor)], axes[i, j]
            for column, (colour, style, mark, _) in styles.items():
                axis.plot(part["effect"], part[column], style, marker=mark or None, color=colour, markersize=3)
            axis.set(ylim=(0, 1.02), title=f"{model}, {factor} factor, R2 {part['recovery'].iloc[0]:.2f}")
            if i == len(factors) - 1:
                axis.set_xlabel("correlation of score and factor")
            if j == 0:
                axis.set_ylabel("power at .05, 120 people")
            axis.axhline(0.05, color=GREY, linewidth=0.6)
    handles = [
        Line2D([], [], color=c, linestyle=s, marker=m or None, markersize=3, label=label)
        for c, s, m, label in styles.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(
        "Power through learnt latents; R2: the factor's recovery from the latents of new people", fontsize=10
    )
    save(figure, path)


def uniform(p: pd.DataFrame, path: Path) -> None:
    """Permutation p against uniform quantiles, a line per size."""
    figure, axis = plt.subplots(figsize=(3.6, 3.6), constrained_layout=True)
    for n, part in p[p["family"] == "Gaussian"].groupby("n"):
        values = np.sort(part["permutation"].dropna())
        axis.plot((np.arange(len(values)) + 0.5) / len(values), values, color=SIZE_COLOURS[n], label=f"{n} people")
    axis.plot([0, 1], [0, 1], color="k", linewidth=0.6)
    axis.set(xlabel="uniform quantile", ylabel="permutation p, no effect", title="Gaussian score, one latent")
    axis.legend()
    save(figure, path)
