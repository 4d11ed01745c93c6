"""Similarity of two latent spaces of the same people: debiased linear CKA, Procrustes, and latents matched by |r|.

CKA: Kornblith 2019, eq. 5, with the unbiased HSIC of Song 2012, eq. 5 (Murphy 2024: the plain one is near 1 for pure
noise where latents outnumber people). Procrustes: Schoenemann 1966. Two spaces (people, latents) may differ in latents.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import t

from neurovae.stats.basis import moves

MATCH = 0.7  # |r| on held-out people below which a latent has no counterpart
CHANCE = 0.05  # fraction of unrelated latents that may seem to have a counterpart
PEOPLE = 4  # the unbiased HSIC is undefined for fewer


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Unbiased HSIC of two Gram matrices (n, n), n > 3; without bias it may be negative."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    middle = k.sum() * m.sum() / ((n - 1) * (n - 2))
    return float((np.sum(k * m) + middle - 2 / (n - 2) * (k.sum(axis=0) @ m.sum(axis=0))) / (n * (n - 3)))


def cka(a: np.ndarray, b: np.ndarray) -> float:
    """The debiased linear CKA of a (n, p) and b (n, q): 1 up to rotation and scale, about 0 for unrelated spaces.

    Missing where a space has no spread beyond its bias.
    """
    k, m = (x @ x.T for x in (a - a.mean(axis=0), b - b.mean(axis=0)))
    norm = hsic(k, k) * hsic(m, m) if hsic(k, k) > 0 and hsic(m, m) > 0 else np.nan
    return hsic(k, m) / float(np.sqrt(norm))


def procrustes(a: np.ndarray, b: np.ndarray) -> float:
    """R2 of a (n, p) predicted from b (n, q) by the best shift, rotation and scale; symmetric in a and b.

    |A'B|*^2 / (|A|^2 |B|^2), |.|* the sum of the singular values. It nears 1 for noise too where latents outnumber
    people: compare it with its value for people in random order.
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    total = np.sum(a**2) * np.sum(b**2)
    return float(np.linalg.norm(a.T @ b, "nuc") ** 2 / total) if total > 0 else np.nan


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation (p, q) of every latent of a (n, p) with every one of b (n, q); 0 for one that does not vary."""
    units = []
    for x in (a, b):
        varying, x = moves(x), x - x.mean(axis=0)
        units.append(np.divide(x, np.linalg.norm(x, axis=0), out=np.zeros_like(x), where=varying))
    r: np.ndarray = units[0].T @ units[1]
    return r


def match(r: np.ndarray, min_r: float = MATCH) -> np.ndarray:
    """Column matched to each row of r (p, q), one to one with the largest sum of |r| >= least; -1: none."""
    strong = np.where(np.abs(r) >= min_r, np.abs(r), 0.0)  # a pair that counts never gives way to two that do not
    rows, columns = linear_sum_assignment(-strong)
    matches = np.full(len(r), -1)
    is_match = strong[rows, columns] > 0
    matches[rows[is_match]] = columns[is_match]
    return matches


def min_people(latents: int) -> int:
    """The number of people above which at most CHANCE of unrelated latents find |r| >= MATCH in `latents` others.

    r of two unrelated normal columns of n people: r sqrt((n - 2) / (1 - r^2)) is t with n - 2 degrees of freedom.
    """
    n = 3
    while 1 - (1 - 2 * t.sf(MATCH * np.sqrt((n - 2) / (1 - MATCH**2)), n - 2)) ** latents > CHANCE:
        n += 1
    return n


def by_chance(a: np.ndarray, b: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    """Return mean Procrustes R2 and number of matched latents over random orders of the people."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(b)) for _ in range(draws)]
    r2 = [procrustes(a, b[order]) for order in orders]
    counts = [int((match(correlations(a, b[order])) >= 0).sum()) for order in orders]
    return float(np.mean(r2)), float(np.mean(counts))
