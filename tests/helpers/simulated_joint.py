"""Images and scores with two shared factors and two private ones of each, for models of the kind joint."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from neurovae.stats import reml_ridge
from neurovae.supervised.joint_fold import Fold, predicted
from neurovae.train.models import joint, joint_inputs
from neurovae.train.supervision import Scores

SHAPE = (10, 12, 10)
MASK = np.zeros(SHAPE, bool)
MASK[1:9, 1:11, 1:9] = True
DECLARED: list[dict[str, Any]] = [
    {"name": "a", "type": "continuous", "bounds": None}, {"name": "b", "type": "continuous", "bounds": None},
    {"name": "c", "type": "continuous", "bounds": None}, {"name": "d", "type": "continuous", "bounds": None},
    {"name": "item", "type": "ordinal", "bounds": None}, {"name": "other item", "type": "ordinal", "bounds": None},
    {"name": "points", "type": "bounded", "bounds": [0, 30]}, {"name": "falls", "type": "count", "bounds": None},
]  # fmt: skip
NAMES = [one["name"] for one in DECLARED]
OPTIONS: dict[str, Any] = {
    "supervised_by": NAMES, "n_shared": 5, "n_private": 2, "n_components": 200, "clinical_weight": [1.0],
    "cross_weight": 1.0, "cross_fit": 4, "hidden_units": 32, "dropout": 0.2, "beta": 1.0, "warmup": 0, "cycles": 0,
    "learning_rate": 1e-3, "learning_rate_cycle": False, "weight_decay": 0.01, "clip": 1e4, "batch": 16,
    "accumulate": 1, "precision": "float32", "epochs": 40, "patience": 8,
}  # fmt: skip


class Cohort(NamedTuple):
    """Volumes, split, scans (scan, person), scores (a row per person) and shared factors (people, 2)."""

    volumes: np.ndarray
    split: np.ndarray
    scans: pd.DataFrame
    scores: pd.DataFrame
    shared: np.ndarray

    def given(self) -> Scores:
        """The scores of the people outside the test fold."""
        table = self.scores[self.split != "test"].reset_index(drop=True)
        return Scores(table, NAMES, [])


def cohort(people: int = 300, seed: int = 0, *, noise: float = 1.0, null: bool = False) -> Cohort:
    """Factors are standard normal; per voxel each has variance 1 / 12, beside noise of 1 (and 1.5 of other factors).

    A score is .8 of two shared factors, .4 of its private ones and noise; null: of the private ones and noise alone.

    Args:
        people: of whom 65 % train, 15 % are for validation and 20 % for the test.
        seed: of everything.
        noise: standard deviation of the noise of a score.
        null: the scores have nothing to do with the image.
    """
    rng = np.random.default_rng(seed)
    shared, own = rng.standard_normal((people, 2)), rng.standard_normal((people, 2))
    x, y, z = (rng.standard_normal((4, 3)) for _ in range(3))
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    waves = [np.cos(sum(w[k, 0] * 2 * g + w[k, 1] for w, g in zip((x, y, z), grid, strict=True))) for k in range(4)]
    fields = np.stack([wave / wave[MASK].std() for wave in waves]) * 0.3
    nuisance = rng.standard_normal((people, 10)) @ rng.standard_normal((10, MASK.sum())) * 0.35
    volumes = np.tensordot(np.hstack([shared, own]), fields, 1) + rng.standard_normal((people, *SHAPE))
    volumes[:, MASK] += nuisance
    of_scores = rng.standard_normal((people, 2))
    loads = rng.standard_normal((4, len(NAMES)))
    loads[:2] *= 0.0 if null else 0.8 / np.linalg.norm(loads[:2], axis=0)
    loads[2:] *= 0.4 / np.linalg.norm(loads[2:], axis=0)
    eta = np.hstack([shared, of_scores]) @ loads + noise * 0.45 * rng.standard_normal((people, len(NAMES)))
    table = pd.DataFrame(eta, columns=NAMES)
    for name in ("item", "other item"):
        table[name] = np.digitize(table[name], [-1.0, -0.3, 0.4, 1.2]).astype(float)
    table["points"] = rng.binomial(30, 1 / (1 + np.exp(-1.2 * table["points"] - 0.5))).astype(float)
    table["falls"] = rng.poisson(np.exp(1.2 + 0.6 * table["falls"])).astype(float)
    names = [f"sub-{k:03d}" for k in range(people)]
    order = rng.permutation(people)
    split = np.array(["training"] * people, object)
    split[order[: int(0.2 * people)]] = "test"
    split[order[int(0.2 * people) : int(0.35 * people)]] = "validation"
    scans = pd.DataFrame({"scan": names, "person": names})
    return Cohort(volumes.astype(np.float32), split, scans, pd.concat([scans, table], axis=1), shared)


def explained(z: np.ndarray, factors: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Variance of each factor explained by latents in test people, by a regression in the others."""
    fit, new = split != "test", split == "test"
    error = factors[new] - LinearRegression().fit(z[fit], factors[fit]).predict(z[new])
    return np.asarray(
        1 - np.square(error).sum(axis=0) / np.square(factors[new] - factors[fit].mean(axis=0)).sum(axis=0)
    )


def with_holes(given: Cohort, part: float, seed: int = 0) -> Cohort:
    """The cohort without this part of the scores of the people outside the test fold."""
    holes = np.random.default_rng(seed).random((len(given.scores), len(NAMES))) < part
    scores = given.scores.copy()
    scores[NAMES] = scores[NAMES].mask(pd.DataFrame(holes & (given.split != "test")[:, None], columns=NAMES))
    return given._replace(scores=scores)


def without_scores(given: Cohort, part: float, seed: int = 0) -> Cohort:
    """The cohort without any score of this part of the people outside the test fold: a block that is missing."""
    lost = (np.random.default_rng(seed).random(len(given.scores)) < part) & (given.split != "test")
    scores = given.scores.copy()
    scores.loc[lost, NAMES] = np.nan
    return given._replace(scores=scores)


def fitted(given: Cohort, **options: Any) -> tuple[Any, dict[str, Any], list[dict[str, Any]]]:
    """Weights, architecture and history of a joint model of a cohort."""
    return joint.fit(given.volumes, given.split, MASK, seed=0, device="cpu", scores=given.given(), scans=given.scans,
                     declared=DECLARED, **{**OPTIONS, **options})  # fmt: skip


def r2(given: Cohort, tensors: Any, architecture: dict[str, Any]) -> np.ndarray:
    """R2 in test people from the image alone (scores, 2): of the joint model, and of ridge on voxels."""
    test = given.split == "test"
    model = joint.network(tensors, architecture)
    x = joint_inputs.components_of(given.volumes, np.flatnonzero(test), MASK, tensors)
    y = given.scores[NAMES].to_numpy(float)
    fold = Fold(model, architecture["items"], tensors, x, y[test], 0)
    own = predicted(fold, "image", {name: [name] for name in NAMES})[0]
    voxels, found = given.volumes[:, MASK].astype(float), []
    for j in range(len(NAMES)):
        known = ~test & ~np.isnan(y[:, j])
        total = np.square(y[test, j] - y[known, j].mean()).sum()
        ridge = reml_ridge.fit(voxels[known], y[known, j]).predict(voxels[test])
        found.append([1 - np.square(y[test, j] - one).sum() / total for one in (own[:, j], ridge)])
    return np.array(found)
