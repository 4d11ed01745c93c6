"""Prediction of a score in unseen people: nested cross-validation by person over confounds, latents and both."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import Json, cli
from neurovae.design.design import join, used_confounds
from neurovae.design.rows import stopped
from neurovae.design.tables import STOPPING, joint_verdict, read_verdict, tidy, write_both
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.predict import importance as importances
from neurovae.predict import leakage, survival, survival_permutation
from neurovae.predict.features import Used
from neurovae.predict.folds import Cases, Folds, complete_cases, groups_of, outer_folds
from neurovae.predict.learners import LEARNERS, learn
from neurovae.predict.metrics import INTERVAL, metric_table, person_weights
from neurovae.predict.permutation import permutation_test

KEYS = {"score": "object", "model": "object", "seed": "Int64", "learner": "object", "features": "object"}
COLUMNS = KEYS | {
    "type": "object", "fold": "Int64", "metric": "object", "value": "float64", "ci_low": "float64",
    "ci_high": "float64", "interval": "object", "gain": "float64", "p_permutation": "float64",
    "permutations": "Int64", "permutation": "object", "session": "object", "n": "Int64", "n_scans": "Int64",
    "folds": "Int64", "confounds": "object", "n_imputed": "Int64", "harmonised": "object", "policy": "object",
    "status": "object", "reason": "object", "verdict": "object"}  # fmt: skip
PREDICTIONS = {"scan": "object", "person": "object", "session": "object", "fold": "Int64"} | KEYS | {
    "type": "object"} | dict.fromkeys(
    ["truth", "event", "entry", "prediction", "probability", "training_mean"], "float64"
) | {"harmonised": "object", "policy": "object", "verdict": "object"}  # fmt: skip


def run(
    *,
    cohort: Path,
    latents: list[Path],
    weights: list[Path],
    qc: Path,
    health: list[Path],
    scores: Json,
    confounds: Json,
    inner: int,
    bootstraps: int,
    permutations: int,
    svm_permutations: int,
    importance: int,
    harmonise: str,
    new_site: str,
    seed: int,
    index: list[Path] | None = None,
    imputations: int = 0,
    out: Path,
    predictions: Path,
    importance_table: Path,
    freeze: bool = False,
) -> None:
    """Cross-validate every score from one model: one latents table, or one per fold; write three tables.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun predict

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet, one or one per outer fold.
        weights: weights of the models, in the order of `latents`: the people in them are compared.
        qc: qc.parquet.
        health: health.json of the models.
        scores: of the configuration.
        confounds: of the configuration.
        inner: inner folds of people, for tuning.
        bootstraps: resamples of people for the intervals.
        permutations: of the whole cross-validation with the linear learner; 0: none, and the rows say so.
        svm_permutations: the same with the SVM.
        importance: repeats of the permutation importance.
        harmonise: none, or combat.
        new_site: refuse, or mean.
        seed: of inner folds, resamples and permutations.
        index: latent_index.parquet of each latents table, with the sizes of the latents; none: they are standardised.
        imputations: 0: complete cases; else missing confounds take their expected value, learnt in every training set.
        out: metrics, Parquet with TSV beside it.
        predictions: of every scan, Parquet with TSV beside it.
        importance_table: importance of every latent, Parquet with TSV beside it.
        freeze: the models are those of an earlier run; people who are not listed in them are new.
    """
    people, checks = read_parquet(cohort), read_parquet(qc)
    leakage.refuse(latents, weights, people, freeze)
    verdict, reason = joint_verdict({path.parent.name: read_verdict(path) for path in health})
    folds = outer_folds(
        [join(people, latent_table.read(path), checks) for path in latents], latent_table.sizes(index or [])
    )
    folds = replace(folds, policy=leakage.policy(folds.policy, health))
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    latent_rows: list[dict[str, Any]] = []
    if verdict in STOPPING:
        row = stopped(next(iter(folds.tables.values())), verdict, reason) | {"policy": folds.policy}
        rows = latent_rows = [row | {"fold": None} if folds.policy == "per fold" else row]
    for k, score in enumerate(steps(scores if not rows else [], "predict: scores")):
        cases = complete_cases(
            folds,
            score,
            confounds,
            inner=inner,
            harmonise=harmonise,
            new_site=new_site,
            seed=seed,
            impute=imputations > 0,
        )
        if score["type"] == "survival":
            used = used_confounds(cases.table, score, confounds, with_split=False)[0]
            metrics, predicted = of_survival(cases, folds, used, inner, bootstraps, permutations, seed)
            rows += [row | {"verdict": verdict} for row in metrics]
            records += _records(predicted.assign(verdict=verdict))
            latent_rows += [row | {"verdict": verdict} for row in importances.importance(cases, importance, seed)]
            continue
        predicted = cross_validate(cases)
        n_draws = {"linear": permutations, "svm": svm_permutations}
        tested = {name: permutation_test(cases, name, n_draws[name], seed) for name in LEARNERS if len(predicted)}
        rows += [row | {"verdict": verdict} for row in summarise(cases, predicted, tested, bootstraps, seed)]
        records += _records(predicted.assign(verdict=verdict))
        latent_rows += [row | {"verdict": verdict} for row in importances.importance(cases, importance, seed)]
        print(f"predict: {score['name']} done, {k + 1} of {len(scores)}", flush=True)
    write_both(out, tidy(rows, COLUMNS))
    write_both(predictions, tidy(records, PREDICTIONS))
    write_both(importance_table, tidy(latent_rows, importances.COLUMNS))


def of_survival(
    cases: Cases, folds: Folds, used: Used, inner: int, bootstraps: int, permutations: int, seed: int
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Metric rows and predictions of a survival score."""
    if not cases.splits:
        return [cases.base], pd.DataFrame(columns=list(PREDICTIONS))
    latents = {
        k: table.set_index("scan").loc[cases.table["scan"], cases.latents].to_numpy(float)
        for k, table in folds.tables.items()
    }
    together = len(cases.latents) > survival.COMPONENTS
    if together:
        sizes = folds.sizes or dict.fromkeys(latents, np.ones(len(cases.latents)))
        latents = survival.components(cases, latents, sizes)
        cases = survival.with_components(cases, latents, used, inner, seed)
    predicted = survival.cross_validate(cases)
    test = survival_permutation.permutation_test(cases, latents, together, permutations, seed)
    print(f"predict: {cases.base['score']} done", flush=True)
    return survival.summarise(cases, predicted, test, bootstraps, seed), predicted.table


