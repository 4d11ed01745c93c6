"""Planted shapes for the manifold methods."""

import numpy as np

SHAPE = (12, 14, 12)


MASK = np.zeros(SHAPE, dtype=bool)
MASK[1:11, 2:12, 1:11] = True


FIELDS = np.random.default_rng(7).normal(size=(6, *SHAPE))


def spiral(people: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volumes along a spiral of one turn and a half in the plane of two fields, their splits, and the way along it."""
    rng = np.random.default_rng(1)
    way = rng.permutation(np.arange(people) + rng.uniform(0, 1, people)) / people
    angle = np.pi * np.sqrt(1 + 15 * way)  # one to four half turns, about evenly dense
    plane = (angle * np.array([np.cos(angle), np.sin(angle)])).T
    volumes = np.tensordot(plane, FIELDS[:2], 1) + 0.2 * rng.normal(size=(people, *SHAPE))
    return volumes.astype(np.float16), np.array(["training", "training", "test"] * (people // 3)), way
