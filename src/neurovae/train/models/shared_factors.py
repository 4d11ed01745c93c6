"""Linear shared and private factors of several blocks: x_m = A_m s + B_m p_m + noise, fitted by EM.

This is inter-battery factor analysis (Tucker 1958; Klami, Virtanen and Kaski 2013) with isotropic noise in each block
and a standard normal prior of s and p_m: the optimum of the linear model whose network starts here. People may lack
blocks. Features are replaced by as many coordinates as there are people, which leaves the likelihood as it is.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, svd

from neurovae.stats.exchangeability import family_strata, shuffle

ITERATIONS = 500
TOLERANCE = 1e-6  # relative change of the noise variances at which EM ends
PERMUTATIONS, LEVEL = 500, 0.95  # of whole people, and the quantile of the largest singular value to exceed
FLOOR = 1e-3  # of the noise variance, as a fraction of the block's mean variance: with few features it may reach 0


class Factors(NamedTuple):
    """Loadings of a block on shared (features, shared) and private latents (features, private), and noise variance."""

    shared: np.ndarray
    private: np.ndarray
    noise: float


class Posterior(NamedTuple):
    """Linear maps (latents, features) from a block to means, and variances (latents,)."""

    shared: np.ndarray  # mean of the expert of s: its product with the prior is the posterior
    shared_variance: np.ndarray
    private: np.ndarray
    private_variance: np.ndarray


def fit(
    blocks: list[np.ndarray], weights: list[float], n_shared: int, n_private: int, people: np.ndarray | None = None
) -> list[Factors]:
    """Loadings of each block, rotated such that the shared latents are as independent as can be, given all blocks.

    Of `n_shared` shared latents only as many have loadings as a permutation supports (`joint_rank`): the others would
    take up what is private.

    Args:
        blocks: centred features (people, features) of the same people; a row of NaN is a person without the block.
        weights: w_m, which multiplies the log-likelihood of the block.
        n_shared, n_private: latents.
        people: of each row, whose scans stay together in the permutation; None: each row is another person.
    """
    wanted = n_shared
    present = np.array([~np.isnan(x).any(axis=1) for x in blocks])
    reduced = [_coordinates(x[has]) for x, has in zip(blocks, present, strict=True)]
    sizes = [x.shape[1] for x in blocks]
    scores = [values for values, _ in reduced]
    n_shared = min(wanted, joint_rank(scores, present, sizes, n_shared + n_private, people))
    loadings, noise = joint_and_individual(scores, present, sizes, n_shared, n_private)
    floors = [FLOOR * np.square(y).sum() / (len(y) * size) for y, size in zip(scores, sizes, strict=True)]
    for _ in range(ITERATIONS):
        new, noise_now = _step(scores, present, sizes, weights, loadings, noise, n_shared)
        noise_now = np.maximum(noise_now, floors)
        change = np.abs(noise_now / noise - 1).max()
        loadings, noise = new, noise_now
        if change < TOLERANCE:
            break
    rotated = _rotated(loadings, noise, weights, n_shared)
    found = zip(rotated, reduced, noise, strict=True)
    padded = ((0, 0), (0, wanted - n_shared))
    return [Factors(np.pad(axes.T @ a, padded), axes.T @ b, float(level)) for (a, b), (_, axes), level in found]


def joint_rank(
    scores: list[np.ndarray], present: np.ndarray, sizes: list[int], most: int, people: np.ndarray | None = None
) -> int:
    """Number of directions that blocks share beyond chance, of people who have all blocks.

    As in AJIVE (Feng 2018): squared singular values of the blocks' leading left singular vectors, side by side, here
    against the largest one after the people of each block were permuted: whole people, with all their scans, among
    those with equally many (Winkler 2015), since scans of one person resemble each other in every block. How many
    vectors of a block lead is found by its singular values, `most` at the utmost.

    Args:
        scores: centred features or coordinates of each block (people with it, features).
        present: which block each person has (blocks, people).
        sizes: number of features of each block.
        most: number of leading vectors that is allowed.
        people: whose each row of `present` is (rows,); None: each row is another person.
    """
    everyone = np.asarray(present.all(axis=0))
    units = np.arange(everyone.sum()) if people is None else np.asarray(people)[everyone]
    strata = family_strata(np.zeros(len(units), int), units)
    whole = [y[everyone[has]] for y, has in zip(scores, present, strict=True)]
    leading = [_leading(y - y.mean(axis=0), size, most) for y, size in zip(whole, sizes, strict=True)]
    if min(u.shape[1] for u in leading) == 0:
        return 0
    observed = np.asarray(svd(np.concatenate(leading, axis=1), compute_uv=False)) ** 2
    orders = [shuffle(strata, PERMUTATIONS, [0, m]) for m in range(len(leading))]
    null = [svd(np.concatenate([u[order[k]] for u, order in zip(leading, orders, strict=True)], axis=1),
                compute_uv=False)[0] ** 2 for k in range(PERMUTATIONS)]  # fmt: skip
    above = observed[: min(u.shape[1] for u in leading)] > np.quantile(null, LEVEL)
    return int(np.count_nonzero(above))


def _leading(y: np.ndarray, size: int, most: int) -> np.ndarray:
    """Left singular vectors (people, vectors) that stand out of noise (Gavish and Donoho 2014, equation 4).

    size: number of features, of which y may hold coordinates.
    """
    u, lengths, _ = svd(y, full_matrices=False)
    few, many = sorted((len(y) - 1, size))
    ratio = few / many
    bound = (0.56 * ratio**3 - 0.95 * ratio**2 + 1.82 * ratio + 1.43) * np.median(lengths[:few])
    return u[:, : min(most, int((lengths > bound).sum()))]


def posterior(found: Factors, weight: float) -> Posterior:
    """What one block says of its latents, its log-likelihood multiplied by w_m.

    The expert of s is N(x; A s, B B' + noise / w) as a function of s, of whose precision the diagonal is kept; p has
    the exact marginal posterior, likewise.
    """
    tau = found.noise / weight
    towards_s, towards_p = _towards(found.shared, found.private, tau), _towards(found.private, found.shared, tau)
    precision = np.einsum("kd,dk->k", towards_s, found.shared)
    variance = 1 / np.clip(precision, np.exp(-4), np.exp(10))
    private = towards_p @ found.private
    inverse = np.linalg.inv(np.eye(len(private)) + private)
    return Posterior(variance[:, None] * towards_s, variance, inverse @ towards_p, np.diag(inverse).copy())


def _towards(a: np.ndarray, b: np.ndarray, tau: float) -> np.ndarray:
    """A' (B B' + tau I)^-1 (latents, features), by Woodbury's identity."""
    inner = np.linalg.solve(tau * np.eye(b.shape[1]) + b.T @ b, b.T)
    result: np.ndarray = (a.T - (a.T @ b) @ inner) / tau
    return result


