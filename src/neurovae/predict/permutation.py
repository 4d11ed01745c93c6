"""Permutation of the whole cross-validation: tests whether latents improve the prediction beyond the confounds.

Null: the score is independent of the latents given the confounds. Numeric scores: residuals of a fit on the confounds
are permuted (Freedman & Lane 1983). Binary: labels are drawn given the confounds and the number of each label, by
swaps of pairs (Berrett, Wang, Barber & Samworth 2020, JRSS B 82, algorithm 2). Whole persons are permuted, among people
with equally many scans and of the same site, and relatives together (Winkler 2015), also where the score changes over
sessions: the question is how well the score of a new person is predicted. Tuning is repeated; model and folds do not
depend on the score and stay the same.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from neurovae.design.design import relatives
from neurovae.predict.features import CONFOUNDS
from neurovae.predict.folds import Cases
from neurovae.predict.learners import out_of_fold
from neurovae.predict.linear import log_losses
from neurovae.stats.basis import residual
from neurovae.stats.exchangeability import too_few

SWAPS = 50  # rounds of pairwise swaps from the labels to the hub, and from the hub to each draw (their section 4.1)


def permutation_test(cases: Cases, learner: str, permutations: int, seed: int) -> dict[str, Any]:
    """Return columns gain, p_permutation, permutations and permutation of one learner; p = (b + 1) / (m + 1).

    Gain: R2, or minus the log loss, of all features minus that of the confounds alone (without any: training mean).
    With too few distinct permutations there is no p, and `reason` says so.
    """
    if not permutations:
        gain = gains(cases, learner, cases.y[:, None])[0]
        return {"gain": gain, "permutations": 0, "permutation": f"not run ({learner}: 0 permutations)"}
    units, rule = exchangeable_units(cases)
    too_few_draws = too_few(strata(units, len(cases.y)), cases.y if cases.binary else residual(cases.y, cases.x))
    if too_few_draws:
        gain, reason = gains(cases, learner, cases.y[:, None])[0], f"too few permutations: {too_few_draws}"
        return {"gain": gain, "permutations": 0, "permutation": f"{rule}: none ({too_few_draws})", "reason": reason}
    draws = null_scores(cases, units, permutations, seed)
    all_gains = gains(cases, learner, np.column_stack([cases.y, draws]))
    p = (1 + np.sum(all_gains[1:] >= all_gains[0] - 1e-10)) / (permutations + 1)
    return {"gain": all_gains[0], "p_permutation": p, "permutations": permutations, "permutation": rule}


def gains(cases: Cases, learner: str, y: np.ndarray) -> np.ndarray:
    """The improvement by the latents beyond the confounds, for targets y (n, m): R2, or reduction of mean log loss."""
    folds = cases.splits[cases.full]
    mean = np.empty(y.shape)
    for split in folds:
        mean[split.test] = y[split.train].mean(axis=0)
    baseline = out_of_fold(cases.splits[CONFOUNDS], learner, y, cases.binary) if CONFOUNDS in cases.splits else mean
    prediction = out_of_fold(folds, learner, y, cases.binary)
    if cases.binary:
        return np.mean(log_losses(y, baseline) - log_losses(y, prediction), axis=0)
    return np.sum((y - baseline) ** 2 - (y - prediction) ** 2, axis=0) / np.sum((y - mean) ** 2, axis=0)


def exchangeable_units(cases: Cases) -> tuple[list[np.ndarray], str]:
    """Return arrays (units, rows of a unit) of exchangeable rows for each kind of unit, and the rule in words.

    A unit is a person with all scans, or a family with all its people; units of one kind have as many scans at the same
    sites.
    """
    person = pd.factorize(cases.table["person"])[0]
    scans = np.bincount(person)
    site = pd.factorize(cases.table["site"].astype(str).groupby(person).first())[0]
    family_codes = relatives(cases.table, np.arange(len(person)))
    family = (
        np.arange(len(scans)) if family_codes is None else pd.Series(family_codes).groupby(person).first().to_numpy()
    )
    members = [sorted(np.flatnonzero(family == one), key=lambda k: (scans[k], site[k])) for one in np.unique(family)]
    kinds: dict[tuple[tuple[int, int], ...], list[np.ndarray]] = {}
    for unit_members in members:
        rows = np.concatenate([np.flatnonzero(person == k) for k in unit_members])
        kinds.setdefault(tuple((int(scans[k]), int(site[k])) for k in unit_members), []).append(rows)
    rule = "whole persons" if family_codes is None else "whole families among those of equal size"
    rule += " among people with equally many scans" if scans.max() > 1 else ""
    rule += " within site" if len(set(site)) > 1 else ""
    null_name = "labels drawn given the confounds" if cases.binary else "residuals given the confounds"
    return [np.array(kinds[kind]) for kind in sorted(kinds)], f"{rule}: {null_name}"


def strata(units: list[np.ndarray], n: int) -> np.ndarray:
    """Return the same units as codes of `exchangeability`: kind and unit of each of n rows."""
    codes, first = np.empty((n, 2), int), 0
    for kind, rows in enumerate(units):
        codes[rows, 0], codes[rows, 1] = kind, first + np.arange(len(rows))[:, None]
        first += len(rows)
    return codes


def null_scores(cases: Cases, units: list[np.ndarray], permutations: int, seed: int) -> np.ndarray:
    """Draw scores (n, permutations) under the null. A score that is constant within people moves as one row of each."""
    person = pd.factorize(cases.table["person"])[0]
    constant = bool((pd.Series(cases.y).groupby(person).nunique() == 1).all())
    y, x, blocks = cases.y, cases.x, units
    if constant:
        y = pd.Series(cases.y).groupby(person).first().to_numpy()
        x = pd.DataFrame(cases.x).groupby(person).mean().to_numpy()
        blocks = [np.array([list(dict.fromkeys(person[of])) for of in rows]) for rows in units]
    draw = swapped_labels if cases.binary else permuted_residuals
    drawn_scores = draw(y, x, [block for block in blocks if len(block) > 1], permutations, np.random.default_rng(seed))
    return drawn_scores[person] if constant else drawn_scores


def permuted_residuals(
    y: np.ndarray, x: np.ndarray, blocks: list[np.ndarray], permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw Freedman-Lane scores, (n, permutations); rows of a block (people, scans) are permuted among its people."""
    fit = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    residuals, drawn_scores = y - fit, np.repeat(y[:, None], permutations, axis=1)
    for block in blocks:
        order = rng.permuted(np.tile(np.arange(len(block)), (permutations, 1)), axis=1)  # (permutations, people)
        permuted = residuals[block][order]  # (permutations, people, scans)
        drawn_scores[block] = fit[block][:, :, None] + permuted.transpose(1, 2, 0)
    return drawn_scores


