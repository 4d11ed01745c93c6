"""Which rows may change places under the null, and the permutations that follow.

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

LEAST = 1000  # fewer distinct permutations than this: not tested, since no p below 1 / LEAST could be believed
EQUAL = 9  # digits of a value, relative to the largest, in which two that change places are the same


def rule(site: np.ndarray, family: np.ndarray | None = None) -> str:
    """The rule for one row per person, in words."""
    who = "people" if family is None else "whole families of equal size"
    return f"{who} within site" if len(set(site)) > 1 else who


def site_strata(site: np.ndarray) -> np.ndarray:
    """Codes of the sites, (n,): rows of one code change places."""
    return np.unique(np.asarray(site, str), return_inverse=True)[1]


def family_strata(kinds: np.ndarray, family: np.ndarray | None) -> np.ndarray:
    """Strata of rows that change places within their kind, whole families at a time where families are given.

    A family takes the place of one whose members have the same kinds in the same order. kinds, family: (n,) codes.
    """
    if family is None:
        return kinds
    block = pd.factorize(family)[0]
    makeup = pd.Series(kinds).groupby(block).agg(tuple)  # by block
    return np.column_stack([pd.factorize(makeup)[0][block], block])


def too_few(strata: np.ndarray, values: np.ndarray | None = None) -> str:
    """Why a test by permutation within these strata makes no sense, or nothing.

    Arrangements of `values` (n,) or (n, columns) that look the same are counted once.
    """
    kinds, rows = _blocks(strata)
    same = np.arange(len(kinds)) if values is None else _alike(kinds, rows, values)
    logarithm = float(gammaln(np.unique(kinds, return_counts=True)[1] + 1.0).sum())
    logarithm -= float(gammaln(np.unique(same, return_counts=True)[1] + 1.0).sum())
    if logarithm >= np.log(LEAST) - 1e-9:
        return ""
    many = round(np.exp(logarithm))
    return f"{many} distinct permutation{'s' * (many != 1)} of {len(strata)} rows, {LEAST} are needed"


def plan(draws: int, size: int, seed: int | list[int]) -> list[tuple[int, np.random.SeedSequence]]:
    """Blocks of at most `size` draws, each with its own seed, so that their order and threads change nothing."""
    counts = [min(size, draws - start) for start in range(0, draws, size)]
    return list(zip(counts, np.random.SeedSequence(seed).spawn(len(counts)), strict=True))


def shuffle(strata: np.ndarray, count: int, seed: int | np.random.SeedSequence) -> np.ndarray:
    """Row indices (count, n), each row a permutation within the strata.

    Kinds with as many blocks are drawn together, so that thousands of people with two scans each cost no loop over
    people.
    """
    rng = np.random.default_rng(seed)
    kinds, rows = (strata, []) if strata.ndim == 1 else _blocks(strata)
    order = np.tile(np.arange(len(kinds), dtype=np.int32), (count, 1))
    grouped = np.argsort(kinds, kind="stable")
    sizes = np.unique(kinds, return_counts=True)[1]
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 1]):
        places = grouped[starts[sizes == size][:, None] + np.arange(size)]  # (kinds of this size, size)
        drawn = rng.permuted(np.broadcast_to(np.arange(size), (count, *places.shape)), axis=-1)
        order[:, places.ravel()] = np.take_along_axis(places[None], drawn, axis=-1).reshape(count, -1)
    if strata.ndim == 1:
        return order
    index = np.empty((count, len(strata)), np.int32)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        table = np.array([rows[k] for k in mine], np.int32)  # (blocks of this kind, rows of a block)
        place = np.searchsorted(mine, order[:, mine])
        index[:, table.ravel()] = table[place].reshape(count, -1)
    return index


def resample(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row indices of a bootstrap: within the strata, whole families at a time. (n,)."""
    if strata.ndim == 1:
        return np.concatenate([rng.choice(rows, len(rows)) for rows in map(np.flatnonzero, _members(strata))])
    kinds, rows = _blocks(strata)
    drawn = np.concatenate([rng.choice(blocks, len(blocks)) for blocks in map(np.flatnonzero, _members(kinds))])
    return np.concatenate([rows[k] for k in drawn])


def blocks(strata: np.ndarray, draws: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """The same, `draws` in blocks (at most size, n): ten thousand draws of a large cohort are never held at once."""
    for count, sequence in plan(draws, size, seed):
        yield shuffle(strata, count, sequence)


def _members(codes: np.ndarray) -> np.ndarray:
    return np.asarray(codes[None, :] == np.unique(codes)[:, None])


def _blocks(strata: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The kind of each block, and its rows."""
    if strata.ndim == 1:
        return strata, [*np.arange(len(strata))[:, None]]
    codes, first = np.unique(strata[:, 1], return_index=True)
    grouped = np.argsort(strata[:, 1], kind="stable")
    return strata[first, 0], np.split(grouped, np.cumsum(np.bincount(strata[:, 1]))[:-1]) if len(codes) else []


def _alike(kinds: np.ndarray, rows: list[np.ndarray], values: np.ndarray) -> np.ndarray:
    """A code per block: the same for blocks of one kind that hold the same values."""
    values = values.reshape(len(values), -1)
    digits = np.round(values / (np.abs(values).max(initial=0.0) or 1.0), EQUAL) + 0.0  # no minus zero
    keys = [(kind, digits[of].tobytes()) for kind, of in zip(kinds, rows, strict=True)]
    return pd.factorize(pd.Series(keys, dtype=object))[0]
