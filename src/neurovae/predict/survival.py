"""Prediction of a time to event in unseen people: cross-fitted ridge Cox regression.

Every person enters with the first scan. The test of the latents is in `survival_permutation`.

Of more than COMPONENTS latents, and of voxels, the first principal components of each outer training set take their
place, as columns that keep their scale: of latents times their size in the image, where it is known, else standardised.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from neurovae.io.progress import steps
from neurovae.predict.features import Split, Used, kept_scale, split_rows
from neurovae.predict.folds import Cases, groups_of
from neurovae.predict.metrics import INTERVAL, person_weights
from neurovae.predict.metrics import summary as summary_of
from neurovae.predict.ridge_cox import fitted, placed
from neurovae.predict.survival_metrics import Curves, censoring, grid, kaplan_meier, metrics
from neurovae.stats.basis import moves
from neurovae.stats.cox import baseline, risk_sets

LEARNER = "linear"
COMPONENTS = 50  # columns at most beside the confounds
TESTED = "log_partial_likelihood"
TRUNCATED = "delayed entry: Harrell's C is among people at risk; Uno's C and Brier scores are not made"
Row = dict[str, Any]


@dataclass(frozen=True)
class Predicted:
    """Log hazard of every person relative to the training mean, from models without the person, and curves."""

    table: pd.DataFrame
    curves: dict[str, Curves | None]  # by features


def training(cases: Cases) -> dict[int, np.ndarray]:
    """Training rows of each outer fold."""
    return {int(cases.table["fold"].iloc[one.test[0]]): one.train for one in cases.splits[cases.full]}


def components(
    cases: Cases, columns: dict[int, np.ndarray], sizes: dict[int, np.ndarray] | None = None
) -> dict[int, np.ndarray]:
    """Scores (n, components) of all people on each training set's principal components, the largest last, by fold.

    columns: (n, columns) of each fold: voxels as they are, or latents with their sizes (ones: standardised).
    """
    found = {}
    for k, train in training(cases).items():
        x = columns[k] - columns[k][train].mean(axis=0)
        if sizes is not None:
            spread = x[train].std(axis=0)
            x = x * np.divide(sizes[k], spread, out=np.zeros_like(spread), where=moves(columns[k][train]))
        _, size, axes = np.linalg.svd(x[train], full_matrices=False)
        kept = min(COMPONENTS, int(np.sum(size > 1e-6 * size[0])))
        found[k] = x @ axes[:kept][::-1].T
    return found


def with_components(cases: Cases, found: dict[int, np.ndarray], used: Used, inner: int, seed: int) -> Cases:
    """The cases with these components in the place of latents or voxels."""
    groups = groups_of(cases.table)
    splits = {
        name: [
            split_rows(kept_scale(name, found[k], used), groups, one.train, one.test, inner, seed)
            for k, one in zip(found, folds, strict=True)
        ]
        for name, folds in cases.splits.items()
    }
    return replace(cases, splits=splits)


def cross_validate(cases: Cases) -> Predicted:
    """Predict every person with every feature set."""
    shared = {name: cases.base[name] for name in ("score", "type", "model", "seed", "harmonised", "policy")}
    tables, curves = [], {}
    for name, folds in steps(list(cases.splits.items()), f"{cases.base['score']}: sets of features"):
        predictor, found = predict(cases, folds)
        people = cases.table[["scan", "person", "session", "fold"]].assign(
            features=name, learner=LEARNER, prediction=predictor, probability=np.nan, training_mean=np.nan, **shared
        )
        tables.append(people.assign(entry=cases.y[:, 0], truth=cases.y[:, 1], event=cases.y[:, 2]))
        curves[name] = found
    return Predicted(pd.concat([pd.DataFrame(), *tables], ignore_index=True), curves)


def predict(cases: Cases, folds: list[Split]) -> tuple[np.ndarray, Curves | None]:
    """Log hazard (n,) and survival curves of all people, each from the model of their test fold."""
    y, times = cases.y, grid(cases.y)
    predictor = np.empty(len(y))
    survival, reference, lost = np.empty((3, len(y), len(times)))
    before = np.empty(len(y))
    for split in folds:
        coef, seen = fitted(placed(split, len(y)), y)[0][0], y[split.train]
        predictor[split.test] = split.x_test @ coef
        at, hazard = baseline(risk_sets(seen), split.x_train @ coef)
        own = np.append(0.0, hazard)[np.searchsorted(at, times, side="right")]
        survival[split.test] = np.exp(-np.exp(predictor[split.test])[:, None] * own)
        reference[split.test] = kaplan_meier(seen, times)
        lost[split.test] = censoring(seen, times)
        before[split.test] = censoring(seen, y[split.test, 1], before=True)
    found = Curves(times, survival, reference, lost, before)
    return predictor, None if (y[:, 0] > 0).any() else found


def summarise(cases: Cases, predicted: Predicted, test: Row, bootstraps: int, seed: int) -> list[Row]:
    """Metric rows per feature set; one row with the status where there are no predictions."""
    if not len(predicted.table):
        return [cases.base]
    rows = []
    groups, fold = groups_of(cases.table), cases.table["fold"].to_numpy(int)
    weights = person_weights(groups, fold, bootstraps, seed)
    truncated = TRUNCATED if any(curves is None for curves in predicted.curves.values()) else ""
    for name, curves in predicted.curves.items():
        part_of = predicted.table[predicted.table["features"] == name]
        tests = [np.flatnonzero(fold == k) for k in np.unique(fold)]
        found = metrics(cases.y, part_of["prediction"].to_numpy(float), tests, curves, weights)
        for metric, values in found.items():
            row = cases.base | {"learner": LEARNER, "features": name, "interval": INTERVAL, "metric": metric}
            row |= summary_of(values)
            row["reason"] = "; ".join(filter(None, [row["reason"], truncated if not np.isfinite(values[0]) else ""]))
            if name == cases.full and metric == TESTED:
                row |= test | {"reason": "; ".join(filter(None, [row["reason"], test.get("reason", "")]))}
            rows.append(row)
    return rows