def swapped_labels(
    y: np.ndarray, x: np.ndarray, blocks: list[np.ndarray], permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw labels (n, permutations), exchangeable with y if the logistic model on x (intercept, confounds) holds."""
    eta = np.zeros(len(y))
    if x.shape[1] > 1:
        spread = x[:, 1:].std(axis=0)
        z = (x[:, 1:] - x[:, 1:].mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        eta = LogisticRegression(C=1e4, solver="newton-cholesky", max_iter=1000).fit(z, y).decision_function(z)
    hub = _swap(y[:, None].copy(), eta, blocks, rng)
    return _swap(np.repeat(hub, permutations, axis=1), eta, blocks, rng)


def _swap(y: np.ndarray, eta: np.ndarray, blocks: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    chain = np.arange(y.shape[1])
    for _ in range(SWAPS):
        for block in blocks:
            order = rng.permuted(np.tile(np.arange(len(block)), (y.shape[1], 1)), axis=1).T  # (people, chains)
            half = len(block) // 2
            a, b = block[order[:half]], block[order[half : 2 * half]]  # (pairs, chains, scans)
            labels_a, labels_b = y[a, chain[:, None]], y[b, chain[:, None]]
            odds = np.sum(
                (labels_b - labels_a) * (eta[a] - eta[b]), axis=2
            )  # log odds of the swapped to the present labels
            is_swapped = (rng.random(odds.shape) < expit(odds))[:, :, None]
            y[a, chain[:, None]], y[b, chain[:, None]] = (
                np.where(is_swapped, labels_b, labels_a),
                np.where(is_swapped, labels_a, labels_b),
            )
    return y
