"""Scans as voxels, three sites and a confound that explains 30 % of the score, with or without an effect beyond it."""

import numpy as np
import pandas as pd

from neurovae.stats.aligned import Part
from neurovae.stats.exchangeability import site_strata
from neurovae.supervised.inference import Cases
from neurovae.train.supervision import CONFOUND, design

VOXELS, FACTORS, FOLDS = 300, 12, 5
CONFOUNDS = [f"{CONFOUND}age", f"{CONFOUND}site"]
SHARE = 0.3  # of the variance of the score, by the confound


def people(count: int, seed: int, effect: float = 0.0) -> tuple[pd.DataFrame, np.ndarray]:
    """A row per person (person, score, age, site, fold) and voxels (people, voxels).

    Voxels follow smooth factors of falling variance, age, site and noise. effect: part of the variance of the score
    that the third factor explains, in place of noise.
    """
    rng = np.random.default_rng(seed)
    site = rng.integers(3, size=count)
    age = rng.normal(size=count) + 0.3 * (site - 1)
    age = (age - age.mean()) / age.std()
    factors = rng.normal(size=(count, FACTORS))
    loads = rng.normal(size=(FACTORS, VOXELS)) * np.geomspace(1, 0.3, FACTORS)[:, None]
    x = factors @ loads + age[:, None] * rng.normal(size=VOXELS) * 0.5 + rng.normal(size=(3, VOXELS))[site] * 0.5
    x += rng.normal(size=x.shape)
    rest = np.sqrt(effect) * factors[:, 2] + np.sqrt(1 - SHARE - effect) * rng.normal(size=count)
    score = np.sqrt(SHARE) * age + rest
    table = pd.DataFrame({"person": [f"sub-{k:04d}" for k in range(count)], "score": score})
    table = table.assign(**{CONFOUNDS[0]: age, CONFOUNDS[1]: np.array(list("ABC"), object)[site]})
    return table.assign(fold=rng.permutation(np.arange(count) % FOLDS)), x


def cases(table: pd.DataFrame, x: np.ndarray) -> Cases:
    """As `neurovae.supervised.cases` builds them from the files of a run."""
    fold, parts = table["fold"].to_numpy(), []
    for k in range(FOLDS):
        train = np.flatnonzero(fold != k)
        parts.append(Part(train, np.flatnonzero(fold == k), design(table.iloc[train], CONFOUNDS)))
    centred = x - x.mean(axis=0)
    strata = site_strata(table[CONFOUNDS[1]].to_numpy())
    whole = design(table, CONFOUNDS)
    return Cases(centred @ centred.T, table["score"].to_numpy(), whole, fold, parts, strata, np.arange(len(table)))
