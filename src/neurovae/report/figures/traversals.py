"""What the strongest latents draw: decoded volumes along each, what changes in colour (the tutorial's figure 3)."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from nibabel.affines import apply_affine

from neurovae.io.volumes import read_mask
from neurovae.report.figures.drawing import save

COLOURS = "RdBu_r"  # diverging, colour-blind safe (ColorBrewer)
SHOWN = 0.15  # of the largest change: what is smaller leaves the grey visible
SOLID = 0.5  # share of the largest change from which the colour hides the grey


def draw(*, table: Path, maps: Path, mask: Path, tests: list[Path], name: str, most: int = 5, out: Path) -> None:
    """Draw the latents with the smallest max-T p of any score (no tests: with the largest change), a row each.

    Columns are the quantiles; the slices are those in which the latent changes most.

    Args:
        table: traversals.parquet.
        maps: folder of the traversals.
        mask: the fixed mask.
        tests: permute.parquet, or none.
        name: the model, for the title.
        most: number of latents.
        out: PNG to write.
    """
    rows = pd.read_parquet(table)
    if (rows["status"] != "ok").all():
        nothing(f"{name}: {rows['verdict'].iloc[0]}, no traversals\n{rows['reason'].iloc[0]}", out)
        return
    chosen = strongest(rows, [pd.read_parquet(path) for path in tests])[:most]
    brain, affine = read_mask(mask), nib.Nifti1Image.from_filename(mask).affine
    told = [_read(maps, row["latent"]) for row in chosen]
    limit = max(float(np.percentile(np.abs(change[brain]), 99.8)) for _, change, _ in told)
    quantiles = told[0][2]["Quantiles"]
    size = (2.75 * len(quantiles) + 0.4, 1.25 * len(chosen) + 0.6)
    figure, axes = plt.subplots(len(chosen), len(quantiles), figsize=size, squeeze=False, layout="constrained")
    for line, row, (volumes, change, fields) in zip(axes, chosen, told, strict=True):
        place = busiest(change[..., -1] - change[..., 0], brain)
        for frame, axis in enumerate(line):
            image = overlay(axis, volumes[..., frame], change[..., frame], brain, place, limit)
            axis.set_title(f"{100 * quantiles[frame]:g} %: {fields['Values'][frame]:+.2f}", fontsize=8, pad=2)
        at = ", ".join(f"{mm:+.0f}" for mm in apply_affine(affine, place))
        line[0].set_ylabel(f"{row['latent']}\n{row['text']}\n{at} mm", fontsize=7, rotation=0, ha="right", va="center")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, pad=0.01)
    bar.set_label("change from the cohort's centre\n(voxel values as normalised)", fontsize=8)
    figure.suptitle(
        f"{name} ({rows['verdict'].iloc[0]}): decoded along each latent from the cohort's lowest to highest quantile",
        fontsize=10,
    )
    save(figure, out)


def strongest(rows: pd.DataFrame, tests: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """Latents, strongest first, each with a text that says by what. rows: latent x region; tests: of their scores."""
    latents = rows.drop_duplicates("latent").set_index("latent")[["order", "fraction_of_change"]]
    best = pd.DataFrame(columns=["latent", "score", "p_maxt"])
    if tests:
        found = pd.concat(tests, ignore_index=True)
        found = found[(found["status"] == "ok") & found["latent"].isin(latents.index)]
        best = found.assign(size=-found["statistic"].abs()).sort_values(["p_maxt", "size"], kind="stable")
    listed = []
    for row in best.drop_duplicates("latent").to_dict("records"):
        listed.append({"latent": row["latent"], "text": f"{row['score']}: p {row['p_maxt']:.2g}"})
    for latent, row in latents.sort_values("order").iterrows():
        if latent not in {done["latent"] for done in listed}:
            listed.append({"latent": latent, "text": f"{100 * row['fraction_of_change']:.0f} % of decoded change"})
    return listed


def busiest(change: np.ndarray, brain: np.ndarray) -> tuple[int, ...]:
    """Per axis the slice with the largest sum of squares of a change (x, y, z), of those that show half a brain."""
    squares, found = np.square(change, dtype=np.float64), []
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        area = brain.sum(axis=others)
        found.append(int(np.where(area >= area.max() / 2, squares.sum(axis=others), -1).argmax()))
    return tuple(found)


def views(volume: np.ndarray, place: tuple[int, ...], outside: float = 0.0) -> np.ndarray:
    """Axial, coronal and sagittal slice through a voxel, side by side; left is left."""
    x, y, z = place
    planes = [volume[:, :, z].T[::-1], volume[:, y, :].T[::-1], volume[x, :, :].T[::-1]]
    height = max(plane.shape[0] for plane in planes)
    padded = [np.pad(plane, (((height - len(plane)) // 2, -(-(height - len(plane)) // 2)), (0, 0)),
                     constant_values=outside) for plane in planes]  # fmt: skip
    return np.concatenate(padded, axis=1)


def overlay(
    axis: Axes, volume: np.ndarray, change: np.ndarray, brain: np.ndarray, place: tuple[int, ...], limit: float
) -> ScalarMappable:
    """Grey volume with the change in colour, the more opaque the larger; slices through `place`."""
    low, high = np.percentile(volume[brain], [1, 99.5])
    grey = views(np.where(brain, volume, low), place, float(low))
    axis.imshow(grey, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    values = views(np.where(brain, change, 0), place)
    strength = np.abs(values) / limit
    alpha = np.clip((strength - SHOWN) / (SOLID - SHOWN), 0, 1)
    image = axis.imshow(values, cmap=COLOURS, vmin=-limit, vmax=limit, alpha=alpha, interpolation="nearest")
    axis.set(xticks=[], yticks=[], frame_on=False)
    return ScalarMappable(norm=image.norm, cmap=image.cmap)  # a colour bar without the alpha


def nothing(text: str, out: Path) -> None:
    """A picture of one sentence."""
    figure, axis = plt.subplots(figsize=(7, 1.2))
    axis.set_axis_off()
    axis.text(0, 0.5, text, va="center", fontsize=8, wrap=True)
    save(figure, out)


def _read(maps: Path, latent: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Volumes and changes (x, y, z, quantiles) of one latent, and their description."""
    stem = maps / latent
    images = [np.asarray(nib.Nifti1Image.from_filename(f"{stem}{end}.nii.gz").dataobj) for end in ("", "_change")]
    return images[0], images[1], json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
