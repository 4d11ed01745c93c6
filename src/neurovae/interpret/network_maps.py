"""Maps of functional networks from their courses: LASSO (Qiang 2020) and dual regression (Nickerson 2017)."""

import numpy as np
from sklearn.decomposition import sparse_encode

PENALTY = 0.1  # of LASSO, as a correlation: a course alone must exceed it to enter a voxel's model


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1; constant ones are 0."""
    centred = x - x.mean(axis=0)
    spread = centred.std(axis=0)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0))


def lasso(run: np.ndarray, courses: np.ndarray, penalty: float = PENALTY) -> np.ndarray:
    """Coefficients (networks, voxels) of all courses in each voxel, with an L1 penalty; both are standardised.

    Args:
        run: series (volumes, voxels).
        courses: of the networks (volumes, networks).
        penalty: smallest absolute correlation with one course at which a coefficient differs from 0.
    """
    x, z = standardised(run), standardised(courses)
    found = sparse_encode(x.T, np.ascontiguousarray(z.T), algorithm="lasso_cd", alpha=penalty * len(x), max_iter=1000)
    return np.asarray(found.T)


def dual(run: np.ndarray, group: np.ndarray) -> np.ndarray:
    """A person's maps (networks, voxels): group maps give courses, which are regressed on in each voxel.

    Maps are not centred over voxels, so that what all voxels share is kept, and maps that differ from each other by it
    alone stay apart.

    Args:
        run: series (volumes, voxels).
        group: maps of the group (networks, voxels).
    """
    x = standardised(run)
    courses = x @ np.linalg.pinv(group)
    return np.asarray(np.linalg.lstsq(standardised(courses), x, rcond=None)[0])


def similarity(found: np.ndarray, template: np.ndarray) -> np.ndarray:
    """|r| over voxels of maps (networks, voxels) with those of a template (maps, voxels): (networks, maps)."""
    return np.abs(np.corrcoef(found, template)[: len(found), len(found) :])
