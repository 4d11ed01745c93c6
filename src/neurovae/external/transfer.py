"""A predictor of one cohort applied to another: as it is, recalibrated, and beside the latents of its own model.

Untouched: nothing of the second cohort enters the prediction. Its calibration line is that of Cox (1958): observed on
predicted, or a logistic regression on the predicted logit; a slope below 1 means predictions that are too extreme.
Recalibrated: this line is fitted on training folds and applied to test folds.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from neurovae.predict import compare, predict
from neurovae.predict.features import LATENTS, Split
from neurovae.predict.folds import Cases
from neurovae.predict.linear import decompose, solve
from neurovae.predict.metrics import metric_table, person_weights

INTERVAL = "bootstrap over people, predictions held fixed"
FEWEST = 10  # people in the training part of each fold; fewer are not recalibrated
RARER = 5  # of the rarer class, likewise
Row = dict[str, Any]


def untouched(
    truth: np.ndarray,
    prediction: np.ndarray,
    mean: float,
    binary: bool,
    draws: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> list[Row]:
    """Metrics of predictions to which nothing was fitted, one row per metric; people are rows.

    R2 is against the mean of these people, so that it is positive only where the prediction beats knowing that. The
    calibration intercept is the error where the mean of the predictor's own cohort is predicted.

    Args:
        truth: score (n,).
        prediction: of the predictor (n,), a logit where binary.
        mean: of the score in the predictor's cohort.
        binary: 0 and 1.
        draws: resamples of people.
        seed: of these.
        groups: family of each person (n,), drawn as a whole; None: nobody is related.
    """
    table = pd.DataFrame({"fold": 0, "truth": truth, "prediction": prediction, "training_mean": mean})
    table["probability"] = expit(prediction) if binary else np.nan
    groups = np.arange(len(truth)) if groups is None else groups
    weights = person_weights(groups, np.zeros(len(truth), int), draws, seed)
    rows = metric_table(table, binary, weights)
    if not binary:
        rows = [row | _against_own_mean(truth, prediction, weights) if row["metric"] == "r2" else row for row in rows]
        rows.append({"metric": "mean_error", **_interval(_mean(prediction - truth, weights))})
    return [row | {"interval": INTERVAL} for row in rows]


def _against_own_mean(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> Row:
    """R2 against the mean of the same people; of a resample, against its own mean."""
    error = weights @ (truth - prediction) ** 2
    total = weights @ truth**2 - (weights @ truth) ** 2 / weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _interval(1 - error / total)


def _interval(values: np.ndarray) -> Row:
    low, high = np.nanquantile(values[1:], [0.025, 0.975]) if len(values) > 1 else (np.nan, np.nan)
    return {"value": values[0], "ci_low": low, "ci_high": high}


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights @ values / weights.sum(axis=1))


def recalibrated(truth: np.ndarray, prediction: np.ndarray, fold: np.ndarray, binary: bool) -> pd.DataFrame | str:
    """Predictions after slope and intercept of the training folds, with the columns of `metric_table`; or why not.

    fold: (n,) the test fold of each person.
    """
    folds = np.unique(fold)
    parts = []
    for k in folds:
        train, test = fold != k, fold == k
        if train.sum() < FEWEST or len(folds) < 2:
            return f"{int(train.sum())} people to recalibrate on for fold {k}, {FEWEST} are needed"
        rarer = int(min(truth[train].sum(), (1 - truth[train]).sum())) if binary else RARER
        if rarer < RARER:
            return f"{rarer} people of the rarer class to recalibrate on for fold {k}, {RARER} are needed"
        value = line(truth[train], prediction[train], prediction[test], binary)
        part = pd.DataFrame({"fold": k, "row": np.flatnonzero(test), "truth": truth[test], "prediction": value})
        probability = expit(value) if binary else np.nan
        parts.append(part.assign(training_mean=truth[train].mean(), probability=probability))
    return pd.concat(parts).sort_values("row", ignore_index=True)


def line(truth: np.ndarray, prediction: np.ndarray, new: np.ndarray, binary: bool) -> np.ndarray:
    """Least squares, or logistic regression, of the score on the prediction, applied to new predictions.

    A logistic regression has the weakest of penalties, so that a perfect prediction has a finite slope.
    """
    centre, spread = prediction.mean(), prediction.std()
    if spread == 0:
        rate = (truth.sum() + 0.5) / (len(truth) + 1)
        return np.full(len(new), logit(rate) if binary else truth.mean())
    z = ((prediction - centre) / spread)[:, None]
    intercept, coef = solve(binary, decompose(z), truth[:, None], (0.0, 1e-3 if binary else 0.0))
    return np.asarray(intercept[0] + coef[0, 0] * (new - centre) / spread)


def beside(cases: Cases, prediction: np.ndarray, draws: int, seed: int) -> list[Row]:
    """What the prediction adds to the latents of the own model: cross-fitted with and without it, and the difference.

    It enters with the penalty of the confounds, so that many latents do not shrink it away.

    Args:
        cases: of the score, from the own model (`predict.folds.complete_cases`).
        prediction: of the predictor, for each row of `cases.table`.
        draws: resamples of people.
        seed: of these.
    """
    rows: list[Row] = []
    for name in dict.fromkeys([LATENTS, cases.full]):
        with_it = f"{name} + external"
        splits = {name: cases.splits[name], with_it: [_with(split, prediction) for split in cases.splits[name]]}
        both = predict.cross_validate(replace(cases, splits=splits), ["linear"])
        parts = {key: both[both["features"] == key] for key in splits}
        for key, part in parts.items():
            of_features = replace(cases, splits={key: splits[key]})
            metrics = predict.summarise(of_features, part, {}, draws, seed)
            keys = ("metric", "value", "ci_low", "ci_high", "interval")
            rows += [{"features": key, **{k: row[k] for k in keys}, "n": row["n"]} for row in metrics]
        rows += [
            {"features": with_it, "against": name}
            | {k: one.get(k) for k in ("metric", "p", "folds", "n", "status", "reason", "ci_low", "ci_high")}
            | {"value": one.get("difference"), "interval": "corrected t over folds"}
            for one in compare.against(parts[with_it], name, parts[name])
        ]
    return rows


def _with(split: Split, prediction: np.ndarray) -> Split:
    """A split and its inner folds with the standardised prediction as the last column; latents keep their sizes."""
    train = prediction[split.train]
    centre, spread = train.mean(), train.std() or np.inf
    columns = [
        np.column_stack([x, (prediction[rows] - centre) / spread])
        for x, rows in ((split.x_train, split.train), (split.x_test, split.test))
    ]
    inner = tuple(_with(part, prediction) for part in split.inner)
    return Split(split.train, split.test, columns[0], columns[1], split.confounds + 1, inner, split.size)
