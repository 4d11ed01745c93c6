"""Slices of the scans that fit the template worst, with the outline of their brain masks."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.preprocess.names import MASK, in_space
from neurovae.report.figures.brains import grey, outline
from neurovae.report.figures.drawing import ORANGE, save

COLUMNS = 4


def draw(*, qc: Path, derivatives: Path, suffix: str, voxel_mm: float, most: int, out: Path) -> None:
    """Draw the scans with the lowest correlation to the template.

    Args:
        qc: quality table.
        derivatives: folder of the BIDS derivatives.
        suffix: BIDS suffix of the images.
        voxel_mm: voxel size of the grid.
        most: number of scans.
        out: PNG to write.
    """
    table = read_parquet(qc)
    shown = table[table["status"] == "ok"].sort_values("template_r").head(most)
    lines = int(np.ceil(max(len(shown), 1) / COLUMNS))
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(3.2 * COLUMNS, 1.55 * lines), squeeze=False, constrained_layout=True
    )
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, row in zip(axes.ravel(), shown.to_dict("records"), strict=False):
        names = (f"desc-brain_{suffix}.nii.gz", MASK)
        paths = [in_space(derivatives, row["scan"], voxel_mm, end) for end in names]
        image, mask = (np.asarray(read_image(path).dataobj, np.float32) for path in paths)
        grey(axis, image, mask >= 0.5, limits=(0, float(np.percentile(image[mask >= 0.5], 99.5))))
        outline(axis, mask >= 0.5, colour=ORANGE)
        note = f"{row['scan']}: r = {row['template_r']:.2f}, Dice = {row['mask_dice']:.2f}"
        axis.set_title(note + (" (EXCLUDED)" if row["excluded"] else ""), fontsize=7, loc="left")
    passed = int((~table["excluded"]).sum())
    title = f"{passed} of {len(table)} scans passed; the {len(shown)} least correlated with the template"
    figure.suptitle(title, fontsize=10)
    save(figure, out)
