"""Noise and sharpness of a scan in its own space, nearly independent of anatomy and contrast.

The mean over the standard deviation in white matter (`snr`) is no such measure: partial volume, atrophy and the bias
field change it as much as noise does. Both numbers here are ratios of intensities, so that gain does not matter, and
both are taken inside the brain mask, so that they exist for skull-stripped scans too.
"""

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, minimum_filter

FWHM = 2.3548  # full width at half maximum of a Gaussian, in standard deviations
DEPTH_MM = 6.0  # noise: at least this far inside the brain mask
SMOOTHED_MM = 3.0  # noise: full width of the Gaussian that is applied before flat tissue is sought
FLAT = 0.3  # noise: the flattest part of the bright deep voxels
MARGIN = 3  # sharpness: voxels inside the brain mask that the filters reach across
RIM_MM = 25.0  # sharpness: cortex and sulci, above the ventricles
EDGES = 0.3  # sharpness: the steepest part of the rim's voxels
STEEP, DIRECTION, COARSE = 2.0, 1.5, 1.0  # sharpness: standard deviations in voxels of the gradients it uses
MIN_VOXELS = 100  # with fewer, neither is measured


def image_quality(data: np.ndarray, mask: np.ndarray, voxel_mm: np.ndarray) -> dict[str, float | None]:
    """Measure `noise` and `sharpness` inside a brain mask; None where too little tissue is left to measure.

    Args:
        data: intensities (x, y, z), as scanned.
        mask: the brain (bool), same shape.
        voxel_mm: voxel size along each axis.
    """
    voxel_mm = np.asarray(voxel_mm, float)
    planes_with_brain = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(max(int(planes[0]) - 6, 0), int(planes[-1]) + 7) for planes in planes_with_brain)
    data, mask = data[box].astype(np.float32), mask[box]
    depth = distance_transform_edt(mask, sampling=voxel_mm)
    sd, tissue = noise(data, mask, depth, voxel_mm)
    measures = {"noise": sd / tissue, "sharpness": sharpness(data, mask, depth, voxel_mm, np.nan_to_num(sd))}
    return {name: None if np.isnan(value) else round(value, 5) for name, value in measures.items()}


def noise(data: np.ndarray, mask: np.ndarray, depth: np.ndarray, voxel_mm: np.ndarray) -> tuple[float, float]:
    """Standard deviation of the noise, and the intensity of bright flat tissue (white matter in T1w).

    The standard deviation is the median absolute deviation of the finest diagonal wavelet coefficients (Haar,
    undecimated), divided by .6745 (Donoho and Johnstone 1994). Each coefficient is a difference along all three axes,
    so that boundaries and gradients along one or two of them cancel. Flat tissue is brighter than the brain's median,
    deep inside the mask, and has a small relative gradient. `depth`: distance in mm to the outside of the mask.
    """
    smooth = gaussian_filter(data, SMOOTHED_MM / FWHM / voxel_mm)
    bright = (depth > DEPTH_MM) & (smooth > max(float(np.median(data[mask])), 0.0))
    if np.count_nonzero(bright) < MIN_VOXELS:
        return np.nan, np.nan
    slope = np.sqrt(sum(g**2 for g in np.gradient(smooth, *voxel_mm)))
    relative = np.divide(slope, smooth, out=np.full_like(smooth, np.inf), where=bright)
    flat = relative <= np.quantile(relative[bright], FLAT)
    detail = data
    for axis in range(3):
        detail = np.diff(detail, axis=axis) / np.sqrt(2)
    all_flat = minimum_filter(flat, size=2, origin=-1)[:-1, :-1, :-1]  # all eight voxels of a coefficient are flat
    if np.count_nonzero(all_flat) < MIN_VOXELS:
        return np.nan, np.nan
    return float(np.median(np.abs(detail[all_flat])) / 0.6745), float(np.median(data[flat]))


def sharpness(data: np.ndarray, mask: np.ndarray, depth: np.ndarray, voxel_mm: np.ndarray, noise_sd: float) -> float:
    """Ratio of the slope of tissue boundaries at one voxel to that after smoothing; blur, as by motion, lowers it.

    The slope of the regression of the fine gradient (central difference) on the coarse one (Gaussian filter of one
    voxel), across the steepest boundaries of the brain's outer 25 mm. What noise of `noise_sd` adds to both sums is
    subtracted. Position and direction of the boundaries come from smoother gradients, which noise hardly
    affects. An isolated ideal boundary has 1.73 whatever its contrast. The number compares scans of one voxel size; it
    is no resolution in mm.
    """
    rim = binary_erosion(mask, iterations=MARGIN) & (depth < RIM_MM)
    if np.count_nonzero(rim) * EDGES < MIN_VOXELS:
        return np.nan
    steep = _length(_gradient(data, STEEP, voxel_mm))
    smooth = _gradient(data, DIRECTION, voxel_mm)
    edge = rim & (steep >= np.quantile(steep[rim], 1 - EDGES)) & (_length(smooth) > 0)
    normal = smooth[:, edge] / _length(smooth[:, edge])
    fine = (np.stack(np.gradient(data, *voxel_mm))[:, edge] * normal).sum(axis=0)
    coarse = (_gradient(data, COARSE, voxel_mm)[:, edge] * normal).sum(axis=0)
    impulse = np.zeros((21, 21, 21))
    impulse[10, 10, 10] = 1
    fine_response, coarse_response = np.stack(np.gradient(impulse, *voxel_mm)), _gradient(impulse, COARSE, voxel_mm)
    noise_sum = noise_sd**2 * len(fine) / 3  # of each of the three directions
    cross_sum, coarse_sum = (
        fine @ coarse - noise_sum * (fine_response * coarse_response).sum(),
        coarse @ coarse - noise_sum * (coarse_response**2).sum(),
    )
    return float(cross_sum / coarse_sum) if coarse_sum > 0 else np.nan


def _length(vectors: np.ndarray) -> np.ndarray:
    """Length (...) of vectors (3, ...)."""
    length: np.ndarray = np.sqrt((vectors**2).sum(axis=0))
    return length


def _gradient(data: np.ndarray, voxels: float, voxel_mm: np.ndarray) -> np.ndarray:
    """Gradient (3, x, y, z) per mm after a Gaussian filter of so many of the largest voxels."""
    orders = np.eye(3, dtype=int)
    sd = voxels * float(np.max(voxel_mm)) / voxel_mm
    return np.stack([gaussian_filter(data, sd, order=orders[axis]) / voxel_mm[axis] for axis in range(3)])
