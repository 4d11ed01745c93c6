"""Residual misalignment of a registered brain with the template, independent of the size of structures."""

import numpy as np
from scipy.ndimage import gaussian_filter

from neurovae.preprocess.grid import CENTRE

SMOOTHED_MM = 8.0  # full width of the Gaussian applied to both images; sets the range of the linear step
FWHM = 2.3548
PASSES = 2  # the second with the intensity curve of the first
TINY = 1e-30  # standard deviation of an image of one value


def misalignment_mm(data: np.ndarray, template: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> float:
    """Root mean square displacement, in mm over the mask, of the rigid movement that would still improve the match.

    The scan is modelled as a cubic of the template's intensity, moved by six small rigid parameters: one least-squares
    step (Gauss-Newton). The cubic takes up contrast; a structure that is larger or smaller than the template's
    leaves a residual on both of its sides, and so little movement. Large errors (over some 6 mm) are
    underestimated, but stay large.

    Args:
        data: intensities of the registered brain on the grid.
        template: the template's.
        mask: the fixed mask (bool).
        affine: voxel to mm of the grid.
    """
    voxel_mm = np.abs(np.diag(affine)[:3])
    smooth = [gaussian_filter(image.astype(np.float64), SMOOTHED_MM / FWHM / voxel_mm) for image in (data, template)]
    scan, target = (image[mask] for image in smooth)
    scan, target = ((values - values.mean()) / max(values.std(), TINY) for values in (scan, target))
    slope = np.stack(np.gradient(smooth[1], *voxel_mm), axis=-1)[mask] / smooth[1][mask].std()
    points = np.argwhere(mask) * np.diag(affine)[:3] + affine[:3, 3] - CENTRE
    motions = np.hstack([slope, np.cross(points, slope)])  # by 1 mm along, and by 1 radian about, each axis
    curve = target[:, None] ** np.arange(4)
    b = _least_squares(curve, scan)
    for _ in range(PASSES):
        curve_slope = b[1] + 2 * b[2] * target + 3 * b[3] * target**2
        b = _least_squares(np.hstack([curve, motions * curve_slope[:, None]]), scan)
    displacement = b[4:7] + np.cross(b[7:], points)
    return float(np.sqrt((displacement**2).sum(axis=1).mean()))


def _least_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients by the normal equations, which need no copy of x (n, columns)."""
    coef: np.ndarray = np.linalg.lstsq(x.T @ x, x.T @ y, rcond=None)[0]
    return coef
