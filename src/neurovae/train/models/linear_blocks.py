"""Linear models of several blocks, beside which a fused VAE is shown: PCA, CCA, PLS, and joint and individual parts.

Each is written as a Gaussian linear model, so that latents follow from whichever blocks a person has: block m says
h_m = H_m x_m with precision T_m, and the latents are (I + sum T_m)^-1 sum h_m.

- `pca`: components of all blocks together, each over the root of its number of features (Tipping and Bishop 1999).
- `cca`: canonical correlation of the blocks' leading components, as in Bach and Jordan (2005).
- `pls`: canonical partial least squares (Wegelin 2000), likewise.
- `jive`: joint and individual variation explained, by angles (AJIVE, Feng 2018), the joint rank by permutation.

Beside shared latents, all but `pca` have components of what these leave of each block, as private latents.
"""

from typing import Any

import numpy as np
from scipy.linalg import svd
from sklearn.cross_decomposition import CCA, PLSCanonical

from neurovae.errors import InputError
from neurovae.train.models import shared_factors
from neurovae.train.models.fused import FEW, ids, unused
from neurovae.train.models.fused import roles as roles
from neurovae.train.side_by_side import IMAGE, SideBySide, present, slices, standardised
from neurovae.train.weights import Tensors

METHODS = ("pca", "cca", "pls", "jive")
CORRELATION = 0.999  # of paired scores, at most: at 1 the precision is infinite
LEAST_NOISE = 1e-6  # variance of standardised features, where components explain a table entirely
Evidence = tuple[np.ndarray, np.ndarray, np.ndarray]  # H_m (latents, features), T_m (latents, latents), loadings


