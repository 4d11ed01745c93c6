"""Affines: ITK's files, the columns that later serve as confounds, and headers whose axes are not at right angles."""

from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.io import loadmat, savemat
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

AXES = "xyz"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's axes point left, posterior, superior
STRAIGHT = 1e-4  # radians off right angles that ANTs takes as they are


def read_itk(path: Path) -> np.ndarray:
    """Read ITK's `.mat` affine as a 4 x 4 matrix in RAS mm; ITK itself is LPS and turns about a centre.

    The matrix takes points of the fixed image (template) to points of the moving one (scan).
    """
    content = loadmat(path)
    name = next(key for key in content if key.startswith(("AffineTransform", "MatrixOffset", "Euler", "Similarity")))
    matrix, shift = content[name].ravel()[:9].reshape(3, 3), content[name].ravel()[9:12]
    centre = content["fixed"].ravel()
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = shift + centre - matrix @ centre
    return LPS @ affine @ LPS


def write_itk(matrix: np.ndarray, path: Path) -> None:
    """Write a 4 x 4 matrix in RAS mm as ITK's `.mat` affine, the inverse of `read_itk`."""
    affine = LPS @ matrix @ LPS
    content = {"AffineTransform_double_3_3": np.append(affine[:3, :3].ravel(), affine[:3, 3])[:, None]}
    savemat(path, content | {"fixed": np.zeros((3, 1))}, format="4")


def straighten(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest affine with axes at right angles, which ITK needs.

    The second value maps its mm to those of the original. Voxel sizes and the image's centre stay. Where the axes are
    at right angles already, nothing changes.
    """
    size = voxel_sizes(affine)
    cosines = affine[:3, :3] / size
    if np.abs(cosines.T @ cosines - np.eye(3)).max() < STRAIGHT:
        return affine, np.eye(4)
    straight = np.eye(4)
    straight[:3, :3] = polar(cosines)[0] * size
    centre = (np.array(shape[:3]) - 1) / 2
    straight[:3, 3] = apply_affine(affine, centre) - straight[:3, :3] @ centre
    return straight, affine @ np.linalg.inv(straight)


def columns(affine: np.ndarray) -> dict[str, float]:
    """Return rotation (degrees), translation (mm), scale and shear of x_scan = T R S x_template, about the MNI origin.

    A head that is 10 % larger than the template has scale 1.10; one turned by +5 degrees about x (RAS, right-handed)
    has rotation_x 5; one shifted 6 mm to the right has translation_x 6. S is upper triangular with scales on the
    diagonal and shears as multiples of them above it; angles are of Rz Ry Rx.
    """
    linear = affine[:3, :3]
    stretch = np.linalg.cholesky(linear.T @ linear).T
    rotation = Rotation.from_matrix(linear @ np.linalg.inv(stretch)).as_euler("xyz", degrees=True)
    scale = np.diag(stretch)
    shear = stretch / scale[:, None]
    values = {f"rotation_{a}": rotation[i] for i, a in enumerate(AXES)}
    values |= {f"translation_{a}": affine[i, 3] for i, a in enumerate(AXES)}
    values |= {f"scale_{a}": scale[i] for i, a in enumerate(AXES)}
    values |= {"head_size": np.cbrt(np.prod(scale))}
    values |= {"shear_xy": shear[0, 1], "shear_xz": shear[0, 2], "shear_yz": shear[1, 2]}
    return {name: round(float(value), 6) for name, value in values.items()}
