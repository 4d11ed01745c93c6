"""What varimax does to single latents: max-T power for a planted effect, and whether two fits find the same latents.

Replicates are planted linearly: a scan plus its score times the mean change per standard deviation of the score. The
components are those of training people with one draw of the score; each replicate draws it anew for everybody. As in
the pipeline, all people are tested, with membership in the training set as a confound.
"""

from functools import partial
from typing import Any

import numpy as np
from planted_cohort import scores
from planted_models import BLUR, Components, localised
from scipy.optimize import linear_sum_assignment

from neurovae.audit.similarity import MATCH, correlations
from neurovae.io.volumes import masked
from neurovae.stats.maxt import batch, exceed, maxt, statistics
from neurovae.stats.rao import Null
from neurovae.train.models import principal_components
from neurovae.train.models.rotation import varimax

MODELS = {"pca": (16, 48), "pca_localised": (100,)}
ROTATIONS = ("none", "varimax")
TAPER = 90.0
REPLICATES, PERMUTATIONS, ALPHA = 40, 499, 0.05  # of each fold; of each replicate
ORDERS = 50  # random orders of people, for the matching by chance
Latents = tuple[np.ndarray, np.ndarray]  # of the scans (people, latents), and what a unit of the score adds (latents,)


def fits(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, local: Components | None = None, largest: int = 48
) -> dict[tuple[str, int, str], Components]:
    """Components of some rows for each model, number of latents and rotation.

    local: their localised components, where they have been found before; largest: number that a PCA has.
    """
    n_pca = min(largest, max(MODELS["pca"]))
    found = principal_components.components(volumes, rows, mask, n_latent=n_pca, flip=True, blur=BLUR)
    by_kind = {"pca": Components(found.mean, found.components)}
    by_kind["pca_localised"] = local or localised(volumes, rows, mask, TAPER, max(MODELS["pca_localised"]))
    return {
        (kind, n, rotate): Components(by_kind[kind].mean, _rotated(by_kind[kind].components[:n], rotate))
        for kind, numbers in MODELS.items()
        for n in numbers
        for rotate in ROTATIONS
        if n <= len(by_kind[kind].components)
    }


def _rotated(components: np.ndarray, rotate: str) -> np.ndarray:
    return varimax(components).T.astype(np.float32) @ components if rotate == "varimax" else components


def effect(real: np.ndarray, planted: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Mean change per unit of the score, (voxels,), of masked voxels (people, voxels)."""
    slope: np.ndarray = z @ (planted - real) / (z @ z)
    return slope


def hits(latents: Latents, training: np.ndarray, seed: int) -> np.ndarray:
    """Number of latents with a family-wise p below ALPHA in each replicate."""
    people = len(training)
    x = np.column_stack([np.ones(people), training])
    q, counts = np.linalg.qr(x)[0], []
    for replicate in range(REPLICATES):
        z = scores(1000 * seed + replicate, people)
        score = Null("t, Freedman-Lane", True, z - q @ (q.T @ z), np.ones(people), q, 1.0)
        data = batch(latents[0] + np.outer(z, latents[1]), x, [score])
        permuted = exceed([data], np.zeros(people, int), PERMUTATIONS, seed)[0]
        p = maxt(statistics(data, np.arange(people)[None])[0], permuted)[1]
        counts.append(int((p < ALPHA).sum()))
    return np.array(counts)


def power(
    x: np.ndarray,
    training: np.ndarray,
    found: dict[tuple[str, int, str], Components],
    per_sd: np.ndarray,
    shares: tuple[float, ...],
    seed: int,
) -> list[dict[str, Any]]:
    """A row per strength, model and rotation: latents found in each replicate.

    Args:
        x: masked voxels without a planted effect (people, voxels).
        training: who trained the models, bool (people,).
        found: the models (`fits`), of training people with a planted effect.
        per_sd: change per unit of the score (voxels,), of any length.
        shares: of the voxel variance.
        seed: of the replicates.
    """
    total, rows = x.var(axis=0, ddof=1, dtype=np.float64).sum(), []
    for share in shares:
        change = per_sd * np.float32(np.sqrt(share * total) / np.linalg.norm(per_sd))
        for (kind, n, rotate), one in found.items():
            counts = hits((one.scores(x, n), one.components @ change), training, seed)
            rows.append({"share": share, "model": f"{kind} {n}", "rotate": rotate, "hits": counts.tolist()})
    return rows


def matched(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean |r| of latents (people, latents) matched one to one, and the share with |r| of MATCH or more."""
    r = np.abs(correlations(a, b))
    pairs = r[linear_sum_assignment(-r)]
    return float(pairs.mean()), float((pairs >= MATCH).mean())


def matching(volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, fold: int, how: str) -> list[dict[str, Any]]:
    """A row per model and rotation: latents of two fits matched in the people whom neither saw; and by chance.

    how: "halves" of the training people without overlap, or two "bootstraps" of them, where a PCA has more components.
    """
    rng = np.random.default_rng([7, fold])
    training, held = np.flatnonzero(split == "training"), masked(volumes[split != "training"], mask)
    order = rng.permutation(training)
    draw = partial(rng.choice, training, len(training))
    parts = [order[::2], order[1::2]] if how == "halves" else [draw(), draw()]
    most = min(len(np.unique(part)) for part in parts) - 1
    one, other = (fits(volumes, np.sort(part), mask, largest=most) for part in parts)
    rows = []
    for kind, n, rotate in one.keys() & other.keys():
        a, b = (fit[kind, n, rotate].scores(held, n) for fit in (one, other))
        chance = [matched(a, b[rng.permutation(len(b))])[0] for _ in range(ORDERS)]
        r, share = matched(a, b)
        key = {"how": how, "model": f"{kind} {n}", "rotate": rotate}
        rows.append(key | {"r": r, "by_chance": float(np.mean(chance)), "share_matched": share})
    return rows
