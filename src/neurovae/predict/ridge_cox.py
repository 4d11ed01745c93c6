"""Ridge Cox regression tuned on inner folds of training people: the linear learner of survival scores.

Penalties as in `linear`: one alpha for the confounds and one for the latents, of standardised columns. Each is chosen
by the cross-validated partial likelihood of Verweij & van Houwelingen 1993 (Stat Med 12:2305): the sum over the inner
folds of l(all training people) - l(without that fold), both at the coefficients fitted without it. The confounds' alpha
is that of the confounds alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurovae.predict.features import Split
from neurovae.predict.linear import ALPHAS, smallest
from neurovae.stats.cox import Risk, fit_many, loglike, risk_sets


@dataclass(frozen=True)
class Part:
    """One training set: its risk sets, and those of its inner folds. They do not depend on the columns."""

    y: np.ndarray  # (n, 3)
    risk: Risk
    inner: tuple[tuple[np.ndarray, np.ndarray, Risk], ...]  # places in the training set without the fold, and of it


def part(split: Split, y: np.ndarray) -> Part:
    """Risk sets of a split's training people and inner folds. y: (all, 3)."""
    place = {row: k for k, row in enumerate(split.train)}
    inner = []
    for one in split.inner:
        kept, left = (np.array([place[row] for row in rows]) for rows in (one.train, one.test))
        inner.append((kept, left, risk_sets(y[one.train])))
    return Part(y[split.train], risk_sets(y[split.train]), tuple(inner))


def fitted(splits: list[Split], data: Part, known: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (m, columns) and chosen alphas (m, 2), of confounds and latents, each tuned and fitted alone.

    splits: of the same people and confounds, with other latents (draws of a permutation test). known: the alpha of the
    confounds, if it has been chosen before.
    """
    first, columns = splits[0], splits[0].x_train.shape[1]
    confounds, alphas = first.confounds, np.full((len(splits), 2), ALPHAS[0])
    if confounds and known is None:
        alone = [(one.x_train[None, :, -confounds:], one.x_test[None, :, -confounds:]) for one in first.inner]
        known = _best(data, alone, [np.full(confounds, alpha) for alpha in ALPHAS])[0]
    if confounds:
        alphas[:, 0] = known
    if confounds < columns:
        both = [
            (np.array([one.inner[k].x_train for one in splits]), np.array([one.inner[k].x_test for one in splits]))
            for k in range(len(first.inner))
        ]
        alphas[:, 1] = _best(data, both, [_penalty(columns, confounds, alphas[0, 0], alpha) for alpha in ALPHAS])
    penalty = np.array([_penalty(columns, confounds, *pair) for pair in alphas])
    x = np.array([one.x_train for one in splits])
    return _converged(data.risk, x, penalty, np.zeros_like(penalty)), alphas


def held_out(y: np.ndarray, predictor: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Log partial likelihood of predictions (..., n), within test folds, per event, over that of no prediction.

    Positive: better than all people alike. y: (n, 3); folds: rows of each.
    """
    gain = np.zeros(predictor.shape[:-1])
    for rows in folds:
        risk = risk_sets(y[rows])
        gain = gain + loglike(risk, predictor[..., rows]) - loglike(risk, np.zeros(len(rows)))
    return gain / y[:, 2].sum()


def _penalty(columns: int, confounds: int, first: float, second: float) -> np.ndarray:
    """The penalty of each column: the last ones are confounds."""
    return np.where(np.arange(columns) < columns - confounds, second, first)


def _converged(risk: Risk, x: np.ndarray, penalty: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The fits; a penalised likelihood is strictly concave, so that no convergence is an error of the program."""
    coef, ok = fit_many(risk, x, penalty, start)
    if not ok.all():
        raise ArithmeticError(f"penalised Cox regression: {(~ok).sum()} of {len(ok)} fits did not converge")
    return coef


def _best(data: Part, columns: list[tuple[np.ndarray, np.ndarray]], candidates: list[np.ndarray]) -> np.ndarray:
    """The alphas (m,) with the largest cross-validated partial likelihood; of equals the strongest.

    columns: of every inner fold, training (m, n, columns) and test.
    """
    loss = np.zeros((len(candidates), len(columns[0][0])))
    for (kept, left, risk), (train, test) in zip(data.inner, columns, strict=True):
        coef = np.zeros((len(train), train.shape[2]))
        for k, penalty in enumerate(candidates):
            coef = _converged(risk, train, np.broadcast_to(penalty, coef.shape), coef)
            line = np.empty((len(train), len(data.y)))
            line[:, kept], line[:, left] = (np.einsum("mnq,mq->mn", part, coef) for part in (train, test))
            loss[k] -= loglike(data.risk, line) - loglike(risk, line[:, kept])
    return np.array(ALPHAS)[smallest(loss)]
