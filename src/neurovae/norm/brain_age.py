"""Brain age of one model: predictions, their accuracy, gaps by group, and tests of the gap against the scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import Json, cli
from neurovae.design.design import first_scans, join
from neurovae.design.rows import provenance, stopped
from neurovae.design.tables import STOPPING, joint_verdict, read_verdict, tidy, write_both
from neurovae.io import latent_table
from neurovae.io.levels import level
from neurovae.io.parquet import read_parquet
from neurovae.norm import accuracy, gap_test
from neurovae.norm.age import predicted, with_gaps
from neurovae.norm.reference import people as reference_people
from neurovae.norm.reference import refuse_trained
from neurovae.norm.words import OTHERS, REFERENCE
from neurovae.predict import leakage
from neurovae.predict.folds import PEOPLE, Cases, Folds, complete_cases, outer_folds

MODEL = {"model": "object", "seed": "Int64", "policy": "object", "verdict": "object"}
STATE = {"status": "object", "reason": "object"}
AGES = {"scan": "object", "person": "object", "session": "object", "fold": "Int64", "reference": "boolean"} | (
    dict.fromkeys(["true_age", "predicted_age", "training_mean", "gap", "gap_adjusted"], "float64")
    | {"extrapolated": "boolean"} | MODEL)  # fmt: skip
METRICS = {"people": "object", "metric": "object"} | dict.fromkeys(["value", "ci_low", "ci_high"], "float64") | (
    {"interval": "object", "n": "Int64"} | dict.fromkeys(["age_min", "age_max", "age_sd"], "float64") | MODEL | STATE
)  # fmt: skip
GROUPS = {"grouping": "object", "level": "object", "n": "Int64"} | dict.fromkeys(
    ["age_mean", "gap", "gap_low", "gap_high", "gap_adjusted", "gap_adjusted_low", "gap_adjusted_high"], "float64"
) | MODEL  # fmt: skip
TESTS = {"score": "object", "type": "object", "session": "object", "n": "Int64", "n_confound_columns": "Int64",
         "confounds": "object", "family": "object", "link": "object"} | dict.fromkeys(
         ["effect", "ci_low", "ci_high", "p", "partial_r2", "p_permutation"], "float64") | {
         "permutations": "Int64", "exchangeability": "object"} | dict.fromkeys(
         ["naive_r", "naive_p", "gap_age_r"], "float64") | {"split_policy": "object"} | MODEL | STATE  # fmt: skip
Rows = list[dict[str, Any]]


def run(
    *,
    cohort: Path,
    latents: list[Path],
    index: list[Path],
    weights: list[Path],
    qc: Path,
    health: list[Path],
    scores: Json,
    confounds: Json,
    age: str,
    inner: int,
    harmonise: str,
    new_site: str,
    seed: int,
    bootstraps: int,
    permutations: int,
    reference: Path = Path(),
    freeze: bool = False,
    ages: Path,
    metrics: Path,
    groups: Path,
    tests: Path,
) -> None:
    """Predict the age of everybody out of fold, and write four tables (Parquet, with TSV beside each).

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun brain_age

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet, one or one per outer fold.
        index: their latent_index.parquet.
        weights: weights of the models, in the order of `latents`.
        qc: qc.parquet.
        health: health.json of the models.
        scores: of the configuration.
        confounds: of the configuration.
        age: name of the score or confound that holds the age at the scan, in years.
        inner: inner folds of people, for tuning.
        harmonise: none, or combat.
        new_site: refuse, or mean.
        seed: of inner folds, resamples and permutations.
        bootstraps: resamples of people for the intervals.
        permutations: of the test of the gap.
        reference: reference.tsv; an empty path: everybody is the reference.
        freeze: the models are those of an earlier run; people who are not listed in them are new.
        ages: table to write, a row per scan.
        metrics: table to write, accuracy in the reference.
        groups: table to write, gaps by group.
        tests: table to write, the gap against each score.

    Raises:
        InputError: latents that leak, or a model trained on people outside the reference.
    """
    people, checks = read_parquet(cohort), read_parquet(qc)
    leakage.refuse(latents, weights, people, freeze)
    chosen = reference_people(reference)
    tables = [join(people, latent_table.read(path), checks) for path in latents]
    for table, path in zip(tables, latents, strict=True):
        if chosen is not None:
            refuse_trained(table, chosen, path)
    folds = outer_folds(tables, latent_table.sizes(index))
    policy = leakage.policy(folds.policy, health)
    verdict, reason = joint_verdict({path.parent.name: read_verdict(path) for path in health})
    entry = _entry(age, scores, confounds)
    written = (ages, metrics, groups, tests)
    cases = (
        None
        if verdict in STOPPING
        else complete_cases(folds, entry, confounds, inner=inner, harmonise=harmonise, new_site=new_site, seed=seed)
    )
    problem = stopped(tables[0], verdict, reason) if cases is None else _problem(cases, chosen)
    model = provenance(tables[0]) | {"policy": policy, "verdict": verdict}
    del model["fold"]
    if cases is None or problem:
        row = model | {key: problem[key] for key in STATE}
        results: tuple[Rows, Rows, Rows, Rows] = [], [row], [], [row]
    else:
        found = _found(folds, cases, chosen, entry, confounds, inner, seed)
        results = analyse(found, scores, confounds, entry, bootstraps, permutations, seed)
    for path, rows, columns in zip(written, results, (AGES, METRICS, GROUPS, TESTS), strict=True):
        write_both(path, tidy([model | row for row in rows], columns))
    print(f"brain age: {len(results[0])} scans, {problem.get('reason') or 'done'}", flush=True)


def analyse(
    found: pd.DataFrame, scores: Rows, confounds: Rows, age: dict[str, Any], draws: int, permutations: int, seed: int
) -> tuple[Rows, Rows, Rows, Rows]:
    """Rows of the four tables from the predicted ages. found: of `age.with_gaps`, with the columns of `design.join`."""
    own = found["reference"].to_numpy(bool)
    parts = {REFERENCE: found[own], OTHERS: found[~own & ~found["extrapolated"]]}
    accurate = [
        {"people": name, "status": "ok", "reason": ""} | row
        for name, part in parts.items()
        if part["person"].nunique() >= PEOPLE
        for row in accuracy.metrics(part, draws, seed)
    ]
    inside = first_scans(found[~found["extrapolated"]])
    groups = {} if own.all() else {"reference": inside["reference"].map({True: REFERENCE, False: OTHERS})}
    groups |= {score["name"]: _levels(inside, score) for score in scores if score["type"] == "binary"}
    by_group = accuracy.by_group(inside, groups, draws, seed)
    tested = gap_test.tests(
        found[~found["extrapolated"]].reset_index(drop=True), scores, confounds, age, permutations, seed
    )
    ages = [{str(key): value for key, value in row.items()} for row in found[_own_columns(found)].to_dict("records")]
    return ages, accurate, by_group, tested


def _entry(age: str, scores: Rows, confounds: Rows) -> dict[str, Any]:
    """The score or confound of this name, as a score that is predicted as a number."""
    found = next(item for item in [*scores, *confounds] if item["name"] == age)
    return {"name": age, "column": found.get("column"), "type": "continuous"}


def _problem(cases: Cases, chosen: set[str] | None) -> dict[str, Any]:
    """Status and reason where age cannot be predicted; empty where it can."""
    if cases.base["status"] != "ok":
        return {key: cases.base[key] for key in STATE}
    table = cases.table
    own = _reference(table, chosen)
    for k in sorted(table["fold"].unique()):
        count = table.loc[own & (table["fold"] != k).to_numpy(), "person"].nunique()
        if count < PEOPLE:
            reason = f"{count} people of the reference with an age to train on for fold {k}, {PEOPLE} are needed"
            return {"status": "too few people", "reason": reason}
    return {}


def _reference(table: pd.DataFrame, chosen: set[str] | None) -> np.ndarray:
    return np.ones(len(table), bool) if chosen is None else table["person"].isin(list(chosen)).to_numpy()


def _found(
    folds: Folds, cases: Cases, chosen: set[str] | None, age: dict[str, Any], confounds: Rows, inner: int, seed: int
) -> pd.DataFrame:
    own = _reference(cases.table, chosen)
    found = with_gaps(predicted(folds, cases, own, age, confounds, inner, seed), cases.y, own)
    return found.assign(latents_split="test") if folds.policy == "per fold" else found


def _own_columns(found: pd.DataFrame) -> list[str]:
    return [name for name in AGES if name in found]


def _levels(people: pd.DataFrame, score: dict[str, Any]) -> pd.Series:
    """Levels of a binary score: its positive value by name, where it has one."""
    positive = score.get("positive")
    values = people[score["name"]]
    if positive is None or values.dtype == object:
        return values.map(lambda one: level(str(one)), na_action="ignore").astype(object)
    return values.map({1.0: str(positive), 0.0: f"not {positive}"})


if __name__ == "__main__":
    cli(run)
