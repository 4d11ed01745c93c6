"""Metrics of cross-validated predictions under person weights, so that one function gives the value and its bootstrap.

R2 and MAE come from the pooled predictions, R2 against the mean of each training fold; r and AUC are computed within
test folds and averaged, since pooled they are biased under the null. Weights: (draws, scans); the first draw is ones.
"""

import numpy as np
import pandas as pd

INTERVAL = "fixed models, bootstrap over people"


def person_weights(people: np.ndarray, fold: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Ones, then `draws` bootstrap weights per scan: people drawn with replacement within their test fold."""
    codes, names = pd.factorize(people, sort=True)
    of_person = pd.Series(fold).groupby(codes).first().to_numpy()
    rng = np.random.default_rng(seed)
    weights = np.ones((draws + 1, len(names)))
    for k in np.unique(of_person):
        inside = np.flatnonzero(of_person == k)
        weights[1:, inside] = rng.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), size=draws)
    return weights[:, codes]


def metric_table(
    binary: bool, truth: np.ndarray, prediction: np.ndarray, baseline: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> list[dict[str, float | str]]:
    """Rows metric, value, ci_low, ci_high; a metric that is not defined (a constant prediction has no r) is missing."""
    if binary:
        drawn = {"auc": _per_fold(_auc, truth, prediction, fold, weights)}
    else:
        error = weights @ (truth - prediction) ** 2
        drawn = {
            "r2": 1 - error / (weights @ (truth - baseline) ** 2),
            "mae": weights @ np.abs(truth - prediction) / weights.sum(axis=1),
            "r": _per_fold(_r, truth, prediction, fold, weights),
        }
    return [{"metric": name, **_summary(values)} for name, values in drawn.items()]


def _summary(values: np.ndarray) -> dict[str, float]:
    spread = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(spread):
        return {"value": values[0], "ci_low": np.nan, "ci_high": np.nan}
    low, high = np.quantile(spread, [0.025, 0.975])
    return {"value": values[0], "ci_low": low, "ci_high": high}


def _per_fold(metric, truth, prediction, fold, weights) -> np.ndarray:  # type: ignore[no-untyped-def]
    values = np.array(
        [metric(truth[fold == k], prediction[fold == k], weights[:, fold == k]) for k in np.unique(fold)]
    )  # (folds, draws)
    defined = np.isfinite(values)
    count = defined.sum(axis=0)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _r(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    a = truth - weights @ truth[:, None] / total  # (draws, scans)
    b = prediction - weights @ prediction[:, None] / total
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.sum(weights * a * b, axis=1) / np.sqrt(
            np.sum(weights * a**2, axis=1) * np.sum(weights * b**2, axis=1)
        )
    flat = np.ptp(prediction) <= 1e-12 * np.abs(prediction).max() or np.ptp(truth) == 0
    return np.full(len(weights), np.nan) if flat else value


def _auc(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    positive, negative = truth == 1, truth == 0
    gap = prediction[positive][:, None] - prediction[negative][None, :]
    won = (gap > 0) + 0.5 * (gap == 0)  # (positive, negative)
    up, down = weights[:, positive], weights[:, negative]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum((up @ won) * down, axis=1) / (up.sum(axis=1) * down.sum(axis=1))
