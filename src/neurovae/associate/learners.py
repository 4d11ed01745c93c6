"""The learners of predict, tuned by an inner cross-validation over people; all is fitted on training rows."""

import itertools
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.svm import SVC, SVR

Features = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # (train, test) rows -> their columns
Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # x_train, y_train, x_test, y_test

# gamma is a multiple of 1 / columns; epsilon and the penalties are for a standardised y
SVR_GRID = [
    dict(zip(("C", "gamma", "epsilon"), v, strict=True)) for v in itertools.product((0.1, 1, 10), (0.1, 1), (0.1, 0.5))
]
SVC_GRID = [dict(zip(("C", "gamma"), v, strict=True)) for v in itertools.product((0.1, 1, 10), (0.1, 1))]
RIDGE_GRID = [{"alpha": alpha} for alpha in (1.0, 10.0, 100.0, 1000.0)]
LEARNERS = ("svm", "ridge")


def inner_parts(
    features: Features, y: np.ndarray, people: np.ndarray, rows: np.ndarray, folds: int, binary: bool
) -> list[Part]:
    """Inner train and test columns of the outer training `rows`; all scans of a person on one side."""
    split = StratifiedGroupKFold(folds) if binary else GroupKFold(folds)
    parts = []
    for train, test in split.split(rows, y[rows], people[rows]):
        x_train, x_test = features(rows[train], rows[test])
        parts.append((x_train, y[rows[train]], x_test, y[rows[test]]))
    return parts


def tuned(learner: str, binary: bool, parts: list[Part]) -> dict[str, float]:
    """The grid point with the best inner score: least pooled squared error, or highest mean AUC; first of equals."""
    grid = RIDGE_GRID if learner == "ridge" else SVC_GRID if binary else SVR_GRID
    scores = [inner_score(learner, binary, point, parts) for point in grid]
    return grid[int(np.argmax(np.round(scores, 10)))]


def inner_score(learner: str, binary: bool, point: dict[str, float], parts: list[Part]) -> float:
    """Minus the pooled squared error, or the AUC averaged over the inner folds that hold both classes."""
    found = [(part[3], predicted(learner, binary, point, *part[:3])) for part in parts]
    if not binary:
        return -float(sum(np.sum((truth - guess) ** 2) for truth, guess in found))
    aucs = [_auc(truth, guess) for truth, guess in found if 0 < truth.sum() < len(truth)]
    return float(np.mean(aucs)) if aucs else 0.5


def predicted(
    learner: str, binary: bool, point: dict[str, float], x: np.ndarray, y: np.ndarray, x_test: np.ndarray
) -> np.ndarray:
    """Fit on x, y and predict x_test: values in units of y, or for a binary y a decision value (high: like 1)."""
    if learner == "svm" and binary:
        model = SVC(C=point["C"], gamma=point["gamma"] / x.shape[1], class_weight="balanced")
        return model.fit(x, y.astype(int)).decision_function(x_test)
    centre, spread = y.mean(), y.std() or 1.0
    if learner == "ridge":
        model = Ridge(alpha=point["alpha"])
    else:
        model = SVR(C=point["C"], gamma=point["gamma"] / x.shape[1], epsilon=point["epsilon"])
    return centre + spread * model.fit(x, (y - centre) / spread).predict(x_test)


def _auc(truth: np.ndarray, guess: np.ndarray) -> float:
    gap = guess[truth == 1][:, None] - guess[truth == 0][None, :]
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))
