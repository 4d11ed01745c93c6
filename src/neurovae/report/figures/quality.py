"""Slices of every scan with the outline of the template's mask, worst registration first."""

from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd

from neurovae.preprocess.names import in_space
from neurovae.report.figures.drawing import ORANGE, save, slices

COLUMNS = 4


def draw(*, qc: Path, derivatives: Path, suffix: str, voxel_mm: float, most: int, out: Path) -> None:
    """Draw the scans with the lowest correlation to the template.

    Args:
        qc: quality table.
        derivatives: folder of the BIDS derivatives.
        suffix: BIDS suffix of the images.
        voxel_mm: voxel size of the grid.
        most: number of scans shown.
        out: PNG to write.
    """
    table = pd.read_parquet(qc)
    shown = table[table["status"] == "ok"].sort_values("template_r").head(most)
    lines = int(np.ceil(max(len(shown), 1) / COLUMNS))
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(3.2 * COLUMNS, 1.55 * lines), squeeze=False, constrained_layout=True
    )
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, row in zip(axes.ravel(), shown.to_dict("records"), strict=False):
        image = nib.Nifti1Image.from_filename(
            in_space(derivatives, row["scan"], voxel_mm, f"desc-brain_{suffix}.nii.gz")
        ).get_fdata()
        mask = (
            nib.Nifti1Image.from_filename(
                in_space(derivatives, row["scan"], voxel_mm, "desc-brain_mask.nii.gz")
            ).get_fdata()
            >= 0.5
        )
        top = float(np.percentile(image[mask], 99.5))
        axis.imshow(slices(image), cmap="gray", vmin=0, vmax=top)
        axis.contour(slices(mask.astype(float)), levels=[0.5], colors=[ORANGE], linewidths=0.6)
        note = f"{row['scan']}  r {row['template_r']:.2f}  Dice {row['mask_dice']:.2f}"
        axis.set_title(note + ("  EXCLUDED" if row["excluded"] else ""), fontsize=7, loc="left")
    passed = int((~table["excluded"]).sum())
    figure.suptitle(f"{passed} of {len(table)} scans pass; the {len(shown)} least like the template, brain outlined")
    save(figure, out)
