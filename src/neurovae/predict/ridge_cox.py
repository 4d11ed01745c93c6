"""Ridge Cox regression tuned on inner folds of training people: the linear learner of survival scores.

Penalties as in `linear`: one alpha for the confounds and one for the latents, of standardised columns. Each is chosen
by the cross-validated partial likelihood of Verweij & van Houwelingen 1993 (Stat Med 12:2305): the sum over the inner
folds of l(all training people) - l(without that fold), both at the coefficients fitted without it. The confounds' alpha
is that of the confounds alone.

Several fits at once, of the draws of a permutation test, differ in their columns and in who trains them: all have
the rows of all people, and a mask of the training people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurovae.predict.features import Split
from neurovae.predict.linear import ALPHAS, smallest
from neurovae.stats.cox import Risk, fit_many, loglike, risk_sets


@dataclass(frozen=True)
class Trained:
    """Columns of all people in m fits, and who trains each; `inner`: the inner folds of the training people."""

    x: np.ndarray  # (m, n, columns), standardised on the training people
    train: np.ndarray  # (m, n), whether a person trains
    confounds: int  # so many of the columns, the last ones, are confounds
    inner: tuple["Trained", ...] = ()

    def only_confounds(self) -> "Trained":
        """The same without the other columns."""
        first = self.x.shape[2] - self.confounds
        inner = tuple(one.only_confounds() for one in self.inner)
        return Trained(self.x[:, :, first:], self.train, self.confounds, inner)


def placed(split: Split, n: int) -> Trained:
    """A split as one fit over all n people; who is neither in its training nor in its test set has zeros."""
    x, train = np.zeros((1, n, split.x_train.shape[1])), np.zeros((1, n), bool)
    x[0, split.train], x[0, split.test], train[0, split.train] = split.x_train, split.x_test, True
    return Trained(x, train, split.confounds, tuple(placed(one, n) for one in split.inner))


def fitted(data: Trained, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (m, columns) and chosen alphas (m, 2), of confounds and latents, each tuned and fitted alone.

    y: (n, 3).
    """
    (fits, _, columns), confounds = data.x.shape, data.confounds
    risk, inner = risk_sets(y, data.train), [risk_sets(y, one.train) for one in data.inner]
    alphas = np.full((fits, 2), ALPHAS[0])
    if confounds:
        alphas[:, 0] = _best(risk, inner, data.only_confounds(), [np.full((fits, confounds), one) for one in ALPHAS])
    if confounds < columns:
        candidates = [_penalty(columns, confounds, alphas[:, 0], np.full(fits, one)) for one in ALPHAS]
        alphas[:, 1] = _best(risk, inner, data, candidates)
    penalty = _penalty(columns, confounds, *alphas.T)
    return _converged(risk, data.x, penalty, np.zeros_like(penalty)), alphas


def held_out(y: np.ndarray, predictor: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Log partial likelihood of predictions (m, n), within test folds, per event, over that of no prediction.

    Positive: better than the same risk for everybody. y: (n, 3); folds: masks (m, n) of who is tested.
    """
    gain = np.zeros(len(predictor))
    for tested in folds:
        risk = risk_sets(y, tested)
        gain = gain + loglike(risk, predictor) - loglike(risk, np.zeros_like(predictor))
    return gain / y[:, 2].sum()


def _penalty(columns: int, confounds: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The penalty of each column (m, columns): the last ones are confounds. first, second: (m,) alphas."""
    return np.where(np.arange(columns) < columns - confounds, second[:, None], first[:, None])


def _converged(risk: Risk, x: np.ndarray, penalty: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The fits; a penalised likelihood is strictly concave, so that no convergence is an error of the program."""
    coef, ok = fit_many(risk, x, penalty, start)
    if not ok.all():
        raise ArithmeticError(f"penalised Cox regression: {(~ok).sum()} of {len(ok)} fits did not converge")
    return coef


def _best(risk: Risk, inner: list[Risk], data: Trained, candidates: list[np.ndarray]) -> np.ndarray:
    """The alphas (m,) with the largest cross-validated partial likelihood; of equals the strongest.

    candidates: penalties (m, columns) that belong to ALPHAS.
    """
    loss = np.zeros((len(candidates), len(data.x)))
    for one, own in zip(data.inner, inner, strict=True):
        coef = np.zeros_like(candidates[0])
        for k, penalty in enumerate(candidates):
            coef = _converged(own, one.x, penalty, coef)
            line = np.einsum("mnq,mq->mn", one.x, coef)
            loss[k] -= loglike(risk, line) - loglike(own, line)
    return np.array(ALPHAS)[smallest(loss)]
