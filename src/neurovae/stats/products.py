"""Products of scans with each other, on which every method that is linear in voxels depends alone."""

import numpy as np

from neurovae.io.progress import steps

BLOCK = 2**24  # numbers at a time, in double precision


def products(volumes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Products of all scans (scans, scans) over the masked voxels, each voxel minus its mean; a few voxels at a time.

    volumes: (scans, x, y, z), memory-mapped or not; memory is that of the result and of BLOCK numbers.
    """
    flat, in_mask = volumes.reshape(len(volumes), -1), np.flatnonzero(mask)
    gram = np.zeros((len(volumes), len(volumes)))
    step = max(1, BLOCK // len(volumes))
    for i in steps(range(0, len(in_mask), step), "voxels", len(in_mask)):
        part = flat[:, in_mask[i : i + step]].astype(np.float64)
        part -= part.mean(axis=0)
        gram += part @ part.T
    return gram


def centred(gram: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products of training scans (train, train) and of test with training scans, about the mean of the training scans.

    gram: products of all scans about any point (scans, scans); train, test: positions.
    """
    among, across = gram[np.ix_(train, train)], gram[np.ix_(test, train)]
    columns, total = among.mean(axis=0), among.mean()
    return (
        among - columns - columns[:, None] + total,
        across - columns - across.mean(axis=1, keepdims=True) + total,
    )
