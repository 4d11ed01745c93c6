"""Which place of a map of latents is associated with which score: tests drawn where their latents stand."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask, read_volumes
from neurovae.report.figures.brains import located, mean_image, outline, overlay, voxel
from neurovae.report.figures.drawing import save, sentence
from neurovae.report.results import LEVEL, titled
from neurovae.report.text import plain, region

AXES = {"i": "x_mm", "j": "y_mm", "k": "z_mm"}


def draw(*, index: Path, tests: Path, mask: Path, volumes: Path, rows: Path, name: str, out: Path) -> None:
    """Draw a row per score: the statistic of each latent in its cell, slices through the smallest max-T p.

    Of several channels at a point, the statistic of largest magnitude is shown. Outlined: max-T p < .05.

    Args:
        index: latent_index.parquet of a map of latents.
        tests: permute.parquet of the same model.
        mask: the fixed mask.
        volumes: packed volumes, of whose mean the background is made.
        rows: table of their rows.
        name: the model, for the title.
        out: PNG to write.
    """
    found = read_parquet(tests)
    verdict = titled(name, found["verdict"].iloc[0])
    known = found[found["status"] == "ok"].merge(read_parquet(index).query("role == 'map'"), on="latent")
    if known.empty:
        reasons = ", ".join(sorted(set(found["reason"].dropna().astype(str)) - {""}))
        save(sentence(f"{verdict}: no latent of the map was tested\n{reasons}"), out)
        return
    brain, affine, array = read_mask(mask), read_image(mask).affine, read_volumes(volumes, rows)[0]
    background = mean_image(array, brain)
    scores, limit = list(dict.fromkeys(known["score"])), float(known["statistic"].abs().max())
    figure, axes = plt.subplots(
        len(scores), 1, figsize=(7.6, 2.5 * len(scores) + 0.6), squeeze=False, layout="constrained"
    )
    for axis, score in zip(axes[:, 0], scores, strict=True):
        own = known[known["score"] == score]
        statistic, significant = painted(own, brain, affine)
        best = strongest(own)
        at = voxel(affine, [best[mm] for mm in AXES.values()])
        drawn = overlay(axis, background, statistic, brain, at, limit)
        outline(axis, significant & brain, at)
        located(axis, brain.shape, at, affine)
        axis.set_title(_said(score, best), fontsize=8, loc="left", pad=3)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, aspect=25, pad=0.01)
    bar.set_label("test statistic of the latent at this place", fontsize=8)
    said = f"{verdict}: where latents are associated with each score (outlined: max-T p < {LEVEL:g})"
    figure.suptitle(said, fontsize=9)
    save(figure, out)


def strongest(rows: pd.DataFrame) -> dict[Any, Any]:
    """The test with the smallest max-T p; of several, the one with the largest statistic."""
    ranked = rows.assign(size=-rows["statistic"].abs()).sort_values(["p_maxt", "size"], kind="stable")
    return ranked.to_dict("records")[0]


def painted(rows: pd.DataFrame, brain: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Statistic of each voxel's cell and whether its max-T p is below .05, both (x, y, z); 0 where there is no latent.

    Args:
        rows: tests of one score, with point and place of each latent.
        brain: the mask, for its shape.
        affine: of the mask, voxel to mm.
    """
    statistic, significant = np.zeros(brain.shape), np.zeros(brain.shape, bool)
    half = side(rows) / np.abs(affine[0, 0]) / 2
    middles = apply_affine(np.linalg.inv(affine), rows[list(AXES.values())].to_numpy(float))
    by_size = np.argsort(rows["statistic"].abs().to_numpy(), kind="stable")  # the largest is painted last
    for at in by_size:
        cell = tuple(slice(round(m - half + 0.5), round(m + half + 0.5)) for m in middles[at])
        statistic[cell] = rows["statistic"].iloc[at]
        significant[cell] |= bool(rows["p_maxt"].iloc[at] < LEVEL)
    return statistic, significant


def side(rows: pd.DataFrame) -> float:
    """Distance, in mm, between neighbouring points: that of the axis along which there are most of them."""
    axis = max(AXES, key=lambda one: rows[one].nunique())
    points, mm = rows[axis].astype(float), rows[AXES[axis]]
    return float((mm.max() - mm.min()) / max(points.max() - points.min(), 1))


def _said(score: str, best: dict[Any, Any]) -> str:
    place = ", ".join(f"{best[mm]:+.0f}" for mm in AXES.values())
    where = "" if pd.isna(best["region"]) else f"{region(best['region'])}; "
    return f"{plain(score)}: {best['latent']}, max-T p = {best['p_maxt']:.2g}\n{where}{place} mm"
