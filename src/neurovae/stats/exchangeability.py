"""Which rows are exchangeable under the null, and permutations that respect this.

Winkler et al. 2015 (exchangeability blocks): with one row per person, people of a site change places; a score that is
constant within person moves with whole people, among those with equally many sessions; a score that varies over
sessions moves within the person; relatives move together, whole families among those of equal make-up.

strata: (n,) codes, rows of one code change places; or (n, 2): codes of the kind and of the block of each row, where
blocks of one kind (families) change places as wholes and the order of the rows within a block stays.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import gammaln

MIN_PERMUTATIONS = 1000  # fewer distinct permutations than this: not tested, since no p below 1 / LEAST would be valid
EQUAL = 9  # digits of a value, relative to the largest, in which two that change places are the same


def rule(site: np.ndarray, family: np.ndarray | None = None) -> str:
    """Describe the permutation rule for one row per person in words."""
    units = "people" if family is None else "whole families of equal size"
    return f"{units} within site" if len(set(site)) > 1 else units


def site_strata(site: np.ndarray) -> np.ndarray:
    """Codes of the sites, (n,): rows of one code change places."""
    return np.unique(np.asarray(site, str), return_inverse=True)[1]


def family_strata(kinds: np.ndarray, family: np.ndarray | None) -> np.ndarray:
    """Return strata of exchangeable rows: within their kind, and whole families at a time where families are given.

    A family takes the place of one whose members have the same kinds in the same order. kinds, family: (n,) codes.
    """
    if family is None:
        return kinds
    block = pd.factorize(family)[0]
    makeup = pd.Series(kinds).groupby(block).agg(tuple)  # by block
    return np.column_stack([pd.factorize(makeup)[0][block], block])


def too_few(strata: np.ndarray, values: np.ndarray | None = None) -> str:
    """Return why a permutation test within these strata is not possible, or an empty string.

    Arrangements of `values` (n,) or (n, columns) that look the same are counted once.
    """
    kinds, rows = _blocks(strata)
    alike = np.arange(len(kinds)) if values is None else _alike(kinds, rows, values)
    logarithm = float(gammaln(np.unique(kinds, return_counts=True)[1] + 1.0).sum())
    logarithm -= float(gammaln(np.unique(alike, return_counts=True)[1] + 1.0).sum())
    if logarithm >= np.log(MIN_PERMUTATIONS) - 1e-9:
        return ""
    n_distinct = round(np.exp(logarithm))
    plural = "s" * (n_distinct != 1)
    return f"{n_distinct} distinct permutation{plural} of {len(strata)} rows, {MIN_PERMUTATIONS} are needed"


def plan(draws: int, size: int, seed: int | list[int]) -> list[tuple[int, np.random.SeedSequence]]:
    """Split the draws into blocks of at most `size`, each with its own seed: order and threads change nothing."""
    counts = [min(size, draws - start) for start in range(0, draws, size)]
    return list(zip(counts, np.random.SeedSequence(seed).spawn(len(counts)), strict=True))


def shuffle(strata: np.ndarray, count: int, seed: int | list[int] | np.random.SeedSequence) -> np.ndarray:
    """Draw `count` permutations within the strata as row indices (count, n).

    Kinds with equally many blocks are drawn together, so that thousands of people with two scans each need no loop.
    """
    rng = np.random.default_rng(seed)
    kinds, rows = (strata, []) if strata.ndim == 1 else _blocks(strata)
    order = np.tile(np.arange(len(kinds), dtype=np.int32), (count, 1))
    by_kind = np.argsort(kinds, kind="stable")
    sizes = np.unique(kinds, return_counts=True)[1]
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 1]):
        places = by_kind[starts[sizes == size][:, None] + np.arange(size)]  # (kinds of this size, size)
        permuted = rng.permuted(np.broadcast_to(np.arange(size), (count, *places.shape)), axis=-1)
        order[:, places.ravel()] = np.take_along_axis(places[None], permuted, axis=-1).reshape(count, -1)
    if strata.ndim == 1:
        return order
    index = np.empty((count, len(strata)), np.int32)
    for kind in np.unique(kinds):
        blocks_of_kind = np.flatnonzero(kinds == kind)
        table = np.array([rows[k] for k in blocks_of_kind], np.int32)  # (blocks of this kind, rows of a block)
        place = np.searchsorted(blocks_of_kind, order[:, blocks_of_kind])
        index[:, table.ravel()] = table[place].reshape(count, -1)
    return index


def resample(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one bootstrap as row indices (n,): within the strata, whole families at a time."""
    if strata.ndim == 1:
        return np.concatenate([rng.choice(rows, len(rows)) for rows in map(np.flatnonzero, _members(strata))])
    kinds, rows = _blocks(strata)
    blocks_drawn = np.concatenate([rng.choice(blocks, len(blocks)) for blocks in map(np.flatnonzero, _members(kinds))])
    return np.concatenate([rows[k] for k in blocks_drawn])


def blocks(strata: np.ndarray, draws: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the permutations of `shuffle` in blocks (at most size, n), so that not all draws are in memory at once."""
    for count, sequence in plan(draws, size, seed):
        yield shuffle(strata, count, sequence)


def _members(codes: np.ndarray) -> np.ndarray:
    return np.asarray(codes[None, :] == np.unique(codes)[:, None])


def _blocks(strata: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the kind of each block, and its rows."""
    if strata.ndim == 1:
        return strata, [*np.arange(len(strata))[:, None]]
    codes, first = np.unique(strata[:, 1], return_index=True)
    by_block = np.argsort(strata[:, 1], kind="stable")
    return strata[first, 0], np.split(by_block, np.cumsum(np.bincount(strata[:, 1]))[:-1]) if len(codes) else []


def _alike(kinds: np.ndarray, rows: list[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return a code per block: the same for blocks of one kind that hold the same values."""
    values = values.reshape(len(values), -1)
    digits = np.round(values / (np.abs(values).max(initial=0.0) or 1.0), EQUAL) + 0.0  # no minus zero
    keys = [(kind, digits[of].tobytes()) for kind, of in zip(kinds, rows, strict=True)]
    return pd.factorize(pd.Series(keys, dtype=object))[0]
