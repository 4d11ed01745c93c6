"""Small volumes with a score, three sites and a confound, for networks whose latents are aligned with the score."""

from typing import Any

import numpy as np
import pandas as pd
from simulated_supervised import CONFOUNDS, FOLDS, people

from neurovae.train.models import aligned
from neurovae.train.supervision import Scores
from neurovae.train.weights import Tensors

SHAPE = (10, 6, 5)  # 300 voxels
MASK = np.ones(SHAPE, bool)
NETWORK: dict[str, Any] = {
    "network": "perceptron", "n_latent": 8, "n_components": 200, "hidden_units": 32, "alignment_weight": 1.0,
    "cross_fit": 4, "dropout": 0.2, "beta": 1.0, "learning_rate": 0.003, "weight_decay": 0.01, "clip": 1e4,
    "epochs": 300, "patience": 50,
}  # fmt: skip


def squared(count: int, seed: int, effect: float, factor: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """As `simulated_supervised.people`, but a score that follows the square of one factor of the voxels."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(count, 4))
    x = factors @ (rng.normal(size=(4, 300)) * np.geomspace(1, 0.3, 4)[:, None]) + rng.normal(size=(count, 300))
    bent = (np.square(factors[:, factor]) - 1) / np.sqrt(2)
    site, age = rng.integers(3, size=count), rng.normal(size=count)
    score = np.sqrt(effect) * bent + np.sqrt(0.3) * age + np.sqrt(max(0.7 - effect, 0)) * rng.normal(size=count)
    table = pd.DataFrame({"person": [f"sub-{k:04d}" for k in range(count)], "score": score})
    table = table.assign(**{CONFOUNDS[0]: age, CONFOUNDS[1]: np.array(list("ABC"), object)[site]})
    return table.assign(fold=rng.permutation(np.arange(count) % FOLDS)), x


def given(table: pd.DataFrame, x: np.ndarray, fold: int, seed: int = 0) -> dict[str, Any]:
    """What a fit of one fold is given: volumes, split, mask, scores and scans; a seventh of the others validate."""
    volumes = x.reshape(-1, *SHAPE).astype(np.float32)
    split = np.where(table["fold"] == fold, "test", "training").astype(object)
    others = np.random.default_rng(seed).permutation(np.flatnonzero(split != "test"))
    split[others[: len(others) // 7]] = "validation"
    scans = table[["person"]].assign(scan=table["person"])
    kept = table[split != "test"].assign(scan=table["person"])
    columns = kept[["scan", "person", "score", *CONFOUNDS]].reset_index(drop=True)
    return {"volumes": volumes, "split": split, "mask": MASK, "scores": Scores(columns, ["score"], CONFOUNDS),
            "scans": scans}  # fmt: skip


def fitted(one: dict[str, Any], **options: Any) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """A model of these people; options beside those of the network."""
    settings = {"direction": "ridge", "supervised_by": ["score"], "seed": 0, "device": "cpu"} | NETWORK | options
    arrays = (one["volumes"], one["split"], one["mask"])
    return aligned.fit(*arrays, scores=one["scores"], scans=one["scans"], **settings)


def out_of_fold(table: pd.DataFrame, x: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The latent of each person from the model of the fold that tests them, and that of fold 0 of all (people,)."""
    z, first = np.full((2, len(table)), np.nan)
    for fold in range(FOLDS):
        one = given(table, x, fold)
        tensors, architecture, _ = fitted(one, **options)
        found = aligned.embed(one["volumes"], MASK, tensors, architecture)[0][:, 0]
        test = (table["fold"] == fold).to_numpy()
        z[test], first = found[test], found if fold == 0 else first
    return z, first


__all__ = ["MASK", "NETWORK", "fitted", "given", "out_of_fold", "people", "squared"]
