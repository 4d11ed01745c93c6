"""Realism: test scans, their reconstructions, samples, a path, and distances to training scans."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.interpret.decoder import read
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_volumes
from neurovae.report.figures.brains import grey
from neurovae.report.figures.drawing import BLUE, GREEN, GREY, ORANGE, save, sentence
from neurovae.report.results import titled

SHOWN = 7  # volumes in a row, as many as steps of a path
KINDS = {"held-out scan": GREY, "held-out reconstruction": BLUE, "sample": ORANGE, "path": GREEN}
NAMES = {"held-out scan": "test scans", "held-out reconstruction": "test reconstructions",
         "sample": "samples", "path": "steps of the path"}  # fmt: skip


def draw(
    *,
    model: Path,
    latents: Path,
    mask: Path,
    health: Path,
    volumes: Path,
    rows: Path,
    table: Path,
    maps: Path,
    name: str,
    out: Path,
) -> None:
    """Draw test scans, their reconstructions, samples, the path, and the distance of each kind to training scans.

    Args:
        model: weights.safetensors.
        latents: latents.parquet.
        mask: the fixed mask.
        health: health.json.
        volumes: packed volumes.
        rows: table of their rows.
        table: realism.parquet.
        maps: folder of samples.nii.gz and path.nii.gz.
        name: the model, for the title.
        out: PNG to write.
    """
    found = read_parquet(table)
    if (found["status"] != "ok").all():
        save(sentence(f"{name}: {found['verdict'].iloc[0]}, no samples\n{found['reason'].iloc[0]}"), out)
        return
    decoder = read(model, latents, mask, health)
    array, packed = read_volumes(volumes, rows)
    held = list(found.loc[found["kind"] == "held-out scan", "scan"][:SHOWN])
    scans = np.stack([array[packed.index[packed["scan"] == scan][0]] for scan in held]).astype(np.float32)
    made = np.zeros_like(scans)
    made[:, decoder.mask] = decoder.decode(decoder.latents.set_index("scan").loc[held, decoder.names].to_numpy())
    drawn, path = (_frames(maps / f"{kind}.nii.gz") for kind in ("samples", "path"))
    ratios = {kind: found.loc[found["kind"] == kind, "reconstruction_ratio"].to_numpy() for kind in KINDS}
    ends = str(found.loc[found["kind"] == "path", "scan"].iloc[0])
    lines = [
        ("test scans", scans, held),
        ("reconstructions", made, [_times(value) for value in ratios["held-out reconstruction"]]),
        ("samples", drawn[:SHOWN], [_times(value) for value in ratios["sample"]]),
        ("path", path[:SHOWN], [_times(value) for value in ratios["path"]]),
    ]
    figure = plt.figure(figsize=(14, 7), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[4.1, 2.5]).ravel()
    _images(upper.subplots(len(lines), SHOWN, squeeze=False), lines, decoder.mask)
    left, right = lower.subplots(1, 2)
    _distances(left, found, "reconstruction", "to the nearest training reconstruction")
    _distances(right, found, "scan", "to the nearest training scan (favours smooth, decoded volumes)")
    samples = found[found["kind"] == "sample"]
    same = 0 if samples.empty else int(samples["duplicate"].sum())
    prior = "" if samples.empty else f"; samples from {samples['prior'].iloc[0]}, {same} duplicates of training scans"
    upper.suptitle(
        f"{titled(name, found['verdict'].iloc[0])}{prior}; path from {ends}\nnumbers: distance to the nearest "
        "training reconstruction, relative to the median of that distance for the test reconstructions",
        fontsize=10,
    )
    save(figure, out)


def _times(value: float) -> str:
    return f"{value:.2f}"


def _frames(path: Path) -> np.ndarray:
    """Volumes (frames, x, y, z)."""
    return np.moveaxis(np.asarray(read_image(path).dataobj), -1, 0)


def _images(axes: np.ndarray, lines: list[tuple[str, np.ndarray, list[str]]], brain: np.ndarray) -> None:
    low, high = np.percentile(lines[0][1][:, brain], [1, 99.5])
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[], frame_on=False)
    for line, (label, volumes, titles) in zip(axes, lines, strict=True):
        line[0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
        for axis, volume, title in zip(line, volumes, titles, strict=False):
            grey(axis, volume, brain, limits=(low, high))
            axis.set_title(title, fontsize=7, pad=2)


def _distances(axis: Axes, found: pd.DataFrame, what: str, title: str) -> None:
    """A line of points per kind, its median as a bar."""
    kinds = [kind for kind in KINDS if found.loc[found["kind"] == kind, f"{what}_distance"].notna().any()]
    rng = np.random.default_rng(0)
    for line, kind in enumerate(kinds):
        values = found.loc[found["kind"] == kind, f"{what}_distance"].to_numpy(float)
        at = line + rng.uniform(-0.18, 0.18, len(values))
        axis.scatter(values, at, s=14, color=KINDS[kind], alpha=0.7, linewidths=0)
        axis.plot([np.median(values)] * 2, [line - 0.32, line + 0.32], color=KINDS[kind], linewidth=2)
    if what == "reconstruction":
        below = float(found["duplicate_below"].max())
        axis.axvline(below, color=GREY, linewidth=0.8, linestyle="--")
        axis.text(below, -0.6, " left of this line: duplicates", fontsize=7, color=GREY, va="center")
    axis.set_yticks(range(len(kinds)), [NAMES[kind] for kind in kinds])
    axis.set(ylim=(len(kinds) - 0.4, -0.8), xlabel="distance (root mean square over the mask)")
    axis.set_title(title, fontsize=9, loc="left")
