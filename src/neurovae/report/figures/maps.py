"""What goes with each score, in the brain: decoded intensity, local volume, and the regions that say it most.

Colour is the pattern per step of the score (Haufe et al. 2014), lines are max-T p < .05 over voxels; volume comes from
registering decoded(low) to decoded(high) and has no test of its own.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from nibabel.affines import apply_affine

from neurovae.interpret.images import in_file
from neurovae.io.volumes import read_mask
from neurovae.report.figures.drawing import BLUE, GREY, save
from neurovae.report.figures.traversals import nothing, overlay, views

ALPHA = 0.05
HIGHEST = 99.5  # percentile of |value| over the mask at which the colours end
SIDES = {"left": "L ", "right": "R "}


def draw(
    *,
    maps: Path,
    table: Path,
    regions: Path,
    jacobian: Path,
    volumes: Path,
    mask: Path,
    name: str,
    out: Path,
    seeds: list[Path],
    most: int = 6,
) -> None:
    """Draw a row per score of one model; a score without maps is a line of text.

    Args:
        maps: folder of score maps.
        table: maps.parquet.
        regions: regions.parquet of the same.
        jacobian: folder of log-Jacobians.
        volumes: jacobian.tsv.
        mask: the fixed mask.
        name: the model, for the title.
        out: PNG to write.
        seeds: seeds.parquet of the model and fold, or none.
        most: number of regions per score.
    """
    rows, parts = pd.read_parquet(table), pd.read_parquet(regions)
    grown = pd.read_csv(volumes, sep="\t", keep_default_na=False, na_values=["n/a"], dtype={"score": object})
    alike = [pd.read_parquet(path) for path in seeds]
    tested = rows[rows["status"] == "ok"]
    if tested.empty:
        text = [f"{row.score}: {row.status}, {row.reason}" for row in rows.itertuples() if not pd.isna(row.score)]
        text = text or [f"{rows['status'].iloc[0]}, {rows['reason'].iloc[0]}"]
        nothing("\n".join([f"{name}: {rows['verdict'].iloc[0]}, no score maps", *text]), out)
        return
    brain, affine = read_mask(mask), nib.Nifti1Image.from_filename(mask).affine
    images = {score: _read(maps, jacobian, score) for score in tested["score"]}
    limits = [
        float(np.median([np.percentile(np.abs(found[what][brain]), HIGHEST) for found in images.values()])) or 1.0
        for what in ("map", "percent")
    ]  # shared, so that a score that moves nothing stays grey
    heights = [1.0 if row.status == "ok" else 0.25 for row in rows.itertuples()]
    figure = plt.figure(figsize=(14, 2.1 * sum(heights) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(rows) + 1, 3, height_ratios=[*heights, 0.06], width_ratios=[1.15, 1.15, 1])
    shown: list[ScalarMappable] = []
    for k, row in enumerate(rows.to_dict("records")):
        axes = [figure.add_subplot(grid[k, column]) for column in range(3)]
        if row["status"] != "ok":
            _words(axes, f"{row['score']}: {row['status']}, {row['reason']}")
            continue
        found = images[row["score"]]
        place = _voxel(affine, row)
        shown = [
            overlay(axis, found["mean"], found[what], brain, place, limit)
            for axis, what, limit in zip(axes[:2], ("map", "percent"), limits, strict=True)
        ]
        _outline(axes[0], views((found["p"] < ALPHA) & brain, place))
        axes[0].set_title(title(row, alike), fontsize=8, loc="left")
        if row["score"] == tested["score"].iloc[0]:
            axes[2].set_title("mean decoded intensity per step (in brackets: volume)", fontsize=8, loc="left")
        _bars(
            axes[2],
            parts[parts["score"] == row["score"]],
            grown[grown["score"] == row["score"]],
            most,
            row["smallest_p"] < ALPHA,
        )
    labels = (
        f"decoded intensity per step of the score; lines: max-T p < {ALPHA:g}",
        "local volume in %, high against low end of the score (no test)",
    )
    for column, (image, label) in enumerate(zip(shown, labels, strict=True)):
        cax = figure.add_subplot(grid[-1, column])
        figure.colorbar(image, cax=cax, orientation="horizontal", label=label, extend="both")
    figure.suptitle(
        f"{name} ({tested['verdict'].iloc[0]}): what goes with each score in the brain, beside the confounds\n"
        "slices through the largest |t|, left is left; right: regions with the largest mean |t|, "
        f"interval {tested['interval'].iloc[0]}; grey: it holds 0, or no voxel passes",
        fontsize=10,
    )
    save(figure, out)


def title(row: dict[Any, Any], alike: list[pd.DataFrame]) -> str:
    """What a row is: score, people, step, p, peak, and over seeds where there are several."""
    at = ", ".join(f"{row[f'peak_{axis}']:+.0f}" for axis in "xyz")
    text = (
        f"{row['score']}: n {row['n']}; step: {row['unit']}\n{row['voxels_below_05']} of {row['voxels']} voxels"
        f" p < .05, smallest p {row['smallest_p']:.2g}; peak {row['peak_region']} ({at} mm)"
    )
    for table in alike:
        same = table[table["score"] == row["score"]]
        if len(whole := same[(same["kind"] == "all") & (same["status"] == "ok")]):
            pairs = same.loc[(same["kind"] == "pair") & (same["status"] == "ok"), "r"]
            text += f"\n{whole['seeds'].iloc[0]} seeds: r of the maps {pairs.min():.2f} to {pairs.max():.2f}"
            text += f" ({whole['reason'].iloc[0]})" if whole["reason"].iloc[0] else ""
        elif len(same):
            text += f"\nover seeds: {same['status'].iloc[0]}"
    return text


def _read(maps: Path, jacobian: Path, score: str) -> dict[str, np.ndarray]:
    """Volumes (x, y, z) of one score: map, p, mean of its decoded ends, and the change of local volume in percent."""

    def image(path: Path) -> np.ndarray:
        return np.asarray(nib.Nifti1Image.from_filename(path).dataobj, np.float32)

    found = {end: image(maps / f"{in_file(score)}_{end}.nii.gz") for end in ("map", "p", "from", "to")}
    change = 100 * np.expm1(image(jacobian / f"{in_file(score)}_logjacobian.nii.gz"))
    return {"map": found["map"], "p": found["p"], "mean": (found["from"] + found["to"]) / 2, "percent": change}


def _voxel(affine: np.ndarray, row: dict[Any, Any]) -> tuple[int, ...]:
    peak = [row[f"peak_{axis}"] for axis in "xyz"]
    return tuple(np.rint(apply_affine(np.linalg.inv(affine), peak)).astype(int))


def _outline(axis: Axes, inside: np.ndarray) -> None:
    if inside.any() and not inside.all():
        axis.contour(inside.astype(float), levels=[0.5], colors="black", linewidths=0.7)


def _words(axes: list[Axes], text: str) -> None:
    for axis in axes:
        axis.set_axis_off()
    axes[0].text(0, 0.5, text, fontsize=8, va="center")


def _bars(axis: Axes, parts: pd.DataFrame, grown: pd.DataFrame, most: int, any_voxel: bool) -> None:
    """Mean map of the top regions with their intervals, blue where 0 lies outside, and the volume's change as text.

    All grey where no voxel passes: the intervals know nothing of the number of regions.
    """
    top = parts.sort_values("rank").head(most)
    volume = grown.set_index("index")["percent"]
    middle, low, high = (top[column].to_numpy(float) for column in ("map", "low", "high"))
    at = np.arange(len(top))
    sure = ((low > 0) | (high < 0)) & any_voxel
    axis.barh(at, middle, height=0.6, color=np.where(sure, BLUE, GREY), alpha=0.55)
    axis.hlines(at, low, high, color="black", linewidth=1)
    axis.axvline(0, color=GREY, linewidth=0.8)
    names = [
        f"{SIDES.get(row.hemisphere, '')}{row.region} ({volume.get(row.index, np.nan):+.0f} %)"
        for row in top.itertuples(index=False)
    ]
    axis.set_yticks(at, names, fontsize=7)
    axis.set_ylim(len(top) - 0.4, -0.6)
    axis.tick_params(axis="x", labelsize=7)