def cross_validate(cases: Cases, learners: Sequence[str] = LEARNERS) -> pd.DataFrame:
    """Predict every scan with every learner and feature set, from models that did not use its person."""
    shared = {name: cases.base[name] for name in ("score", "type", "model", "seed", "harmonised", "policy")}
    parts = []
    for name, folds in steps(list(cases.splits.items()), f"{cases.base['score']}: sets of features"):
        for split in folds:
            part = cases.table.loc[split.test, ["scan", "person", "session", "fold"]].assign(
                features=name, truth=cases.y[split.test], training_mean=cases.y[split.train].mean(), **shared
            )
            for learner in learners:
                value, probability = learn(learner, split, cases.y, cases.binary)(split.x_test)
                parts.append(part.assign(learner=learner, prediction=value, probability=probability))
    if not parts:
        return pd.DataFrame(columns=list(PREDICTIONS))
    return pd.concat([part.astype({"probability": float}) for part in parts], ignore_index=True)


def summarise(
    cases: Cases, predicted: pd.DataFrame, tests: dict[str, dict[str, Any]], bootstraps: int, seed: int
) -> list[dict[str, Any]]:
    """Metric rows of one score per learner and feature set; one row with the status where there are no predictions.

    tests: results of `permutation_test`, by learner; they go into the r2 or log_loss row of the full feature set.
    """
    if not len(predicted):
        return [cases.base]
    rows = []
    for (learner, features), part in predicted.groupby(["learner", "features"], sort=True):
        groups = groups_of(cases.table.set_index("scan").loc[part["scan"]])
        weights = person_weights(groups, part["fold"].to_numpy(int), bootstraps, seed)
        for metric in metric_table(part, cases.binary, weights):
            row = cases.base | {"learner": learner, "features": features, "interval": INTERVAL} | metric
            if features == cases.full and metric["metric"] in ("r2", "log_loss"):
                test = tests.get(str(learner), {})
                row |= test | {"reason": "; ".join(filter(None, [row["reason"], test.get("reason", "")]))}
            rows.append(row)
    return rows


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]


if __name__ == "__main__":
    cli(run)
