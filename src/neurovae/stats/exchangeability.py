"""Which rows may change places under the null, and the permutations that follow.

Winkler et al. 2015 (exchangeability blocks): score constant within person, whole persons change places, among those
with equally many sessions; score that varies over sessions, within the person; with several sites never across them.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import gammaln

LEAST = 1000  # fewer distinct permutations than this: not tested, since no p below 1 / LEAST could be believed


def rule(site: np.ndarray) -> str:
    """The rule for one row per person, in words."""
    return "people within site" if len(set(site)) > 1 else "people"


def site_strata(site: np.ndarray) -> np.ndarray:
    """Codes of the sites, (n,): rows of one code change places."""
    return np.unique(np.asarray(site, str), return_inverse=True)[1]


def too_few(strata: np.ndarray) -> str:
    """Why a test by permutation within these strata makes no sense, or nothing. strata: (n,) codes."""
    distinct = float(gammaln(np.unique(strata, return_counts=True)[1] + 1.0).sum())
    if distinct >= np.log(LEAST) - 1e-9:
        return ""
    return f"{round(np.exp(distinct))} distinct permutations of {len(strata)} rows, {LEAST} are needed"


def plan(draws: int, size: int, seed: int) -> list[tuple[int, np.random.SeedSequence]]:
    """Blocks of at most `size` draws, each with its own seed, so that their order and threads change nothing."""
    counts = [min(size, draws - start) for start in range(0, draws, size)]
    return list(zip(counts, np.random.SeedSequence(seed).spawn(len(counts)), strict=True))


def shuffle(strata: np.ndarray, count: int, seed: int | np.random.SeedSequence) -> np.ndarray:
    """Row indices (count, n), each row a permutation within the strata; strata: (n,) codes.

    Strata of one size are drawn together, so that thousands of people with two scans each cost no loop over people.
    """
    rng = np.random.default_rng(seed)
    index = np.tile(np.arange(len(strata), dtype=np.int32), (count, 1))
    grouped = np.argsort(strata, kind="stable")
    sizes = np.unique(strata, return_counts=True)[1]
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 1]):
        rows = grouped[starts[sizes == size][:, None] + np.arange(size)]  # (strata of this size, size)
        drawn = rng.permuted(np.broadcast_to(np.arange(size), (count, *rows.shape)), axis=-1)
        index[:, rows.ravel()] = np.take_along_axis(rows[None], drawn, axis=-1).reshape(count, -1)
    return index


def blocks(strata: np.ndarray, draws: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """The same, `draws` in blocks (at most size, n): ten thousand draws of a large cohort are never held at once."""
    for count, sequence in plan(draws, size, seed):
        yield shuffle(strata, count, sequence)


def person_strata(person: np.ndarray, site: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the people (n,), and per person a code of who may take his place: as many rows, at the same sites."""
    code, people = pd.factorize(np.asarray(person, str))
    where = np.zeros(len(code), str) if site is None else np.asarray(site, str)
    kinds = [tuple(where[code == k]) for k in range(len(people))]
    return code, pd.factorize(pd.Series(kinds, dtype=object))[0]


def whole_people(person: np.ndarray, site: np.ndarray | None, draws: int, seed: int) -> np.ndarray:
    """Row indices (draws, n): people change places with all their rows, the order of the rows within a person stays.

    A person takes the place of one with as many rows and, where site is given, the same sites. person, site: (n,).
    """
    code, kinds = person_strata(person, site)
    order = shuffle(kinds, draws, seed)  # (draws, people)
    index = np.empty((draws, len(code)), np.int32)
    for kind in np.unique(kinds):
        people = np.flatnonzero(kinds == kind)
        rows = np.array([np.flatnonzero(code == k) for k in people], np.int32)  # (people, sessions)
        place = np.zeros(len(kinds), np.int32)
        place[people] = np.arange(len(people))
        index[:, rows.ravel()] = rows[place[order[:, people]]].reshape(draws, -1)
    return index


def within_people(person: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Row indices (draws, n): the rows of a person change places among themselves. person: (n,)."""
    return shuffle(site_strata(person), draws, seed)
