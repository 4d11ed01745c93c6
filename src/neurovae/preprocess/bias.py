"""Correct the bias field (N4); voxels whose logarithm N4 cannot use are left out of its mask, and counted."""

from typing import Any

import ants
import numpy as np

from neurovae.errors import InputError

MAX_NEGATIVE = 0.1  # fraction of brain voxels below zero above which the image is no magnitude
BRIGHT = 100.0  # times the median of the brain: voxels above are outliers that would stretch N4's histogram
FLAT, UNEVEN = 0.002, 0.02  # log spread: of a field that is flat, of intensities that are not even


def negative_fraction(data: np.ndarray, brain: np.ndarray) -> float:
    """Return the fraction of brain voxels below zero; 0 for a magnitude image as a scanner writes it."""
    return float(np.mean(data[brain] < 0))


def correct(scan: Any, mask: Any, name: str) -> tuple[Any, float]:
    """Return the corrected image (ANTs) and the spread of the field: standard deviation of its logarithm in the brain.

    N4 works on logarithms and leaves values below zero as they are: one voxel in a thousand at -50 among logarithms of
    0 to 8 flattened its field from a spread of .18 to .0005. So voxels below zero, and extremely bright ones, are left
    out of its mask; they are corrected by the field of their neighbours.

    Raises:
        InputError: the image is no magnitude, or N4 found no field although intensities drift across the brain.
    """
    data, brain = scan.numpy(), mask.numpy() > 0
    negative = negative_fraction(data, brain)
    if negative > MAX_NEGATIVE:
        raise InputError(
            f"{name}: {negative:.0%} of brain voxels are below zero, so this is no magnitude image (a phase, real or "
            "imaginary part, MP2RAGE from -.5 to .5, or already normalised); give the magnitude (MP2RAGE: scaled to 0 "
            "and above), or set preprocess.register.bias_field: none"
        )
    usable = brain & (data >= 0) & (data <= BRIGHT * max(float(np.median(data[brain])), 0.0))
    usable_mask = mask if usable.sum() == brain.sum() else mask.new_image_like(usable.astype(np.float32))
    corrected = ants.n4_bias_field_correction(scan, mask=usable_mask)
    spread = field_spread(data, corrected.numpy(), usable)
    if spread < FLAT and drift(data, usable) > UNEVEN:
        raise InputError(
            f"{name}: N4 found no bias field (spread {spread:.1g}), although intensities drift across the brain "
            f"({drift(data, usable):.0%}); look for outliers among the intensities, or set "
            "preprocess.register.bias_field: none"
        )
    return corrected, spread


def field_spread(data: np.ndarray, corrected: np.ndarray, region: np.ndarray) -> float:
    """Standard deviation of the logarithm of the field, original over corrected: .1 is about 10 %."""
    positive = region & (data > 0) & (corrected > 0)
    return float(np.std(np.log(data[positive] / corrected[positive]))) if positive.any() else 0.0


def drift(data: np.ndarray, region: np.ndarray) -> float:
    """Return the standard deviation of the plane that fits the logarithm of the intensities best across the brain."""
    places = np.argwhere(region & (data > 0)).astype(np.float64)
    values = np.log(data[region & (data > 0)].astype(np.float64))
    columns = np.column_stack([np.ones(len(places)), places - places.mean(axis=0)])
    return float(np.std(columns @ np.linalg.lstsq(columns, values, rcond=None)[0]))
