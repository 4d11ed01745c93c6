"""Latent traversals: volumes decoded along the latents with the smallest max-T p, with their change in colour."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.report.figures.brains import busiest, overlay
from neurovae.report.figures.drawing import save, sentence
from neurovae.report.results import titled


def draw(*, table: Path, maps: Path, mask: Path, tests: list[Path], name: str, most: int = 5, out: Path) -> None:
    """Draw the latents with the smallest max-T p of any score (no tests: with the largest change), a row each.

    Columns are quantiles over participants; slices are those in which the volume changes most.

    Args:
        table: traversals.parquet.
        maps: folder of the traversals.
        mask: the fixed mask.
        tests: permute.parquet, or none.
        name: the model, for the title.
        most: number of latents.
        out: PNG to write.
    """
    rows = read_parquet(table)
    if (rows["status"] != "ok").all():
        save(sentence(f"{name}: {rows['verdict'].iloc[0]}, no traversals\n{rows['reason'].iloc[0]}"), out)
        return
    drawn = {path.name for path in maps.glob("*_change.nii.gz")}  # of many latents, some have images
    listed = strongest(rows, [read_parquet(path) for path in tests])
    chosen = [row for row in listed if f"{row['latent']}_change.nii.gz" in drawn][:most]
    brain, affine = read_mask(mask), read_image(mask).affine
    decoded = [_read(maps, row["latent"]) for row in chosen]
    limit = max(float(np.percentile(np.abs(change[brain]), 99.8)) for _, change, _ in decoded)
    quantiles = decoded[0][2]["Quantiles"]
    size = (2.75 * len(quantiles) + 0.4, 1.25 * len(chosen) + 0.6)
    figure, axes = plt.subplots(len(chosen), len(quantiles), figsize=size, squeeze=False, layout="constrained")
    for line, row, (volumes, change, fields) in zip(axes, chosen, decoded, strict=True):
        place = busiest(change[..., -1] - change[..., 0], brain)
        for frame, axis in enumerate(line):
            image = overlay(axis, volumes[..., frame], change[..., frame], brain, place, limit)
            quantile = f"{100 * quantiles[frame]:g}th percentile"
            axis.set_title(f"{quantile}: {fields['Values'][frame]:+.2f}", fontsize=8, pad=2)
        at = ", ".join(f"{mm:+.0f}" for mm in apply_affine(affine, place))
        line[0].set_ylabel(f"{row['latent']}\n{row['text']}\n{at} mm", fontsize=7, rotation=0, ha="right", va="center")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, pad=0.01)
    bar.set_label("difference from the volume decoded at the\ncohort's mean latents (normalised intensity)", fontsize=8)
    figure.suptitle(
        f"{titled(name, rows['verdict'].iloc[0])}: volumes decoded along each latent, from low to high",
        fontsize=10,
    )
    save(figure, out)


def strongest(rows: pd.DataFrame, tests: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """Latents, smallest max-T p first, each with that test. rows: latent x region; tests: of the scores."""
    latents = rows.drop_duplicates("latent").set_index("latent")[["order", "fraction_of_change"]]
    best = pd.DataFrame(columns=["latent", "score", "p_maxt"])
    if tests:
        found = pd.concat(tests, ignore_index=True)
        found = found[(found["status"] == "ok") & found["latent"].isin(latents.index)]
        best = found.assign(size=-found["statistic"].abs()).sort_values(["p_maxt", "size"], kind="stable")
    listed = []
    for row in best.drop_duplicates("latent").to_dict("records"):
        listed.append({"latent": row["latent"], "text": f"{row['score']}: max-T p = {row['p_maxt']:.2g}"})
    for latent, row in latents.sort_values("order").iterrows():
        if latent not in {one["latent"] for one in listed}:
            listed.append({"latent": latent, "text": f"{100 * row['fraction_of_change']:.0f} % of decoded change"})
    return listed


def _read(maps: Path, latent: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Volumes and changes (x, y, z, quantiles) of one latent, and their description."""
    stem = maps / latent
    images = [np.asarray(read_image(f"{stem}{end}.nii.gz").dataobj) for end in ("", "_change")]
    return images[0], images[1], json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
