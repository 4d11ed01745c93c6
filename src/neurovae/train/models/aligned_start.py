"""What an aligned network is fitted to, and the linear model at which it starts.

A row per scan outside the test fold: principal components of the training scans, the latents of the linear twin, and
the scores with their confounds. While the network is trained, the twin of each participant is fitted without them: to
the other groups of training participants, and for validation participants to all training participants. Otherwise the
network would learn to correct latents that follow the score by construction. The finished model uses the twin of
everybody outside the test fold, as the linear model does.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.stats.aligned import Direction, coefficients, decomposed
from neurovae.stats.basis import independent, residual
from neurovae.stats.products import centred, products
from neurovae.train.models.joint_inputs import components_of
from neurovae.train.models.principal_components import components
from neurovae.train.supervision import Scores, cases
from neurovae.train.weights import Tensors

MIN_TRAINING = 10  # participants
LEAST = 0.2  # unit of a latent, in SD of the score's residual: a twin that predicts nothing has no scale of its own


class Inputs(NamedTuple):
    """Features, codes of the twin, then residual and basis of each score, of scans outside the test fold."""

    values: np.ndarray  # (scans, columns)
    split: np.ndarray
    sizes: list[int]  # columns: components, codes, then 1 + confounds of each score
    units: np.ndarray  # (scores,) SD of the twin's codes in new participants, in units of the score; not below LEAST
    tensors: Tensors  # mean and components of the scans, and the scale of the features


class Linear(NamedTuple):
    """The linear model: latents of scores, then free ones."""

    inward: np.ndarray  # (free, features), of what the aligned latents leave of the features
    outward: np.ndarray  # (latents, features)
    logvar: np.ndarray  # (latents,) of the posterior
    noise: float  # variance per feature that all latents leave


def inputs(
    volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, scores: Scores, scans: pd.DataFrame, names: list[str],
    direction: Direction, n_components: int, cross_fit: int, seed: int,
) -> Inputs:  # fmt: skip
    """The rows that the network is trained on and stopped by; arguments as of `aligned_network.fit`.

    Raises:
        InputError: too few training participants, or none for validation.
    """
    own = np.flatnonzero(split != "test")
    training = np.flatnonzero(split == "training")
    if len(training) < MIN_TRAINING or not (split == "validation").any():
        raise InputError(
            f"{len(training)} training and {(split == 'validation').sum()} validation scans; an aligned network needs "
            f"at least {MIN_TRAINING} to train on and one to stop on; set network: none"
        )
    found = components(volumes, training, mask, n_latent=min(n_components, len(training) - 1), flip=False, blur=0.0)
    tensors = {"centre": found.mean, "components": found.components}
    x = components_of(volumes, own, mask, {"mean": found.mean, "components": found.components})
    is_training = split[own] == "training"
    scale = np.sqrt(x[is_training].var(axis=0, dtype=np.float64).mean())
    tensors["scale"] = np.array(scale, np.float32)
    people = scans["person"].to_numpy()[own]
    group = groups(people, is_training, cross_fit, seed)
    gram = products(volumes[own], mask)
    codes, units, targets = [], [], []
    for name in names:
        rows, y, design = cases(scores, name, scans)
        places = np.searchsorted(own, rows)
        of_twin = twin_codes(gram, places, y, design, group, is_training, direction)
        units.append(max(of_twin[is_training].std(), LEAST * residual(y, design).std()) or 1.0)
        codes.append(of_twin / units[-1])
        targets.append(target(places, y, design, is_training))
    columns = [x / scale, np.column_stack(codes), *targets]
    values = np.concatenate(columns, axis=1).astype(np.float32)
    sizes = [part.shape[1] for part in columns]
    return Inputs(values, split[own].astype(object), sizes, np.array(units), tensors)


def groups(people: np.ndarray, is_training: np.ndarray, cross_fit: int, seed: int) -> np.ndarray:
    """Group of each scan, that its twin is fitted without; validation people are the last, -1: fitted on all training.

    With cross_fit 0 training people are fitted with themselves.
    """
    codes, names = pd.factorize(people)
    order = np.random.default_rng(seed).permutation(len(names))[codes]
    _, among = np.unique(order[is_training], return_inverse=True)
    group = np.full(len(people), -1)
    group[is_training] = among % cross_fit if cross_fit else -2
    return group


def twin_codes(
    gram: np.ndarray, places: np.ndarray, y: np.ndarray, x: np.ndarray, group: np.ndarray, is_training: np.ndarray,
    direction: Direction,
) -> np.ndarray:  # fmt: skip
    """The twin's latent of each scan (scans,), in units of the score, fitted to training people of other groups.

    Args:
        gram: products of all scans (scans, scans).
        places: of the people with the score (n,) among the scans.
        y, x: their scores (n,) and designs (n, columns).
        group: of each scan, of `groups`.
        is_training: (scans,).
        direction: ridge or pls.
    """
    found = np.empty(len(gram))
    for one in np.unique(group):
        kept = np.flatnonzero(is_training[places] & (group[places] != one if one >= 0 else True))
        rows = np.flatnonzero(group == one)
        among, across = centred(gram, places[kept], rows)
        a = coefficients(decomposed(among, x[kept]), y[None, kept], direction)[0]
        found[rows] = across @ a
    return found


def target(places: np.ndarray, y: np.ndarray, x: np.ndarray, is_training: np.ndarray) -> np.ndarray:
    """Residual of the score, NaN where it is missing, and basis of the confounds (scans, 1 + columns)."""
    own = is_training[places]
    x = x[:, independent(x[own])]
    inverse = np.linalg.inv(np.linalg.qr(x[own])[1])
    q = x @ inverse
    rest = y - q @ (q[own].T @ y[own])
    found = np.zeros((len(is_training), 1 + q.shape[1]))
    found[:, 0] = np.nan
    found[places] = np.column_stack([rest / np.linalg.norm(rest[own]), q])
    return found


def start(given: Inputs, n_latent: int) -> Linear:
    """Patterns of the twin's codes, and principal components of what these leave of the features, in training scans.

    The free latents are those of probabilistic principal components (Tipping and Bishop 1999).

    Raises:
        InputError: as many free latents as components, or more.
    """
    features, codes = given.sizes[:2]
    rows = given.values[given.split == "training"].astype(np.float64)
    x, z = rows[:, :features], rows[:, features : features + codes]
    free = n_latent - codes
    if not 0 <= free < features:
        raise InputError(
            f"n_latent is {n_latent}, with {codes} scores and {features} principal components of the training scans; "
            f"give {codes} to {codes + features - 1}"
        )
    centred_z = z - z.mean(axis=0)
    patterns = np.linalg.lstsq(centred_z, x - x.mean(axis=0), rcond=None)[0]
    left = x - z @ patterns
    left = left - left.mean(axis=0)
    _, d, axes = np.linalg.svd(left, full_matrices=False)
    variances = np.square(d) / len(x)
    noise = max(variances[free:].sum() / (features - free), 1e-6)
    variances, axes = np.maximum(variances[:free], 1.001 * noise), axes[:free]
    inward = axes * (np.sqrt(variances - noise) / variances)[:, None]
    outward = np.concatenate([patterns, axes * np.sqrt(variances - noise)[:, None]])
    of_scores = -np.log1p(np.square(patterns).sum(axis=1) / noise)
    return Linear(inward, outward, np.concatenate([of_scores, np.log(noise / variances)]), float(noise))
