"""Statistics of all latents and scores under one permutation, a block of permutations at a time, as matrix products.

Row i of the permuted data has score i, confounds i and, as its latents, the residuals of row index[i]. For Gaussian
scores the same pairs with the residual of the score on the move: Freedman & Lane 1983.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from neurovae.io.progress import steps
from neurovae.stats.exchangeability import plan, shuffle
from neurovae.stats.rao import Null

ELEMENTS = 2**20  # people x latents x permutations in one block
TIE = 1e-9  # relative: statistics this close are the same one, computed in another order


@dataclass(frozen=True)
class Batch:
    """Scores that share people and confounds, stacked; Gaussian ones first."""

    latents: np.ndarray  # (n, latents) residuals on the confounds
    basis: np.ndarray  # (n, q) orthonormal, of the confounds
    gaussian: np.ndarray  # (Gaussian scores, n) residuals
    score: np.ndarray  # (other scores, n) s / sqrt(phi)
    weight: np.ndarray  # (other scores, n)
    factor: np.ndarray  # (other scores x parameters, n)


@dataclass(frozen=True)
class Exceeded:
    """What the permutations gave, scores x latents."""

    alone: np.ndarray  # permutations whose statistic of that test was as large, (scores, latents)
    largest: np.ndarray  # (permutations, scores): largest statistic over the latents


def batch(z: np.ndarray, x: np.ndarray, nulls: list[Null]) -> Batch:
    """Stack scores with the same confounds x (n, q), Gaussian ones first, and the latents z (n, latents)."""
    n, q = len(x), np.linalg.qr(x)[0]
    others = [found for found in nulls if not found.gaussian]
    width = max((found.factor.shape[1] for found in others), default=0)
    padded = [np.pad(found.factor, ((0, 0), (0, width - found.factor.shape[1]))).T for found in others]
    return Batch(
        z - q @ (q.T @ z),
        q,
        np.array([found.residual for found in nulls if found.gaussian]).reshape(-1, n),
        np.array([found.residual / np.sqrt(found.phi) for found in others]).reshape(-1, n),
        np.array([found.weight for found in others]).reshape(-1, n),
        np.concatenate(padded) if padded else np.empty((0, n)),
    )


def statistics(data: Batch, index: np.ndarray) -> np.ndarray:
    """Signed t or score statistics (draws, scores, latents) of permuted rows; index: (draws, n)."""
    draws, (n, latents) = len(index), data.latents.shape
    z = np.take(data.latents, index.T, axis=0).reshape(n, draws * latents)
    found = []
    if len(data.gaussian):
        moved = data.gaussian @ np.take(data.basis, index.T, axis=0).reshape(n, -1)
        left = np.square(data.gaussian).sum(axis=1)[:, None] - np.square(
            moved.reshape(len(data.gaussian), draws, -1)
        ).sum(axis=2)  # (scores, draws): squared residual of the permuted score on the confounds
        top = (data.gaussian @ z).reshape(-1, draws, latents)
        r = top / np.sqrt(left[:, :, None] * np.square(data.latents).sum(axis=0))
        found.append(r * np.sqrt((n - data.basis.shape[1] - 1) / (1 - r**2)))
    if len(data.score):
        taken = np.square(data.factor @ z).reshape(len(data.score), -1, draws * latents).sum(axis=1)
        top = data.score @ z
        np.square(z, out=z)
        found.append((top / np.sqrt(data.weight @ z - taken)).reshape(-1, draws, latents))
    return np.concatenate(found).swapaxes(0, 1)


def exceed(
    batches: list[Batch],
    strata: np.ndarray,
    permutations: int,
    seed: int | list[int],
    threads: int = 1,
    seen: list[np.ndarray] | None = None,
) -> list[Exceeded]:
    """The same permutations for every batch: how often each test was exceeded, and the largest over its latents.

    seen: (scores, latents) of each batch, what is to be exceeded if it is not the statistics of the batch itself.
    """
    tests = [partial(statistics, data) for data in batches]
    return draw(tests, strata, at_once(*batches[0].latents.shape), permutations, seed, threads, seen)


def joined(parts: list[list[Exceeded]]) -> list[Exceeded]:
    """What several runs of other permutations gave, of each batch."""
    return [_gather((one.alone, one.largest) for one in same) for same in zip(*parts, strict=True)]


def at_once(n: int, latents: int) -> int:
    """Permutations in one block."""
    return max(ELEMENTS // (n * max(latents, 1)), 1)


def draw(
    tests: Sequence[Callable[[np.ndarray], np.ndarray]],
    strata: np.ndarray,
    size: int,
    permutations: int,
    seed: int | list[int],
    threads: int = 1,
    seen: list[np.ndarray] | None = None,
) -> list[Exceeded]:
    """The same of any statistics (draws, scores, latents) of row indices (draws, n).

    strata: (n,); size: permutations in a block. The same strata, size and seed give the same draws.
    """
    identity = np.arange(len(strata))[None, :]
    bars = [np.abs(one) * (1 - TIE) for one in seen or [test(identity)[0] for test in tests]]

    def block(count: int, sequence: np.random.SeedSequence) -> list[tuple[np.ndarray, np.ndarray]]:
        index = shuffle(strata, count, sequence)
        drawn = [np.abs(test(index)) for test in tests]
        return [((one >= first).sum(axis=0), one.max(axis=2)) for one, first in zip(drawn, bars, strict=True)]

    parts = steps(plan(permutations, size, seed), "permutations", permutations)
    jobs = Parallel(n_jobs=threads, prefer="threads")(delayed(block)(*part) for part in parts)
    return [_gather(part[k] for part in jobs) for k in range(len(tests))]


def maxt(seen: np.ndarray, found: Exceeded) -> tuple[np.ndarray, np.ndarray]:
    """p alone and p of max-T over the latents; seen: (scores, latents) observed statistics."""
    bar = np.abs(seen) * (1 - TIE)
    above = np.array([(found.largest[:, [j]] >= bar[j]).sum(axis=0) for j in range(len(bar))])
    return (found.alone + 1) / (len(found.largest) + 1), (above + 1) / (len(found.largest) + 1)


def minp(largest: np.ndarray, seen: np.ndarray, p: np.ndarray) -> np.ndarray:
    """p of min-P over scores: in each draw the smallest of the scores' p of the largest statistic (Westfall & Young).

    largest: (permutations, scores); seen: (scores,) largest observed; p: (tests,) of max-T, to be corrected.
    """
    everything = np.vstack([seen, largest])
    ordered = np.sort(everything, axis=0)
    rows = len(everything)
    each = [
        rows - np.searchsorted(ordered[:, j], everything[1:, j] * (1 - TIE), side="left")
        for j in range(everything.shape[1])
    ]
    smallest = np.sort(np.min(each, axis=0))  # (permutations,) in units of 1 / rows
    return np.asarray((1 + np.searchsorted(smallest, p * rows + 0.5)) / rows)


def _gather(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Exceeded:
    alone, largest = zip(*parts, strict=True)
    return Exceeded(np.sum(alone, axis=0), np.concatenate(largest))
