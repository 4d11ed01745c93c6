"""Metrics of cross-validated predictions under person weights, so that one function gives the value and its bootstrap.

R2, MAE, log loss and Brier score come from the pooled predictions, R2 against the mean of each training fold; r, AUC
and balanced accuracy are computed within test folds and averaged, since pooled they are biased under the null.
Weights: (draws, scans); the first draw is ones.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from neurovae.predict.linear import log_losses

INTERVAL = "fixed models, bootstrap over people"
FLAT = 1e-9  # predictions that differ less than this share of the range of the score have no slope and no r


def person_weights(people: np.ndarray, fold: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return ones, then `draws` bootstrap weights per scan: people drawn with replacement within their test fold."""
    codes, names = pd.factorize(people, sort=True)
    fold_of_person = pd.Series(fold).groupby(codes).first().to_numpy()
    rng = np.random.default_rng(seed)
    weights = np.ones((draws + 1, len(names)))
    for k in np.unique(fold_of_person):
        in_fold = np.flatnonzero(fold_of_person == k)
        weights[1:, in_fold] = rng.multinomial(len(in_fold), np.full(len(in_fold), 1 / len(in_fold)), size=draws)
    return weights[:, codes]


def metric_table(predictions: pd.DataFrame, binary: bool, weights: np.ndarray) -> list[dict[str, float | str]]:
    """Rows metric, value, ci_low, ci_high; a metric that is not defined (a constant prediction has no r) is missing.

    predictions: fold, truth, prediction, training_mean and, of a binary score, probability, a row per scan.
    """
    columns = ["truth", "prediction", "training_mean", "probability"]
    truth, prediction, mean, probability = (predictions[name].to_numpy(float) for name in columns)
    fold = predictions["fold"].to_numpy(int)
    values_by_metric = (
        _binary(truth, prediction, mean, probability, fold, weights)
        if binary
        else _numeric(truth, prediction, mean, fold, weights)
    )
    return [{"metric": name, **summary(values)} for name, values in values_by_metric.items()]


def _numeric(
    truth: np.ndarray, prediction: np.ndarray, mean: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    slope, intercept = calibration_line(truth - mean, prediction - mean, weights)
    return {
        "r2": 1 - weights @ (truth - prediction) ** 2 / (weights @ (truth - mean) ** 2),
        "mae": _mean(np.abs(truth - prediction), weights),
        "r": _per_fold(_r, truth, prediction, fold, weights),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


def _binary(
    truth: np.ndarray, decision: np.ndarray, mean: np.ndarray, p: np.ndarray, fold: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    slope, intercept = recalibration(truth, p, mean, weights)
    return {
        "auc": _per_fold(_auc, truth, decision, fold, weights),
        "log_loss": _mean(log_losses(truth, p), weights),
        "brier": _mean((truth - p) ** 2, weights),
        "balanced_accuracy": _per_fold(_balanced, truth, (p > mean).astype(float), fold, weights),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


def calibration_line(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of truth on prediction, both as distances from the mean of their training fold.

    1 and 0 where calibrated. Raw values would slope downwards under the null, as a fold that lies high has a low
    training mean; the intercept is the error, in units of the score, where the training mean is predicted.
    """
    a, b = _centred(truth, weights), _centred(prediction, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.sum(weights * a * b, axis=1) / np.sum(weights * b**2, axis=1)
    slope = np.full(len(weights), np.nan) if np.ptp(prediction) <= FLAT * np.ptp(truth) else slope
    return slope, _mean(truth, weights) - slope * _mean(prediction, weights)


def recalibration(
    truth: np.ndarray, p: np.ndarray, mean: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of a logistic regression on the logit of p (Cox 1958), less the logit of the training mean.

    1 and 0 where calibrated; missing where there is no finite estimate (constant p, or separation).
    """
    base = logit(np.clip(mean, 1e-6, 1 - 1e-6))
    z = logit(np.clip(p, 1e-12, 1 - 1e-12)) - base
    slope, intercept = np.zeros((2, len(weights)))
    change = np.full(len(weights), np.inf)
    spread = z.std()
    if spread <= FLAT:
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    for _ in range(50):
        probability = expit(base + intercept[:, None] + slope[:, None] * z / spread)  # (draws, scans)
        error, info = weights * (truth - probability), weights * probability * (1 - probability)
        h0, h1, h2 = info.sum(axis=1), info @ z / spread, info @ (z / spread) ** 2
        g0, g1 = error.sum(axis=1), error @ z / spread
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            step = np.array([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0]) / (h0 * h2 - h1**2)
        intercept, slope = intercept + np.clip(step[0], -2, 2), slope + np.clip(step[1], -2, 2)
        change = np.abs(step).max(axis=0)
        if not np.any(change > 1e-8):
            break
    converged = (change <= 1e-8) & (np.abs(slope) < 30)
    return np.where(converged, slope / spread, np.nan), np.where(converged, intercept, np.nan)


def summary(values: np.ndarray) -> dict[str, float]:
    """Value and 95 % percentile interval of a metric (draws,), the first of which is the cohort itself."""
    resampled = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(resampled):
        return {"value": values[0], "ci_low": np.nan, "ci_high": np.nan}
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {"value": values[0], "ci_low": low, "ci_high": high}


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ values / weights.sum(axis=1)


def _centred(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return values - _mean(values, weights)[:, None]  # (draws, scans)


def _per_fold(metric, truth, prediction, fold, weights) -> np.ndarray:  # type: ignore[no-untyped-def]
    values = np.array(
        [metric(truth[fold == k], prediction[fold == k], weights[:, fold == k]) for k in np.unique(fold)]
    )  # (folds, draws)
    defined = np.isfinite(values)
    count = defined.sum(axis=0)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _r(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    a, b = _centred(truth, weights), _centred(prediction, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.sum(weights * a * b, axis=1) / np.sqrt(
            np.sum(weights * a**2, axis=1) * np.sum(weights * b**2, axis=1)
        )
    flat = np.ptp(prediction) <= FLAT * np.ptp(truth) or np.ptp(truth) == 0
    return np.full(len(weights), np.nan) if flat else value


def _auc(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    positive, negative = truth == 1, truth == 0
    gap = prediction[positive][:, None] - prediction[negative][None, :]
    ordered = (gap > 0) + 0.5 * (gap == 0)  # (positive, negative)
    weights_positive, weights_negative = weights[:, positive], weights[:, negative]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum((weights_positive @ ordered) * weights_negative, axis=1) / (
            weights_positive.sum(axis=1) * weights_negative.sum(axis=1)
        )


def _balanced(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of sensitivity and specificity; predicted: 1 where the probability exceeds the fraction in training."""
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = (_mean(predicted[truth == v] == v, weights[:, truth == v]) for v in (1, 0))
    return (sensitivity + specificity) / 2
