"""Prediction where there is nothing to predict: R2, AUC per fold, the permutation p of the whole cross-validation.

The stated intervals, fixed beforehand: mean R2 of latents in [-.2, .01] and mean fold AUC in .5 +- .02, both sides
(rules.md, check 9); rejections of the whole-CV permutation inside the one-sided exact binomial interval.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check

from neurovae.predict.features import LATENTS
from neurovae.predict.folds import Folds, complete_cases
from neurovae.predict.learners import LEARNERS, learn
from neurovae.predict.metrics import metric_table
from neurovae.predict.permutation import permutation_test

R2, AUC = (-0.2, 0.01), (0.48, 0.52)
PERMUTATIONS, INNER, FOLDS = 99, 3, 5
ARMS = {"as on ixi": made.LATENTS, "32 columns of noise": 32}  # latents
SCORES = [{"name": "numeric", "type": "continuous"}, {"name": "binary", "type": "binary"}]


def cohort(arm: str, n: int, number: int) -> pd.DataFrame:
    """A cohort whose scores follow the confounds on ixi's latents, and nothing at all on columns of noise."""
    rng = np.random.default_rng([303, list(ARMS).index(arm), n, number])
    table, z = made.people(n, rng)
    alone = arm != "as on ixi"
    z = rng.normal(size=(n, ARMS[arm])) if alone else z
    eta = np.zeros(n) if alone else made.predictor(table)
    scores = {"numeric": made.score("skewed", eta, rng), "binary": made.score("binary", eta, rng)}
    return made.cohort_table(table, z, scores, FOLDS)


def counted(arm: str, n: int, learners: tuple[str, ...], start: int, stop: int) -> list[dict[str, Any]]:
    """R2 or AUC of the latents alone, and the whole-CV permutation p of what they add, per cohort."""
    rows = []
    for number in range(start, stop):
        table = cohort(arm, n, number)
        folds = Folds(dict.fromkeys(range(FOLDS), table), "transductive")
        for score in SCORES:
            confounds = made.CONFOUNDS if arm == "as on ixi" else []
            cases = complete_cases(folds, score, confounds, inner=INNER, seed=number)
            row = {"arm": arm, "n": n, "score": score["name"], "cohort": number, "status": cases.base["status"]}
            if row["status"] == "ok":
                row |= {f"value_{name}": value(cases, name) for name in learners}
                row["p"] = permutation_test(cases, "linear", PERMUTATIONS, number)["p_permutation"]
            rows.append(row)
    return rows


def value(cases: Any, learner: str) -> float:
    """R2 from pooled predictions, or AUC averaged over folds, of the latents alone."""
    parts = []
    for split in cases.splits[LATENTS]:
        told, probability = learn(learner, split, cases.y, cases.binary)(split.x_test)
        part = {"fold": cases.table["fold"].to_numpy()[split.test], "truth": cases.y[split.test], "prediction": told}
        parts.append(pd.DataFrame(part).assign(training_mean=cases.y[split.train].mean(), probability=probability))
    found = pd.concat([part.astype(float) for part in parts])
    metrics = metric_table(found, cases.binary, np.ones((2, len(found))))
    return float(next(m["value"] for m in metrics if m["metric"] == ("auc" if cases.binary else "r2")))


def table(pool: Executor | None, cohorts: dict[str, int], sizes: tuple[int, ...] = (60, 120)) -> pd.DataFrame:
    """Every cohort's values and p; the SVM on noise alone, in two fifths of the cohorts."""
    jobs = []
    for arm, count in cohorts.items():
        for n in sizes:
            few = 0 if arm == "as on ixi" else count * 2 // 5
            jobs += [(arm, n, LEARNERS, *b) for b in lines.blocks(few, 10)]
            jobs += [(arm, n, ("linear",), few + a, few + b) for a, b in lines.blocks(count - few, 25)]
    return pd.DataFrame([row for part in lines.shared(pool, counted, jobs) for row in part])


def checks(found: pd.DataFrame) -> list[Check]:
    """Intervals of the means for columns of noise; level of the permutation for both arms."""
    listed = []
    noise = found[found["arm"] != "as on ixi"]
    for (n, score), part in noise.groupby(["n", "score"], sort=False):
        for learner in LEARNERS:
            known = part[f"value_{learner}"].dropna()
            low, high = R2 if score == "numeric" else AUC
            what = "mean R2" if score == "numeric" else "mean fold AUC"
            error = f"+- {known.std() / np.sqrt(len(known)):.3f}"
            text = f"prediction from 32 columns of noise, {learner}, {n} people: {what} ({error})"
            passed = bool(low <= known.mean() <= high)
            listed.append(Check(text, f"{known.mean():.4f}", f"{low:g} to {high:g}", passed, len(known)))
    for (arm, n, score), part in found.groupby(["arm", "n", "score"], sort=False):
        p = part["p"].dropna()
        text = f"whole-CV permutation, {arm}, {score} score, {n} people"
        listed.append(lines.rate(text, int((p <= lines.ALPHA + 1e-9).sum()), len(p), 1))
    return listed