def _coordinates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the coordinates of their own span (people, rank), and its orthonormal axes (rank, features)."""
    x = x.astype(np.float64)
    if x.shape[1] <= len(x):
        return x, np.eye(x.shape[1])
    values, vectors = eigh(x @ x.T)
    kept = values > 1e-9 * values[-1]
    lengths = np.sqrt(values[kept])
    return vectors[:, kept] * lengths, (vectors[:, kept] / lengths).T @ x


def joint_and_individual(
    scores: list[np.ndarray], present: np.ndarray, sizes: list[int], n_shared: int, n_private: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Shared scores as in AJIVE (Feng 2018): directions common to the leading scores of all blocks; then the rest."""
    everyone = np.asarray(present.all(axis=0))
    whole = [y[everyone[has]] for y, has in zip(scores, present, strict=True)]
    n = int(everyone.sum())
    wanted = n_shared + n_private
    leading = [svd(y, full_matrices=False)[0][:, :wanted] for y in whole]
    s = svd(np.concatenate(leading, axis=1), full_matrices=False)[0][:, :n_shared] * np.sqrt(n)
    loadings, noise = [], []
    for m, (y, size) in enumerate(zip(whole, sizes, strict=True)):
        a = y.T @ s / n
        left = y - s @ a.T
        lengths, axes = svd(left, full_matrices=False)[1:]
        count = min(n_private, len(lengths))
        b = np.zeros((y.shape[1], n_private))
        b[:, :count] = axes[:count].T * lengths[:count] / np.sqrt(n)
        full = np.zeros((y.shape[1], n_shared + len(scores) * n_private))
        full[:, :n_shared] = np.pad(a, ((0, 0), (0, n_shared - a.shape[1])))
        full[:, n_shared + m * n_private : n_shared + (m + 1) * n_private] = b
        loadings.append(full)
        noise.append(max(np.square(lengths[count:]).sum() / (n * size), FLOOR * np.square(y).sum() / (n * size)))
    return loadings, np.array(noise)


