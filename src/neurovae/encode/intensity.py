"""Scale intensities as the card of an encoder says. Before, the image is 0 outside the brain and above 0 inside."""

from typing import Any

import numpy as np

from neurovae.errors import InputError


def scaled(image: np.ndarray, intensity: dict[str, Any]) -> np.ndarray:
    """The image in the intensities that an encoder needs, single precision.

    As MONAI's NormalizeIntensity (zscore), ScaleIntensity (minmax) and ScaleIntensityRangePercentiles (percentiles) do
    it, `voxels: brain` being their nonzero=True.

    Args:
        image: (x, y, z), not negative, 0 outside the brain.
        intensity: of the card.

    Raises:
        InputError: all voxels are alike.
    """
    used = image > 0 if intensity["voxels"] == "brain" else np.ones(image.shape, bool)
    values = image[used].astype(np.float64)
    low, high = _ends(values, intensity)
    if not high > low:
        raise InputError(f"{intensity['rule']} of its voxels finds no contrast; inspect the scan")
    fraction = (image - low) / (high - low)
    if intensity["rule"] != "zscore":
        bottom, top = intensity["range"]
        fraction = bottom + fraction * (top - bottom)
        if intensity["rule"] == "percentiles" and intensity["clip"]:
            fraction = fraction.clip(bottom, top)
    return np.where(used, fraction, 0).astype(np.float32)


def _ends(values: np.ndarray, intensity: dict[str, Any]) -> tuple[float, float]:
    """The values that become 0 and 1 (zscore), or the ends of the range."""
    if not len(values):
        return 0.0, 0.0
    if intensity["rule"] == "zscore":
        return float(values.mean()), float(values.mean() + values.std())
    if intensity["rule"] == "minmax":
        return float(values.min()), float(values.max())
    low, high = np.percentile(values, intensity["percentiles"])
    return float(low), float(high)
