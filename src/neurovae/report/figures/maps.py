"""Score maps: decoded intensity, local volume, and the regions with the largest effects.

Colour is the activation pattern per step of the score (Haufe et al. 2014), outlines are max-T p < .05, corrected across
voxels; the change of volume comes from registering the volumes decoded at both ends of the score, and is not tested.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from neurovae.interpret.images import in_file
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.report.figures.brains import located, outline, overlay, voxel
from neurovae.report.figures.drawing import BLUE, GREY, save, sentence
from neurovae.report.figures.finding import HIGHEST, read_map
from neurovae.report.results import LEVEL, titled
from neurovae.train.health.verdicts import FORWARD

SIDES = {"left": "L ", "right": "R "}


def draw(
    *,
    maps: Path,
    table: Path,
    regions: Path,
    jacobian: Path | None,
    volumes: Path | None,
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
        jacobian: folder of log-Jacobians; None: of a forward model, which has none.
        volumes: jacobian.tsv, or None.
        mask: the fixed mask.
        name: the model, for the title.
        out: PNG to write.
        seeds: seeds.parquet of the model and fold, or none.
        most: number of regions per score.
    """
    rows, parts = read_parquet(table), read_parquet(regions)
    grown = _grown(volumes)
    alike = [read_parquet(path) for path in seeds]
    tested = rows[rows["status"] == "ok"]
    if tested.empty:
        text = [f"{row.score}: {row.status}, {row.reason}" for row in rows.itertuples() if not pd.isna(row.score)]
        text = text or [f"{rows['status'].iloc[0]}, {rows['reason'].iloc[0]}"]
        save(sentence("\n".join([f"{name}: {rows['verdict'].iloc[0]}, no score maps", *text])), out)
        return
    brain, affine = read_mask(mask), read_image(mask).affine
    images = {score: _read(maps, jacobian, score) for score in tested["score"]}
    panels = ("map", "percent") if jacobian else ("map",)
    limits = [
        float(np.median([np.percentile(np.abs(found[what][brain]), HIGHEST) for found in images.values()])) or 1.0
        for what in panels
    ]  # shared, so that a score that moves nothing stays grey
    heights = [1.0 if row.status == "ok" else 0.25 for row in rows.itertuples()]
    widths = [1.15, 1.15, 1] if jacobian else [1.4, 1]
    figure = plt.figure(figsize=(14, 2.1 * sum(heights) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(rows) + 1, len(widths), height_ratios=[*heights, 0.06], width_ratios=widths)
    shown: list[ScalarMappable] = []
    for k, row in enumerate(rows.to_dict("records")):
        axes = [figure.add_subplot(grid[k, column]) for column in range(len(widths))]
        if row["status"] != "ok":
            _words(axes, f"{row['score']}: {row['status']}, {row['reason']}")
            continue
        found = images[row["score"]]
        place = voxel(affine, [row[f"peak_{axis}"] for axis in "xyz"])
        shown = [
            overlay(axis, found["mean"], found[what], brain, place, limit)
            for axis, what, limit in zip(axes[:-1], panels, limits, strict=True)
        ]
        outline(axes[0], (found["p"] < LEVEL) & brain, place)
        for axis in axes[:-1]:
            located(axis, brain.shape, place, affine)
        axes[0].set_title(title(row, alike), fontsize=8, loc="left")
        if row["score"] == tested["score"].iloc[0]:
            beside = " (brackets: change in volume)" if jacobian else ""
            axes[-1].set_title(f"mean of the map{beside}", fontsize=8, loc="left")
        _bars(
            axes[-1],
            parts[parts["score"] == row["score"]],
            None if grown is None else grown[grown["score"] == row["score"]],
            most,
            row["smallest_p"] < LEVEL,
        )
    labels = (
        f"change in {'decoded' if jacobian else 'predicted'} intensity for the contrast of the score\noutlines: "
        f"max-T p < {LEVEL:g}, corrected across voxels",
        "local volume change (%), 5th to 95th percentile of the\nscore (binary: between the groups; not tested)",
    )[: len(panels)]
    for column, (image, label) in enumerate(zip(shown, labels, strict=True)):
        cax = figure.add_subplot(grid[-1, column])
        figure.colorbar(image, cax=cax, orientation="horizontal", label=label, extend="both")
    figure.suptitle(
        f"{titled(name, tested['verdict'].iloc[0])}: score maps, adjusted for confounds\n{_by_forward(tested)}"
        "slices through the largest |statistic|; right: mean map value and 95 % CI of the regions with the largest "
        "mean |statistic|, "
        f"grey where the interval includes 0 or no voxel of the map has max-T p < {LEVEL:g}",
        fontsize=10,
    )
    save(figure, out)


def title(row: dict[Any, Any], alike: list[pd.DataFrame]) -> str:
    """Score, participants, contrast, smallest p, peak, and agreement across seeds where there are several."""
    at = ", ".join(f"{row[f'peak_{axis}']:+.0f}" for axis in "xyz")
    text = (
        f"{row['score']}: n = {row['n']}; contrast: {row['unit']}\n{row['voxels_below_05']} of {row['voxels']} voxels "
        f"with max-T p < {LEVEL:g}, smallest p = {row['smallest_p']:.2g}; peak: {row['peak_region']} ({at} mm)"
    )
    for table in alike:
        same = table[table["score"] == row["score"]]
        if len(whole := same[(same["kind"] == "all") & (same["status"] == "ok")]):
            pairs = same.loc[(same["kind"] == "pair") & (same["status"] == "ok"), "r"]
            text += f"\n{whole['seeds'].iloc[0]} seeds: correlation of the maps {pairs.min():.2f} to {pairs.max():.2f}"
            text += f" ({whole['reason'].iloc[0]})" if whole["reason"].iloc[0] else ""
        elif len(same) and same["status"].iloc[0] != "one seed":
            text += f"\nacross seeds: {same['status'].iloc[0]}"
    return text


def _by_forward(tested: pd.DataFrame) -> str:
    """A line that says so where no decoder but a forward model turned latents into voxels."""
    if tested["mapped_by"].iloc[0] != FORWARD:
        return ""
    explained = 100 * tested["variance_explained_test"].iloc[0]
    return f"{FORWARD}, which explains {explained:.1f} % of the variance of scans in the test set\n"


def _grown(volumes: Path | None) -> pd.DataFrame | None:
    """The table of volume changes, if there is one."""
    if volumes is None:
        return None
    return pd.read_csv(volumes, sep="\t", keep_default_na=False, na_values=["n/a"], dtype={"score": object})


def _read(maps: Path, jacobian: Path | None, score: str) -> dict[str, np.ndarray]:
    """Volumes (x, y, z) of one score: map, p, mean of its decoded ends, and the change in local volume in percent."""
    if jacobian is None:
        return read_map(maps, score)
    path = jacobian / f"{in_file(score)}_logjacobian.nii.gz"
    change = np.asarray(read_image(path).dataobj, np.float32)
    return read_map(maps, score) | {"percent": 100 * np.expm1(change)}


def _words(axes: list[Axes], text: str) -> None:
    for axis in axes:
        axis.set_axis_off()
    axes[0].text(0, 0.5, text, fontsize=8, va="center")


def _bars(axis: Axes, parts: pd.DataFrame, grown: pd.DataFrame | None, most: int, any_voxel: bool) -> None:
    """Mean of the map in the top regions with 95 % CI, blue where it excludes 0, and any change of volume as text.

    All grey where no voxel passes: the intervals are not corrected for the number of regions.
    """
    top = parts.sort_values("rank").head(most)
    volume = {} if grown is None else grown.set_index("index")["percent"]
    middle, low, high = (top[column].to_numpy(float) for column in ("map", "low", "high"))
    at = np.arange(len(top))
    sure = ((low > 0) | (high < 0)) & any_voxel
    axis.barh(at, middle, height=0.6, color=np.where(sure, BLUE, GREY), alpha=0.55)
    axis.hlines(at, low, high, color="black", linewidth=1)
    axis.axvline(0, color=GREY, linewidth=0.8)
    names = [
        f"{SIDES.get(row.hemisphere, '')}{row.region}"
        + ("" if grown is None else f" ({volume.get(row.index, np.nan):+.0f} %)")
        for row in top.itertuples(index=False)
    ]
    axis.set_yticks(at, names, fontsize=7)
    axis.set_ylim(len(top) - 0.4, -0.6)
    axis.tick_params(axis="x", labelsize=7)