def fit(
    array: SideBySide, split: np.ndarray, mask: np.ndarray, *, seed: int, device: str,
    twin: str, n_shared: int, n_private: int, people: np.ndarray | None = None, **others: Any,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """Evidence and loadings of each block, of the training people with all blocks; no history.

    Args:
        array: the blocks of all scans.
        split: split of each scan; "training" alone is used.
        mask, seed, device: not used.
        people: person of each scan, for jive.
        twin: pca, cca, pls or jive.
        n_shared, n_private: as of the fused VAE; `pca` has as many latents in all.

    Raises:
        InputError: too few people, or other than two blocks with cca or pls.
    """
    names = [part.name for part in array.parts]
    if twin in ("cca", "pls") and len(names) != 2:
        raise InputError(f"{twin} relates two blocks, found {', '.join(names)}; leave it out of twins")
    standard = standardised(array, np.flatnonzero(split == "training"))
    filled = [np.nan_to_num(x) for x, _, _ in standard]
    both = np.all([~np.isnan(x).all(axis=1) for x, _, _ in standard], axis=0)
    wanted = n_shared + n_private
    if both.sum() <= n_shared + len(names) * n_private:
        raise InputError(
            f"{both.sum()} training scans have all blocks, too few for {n_shared + len(names) * n_private} latents; "
            "lower n_shared or n_private"
        )
    features = sum(one.shape[1] for one in filled)
    if twin == "pca" and features <= n_shared + len(names) * n_private:
        raise InputError(
            f"the blocks have {features} features in all, too few for {n_shared + len(names) * n_private} components; "
            "lower n_shared or n_private, or leave pca out of twins"
        )
    x = [one[both] - one[both].mean(axis=0) for one in filled]
    if twin == "pca":
        n_shared, n_private = n_shared + len(names) * n_private, 0
        found = _pca(x, n_shared)
    elif twin == "jive":
        own = None if people is None else people[split == "training"][both]
        found = _jive(x, n_shared, n_private, own)
    else:
        found = _paired(x, CCA if twin == "cca" else PLSCanonical, n_shared, n_private, wanted)
    tensors: Tensors = {
        "mean": np.concatenate([one[1] for one in standard]),
        "scale": np.concatenate([one[2] for one in standard]),
    }
    for name, (inward, precision, loadings) in zip(names, found, strict=True):
        tensors |= {f"inward.{name}": inward, f"precision.{name}": precision, f"outward.{name}": loadings}
    latents = n_shared + n_private * len(names)
    decodes = any(part.type == IMAGE for part in array.parts)
    architecture = {"blocks": array.described(), "n_shared": n_shared, "n_private": n_private, "n_latent": latents,
                    "latents": ids(names, n_shared, n_private), "kl": False, "decodes": decodes}  # fmt: skip
    mu = embed(array[np.flatnonzero(split == "training")[:FEW]], mask, tensors, architecture)[0]
    return tensors, {**architecture, "unused": unused(architecture, mu)}, []


def _evidence(loadings: np.ndarray, noise: float) -> Evidence:
    """What a block says of all latents, with isotropic noise."""
    return loadings.T / noise, loadings.T @ loadings / noise, loadings


def _pca(x: list[np.ndarray], count: int) -> list[Evidence]:
    scales = [np.sqrt(one.shape[1]) for one in x]
    joined = np.concatenate([one / c for one, c in zip(x, scales, strict=True)], axis=1)
    lengths, axes = svd(joined, full_matrices=False)[1:]
    variances = lengths**2 / (len(joined) - 1)
    noise = variances[count:].sum() / (joined.shape[1] - count)
    loadings = axes[:count].T * np.sqrt(np.maximum(variances[:count] - noise, 0))
    parts = np.split(loadings, np.cumsum([one.shape[1] for one in x])[:-1])
    return [_evidence(c * part, c**2 * noise) for part, c in zip(parts, scales, strict=True)]


def _jive(x: list[np.ndarray], n_shared: int, n_private: int, people: np.ndarray | None) -> list[Evidence]:
    everyone, sizes = np.ones((len(x), len(x[0])), bool), [one.shape[1] for one in x]
    rank = min(n_shared, shared_factors.joint_rank(x, everyone, sizes, n_shared + n_private, people))
    loadings, noise = shared_factors.joint_and_individual(x, everyone, sizes, rank, n_private)
    widened = [np.insert(one, [rank] * (n_shared - rank), 0, axis=1) for one in loadings]
    return [_evidence(one, level) for one, level in zip(widened, noise, strict=True)]


def _paired(x: list[np.ndarray], kind: Any, n_shared: int, n_private: int, wanted: int) -> list[Evidence]:
    """Bach and Jordan's model of paired scores t_m with correlations r: t_m = sqrt(r) s + noise of variance 1 - r."""
    reduced, axes = [], []
    for one in x:
        u, lengths, rows = svd(one, full_matrices=False)
        kept = min(wanted, int((lengths > 1e-8 * lengths[0]).sum())) if kind is CCA else len(lengths)
        reduced.append(u[:, :kept] * lengths[:kept])
        axes.append(rows[:kept])
    count = min(n_shared, *(one.shape[1] for one in reduced))
    pair = kind(n_components=count, scale=False, max_iter=5000).fit(*reduced)
    rotations = [np.linalg.lstsq(one, score, rcond=None)[0] for one, score in
                 zip(reduced, pair.transform(*reduced), strict=True)]  # fmt: skip
    scores = [one @ turn for one, turn in zip(reduced, rotations, strict=True)]
    spread = [score.std(axis=0) for score in scores]
    unit = [score / s for score, s in zip(scores, spread, strict=True)]
    r = np.clip((unit[0] * unit[1]).mean(axis=0), 1e-3, CORRELATION)
    found = []
    for m, one in enumerate(x):
        encoder = (rotations[m] / spread[m]).T @ axes[m]  # (latents, features): t = encoder x
        outward = one.T @ unit[m] / len(one)
        left = one - (unit[m] * r) @ outward.T
        lengths, rows = svd(left, full_matrices=False)[1:]
        own_kept = min(n_private, len(lengths) - 1)  # a small table has fewer; the last component is noise
        noise = max(np.square(lengths[own_kept:]).sum() / (len(one) * one.shape[1]), LEAST_NOISE)
        private = np.zeros((one.shape[1], n_private))
        private[:, :own_kept] = rows[:own_kept].T * lengths[:own_kept] / np.sqrt(len(one))
        size = n_shared + n_private * len(x)
        inward, precision, loadings = (
            np.zeros((size, one.shape[1])),
            np.zeros((size, size)),
            np.zeros((one.shape[1], size)),
        )
        own = slice(n_shared + m * n_private, n_shared + (m + 1) * n_private)
        inward[:count] = (np.sqrt(r) / (1 - r))[:, None] * encoder
        precision[range(count), range(count)] = r / (1 - r)
        inward[own] = (private.T - ((private.T @ outward) * r) @ encoder) / noise
        precision[own, own] = private.T @ private / noise
        loadings[:, :count], loadings[:, own] = outward * np.sqrt(r), private
        found.append((inward, precision, loadings))
    return found


def embed(
    values: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any], use: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents) from the blocks that are used; without a posterior variance (NaN)."""
    described = architecture["blocks"]
    there = present(values, described)
    there = there if use is None else there & use
    standard = np.nan_to_num((values - tensors["mean"]) / tensors["scale"])
    size = architecture["n_latent"]
    towards, mu = np.zeros((len(values), size)), np.zeros((len(values), size))
    for m, (name, where) in enumerate(slices(described).items()):
        towards[there[m]] += standard[there[m]][:, where] @ tensors[f"inward.{name}"].T
    patterns, index = np.unique(there, axis=1, return_inverse=True)
    for k, pattern in enumerate(patterns.T):
        rows = index.ravel() == k
        names = [one["name"] for one, used in zip(described, pattern, strict=True) if used]
        precision = np.eye(size) + sum(tensors[f"precision.{name}"] for name in names)
        mu[rows] = np.linalg.solve(precision, towards[rows].T).T
    return mu, np.full_like(mu, np.nan)


def decoded(
    mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any], private: bool = True
) -> dict[str, np.ndarray]:
    """Features (scans, features) of each block in their own units, by name; private: use the private latents too."""
    found = {}
    z = np.array(mu, np.float64)
    if not private:
        z[:, architecture["n_shared"] :] = 0
    for name, where in slices(architecture["blocks"]).items():
        scale = np.where(np.isinf(tensors["scale"][where]), 0, tensors["scale"][where])
        found[name] = tensors["mean"][where] + scale * (z @ tensors[f"outward.{name}"].T)
    return found


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of the block that the scans are, decoded from latents (scans, latents)."""
    image = next(one["name"] for one in architecture["blocks"] if one["type"] == IMAGE)
    return decoded(mu, mask, tensors, architecture)[image]
