"""z of every voxel and region for each held-out person, from a norm that is cross-fitted over groups of people."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import ndimage

from neurovae.errors import InputError
from neurovae.norm import estimate
from neurovae.norm.held_out import HeldOut

BLOCK = 2**22  # numbers at a time


class Scans:
    """Packed volumes of some scans, in their order, read one at a time where they are indexed."""

    def __init__(self, array: np.ndarray, table: pd.DataFrame, scans: pd.Series) -> None:
        self.array, self.rows = array, pd.Index(table["scan"]).get_indexer(scans)
        if (self.rows < 0).any():
            raise InputError("packed volumes lack scans that have latents; rerun with --forcerun pack")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self.array[self.rows[row]])


def learnt_from(people: HeldOut, k: int) -> np.ndarray:
    """Whose the norm of group k is, (people,): the reference of other groups, without a sex that few of them have."""
    others = people.reference & (people.group != k)
    sex = people.table["sex_of"].to_numpy(str)
    return others & estimate.known(sex, sex[others])


def normed(people: HeldOut) -> np.ndarray:
    """Whether the norm of each person's group holds for the person's sex, (people,)."""
    sex, found = people.table["sex_of"].to_numpy(str), np.zeros(len(people.table), bool)
    for k in np.unique(people.group):
        found |= (people.group == k) & np.isin(sex, sex[learnt_from(people, int(k))])
    return found


def crossfit(values: np.ndarray, people: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """z and its standard error, (people, variables) each, single precision; missing for people without a norm.

    values: (people, variables), in blocks of variables in double precision.
    """
    age, sex = people.table["age_of"].to_numpy(float), people.table["sex_of"].to_numpy(str)
    z, error = np.full((2, *values.shape), np.nan, np.float32)
    has_norm, learnt = normed(people), {k: learnt_from(people, int(k)) for k in np.unique(people.group)}
    width = max(1, BLOCK // len(values))
    for start in range(0, values.shape[1], width):
        part = slice(start, start + width)
        y = np.asarray(values[:, part], np.float64)
        for k, others in learnt.items():
            here = (people.group == k) & has_norm
            if not here.any():
                continue
            norm = estimate.fit(y[others], age[others], sex[others])
            z[here, part] = estimate.z(norm, y[here], age[here], sex[here])
            error[here, part] = estimate.error_of_z(norm, z[here, part], age[here], sex[here])
    return z, error


def sizes(people: HeldOut) -> dict[int, int]:
    """Number of reference people in the norm of each group."""
    return {int(k): int(learnt_from(people, int(k)).sum()) for k in np.unique(people.group)}


def residuals(volumes: Scans, decoded: Callable[[int], np.ndarray], mask: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Scan minus its reconstruction (people, voxels), single precision.

    Args:
        volumes: of the people.
        decoded: from a fold to the reconstructions of its people, (people of the fold, voxels).
        mask: (x, y, z).
        fold: of the model of each person.
    """
    found = np.empty((len(fold), int(mask.sum())), np.float32)
    for k in np.unique(fold):
        rows = np.flatnonzero(fold == k)
        for row, reconstruction in zip(rows, decoded(int(k)), strict=True):
            found[row] = volumes[row][mask].astype(np.float32) - reconstruction
    return found


def voxels(volumes: Scans, mask: np.ndarray) -> np.ndarray:
    """Scans (people, voxels), single precision."""
    return np.stack([volumes[row][mask].astype(np.float32) for row in range(len(volumes))])


def smoothed(values: np.ndarray, mask: np.ndarray, fwhm_voxels: float) -> np.ndarray:
    """Smoothed values (people, voxels), weighted within the mask so that its rim does not darken. FWHM in voxels."""
    sigma = fwhm_voxels / np.sqrt(8 * np.log(2))
    if not sigma:
        return values
    found, volume = np.empty_like(values), np.zeros(mask.shape, np.float32)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="constant")[mask]
    for row, one in enumerate(values):
        volume[mask] = one
        found[row] = ndimage.gaussian_filter(volume, sigma, mode="constant")[mask] / weight
    return found


def region_means(values: np.ndarray, labels: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Mean of each region (people, regions) of values (people, voxels). labels: (voxels,); index: of the regions."""
    return np.stack([values[:, labels == one].mean(axis=1, dtype=np.float64) for one in index], axis=1)
