"""Permutation test of the prediction of a time to event: do latents predict beyond the confounds?

Entry, time, event and confounds of a person move together, among exchangeable people, to the latents, the fold and the
roles in all models (training, validation, test) of another person. So people whom a fold's model saw and people whom it
did not see never change places among the latents, whose distributions differ. The latents keep what the confounds
explain of them: with z = x b + e by least squares, outcome and confounds (y, x) of one person and the residual e of
another give latents x b + e. Potter 2005 (Stat Med 24:693) and Werft & Benner 2010 (R J 2/1:39) permute such residuals
of the regressor for models that have no residuals of the outcome, as censored times have none. The null is that the
residuals, with folds and roles, are independent of the outcome (hazard and censoring) and the confounds. Everything
that saw an outcome is repeated: penalties of the confounds and of the latents, and all fits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurovae.io.progress import steps
from neurovae.predict.features import CONFOUNDS, Split
from neurovae.predict.folds import Cases
from neurovae.predict.permutation import exchangeable_units, strata
from neurovae.predict.ridge_cox import Trained, fitted, held_out
from neurovae.stats.basis import ROUNDING, residual
from neurovae.stats.exchangeability import plan, shuffle, too_few

ELEMENTS = 2**18  # numbers in the columns of one block of permutations


@dataclass(frozen=True)
class Fold:
    """One test fold: latents of its model, as what confounds explain of them and the rest, and who trains where."""

    fit: np.ndarray  # (n, latents)
    rest: np.ndarray  # (n, latents)
    train: np.ndarray  # (n,)
    inner: list[np.ndarray]  # (n,) of each inner fold


def permutation_test(
    cases: Cases, latents: dict[int, np.ndarray], together: bool, permutations: int, seed: int
) -> dict[str, Any]:
    """Columns gain, p_permutation, permutations and permutation; p = (b + 1) / (m + 1).

    Gain: log partial likelihood within test folds, per event, of all features minus that of the confounds alone.
    Columns of confounds are those of all people, standardised on the training people.

    Args:
        cases: with splits.
        latents: (n, latents) of every fold's model.
        together: the latents keep their scale relative to each other (voxels), else each is standardised.
        permutations: of the people.
        seed: of the draws.
    """
    folds = [_fold(cases, split, latents) for split in cases.splits[cases.full]]
    confounds = cases.x[:, 1:] if CONFOUNDS in cases.splits else cases.x[:, :0]
    everyone = np.arange(len(cases.y))
    observed = float(gains(cases.y, confounds, folds, everyone[None], together)[0])
    units, rule = exchangeable_units(cases)
    rule = rule.partition(":")[0] + ": outcome and confounds, given the confounds' part of the latents"
    places = strata(units, len(cases.y))
    if not permutations:
        return {"gain": observed, "permutations": 0, "permutation": "not run (linear: 0 permutations)"}
    if few := too_few(places):
        reason = f"too few permutations: {few}"
        return {"gain": observed, "permutations": 0, "permutation": f"{rule}: none ({few})", "reason": reason}
    size, count = max(ELEMENTS // (len(everyone) * (folds[0].fit.shape[1] + confounds.shape[1])), 1), 0
    for draws, sequence in steps(plan(permutations, size, seed), "permutations", permutations):
        drawn = gains(cases.y, confounds, folds, shuffle(places, draws, sequence), together)
        count += int(np.sum(drawn >= observed - 1e-10))
    p = (1 + count) / (permutations + 1)
    return {"gain": observed, "p_permutation": p, "permutations": permutations, "permutation": rule}


def gains(y: np.ndarray, confounds: np.ndarray, folds: list[Fold], order: np.ndarray, together: bool) -> np.ndarray:
    """Gains (m,) when outcome and confounds of person i meet residual latents, fold and roles of person order[:, i].

    y: (n, 3); confounds: (n, columns); order: (m, n).
    """
    predictors, tests = np.zeros((2, *order.shape)), []
    for fold in folds:
        data = moved(fold, confounds, order, together)
        coef = fitted(data, y)[0]
        tests.append(~data.train)
        full = np.einsum("mnq,mq->mn", data.x, coef)
        predictors[0][tests[-1]] = full[tests[-1]]
        if data.confounds:
            alone = data.only_confounds()
            predictors[1][tests[-1]] = np.einsum("mnq,mq->mn", alone.x, fitted(alone, y)[0])[tests[-1]]
    return held_out(y, predictors[0], tests) - held_out(y, predictors[1], tests)


def moved(fold: Fold, confounds: np.ndarray, order: np.ndarray, together: bool) -> Trained:
    """Columns and roles of one fold in every draw, in the places of the outcomes."""
    z = fold.fit + fold.rest[order]  # (m, n, latents)

    def trained(who: np.ndarray, inner: tuple[Trained, ...] = ()) -> Trained:
        train = who[order]
        centred = z - _mean(z, train)
        columns = [
            centred / np.sqrt(_mean(np.square(centred).mean(axis=2, keepdims=True), train)) if together
            else standardised(z, train),
            standardised(np.broadcast_to(confounds, (len(order), *confounds.shape)), train),
        ]  # fmt: skip
        return Trained(np.concatenate(columns, axis=2), train, confounds.shape[1], inner)

    return trained(fold.train, tuple(trained(one) for one in fold.inner))


def standardised(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Standardise columns on the training people of each draw; zeros where they do not vary there beyond rounding.

    x: (m, n, columns); train: (m, n).
    """
    centred = x - _mean(x, train)
    spread = np.sqrt(_mean(np.square(centred), train))
    largest = np.max(np.abs(x) * train[:, :, None], axis=1, keepdims=True, initial=0.0)
    return np.asarray(centred / np.where(spread > ROUNDING * largest, spread, np.inf))


def _mean(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Mean over the training people of each draw, (m, 1, columns)."""
    return np.asarray(np.einsum("mnq,mn->mq", x, train / train.sum(axis=1, keepdims=True))[:, None])


def _fold(cases: Cases, split: Split, latents: dict[int, np.ndarray]) -> Fold:
    z = latents[int(cases.table["fold"].iloc[split.test[0]])]
    rest, everyone = residual(z, cases.x), np.arange(len(cases.y))
    return Fold(z - rest, rest, np.isin(everyone, split.train), [np.isin(everyone, one.train) for one in split.inner])
