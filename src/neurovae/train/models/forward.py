"""A linear forward model of latents that have no decoder: masked voxels regressed on the latents by ridge regression.

Haufe et al. (2014) call the model that gives data from factors forward. It says where in the brain a latent's pattern
lies, as far as that is linear. It is no generative decoder: what it gives for a latent is a conditional mean.
"""

import numpy as np
from scipy.linalg import eigh, solve
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_score

from neurovae.io.volumes import chunks, evenly, masked
from neurovae.train.models.manifold import products
from neurovae.train.weights import Tensors

PENALTIES = np.logspace(-1, 6, 15)  # of coefficients per standard deviation of a latent
FOLDS = 10  # of training people, at most
MAX_SCANS = 2000  # training scans on which the penalty is chosen
SCORING = "neg_mean_squared_error"
CONSTANT = 1e-12  # standard deviation, as a fraction of the largest value, below which a latent does not vary


def fit(
    volumes: np.ndarray, rows: np.ndarray, people: np.ndarray, mask: np.ndarray, z: np.ndarray
) -> tuple[Tensors, float | None]:
    """Coefficients (latents, voxels), mean of the voxels (voxels,) and of the latents (latents,); then the penalty.

    The coefficients minimise |x - m - (z - c) B|^2 + penalty |S B|^2, with S the latents' standard deviations, as
    scikit-learn's Ridge on standardised latents. Scans are read a few at a time.

    Args:
        volumes: packed volumes (scans, x, y, z).
        rows: those of the training scans, which alone are read.
        people: person of each of them.
        mask: the fixed mask (x, y, z).
        z: their latents (training scans, latents).
    """
    centre, spread = z.mean(axis=0), z.std(axis=0, ddof=1)
    standard = (z - centre) / np.where(spread > CONSTANT * np.abs(z).max(axis=0), spread, np.inf)
    chosen = penalty(volumes, rows, people, mask, standard)
    total, sums = np.zeros((z.shape[1], np.count_nonzero(mask))), np.zeros(np.count_nonzero(mask))
    for part in chunks(len(rows)):
        x = masked(volumes[rows[part]], mask).astype(np.float64)
        total += standard[part].T @ x
        sums += x.sum(axis=0)
    coefficients = np.zeros_like(total)
    if chosen is not None:
        normal = standard.T @ standard + chosen * np.eye(z.shape[1])
        coefficients = solve(normal, total, assume_a="pos") / np.where(spread > 0, spread, 1)[:, None]
    tensors = {"forward": coefficients.astype(np.float32), "forward_mean": (sums / len(rows)).astype(np.float32)}
    return tensors | {"forward_centre": centre}, chosen


def penalty(
    volumes: np.ndarray, rows: np.ndarray, people: np.ndarray, mask: np.ndarray, standard: np.ndarray
) -> float | None:
    """The penalty, one for all voxels, with the smallest error in training people left out; None: the mean has it.

    The squared errors, summed over voxels, depend on the products of the scans alone (`predict.voxels`), so that
    as many coordinates as scans take the voxels' place.
    """
    used = evenly(len(rows), MAX_SCANS)
    x = np.concatenate([masked(volumes[rows[used[part]]], mask) for part in chunks(len(used))])
    values, vectors = eigh(products(x, x, x.mean(axis=0, dtype=np.float64)))
    y, z, groups = vectors * np.sqrt(values.clip(min=0)), standard[used], people[used]
    n_people = len(np.unique(groups))
    if n_people < 2:
        return None
    folds = list(GroupKFold(min(FOLDS, n_people)).split(z, groups=groups))
    ridge = RidgeCV(PENALTIES, scoring=SCORING, cv=folds).fit(z, y)
    mean_alone = cross_val_score(DummyRegressor(), z, y, scoring=SCORING, cv=folds).mean()
    return float(ridge.alpha_) if ridge.best_score_ > mean_alone else None


def predict(z: np.ndarray, tensors: Tensors) -> np.ndarray:
    """Masked voxels (rows, voxels), single precision, that the forward model gives for latents (rows, latents)."""
    change = (np.asarray(z, np.float64) - tensors["forward_centre"]) @ tensors["forward"]
    voxels: np.ndarray = (tensors["forward_mean"] + change).astype(np.float32)
    return voxels