def _step(
    scores: list[np.ndarray], present: np.ndarray, sizes: list[int], weights: list[float],
    loadings: list[np.ndarray], noise: np.ndarray, n_shared: int,
) -> tuple[list[np.ndarray], np.ndarray]:  # fmt: skip
    """One iteration of EM: loadings and noise variances that follow from the posterior of all latents."""
    latents = loadings[0].shape[1]
    products = [a.T @ a * w / level for a, w, level in zip(loadings, weights, noise, strict=True)]
    towards = np.zeros((present.shape[1], latents))
    for y, has, a, w, level in zip(scores, present, loadings, weights, noise, strict=True):
        towards[has] += (y @ a) * (w / level)
    mean, covariance = np.zeros_like(towards), [np.zeros((latents, latents)) for _ in scores]
    patterns, index = np.unique(present, axis=1, return_inverse=True)
    for k, pattern in enumerate(patterns.T):
        of_pattern = index.ravel() == k
        inverse = np.linalg.inv(np.eye(latents) + sum(products[m] for m in np.flatnonzero(pattern)))
        mean[of_pattern] = towards[of_pattern] @ inverse
        for m in np.flatnonzero(pattern):
            covariance[m] += of_pattern.sum() * inverse
    new, levels = [], []
    private = (latents - n_shared) // len(scores)
    for m, (y, has, size) in enumerate(zip(scores, present, sizes, strict=True)):
        own = np.r_[:n_shared, n_shared + m * private : n_shared + (m + 1) * private]
        z, spread = mean[has][:, own], covariance[m][np.ix_(own, own)]
        second, cross = z.T @ z + spread, y.T @ z
        a = np.linalg.solve(second, cross.T).T
        full = np.zeros((y.shape[1], latents))
        full[:, own] = a
        new.append(full)
        levels.append((np.square(y).sum() - np.einsum("dk,dk->", a, cross)) / (len(y) * size))
    return new, np.array(levels)


def _rotated(
    loadings: list[np.ndarray], noise: np.ndarray, weights: list[float], n_shared: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Loadings whose latents have diagonal posterior precisions, the most precise first, with definite signs."""
    private = (loadings[0].shape[1] - n_shared) // len(loadings)
    parts = [(a[:, :n_shared], a[:, n_shared + m * private : n_shared + (m + 1) * private])
             for m, a in enumerate(loadings)]  # fmt: skip
    taus = [level / w for level, w in zip(noise, weights, strict=True)]
    precision = sum(_towards(a, b, tau) @ a for (a, b), tau in zip(parts, taus, strict=True))
    turn = eigh(precision)[1][:, ::-1]
    found = []
    for (a, b), tau in zip(parts, taus, strict=True):
        turn_private = eigh(_towards(b, a, tau) @ b)[1][:, ::-1]
        found.append((a @ turn, b @ turn_private))
    signs = np.sign(np.concatenate([a for a, _ in found])[np.abs(np.concatenate([a for a, _ in found])).argmax(axis=0),
                                                          np.arange(n_shared)])  # fmt: skip
    signs[signs == 0] = 1
    return [(a * signs, b * np.where(b[np.abs(b).argmax(axis=0), np.arange(private)] < 0, -1, 1)) for a, b in found]
