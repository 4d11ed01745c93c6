"""Counterfactuals: participants' own scans with the change that is decoded for another value of a score."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.report.figures.brains import busiest, grey, overlay
from neurovae.report.figures.drawing import ORANGE, save, sentence
from neurovae.report.results import titled


def draw(*, table: Path, maps: Path, mask: Path, name: str, most: int = 3, out: Path) -> None:
    """Draw a row per score and participant: the scan at each step of the score, and the difference of the extremes.

    Args:
        table: counterfactuals.parquet.
        maps: folder of the counterfactuals.
        mask: the fixed mask.
        name: the model, for the title.
        most: number of scores, the first ones of the configuration.
        out: PNG to write.
    """
    rows = read_parquet(table)
    if (rows["status"] != "ok").all():
        save(sentence(f"{name}: {rows['status'].iloc[0]}, no counterfactuals\n{rows['reason'].iloc[0]}"), out)
        return
    brain = read_mask(mask)
    rows = rows[rows["status"] == "ok"]
    rows = rows[rows["score"].isin(list(dict.fromkeys(rows["score"]))[:most])]
    steps = sorted(set(rows["step"]))
    parts = [(part.set_index("step"), *_read(maps / file)) for file, part in rows.groupby("file", sort=False)]
    changes = [volumes[..., -1] - volumes[..., 0] for _, volumes, _ in parts]
    limit = max(float(np.percentile(np.abs(change[brain]), 99.8)) for change in changes) or 1.0
    size = (2.3 * (len(steps) + 1) + 1.0, 1.15 * len(parts) + 0.9)
    figure, axes = plt.subplots(len(parts), len(steps) + 1, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[], frame_on=False)
    for line, (part, volumes, own), change in zip(axes, parts, changes, strict=True):
        place = busiest(change, brain)
        scan = volumes[..., own.index(0.0)]
        low, high = np.percentile(scan[brain], [1, 99.5])
        for k, step in enumerate(own):
            axis, row = line[steps.index(step)], part.loc[step].to_dict()
            grey(axis, volumes[..., k], brain, place, (low, high))
            axis.set_title(_title(step, row), fontsize=7, pad=2, color=ORANGE if row["beyond"] else "black")
        image = overlay(line[-1], scan, change, brain, place, limit)
        binary = part["type"].iloc[0] == "binary"
        line[-1].set_title(f"{_step(own[-1], binary)} minus {_step(own[0], binary)}", fontsize=7, pad=2)
        label = f"{row['score']}\n{row['scan']}\n{_value(row)}"
        line[0].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 3 / len(parts)), aspect=25, pad=0.01)
    bar.set_label("difference (normalised intensity)", fontsize=8)
    figure.suptitle(
        f"{titled(name, rows['verdict'].iloc[0])}: own scan plus the change decoded for another value of the "
        "score, with confounds held fixed\ntitles: change in SD of the score and resulting score (binary scores: the "
        "group that the scan is changed to); orange: outside the bounds of the score or the cohort's range",
        fontsize=10,
    )
    save(figure, out)


def _step(step: float, binary: bool) -> str:
    return "own scan" if not step else "changed" if binary else f"{step:+g} SD"


def _reached(value: float, unit: str) -> str:
    """A value of the score; of a binary one, the group in the words of the contrast, `unit`."""
    groups = unit.split(" minus ")
    return groups[value == 0].removesuffix(" value") if len(groups) == 2 else f"{value:.3g}"


def _title(step: float, row: dict[Any, Any]) -> str:
    """The step, the score that it leads to, and the limit that it exceeds."""
    target = f": {_reached(row['target'], row['unit'])}" if step and pd.notna(row["target"]) else ""
    return f"{_step(step, row['type'] == 'binary')}{target}" + (f"\n({row['beyond']})" if row["beyond"] else "")


def _value(row: dict[Any, Any]) -> str:
    if pd.isna(row["value"]):
        return "not tested"
    return ("" if row["type"] == "binary" else "score ") + _reached(row["value"], row["unit"])


def _read(path: Path) -> tuple[np.ndarray, list[float]]:
    """Volumes (x, y, z, steps) and their steps."""
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    return np.asarray(read_image(path).dataobj), sidecar["Steps"]
