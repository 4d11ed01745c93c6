"""Every voxel of decoded volumes against a score: max-T across voxels, with the machinery and the draws of `associate`.

`associate.maxt` lets the rows of the latents change places; with 230,000 voxels it is cheaper to move what stands
against them. Row index[i] of the voxels at place i is the score of place i at row index[i], so that each statistic is
a matrix product with voxels that stay. Of a permutation only the largest statistic counts: single precision finds the
voxels that come near it, and double precision decides among these.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from neurovae.stats.exchangeability import plan, shuffle
from neurovae.stats.maxt import TIE, Batch, batch
from neurovae.stats.rao import Null

STATISTICS = 2**18  # draws x voxels in one block, which the processor's cache holds
VALUES = 2**23  # people x voxels in one block
NEAR = 1e-3  # relative: how near the largest a single-precision statistic has to come to be computed again
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
        for part in parts(volumes.shape[1], VALUES // max(len(rows), 1)):
            values = np.asarray(volumes[rows, part], np.float64)
            data = batch(values, x, [null])
            is_varying = varying(values, data.latents)
            if not is_varying.any():
                continue
            data = replace(data, latents=data.latents[:, is_varying])
            statistic[part][is_varying] = statistics(data, np.arange(len(rows))[None, :])[0, 0]
            maxima = parallel(delayed(partial(_largest, data, strata))(*job) for job in jobs)
            np.maximum(largest, np.concatenate(maxima), out=largest)
    p = exceedance(np.abs(statistic), largest)
    return Voxels(statistic, np.where(statistic == 0, 1.0, p), largest)


def parts(voxels: int, size: int) -> Iterator[slice]:
    """Blocks of at most `size` voxels."""
    size = max(size, 1)
    return (slice(start, min(start + size, voxels)) for start in range(0, voxels, size))


def varying(values: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Whether something of a voxel is left beside the confounds, (voxels,). values, residuals: (n, voxels)."""
    return np.asarray(residuals.std(axis=0) > STILL * (np.abs(values).mean(axis=0) + values.std(axis=0)))


def statistics(data: Batch, index: np.ndarray) -> np.ndarray:
    """`associate.maxt.statistics` with the scores on the move, (draws, scores, voxels); index: (draws, n)."""
    draws, (n, voxels) = len(index), data.latents.shape
    statistic, columns = [], data.basis.shape[1]
    if len(data.gaussian):
        kept_squares = _kept(data, index)
        r = _move(data.gaussian, index) @ data.latents
        r /= np.sqrt(kept_squares.reshape(-1, 1) * np.square(data.latents).sum(axis=0))
        statistic.append((r * np.sqrt((n - columns - 1) / (1 - r**2))).reshape(draws, -1, voxels))
    if len(data.score):
        information = _move(data.weight, index) @ np.square(data.latents)
        information = information.reshape(draws, len(data.score), voxels)
        for factor in np.moveaxis(data.factor.reshape(len(data.score), -1, n), 1, 0):  # (scores, n)
            information -= np.square(_move(factor, index) @ data.latents).reshape(information.shape)
        top = (_move(data.score, index) @ data.latents).reshape(information.shape)
        statistic.append(top / np.sqrt(information))
    return np.concatenate(statistic, axis=1)


def exceedance(observed: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """p of max-T: (b + 1) / (m + 1), b of the m draws whose largest statistic is as large; observed: (voxels,) >= 0."""
    below = np.searchsorted(np.sort(largest), observed * (1 - TIE), side="left")
    return np.asarray((len(largest) - below + 1) / (len(largest) + 1))


def _largest(data: Batch, strata: np.ndarray, count: int, sequence: np.random.SeedSequence) -> np.ndarray:
    """Largest |statistic| of the one score over voxels, of each draw (draws,)."""
    index = shuffle(strata, count, sequence)
    best, candidates = np.zeros(count), _single(data)
    rough = _rough(candidates, index)
    for part in parts(candidates.latents.shape[1], STATISTICS // count):
        rough_values = rough(candidates.latents[:, part])
        bar = (1 - NEAR) * np.maximum(rough_values.max(axis=1), best)
        draws, near = np.divmod(np.flatnonzero(~(rough_values < bar[:, None])), rough_values.shape[1])
        np.maximum.at(best, draws, np.abs(_exact(data, index[draws], part.start + near)))
    return best


def _single(data: Batch) -> Batch:
    """The same in single precision, with voxels of length one."""
    unit = data.latents / np.sqrt(np.square(data.latents).sum(axis=0))
    return Batch(*(part.astype(np.float32) for part in (unit, data.basis, data.gaussian, data.score, data.weight,
                                                        data.factor)))  # fmt: skip


def _rough(data: Batch, index: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from voxels (n, voxels) to |statistics| (draws, voxels) of the one score; nan where there is none."""
    n, columns = data.basis.shape
    if len(data.gaussian):
        score, kept_squares = _move(data.gaussian, index), _kept(data, index)

        def gaussian(z: np.ndarray) -> np.ndarray:
            r = score @ z
            np.square(r, out=r)
            r /= kept_squares
            return np.sqrt(r / (1 - r) * np.float32(n - columns - 1))

        return gaussian
    score, weight = _move(data.score, index), _move(data.weight, index)
    factors = [_move(factor[None], index) for factor in data.factor]

    def other(z: np.ndarray) -> np.ndarray:
        information, product = weight @ np.square(z), np.empty((len(index), z.shape[1]), np.float32)
        for factor in factors:
            np.matmul(factor, z, out=product)
            information -= np.square(product, out=product)
        np.abs(np.matmul(score, z, out=product), out=product)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(product / np.sqrt(information, out=information))

    return other


def _exact(data: Batch, index: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Statistic of the one score in pairs of a draw and a voxel, (pairs,). index: (pairs, n); voxels: (pairs,)."""
    z = data.latents[index, voxels[:, None]]  # (pairs, n)
    if len(data.gaussian):
        r = z @ data.gaussian[0] / np.sqrt(_kept(data, index)[:, 0] * np.square(data.latents[:, voxels]).sum(axis=0))
        return np.asarray(r * np.sqrt((z.shape[1] - data.basis.shape[1] - 1) / (1 - r**2)))
    information = np.square(z) @ data.weight[0] - np.square(z @ data.factor.T).sum(axis=1)
    return np.asarray(z @ data.score[0] / np.sqrt(information))


def _kept(data: Batch, index: np.ndarray) -> np.ndarray:
    """Squared residual of the permuted scores on the confounds, (draws, scores)."""
    permuted = np.einsum("sn,dnq->dsq", data.gaussian, data.basis[index])
    return np.asarray(np.square(data.gaussian).sum(axis=1) - np.square(permuted).sum(axis=2))


def _move(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values (k, n) at their permuted rows, (draws x k, n): column index[i] of a draw holds column i."""
    shape = (len(index), *values.shape)
    permuted = np.empty(shape, values.dtype)
    np.put_along_axis(permuted, np.broadcast_to(index[:, None, :], shape), np.broadcast_to(values, shape), axis=2)
    return permuted.reshape(-1, values.shape[1])
