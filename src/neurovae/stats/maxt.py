"""Statistics of all latents and scores under one permutation, a block of permutations at a time, as matrix products.

Row i of the permuted data has score i, confounds i and, as its latents, the residuals of row index[i]. For Gaussian
scores this equals permuting the residual of the score: Freedman & Lane 1983.
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
    """Results of the permutations, scores x latents."""

    single: np.ndarray  # permutations whose statistic of that test was as large, (scores, latents)
    largest: np.ndarray  # (permutations, scores): largest statistic over the latents


def batch(z: np.ndarray, x: np.ndarray, nulls: list[Null]) -> Batch:
    """Stack scores with the same confounds x (n, q), Gaussian ones first, and the latents z (n, latents)."""
    n, q = len(x), np.linalg.qr(x)[0]
    others = [null for null in nulls if not null.gaussian]
    width = max((null.factor.shape[1] for null in others), default=0)
    padded = [np.pad(null.factor, ((0, 0), (0, width - null.factor.shape[1]))).T for null in others]
    return Batch(
        z - q @ (q.T @ z),
        q,
        np.array([null.residual for null in nulls if null.gaussian]).reshape(-1, n),
        np.array([null.residual / np.sqrt(null.phi) for null in others]).reshape(-1, n),
        np.array([null.weight for null in others]).reshape(-1, n),
        np.concatenate(padded) if padded else np.empty((0, n)),
    )


def statistics(data: Batch, index: np.ndarray) -> np.ndarray:
    """Signed t or score statistics (draws, scores, latents) of permuted rows; index: (draws, n)."""
    draws, (n, latents) = len(index), data.latents.shape
    z = np.take(data.latents, index.T, axis=0).reshape(n, draws * latents)
    statistic = []
    if len(data.gaussian):
        on_basis = data.gaussian @ np.take(data.basis, index.T, axis=0).reshape(n, -1)
        total = np.square(data.gaussian).sum(axis=1)[:, None] - np.square(
            on_basis.reshape(len(data.gaussian), draws, -1)
        ).sum(axis=2)  # (scores, draws): squared residual of the permuted score on the confounds
        top = (data.gaussian @ z).reshape(-1, draws, latents)
        r = top / np.sqrt(total[:, :, None] * np.square(data.latents).sum(axis=0))
        statistic.append(r * np.sqrt((n - data.basis.shape[1] - 1) / (1 - r**2)))
    if len(data.score):
        explained = np.square(data.factor @ z).reshape(len(data.score), -1, draws * latents).sum(axis=1)
        top = data.score @ z
        np.square(z, out=z)
        statistic.append((top / np.sqrt(data.weight @ z - explained)).reshape(-1, draws, latents))
    return np.concatenate(statistic).swapaxes(0, 1)


def exceed(
    batches: list[Batch],
    strata: np.ndarray,
    permutations: int,
    seed: int | list[int],
    threads: int = 1,
    observed: list[np.ndarray] | None = None,
) -> list[Exceeded]:
    """Permute all batches alike: count how often each test was exceeded, and keep the largest statistics.

    observed: (scores, latents) of each batch, if what is to be exceeded is not the statistics of the batch itself.
    """
    tests = [partial(statistics, data) for data in batches]
    return draw(tests, strata, at_once(*batches[0].latents.shape), permutations, seed, threads, observed)


def joined(parts: list[list[Exceeded]]) -> list[Exceeded]:
    """What several runs of other permutations gave, of each batch."""
    return [_gather((one.single, one.largest) for one in same) for same in zip(*parts, strict=True)]


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
    observed: list[np.ndarray] | None = None,
) -> list[Exceeded]:
    """Permute any statistics (draws, scores, latents) of row indices (draws, n).

    strata: (n,); size: permutations in a block. The same strata, size and seed give the same draws.
    """
    identity = np.arange(len(strata))[None, :]
    bars = [np.abs(one) * (1 - TIE) for one in observed or [test(identity)[0] for test in tests]]

    def block(count: int, sequence: np.random.SeedSequence) -> list[tuple[np.ndarray, np.ndarray]]:
        index = shuffle(strata, count, sequence)
        permuted = [np.abs(test(index)) for test in tests]
        return [
            ((statistic >= bar).sum(axis=0), statistic.max(axis=2))
            for statistic, bar in zip(permuted, bars, strict=True)
        ]

    parts = steps(plan(permutations, size, seed), "permutations", permutations)
    jobs = Parallel(n_jobs=threads, prefer="threads")(delayed(block)(*part) for part in parts)
    return [_gather(part[k] for part in jobs) for k in range(len(tests))]


def maxt(observed: np.ndarray, permuted: Exceeded) -> tuple[np.ndarray, np.ndarray]:
    """Return single-test p and max-T p over the latents. seen: (scores, latents) observed statistics."""
    bar = np.abs(observed) * (1 - TIE)
    above = np.array([(permuted.largest[:, [j]] >= bar[j]).sum(axis=0) for j in range(len(bar))])
    return (permuted.single + 1) / (len(permuted.largest) + 1), (above + 1) / (len(permuted.largest) + 1)


def minp(largest: np.ndarray, observed: np.ndarray, p: np.ndarray) -> np.ndarray:
    """p of min-P over scores: in each draw the smallest p of the scores' largest statistics (Westfall & Young).

    largest: (permutations, scores); observed: (scores,) largest observed; p: (tests,) of max-T, to be corrected.
    """
    all_draws = np.vstack([observed, largest])
    ordered = np.sort(all_draws, axis=0)
    rows = len(all_draws)
    rank = [
        rows - np.searchsorted(ordered[:, j], all_draws[1:, j] * (1 - TIE), side="left")
        for j in range(all_draws.shape[1])
    ]
    smallest = np.sort(np.min(rank, axis=0))  # (permutations,) in units of 1 / rows
    return np.asarray((1 + np.searchsorted(smallest, p * rows + 0.5)) / rows)


def _gather(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Exceeded:
    single, largest = zip(*parts, strict=True)
    return Exceeded(np.sum(single, axis=0), np.concatenate(largest))
