"""The offset of a scan in MNI space from the template, since headers that are wrong by a voxel look right.

The scan is moved along each axis over the template. The measure of agreement is R2: how much of its intensities a
quadratic of the template's explains, so that T1, grey-matter maps and other contrasts can be compared with one
template. The place of its maximum is found between voxels by a parabola.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_dilation

from neurovae.preprocess import grid

if TYPE_CHECKING:  # jobs that run per batch do not need pandas, whose import takes a second
    import pandas as pd

REACH_MM = 8.0  # largest offset that is searched
ROUNDS = 2  # over the three axes
COHORT_MM = {"x": 0.7, "y": 1.0, "z": 1.1}  # medians of 8 `ixi` heads: T1 at most .7, grey-matter maps .9, both in z
OWN_MM = 1.5  # of a scan from the median of the cohort; standard deviations in `ixi` were .05 to .45
MIN_SCANS = 4  # scans from which on a median is taken


def offset(data: np.ndarray, voxel_mm: float) -> dict[str, float]:
    """Return the offset in mm of a scan from the template to the right, front and top, and its length.

    Args:
        data: brain on the grid, zero outside.
        voxel_mm: voxel size of the grid.
    """
    reach = max(1, round(REACH_MM / voxel_mm))
    padded = np.pad(np.asarray(data, dtype=np.float32), 2 * reach)
    shift = np.zeros(3)
    for _ in range(ROUNDS):
        for axis in range(3):
            steps = np.arange(-reach, reach + 1)
            places = np.round(shift).astype(int) * (np.arange(3) != axis) + steps[:, None] * (np.arange(3) == axis)
            r2 = np.array([_agreement(padded, place, voxel_mm, 2 * reach) for place in places])
            shift[axis] = steps[0] + _peak(r2)
    shift_mm = shift * voxel_mm
    by_axis = {f"offset_{axis}": round(float(value), 3) for axis, value in zip("xyz", shift_mm, strict=True)}
    return {**by_axis, "offset": round(float(np.linalg.norm(shift_mm)), 3)}


def offset_warnings(table: "pd.DataFrame") -> list[str]:
    """List offsets in the quality table that suggest a wrong place in MNI space."""
    axes = [f"offset_{axis}" for axis in COHORT_MM]
    if not set(axes) <= set(table.columns):
        return []
    measured = table[table["status"] == "ok"].dropna(subset=axes)
    if len(measured) < MIN_SCANS:
        return []
    median = measured[axes].median()
    median_text = ", ".join(f"{axis} {median[f'offset_{axis}']:+.1f}" for axis in COHORT_MM)
    lines = []
    if any(abs(median[f"offset_{axis}"]) > limit for axis, limit in COHORT_MM.items()):
        lines.append(
            f"the scans do not lie on the template: their median offset is {median_text} mm (right, front, top); "
            "is the header off by a voxel, or were they registered to another template than named?"
        )
    distant = measured[(measured[axes] - median).abs().max(axis=1) > OWN_MM]
    for row in distant.to_dict("records"):
        offset_text = ", ".join(f"{axis} {row[f'offset_{axis}']:+.1f}" for axis in COHORT_MM)
        lines.append(
            f"{row['scan']}: its offset from the template is {offset_text} mm, the cohort's median {median_text} mm"
        )
    return lines[:10] + ([f"and {len(lines) - 10} more scans"] if len(lines) > 10 else [])


def _agreement(padded: np.ndarray, place: np.ndarray, voxel_mm: float, margin: int) -> float:
    """R2 of the scan, read `place` voxels away, on a quadratic of the template."""
    in_rim, basis = _template(voxel_mm)
    x, y, z = (slice(margin + k, margin + k + n) for k, n in zip(place, in_rim.shape, strict=True))
    values = padded[x, y, z][in_rim].astype(np.float64)
    values -= values.mean()
    return float(np.square(basis.T @ values).sum() / max(float(values @ values), 1e-30))


def _peak(values: np.ndarray) -> float:
    """Return the position of the maximum, between samples by the parabola through its neighbours."""
    top = int(np.argmax(values))
    if not 0 < top < len(values) - 1:
        return float(top)
    left, middle, right = values[top - 1 : top + 2]
    second_difference = left - 2 * middle + right
    return top + (0.5 * float(left - right) / float(second_difference) if second_difference < 0 else 0.0)


@lru_cache
def _template(voxel_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the template's brain with a rim, and an orthonormal basis of its T1 and its square (without constant)."""
    rim = binary_dilation(grid.brain_mask(voxel_mm), iterations=max(1, round(4 / voxel_mm)))
    intensity = grid.template(voxel_mm).get_fdata()[rim]
    columns = np.column_stack([np.ones(len(intensity)), intensity, intensity**2])
    return rim, np.linalg.qr(columns)[0][:, 1:]
