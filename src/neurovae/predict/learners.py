"""Learners of the prediction stage, tuned on inner folds of training people; with probabilities for binary scores."""

import itertools
from collections.abc import Callable

import numpy as np
from scipy.special import expit
from sklearn.svm import SVC, SVR

from neurovae.predict.features import Split
from neurovae.predict.linear import decompose, fitted, smallest, solve

# gamma is a multiple of 1 / columns; epsilon and the penalties are for a standardised y
SVR_GRID = [
    dict(zip(("C", "gamma", "epsilon"), v, strict=True)) for v in itertools.product((0.1, 1, 10), (0.1, 1), (0.1, 0.5))
]
SVC_GRID = [dict(zip(("C", "gamma"), v, strict=True)) for v in itertools.product((0.1, 1, 10), (0.1, 1))]
TOLERANCE = 1e-6  # of libsvm, whose own 1e-3 lets rounding of y in another unit move a prediction by 1e-4
LEARNERS = ("linear", "svm")
Learned = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]  # columns -> prediction, probability of 1


def learn(learner: str, split: Split, y: np.ndarray, binary: bool) -> Learned:
    """Tune and fit on the training scans of `split`; y: (all scans,).

    "linear": ridge, or L2 logistic regression for a binary y. "svm": RBF kernel, its probabilities by Platt's sigmoid
    of inner out-of-fold decisions. The prediction is in units of y; for a binary y a logit or decision value (high: 1).
    """
    if learner == "linear":
        intercept, coef, _ = fitted(split, y[:, None], binary)
        return lambda x: _linear(intercept[0] + x @ coef[:, 0], binary)
    if not binary:
        errors = np.array([[_squared_error(split, y, point)] for point in SVR_GRID])
        point = SVR_GRID[int(smallest(errors)[0])]
        return _without_probability(_svr(point, split.x_train, y[split.train]))
    decisions = [[_svc(point, part.x_train, y[part.train])(part.x_test) for part in split.inner] for point in SVC_GRID]
    truth = [y[part.test] for part in split.inner]
    best = int(np.argmax(np.round([_mean_auc(truth, decision) for decision in decisions], 10)))
    machine = _svc(SVC_GRID[best], split.x_train, y[split.train])
    sigmoid = platt(np.concatenate(decisions[best]), np.concatenate(truth))
    return lambda x: (machine(x), sigmoid(machine(x)))


def out_of_fold(folds: list[Split], learner: str, y: np.ndarray, binary: bool) -> np.ndarray:
    """Value, or probability of 1, of every test scan for each target of y (n, m), each tuned and fitted alone."""
    predictions = np.empty(y.shape)
    for split in folds:
        if learner == "linear":
            intercept, coef, _ = fitted(split, y, binary)
            line = intercept + split.x_test @ coef
            predictions[split.test] = expit(line) if binary else line
            continue
        for k in range(y.shape[1]):
            value, probability = learn(learner, split, y[:, k], binary)(split.x_test)
            predictions[split.test, k] = value if probability is None else probability
    return predictions


def platt(decision: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the probability of 1 as a rising sigmoid of the decision value (Platt 1999, section 2.2)."""
    ones = y.sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (len(y) - ones + 2))
    centre, spread = decision.mean(), decision.std() or 1.0
    parts = decompose(((decision - centre) / spread)[:, None])
    intercept, coef = solve(True, parts, target[:, None], (0.0, 1e-3))
    slope = max(float(coef.sum()), 0.0)
    if slope == 0:  # decisions that point the wrong way carry no information
        return lambda values: np.full(len(values), y.mean())
    return lambda values: expit(intercept[0] + slope * (values - centre) / spread)


def _linear(line: np.ndarray, binary: bool) -> tuple[np.ndarray, np.ndarray | None]:
    return line, expit(line) if binary else None


def _without_probability(machine: Callable[[np.ndarray], np.ndarray]) -> Learned:
    return lambda x: (machine(x), None)


def _squared_error(split: Split, y: np.ndarray, point: dict[str, float]) -> float:
    predictions = [_svr(point, part.x_train, y[part.train])(part.x_test) for part in split.inner]
    return float(
        sum(np.sum((y[part.test] - prediction) ** 2) for part, prediction in zip(split.inner, predictions, strict=True))
    )


def _svr(point: dict[str, float], x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    centre, spread = y.mean(), y.std() or 1.0
    model = SVR(C=point["C"], gamma=point["gamma"] / max(x.shape[1], 1), epsilon=point["epsilon"], tol=TOLERANCE)
    if not x.shape[1]:
        return lambda x_test: np.full(len(x_test), centre)
    model.fit(x, (y - centre) / spread)
    return lambda x_test: centre + spread * model.predict(x_test)


def _svc(point: dict[str, float], x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    if not x.shape[1] or np.ptp(y) == 0:  # one class only
        return lambda x_test: np.zeros(len(x_test))
    model = SVC(C=point["C"], gamma=point["gamma"] / x.shape[1], class_weight="balanced", tol=TOLERANCE).fit(
        x, y.astype(int)
    )
    training_decisions = model.decision_function(
        x
    )  # its origin and scale differ from machine to machine, and Platt's sigmoid pools them
    return lambda x_test: (
        (model.decision_function(x_test) - training_decisions.mean()) / max(training_decisions.std(), 1e-12)
    )


def _mean_auc(truth: list[np.ndarray], decision: list[np.ndarray]) -> float:
    aucs = [_auc(y, prediction) for y, prediction in zip(truth, decision, strict=True) if 0 < y.sum() < len(y)]
    return float(np.mean(aucs)) if aucs else 0.5


def _auc(truth: np.ndarray, prediction: np.ndarray) -> float:
    gap = prediction[truth == 1][:, None] - prediction[truth == 0][None, :]
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))
