"""The voxel-wise baseline on the same folds (Wen 2020: a linear SVM on voxels is about as good as a 3-D CNN).

Ridge, logistic regression, linear and RBF machines depend on voxels through their products alone. So the scans are
rotated: K = x x' (scans, scans) = U S U', and U S^.5 has the same products in as many columns as there are scans. A
rotation fits nothing; centring, confounds and scale are of training rows, and the learners run as they do on latents.
Cox regression has no such short cut over permutations: for survival scores the first principal components of
each outer training set take the place of the voxels, with their scale.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import Json, cli
from neurovae.design.design import join, used_confounds
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.io.volumes import read_mask, read_volumes
from neurovae.predict import survival, survival_permutation
from neurovae.predict.features import (
    BOTH,
    CONFOUNDS,
    LATENTS,
    WITHOUT,
    Used,
    split_rows,
)
from neurovae.predict.features import kept_scale as feature_maker
from neurovae.predict.folds import Cases, Folds, complete_cases, groups_of
from neurovae.predict.leakage import several_folds
from neurovae.predict.learners import LEARNERS
from neurovae.predict.permutation import permutation_test
from neurovae.predict.predict import COLUMNS, PREDICTIONS, cross_validate, summarise
from neurovae.stats.products import products

NAME = "voxels"
NAMES = {LATENTS: "voxels", BOTH: "voxels + confounds", WITHOUT: "voxels without confounds"}
MAX_SCANS = 5000  # scans; memory and time grow with the square and more of their number


def run(
    *,
    cohort: Path,
    qc: Path,
    volumes: Path,
    rows: Path,
    mask: Path,
    scores: Json,
    confounds: Json,
    inner: int,
    bootstraps: int,
    permutations: int,
    svm_permutations: int,
    new_site: str,
    seed: int,
    imputations: int = 0,
    out: Path,
    predictions: Path,
) -> None:
    """Cross-validate every score from the voxels, as `predict` does from latents; write metrics and predictions.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun voxels

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        scores: of the configuration.
        confounds: of the configuration.
        inner: inner folds of people, for tuning.
        bootstraps: resamples of people for the intervals.
        permutations: of the whole cross-validation with the linear learner.
        svm_permutations: the same with the SVM.
        new_site: refuse, or mean.
        seed: of inner folds, resamples and permutations.
        imputations: 0: complete cases; else missing confounds take their expected value, learnt in every training set.
        out: metrics, Parquet with TSV beside it.
        predictions: of every scan, Parquet with TSV beside it.
    """
    array, scans = read_volumes(volumes, rows)
    keys = scans[["scan", "person"]].assign(model=NAME, fold=pd.NA, seed=pd.NA, split="test")
    table = join(read_parquet(cohort), keys, read_parquet(qc))
    if problems := several_folds(table):
        raise InputError(problems)
    too_many = {} if len(scans) <= MAX_SCANS else _too_many(len(scans))
    x = np.empty((len(scans), 0)) if too_many else coordinates(products(array, read_mask(mask)))
    x = x[pd.Index(scans["scan"]).get_indexer(table["scan"])]  # (rows of the table, columns)
    n_draws = {"linear": permutations, "svm": svm_permutations}
    metrics: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for k, score in enumerate(steps(scores, "voxels: scores")):
        impute, bare = imputations > 0, on_voxels(table)
        cases = complete_cases(bare, score, confounds, inner=inner, new_site=new_site, seed=seed, impute=impute)
        cases = replace(cases, base=cases.base | too_many, splits={}) if too_many else cases
        used = used_confounds(cases.table, score, confounds, with_split=False)[0]
        if score["type"] == "survival":
            of_cases = x[table["scan"].isin(cases.table["scan"])] if cases.splits else x
            rows_of_score, told = of_survival(cases, of_cases, used, inner, bootstraps, permutations, seed)
            metrics, records = metrics + rows_of_score, records + told
            continue
        with_features = partial(with_voxels, cases, x[table["scan"].isin(cases.table["scan"])], used, inner, seed)
        predictions_of_score = pd.concat(
            [pd.DataFrame(), *(cross_validate(with_features([name])) for name in cases.splits)]
        )
        full = with_features([name for name in cases.splits if name in (CONFOUNDS, cases.full)])
        tests = {
            name: permutation_test(full, name, n_draws[name], seed) for name in LEARNERS if len(predictions_of_score)
        }
        metrics += summarise(cases, predictions_of_score, tests, bootstraps, seed)
        records += [{str(name): cell for name, cell in row.items()} for row in predictions_of_score.to_dict("records")]
        print(f"voxels: {score['name']} done, {k + 1} of {len(scores)}", flush=True)
    write_both(out, tidy(map(_rename_features, metrics), COLUMNS))
    write_both(predictions, tidy(map(_rename_features, records), PREDICTIONS))


def _too_many(scans: int) -> dict[str, str]:
    need = f"products of all with all take {140 * scans**2 / 1e9:.0f} GB; compare with the PCA of the model's size"
    return {"status": "too many scans", "reason": f"{scans} scans, at most {MAX_SCANS} are possible: {need}"}


def on_voxels(table: pd.DataFrame) -> Folds:
    """Return the outer folds over a joined table without latents; nothing was fitted beforehand."""
    return Folds({int(k): table for k in sorted(table["fold"].unique())}, "per fold")


def with_voxels(cases: Cases, x: np.ndarray, used: Used, inner: int, seed: int, names: list[str]) -> Cases:
    """Return the cases with voxels in place of latents in some feature sets, and without the other sets.

    One set of n scans takes about 140 n n bytes (5,000 scans: 3.4 GB), since each fold has its own columns.

    Args:
        cases: complete cases of a score.
        x: coordinates (complete cases, columns).
        used: the confounds.
        inner: inner folds of people.
        seed: of the inner folds.
        names: feature sets.
    """
    groups = groups_of(cases.table)
    splits = {
        name: [
            split_rows(feature_maker(name, x, used), groups, part.train, part.test, inner, seed)
            for part in cases.splits[name]
        ]
        for name in names
    }
    return replace(cases, splits=splits)


def of_survival(
    cases: Cases, x: np.ndarray, used: Used, inner: int, bootstraps: int, permutations: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Metric rows and predictions of a survival score. x: coordinates (complete cases, columns)."""
    if not cases.splits:
        return [cases.base], []
    components = survival.components(cases, dict.fromkeys(survival.training(cases), x))
    cases = survival.with_components(cases, components, used, inner, seed)
    predicted = survival.cross_validate(cases)
    test = survival_permutation.permutation_test(cases, components, True, permutations, seed)
    records = [{str(name): cell for name, cell in row.items()} for row in predicted.table.to_dict("records")]
    print(f"voxels: {cases.base['score']} done", flush=True)
    return survival.summarise(cases, predicted, test, bootstraps, seed), records


def _rename_features(row: dict[str, Any]) -> dict[str, Any]:
    features = {"features": NAMES.get(row["features"], row["features"])} if "features" in row else {}
    return row | features | {"verdict": "no model"}


def coordinates(gram: np.ndarray) -> np.ndarray:
    """Columns (scans, rank) whose products are `gram`, positive semi-definite; the rank is at most scans."""
    values, vectors = np.linalg.eigh(gram)
    nonzero = values > 1e-12 * max(values[-1], 0)
    return vectors[:, nonzero] * np.sqrt(values[nonzero])


if __name__ == "__main__":
    cli(run)
