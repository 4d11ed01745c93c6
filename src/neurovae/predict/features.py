"""Columns of each feature set for training and test scans; all parameters come from the training rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from neurovae.predict import harmonise
from neurovae.stats.basis import expand, moves
from neurovae.stats.chained import Variable, means

CONFOUNDS, LATENTS, BOTH, WITHOUT = FEATURES = (
    "confounds", "latents", "latents + confounds", "latents without confounds")  # fmt: skip
LEADING = 30  # voxels' coordinates, the last ones, from which a missing confound is predicted
Used = list[tuple[str, str, pd.Series]]  # name, type, values of the confounds that enter
# (train, test) rows -> their columns, and how many of them, the last ones, are confounds
Features = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, int]]


@dataclass(frozen=True)
class Split:
    """Training and test scans (positions) with their columns; `inner`: inner folds of the training scans."""

    train: np.ndarray
    test: np.ndarray
    x_train: np.ndarray
    x_test: np.ndarray
    confounds: int  # so many of the columns, the last ones, are confounds
    inner: tuple["Split", ...] = ()
    size: np.ndarray | None = None  # of each latent (latents,), how much of the brain it changes; None: not known


def feature_maker(name: str, latents: np.ndarray, used: Used, site: pd.Series | None = None) -> Features:
    """Return a function from training and test rows to their columns, standardised on the training rows.

    "latents without confounds": residuals of a regression on the confounds, fitted on the training rows.

    Args:
        name: one of FEATURES.
        latents: (scans, latents).
        used: the confounds.
        site: harmonise the latents over these sites by ComBat, fitted on the training rows.
    """

    def features(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        z = standardised(latents[np.concatenate([train, test])], len(train))
        confounds = confound_columns(used, train, test, z)  # (train + test, columns)
        if site is not None and name != CONFOUNDS:
            z = _harmonised(z, site, used, train, test)
        if name == WITHOUT:
            z = z - _confound_fit(z, confounds, len(train))
        last = confounds.shape[1] if name in (CONFOUNDS, BOTH) else 0
        x = np.hstack([z[:, : 0 if name == CONFOUNDS else None], confounds[:, :last]])
        x = standardised(x, len(train), 1e-9)
        return x[: len(train)], x[len(train) :], last

    return features


def kept_scale(name: str, x: np.ndarray, used: Used) -> Features:
    """Function from training and test rows to their columns; voxels, or components, keep their relative scale.

    One factor for all of them makes a column's mean variance 1 in the training rows, so that the learners' penalties
    have the same meaning as for standardised latents. Confounds are standardised, or regressed out, on the training
    rows.

    Args:
        name: one of FEATURES, voxels in the place of latents.
        x: coordinates (scans, columns).
        used: the confounds.
    """

    def features(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        rows, n = np.concatenate([train, test]), len(train)
        confounds = confound_columns(used, train, test, x[rows, -LEADING:])  # (train + test, columns)
        confounds = standardised(confounds, n, 1e-9)
        z = x[rows] - x[train].mean(axis=0)
        if name == WITHOUT:
            z = z - confounds @ np.linalg.lstsq(confounds[:n], z[:n], rcond=1e-10)[0]
        z = z / np.sqrt(np.square(z[:n]).mean())
        last = confounds.shape[1] if name in (CONFOUNDS, BOTH) else 0
        columns = np.hstack([z] * (name != CONFOUNDS) + [confounds] * (last > 0))
        return columns[:n], columns[n:], last

    return features


def standardised(x: np.ndarray, n: int, min_sd: float = 0.0) -> np.ndarray:
    """Standardise columns on the first n rows; zeros where these do not vary beyond rounding and `min_sd`.

    Rounding is relative to the size of a column, so that its unit does not matter.
    """
    centre, spread = x[:n].mean(axis=0), x[:n].std(axis=0)
    return (x - centre) / np.where(moves(x[:n]) & (spread > min_sd), spread, np.inf)


def confound_columns(used: Used, train: np.ndarray, test: np.ndarray, helpers: np.ndarray) -> np.ndarray:
    """Return confounds of training then test rows; levels without training rows get the mean of the training rows.

    Where a confound is missing its columns are those expected given the other confounds and the helpers, learnt from
    the training rows, without any score. The helpers are what predicts beside the confounds: if they held more about a
    missing confound than the values that replace it, they would seem to predict beyond the confounds.

    helpers: (train + test, columns) latents or voxels.
    """
    rows = np.concatenate([train, test])
    variables = [Variable(np.empty((len(rows), 0)), np.ones(len(rows), bool))]
    for label, kind, column in used:
        values, reference = column.iloc[rows], column.iloc[train].dropna()
        if reference.empty:  # of nobody to learn from
            continue
        block, known = expand(label, kind, reference, values)[1], values.notna().to_numpy()
        if kind == "categorical":
            in_training = values.astype(str).isin(set(reference.astype(str))).to_numpy() | ~known
            block = np.where(in_training[:, None], block, block[: len(train)][known[: len(train)]].mean(axis=0))
        variables.append(Variable(block, known))
    if all(one.known.all() for one in variables):
        return np.hstack([one.columns for one in variables])
    return np.hstack(means(variables, helpers, np.arange(len(rows)) < len(train)))


def split_rows(
    features: Features,
    groups: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    inner: int,
    seed: int,
    size: np.ndarray | None = None,
) -> Split:
    """Split the training people into `inner` folds, drawn from the seed and never from a score.

    groups: (n,) codes whose rows stay in one fold: people, or families. size: of the latents.
    """
    folds = GroupKFold(inner, shuffle=True, random_state=seed).split(train, groups=groups[train])
    parts = tuple(Split(train[a], train[b], *features(train[a], train[b]), size=size) for a, b in folds)
    return Split(train, test, *features(train, test), parts, size)


def weighted(split: Split, power: float) -> tuple[Split, np.ndarray]:
    """The split with its latents multiplied by a power of their sizes, and these weights (columns,), 1 for confounds.

    The weights' mean square is 1, so that a penalty means the same for every power. With power 0 nothing changes.
    """
    weights = np.ones(split.x_train.shape[1])
    if power and split.size is not None:
        of_latents = split.size**power
        weights[: len(of_latents)] = of_latents / np.sqrt(np.mean(of_latents**2))
    inner = tuple(weighted(part, power)[0] for part in split.inner)
    return replace(split, x_train=split.x_train * weights, x_test=split.x_test * weights, inner=inner), weights


def _confound_fit(z: np.ndarray, confounds: np.ndarray, n: int) -> np.ndarray:
    x = np.column_stack([np.ones(len(confounds)), confounds])
    return x @ np.linalg.lstsq(x[:n], z[:n], rcond=1e-10)[0]


def _harmonised(z: np.ndarray, site: pd.Series, used: Used, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    without_site = [entry for entry in used if entry[0] != "site"]
    covariates = confound_columns(without_site, train, test, z)
    n, rows = len(train), np.concatenate([train, test])
    model = harmonise.fit(z[:n], site.iloc[train].to_numpy(), covariates[:n])
    # a new site is met here in inner folds, or where new_site is mean: complete_cases refuses the others
    return harmonise.apply(model, z, site.iloc[rows].to_numpy(), covariates, "mean")
