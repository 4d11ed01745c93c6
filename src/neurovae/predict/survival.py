"""Prediction of a time to event in unseen people: cross-fitted ridge Cox regression, and its permutation test.

Every person enters with the first scan. The test permutes, among exchangeable people, the residuals of the latents on
the confounds, one permutation for the latents of all folds, while entry, time and event stay with the confounds: its
null is that the latents, given the confounds, are independent of the hazard and of the censoring. Tuning is repeated.

Of more than COMPONENTS latents, and of voxels, the first principal components of each outer training set take their
place, as columns that keep their scale: of latents times their size in the image, where it is known, else standardised.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from neurovae.io.progress import steps
from neurovae.predict.features import CONFOUNDS, Split, Used, kept_scale, split_rows, standardised
from neurovae.predict.folds import Cases, groups_of
from neurovae.predict.metrics import INTERVAL, person_weights
from neurovae.predict.metrics import summary as summary_of
from neurovae.predict.permutation import exchangeable_units, strata
from neurovae.predict.ridge_cox import fitted, held_out, part
from neurovae.predict.survival_metrics import Curves, censoring, grid, kaplan_meier, metrics
from neurovae.stats.basis import moves, residual
from neurovae.stats.cox import baseline
from neurovae.stats.exchangeability import plan, shuffle, too_few

LEARNER = "linear"
COMPONENTS = 50  # columns at most beside the confounds
ELEMENTS = 2**18  # numbers in the columns of one block of permutations
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
        data = part(split, y)
        coef = fitted([split], data)[0][0]
        predictor[split.test] = split.x_test @ coef
        at, hazard = baseline(data.risk, split.x_train @ coef)
        own = np.append(0.0, hazard)[np.searchsorted(at, times, side="right")]
        survival[split.test] = np.exp(-np.exp(predictor[split.test])[:, None] * own)
        reference[split.test] = kaplan_meier(data.y, times)
        lost[split.test] = censoring(data.y, times)
        before[split.test] = censoring(data.y, y[split.test, 1], before=True)
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


def permutation_test(cases: Cases, latents: dict[int, np.ndarray], together: bool, permutations: int, seed: int) -> Row:
    """Columns gain, p_permutation, permutations and permutation; p = (b + 1) / (m + 1).

    Gain: log partial likelihood within test folds, per event, of all features minus that of the confounds alone.

    Args:
        cases: with splits.
        latents: (n, latents) of every fold's model.
        together: the latents keep their scale relative to each other (voxels), else each is standardised.
        permutations: of the people.
        seed: of the draws.
    """
    full = cases.splits[cases.full]
    tests, data = [split.test for split in full], [part(split, cases.y) for split in full]
    alone, alphas = np.zeros(len(cases.y)), [None] * len(tests)
    if CONFOUNDS in cases.splits:
        found = [fitted([split], one) for split, one in zip(cases.splits[CONFOUNDS], data, strict=True)]
        for split, (coef, _) in zip(cases.splits[CONFOUNDS], found, strict=True):
            alone[split.test] = split.x_test @ coef[0]
        alphas = [chosen[0, 0] for _, chosen in found]
    base = held_out(cases.y, alone, tests)

    def gains(by_fold: list[list[Split]]) -> np.ndarray:
        predictor = np.empty((len(by_fold[0]), len(cases.y)))
        for splits, one, alpha in zip(by_fold, data, alphas, strict=True):
            coef = fitted(splits, one, alpha)[0]
            x = np.array([split.x_test for split in splits])
            predictor[:, splits[0].test] = np.einsum("mnq,mq->mn", x, coef)
        return held_out(cases.y, predictor, tests) - base

    observed = float(gains([[split] for split in full])[0])
    units, rule = exchangeable_units(cases)
    rule = rule.partition(":")[0] + ": residuals of the latents given the confounds"
    places = strata(units, len(cases.y))
    if not permutations:
        return {"gain": observed, "permutations": 0, "permutation": f"not run ({LEARNER}: 0 permutations)"}
    if few := too_few(places):
        reason = f"too few permutations: {few}"
        return {"gain": observed, "permutations": 0, "permutation": f"{rule}: none ({few})", "reason": reason}
    own = [latents[int(cases.table["fold"].iloc[rows[0]])] for rows in tests]
    left, count = [residual(z, cases.x) for z in own], 0
    size = max(ELEMENTS // full[0].x_train.size, 1)
    for draws, sequence in steps(plan(permutations, size, seed), "permutations", permutations):
        moved = [
            [with_latents(split, z - e + e[order], together) for order in shuffle(places, draws, sequence)]
            for split, z, e in zip(full, own, left, strict=True)
        ]
        count += int(np.sum(gains(moved) >= observed - 1e-10))
    p = (1 + count) / (permutations + 1)
    return {"gain": observed, "p_permutation": p, "permutations": permutations, "permutation": rule}


def with_latents(split: Split, z: np.ndarray, together: bool) -> Split:
    """The split with other latents (n, latents) and the confounds that it has, inner folds too."""
    train, test = z[split.train], z[split.test]
    both = np.vstack([train, test])
    if together:
        both = both - train.mean(axis=0)
        both = both / np.sqrt(np.square(both[: len(train)]).mean())
    else:
        both = standardised(both, len(train))
    last = slice(split.x_train.shape[1] - split.confounds, None)
    inner = tuple(with_latents(one, z, together) for one in split.inner)
    return replace(
        split,
        x_train=np.hstack([both[: len(train)], split.x_train[:, last]]),
        x_test=np.hstack([both[len(train) :], split.x_test[:, last]]),
        inner=inner,
    )
