"""Every voxel of decoded volumes against a score: max-T over voxels, with the machinery and the draws of `associate`.

`associate.maxt` lets the rows of the latents change places; with 230,000 voxels it is cheaper to move what stands
against them. Row index[i] of the voxels at place i is the score of place i at row index[i], so that each statistic is
a matrix product with voxels that stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from neurovae.stats.exchangeability import plan, shuffle
from neurovae.stats.maxt import TIE, Batch, batch
from neurovae.stats.rao import Null

STATISTICS = 2**21  # draws x voxels in one block
VALUES = 2**23  # people x voxels in one block
STILL = 1e-6  # single precision: a voxel that varies less than this share of its size does not vary


@dataclass(frozen=True)
class Voxels:
    """Statistic and family-wise p of each voxel, (voxels,): 0 and 1 where the voxel does not vary."""

    statistic: np.ndarray
    p: np.ndarray
    largest: np.ndarray  # (permutations,) largest |statistic| over voxels


def permute(
    volumes: np.ndarray,
    rows: np.ndarray,
    x: np.ndarray,
    null: Null,
    strata: np.ndarray,
    size: int,
    permutations: int,
    seed: int,
    threads: int = 1,
) -> Voxels:
    """Max-T over the voxels of volumes[rows] for one score.

    volumes: (people, voxels), may be memory-mapped; rows: (n,); x: (n, columns); strata: (n,); size: permutations in a
    block. The same strata, size and seed give the draws of `associate.maxt.draw`.
    """
    jobs = plan(permutations, size, seed)
    statistic, largest = np.zeros(volumes.shape[1]), np.zeros(permutations)
    with Parallel(n_jobs=threads, prefer="threads") as parallel:
        for part in parts(volumes.shape[1], len(rows), min(size, permutations)):
            values = np.asarray(volumes[rows, part], np.float64)
            data = batch(values, x, [null])
            moves = varying(values, data.latents)
            if not moves.any():
                continue
            data = replace(data, latents=data.latents[:, moves])
            statistic[part][moves] = statistics(data, np.arange(len(rows))[None, :])[0, 0]
            found = parallel(delayed(partial(_largest, data, strata))(*job) for job in jobs)
            np.maximum(largest, np.concatenate(found), out=largest)
    p = exceedance(np.abs(statistic), largest)
    return Voxels(statistic, np.where(statistic == 0, 1.0, p), largest)


def parts(voxels: int, people: int, draws: int) -> Iterator[slice]:
    """Blocks of voxels whose values and statistics stay within bounds."""
    size = max(min(STATISTICS // max(draws, 1), VALUES // max(people, 1)), 1)
    return (slice(start, min(start + size, voxels)) for start in range(0, voxels, size))


def varying(values: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Whether something of a voxel is left beside the confounds, (voxels,). values, left: (n, voxels)."""
    return np.asarray(left.std(axis=0) > STILL * (np.abs(values).mean(axis=0) + values.std(axis=0)))


def statistics(data: Batch, index: np.ndarray) -> np.ndarray:
    """`associate.maxt.statistics` with the scores on the move, (draws, scores, voxels); index: (draws, n)."""
    draws, (n, voxels) = len(index), data.latents.shape
    found, columns = [], data.basis.shape[1]
    if len(data.gaussian):
        kept = np.square(data.gaussian).sum(axis=1) - np.square(
            np.einsum("sn,dnq->dsq", data.gaussian, data.basis[index])
        ).sum(axis=2)  # (draws, scores): squared residual of the permuted score on the confounds
        r = _move(data.gaussian, index) @ data.latents
        r /= np.sqrt(kept.reshape(-1, 1) * np.square(data.latents).sum(axis=0))
        found.append((r * np.sqrt((n - columns - 1) / (1 - r**2))).reshape(draws, -1, voxels))
    if len(data.score):
        information = _move(data.weight, index) @ np.square(data.latents)
        information = information.reshape(draws, len(data.score), voxels)
        for factor in np.moveaxis(data.factor.reshape(len(data.score), -1, n), 1, 0):  # (scores, n)
            information -= np.square(_move(factor, index) @ data.latents).reshape(information.shape)
        top = (_move(data.score, index) @ data.latents).reshape(information.shape)
        found.append(top / np.sqrt(information))
    return np.concatenate(found, axis=1)


def exceedance(seen: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """p of max-T: (b + 1) / (m + 1), b of the m draws whose largest statistic is as large; seen: (voxels,) >= 0."""
    below = np.searchsorted(np.sort(largest), seen * (1 - TIE), side="left")
    return np.asarray((len(largest) - below + 1) / (len(largest) + 1))


def _largest(data: Batch, strata: np.ndarray, count: int, sequence: np.random.SeedSequence) -> np.ndarray:
    return np.abs(statistics(data, shuffle(strata, count, sequence))[:, 0]).max(axis=1)


def _move(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values (k, n) at their permuted rows, (draws x k, n): column index[i] of a draw holds column i."""
    shape = (len(index), *values.shape)
    moved = np.empty(shape)
    np.put_along_axis(moved, np.broadcast_to(index[:, None, :], shape), np.broadcast_to(values, shape), axis=2)
    return moved.reshape(-1, values.shape[1])
