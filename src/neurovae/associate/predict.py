"""How well is a score told for a new person? Nested, person-wise cross-validation over confounds, latents and both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate.basis import expand
from neurovae.associate.design import design, join, latent_names, used_confounds
from neurovae.associate.learners import LEARNERS, Features, inner_parts, predicted, tuned
from neurovae.associate.metrics import INTERVAL, metric_table, person_weights
from neurovae.associate.rows import provenance, stopped
from neurovae.associate.tables import STOPPING, joint_verdict, read_verdict, tidy, write_both
from neurovae.cli import Json, cli
from neurovae.errors import InputError

FEATURES = ("confounds", "latents", "latents + confounds")
PEOPLE = 20  # fewer people than this are not cross-validated
KEYS = {"score": "object", "model": "object", "seed": "Int64", "learner": "object", "features": "object"}
COLUMNS = KEYS | {
    "type": "object", "fold": "Int64", "metric": "object", "value": "float64", "ci_low": "float64",
    "ci_high": "float64", "interval": "object", "n": "Int64", "n_scans": "Int64", "folds": "Int64",
    "confounds": "object", "policy": "object", "status": "object", "reason": "object",
    "verdict": "object"}  # fmt: skip
PREDICTIONS = {"scan": "object", "person": "object", "fold": "Int64"} | KEYS | dict.fromkeys(
    ["truth", "prediction", "training_mean"], "float64"
) | {"policy": "object", "verdict": "object"}  # fmt: skip


@dataclass(frozen=True)
class Folds:
    """Outer folds of one cohort: the table of latents to use for each, all over the same scans, and the policy."""

    tables: dict[int, pd.DataFrame]
    policy: str


def run(
    *,
    cohort: Path,
    latents: list[Path],
    qc: Path,
    health: list[Path],
    scores: Json,
    confounds: Json,
    inner: int,
    bootstraps: int,
    seed: int,
    out: Path,
    predictions: Path,
) -> None:
    """Cross-validate every score from one model: one latents table, or one per fold; write metrics, predictions."""
    people, checks = pd.read_parquet(cohort), pd.read_parquet(qc)
    verdict, reason = joint_verdict({path.parent.name: read_verdict(path) for path in health})
    folds = outer_folds([join(people, pd.read_parquet(path), checks) for path in latents])
    found: list[pd.DataFrame] = []
    if verdict in STOPPING:
        row = stopped(next(iter(folds.tables.values())), verdict, reason) | {"policy": folds.policy}
        rows = [row | {"fold": None} if folds.policy == "per fold" else row]
    else:
        rows = []
        for k, score in enumerate(scores):
            predicted_rows, base = cross_validate(folds, score, confounds, inner)
            found.append(predicted_rows.assign(verdict=verdict))
            rows += [row | {"verdict": verdict} for row in summarise(predicted_rows, base, bootstraps, seed)]
            print(f"predict: {score['name']} done, {k + 1} of {len(scores)}", flush=True)
    records = [{str(name): cell for name, cell in row.items()} for table in found for row in table.to_dict("records")]
    write_both(out, tidy(rows, COLUMNS))
    write_both(predictions, tidy(records, PREDICTIONS))


def outer_folds(tables: list[pd.DataFrame]) -> Folds:
    """'per fold' when each outer fold has its own model's table, which must not have trained on that fold's people."""
    folds = sorted(int(k) for k in tables[0]["fold"].unique())
    people = tables[0].groupby("person")["fold"].nunique()
    problems = [f"cohort table: {person} lies in several folds" for person in people.index[people > 1]]
    of_model = [int(table["latents_fold"].iloc[0]) for table in tables]
    if len({table["latents_model"].iloc[0] for table in tables}) > 1:
        problems.append("latents: tables of several models; predict takes one model at a time")
    if len(tables) > 1 and sorted(of_model) != folds:
        problems.append(
            f"latents: tables of folds {sorted(of_model)} for the outer folds {folds}; give one each, or one"
        )
    if any(not table["scan"].equals(tables[0]["scan"]) for table in tables):
        problems.append("latents: the tables do not hold the same scans")
    if problems:
        raise InputError(problems)
    if sorted(of_model) != folds:
        return Folds(dict.fromkeys(folds, tables[0]), "transductive")
    by_fold = dict(zip(of_model, tables, strict=True))
    problems = [
        f"latents of fold {k}: {row.person} is tested there but has split '{row.latents_split}', not 'report'"
        for k in folds
        for row in by_fold[k][(by_fold[k]["fold"] == k) & (by_fold[k]["latents_split"] != "report")].itertuples()
    ]
    if problems:
        raise InputError(problems)
    return Folds(by_fold, "per fold")


def cross_validate(
    folds: Folds, score: dict[str, Any], confounds: list[dict[str, Any]], inner: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of one score by every learner and feature set over its complete cases, and what they share."""
    first = next(iter(folds.tables.values()))
    cases = design(first, score, confounds, with_split=False)
    table, y, binary = first.iloc[cases.rows].reset_index(drop=True), cases.y, score["type"] == "binary"
    if score["type"] == "bounded":
        y = score["bounds"][0] + (score["bounds"][1] - score["bounds"][0]) * y
    status, reason = _usable(cases.status, cases.reason, table, y, binary, inner)
    base = provenance(first) | {"score": score["name"], "type": score["type"], "policy": folds.policy}
    base |= {"n": table["person"].nunique(), "n_scans": len(table), "confounds": cases.text}
    base |= {"status": status, "reason": reason, "folds": table["fold"].nunique()}
    if folds.policy == "per fold":
        base["fold"] = None  # one model per fold
    if status != "ok":
        return pd.DataFrame(columns=list(PREDICTIONS)), base
    found = []
    for k in sorted(table["fold"].unique()):
        latent = folds.tables[int(k)].iloc[cases.rows].reset_index(drop=True)
        train, test = np.flatnonzero(table["fold"] != k), np.flatnonzero(table["fold"] == k)
        for name in FEATURES:
            features = feature_maker(name, latent, score, confounds)
            if features is None:
                continue
            parts = inner_parts(features, y, table["person"].to_numpy(), train, inner, binary)
            x_train, x_test = features(train, test)
            for learner in LEARNERS:
                guess = predicted(learner, binary, tuned(learner, binary, parts), x_train, y[train], x_test)
                part = table.loc[test, ["scan", "person", "fold"]].assign(
                    learner=learner, features=name, truth=y[test], prediction=guess, training_mean=y[train].mean()
                )
                found.append(part)
    shared = {name: base[name] for name in ("score", "model", "seed", "policy")}
    return pd.concat(found, ignore_index=True).assign(**shared), base


def feature_maker(
    name: str, table: pd.DataFrame, score: dict[str, Any], confounds: list[dict[str, Any]]
) -> Features | None:
    """Columns of a feature set, with knots, levels and scaling from the training rows; None if it has no columns."""
    used = used_confounds(table, score, confounds, with_split=False)[0] if "confounds" in name else []
    latents = table[latent_names(table)].to_numpy(float) if "latents" in name else np.empty((len(table), 0))
    if name != "latents" and not used:
        return None

    def features(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.concatenate([train, test])
        blocks = [expand(label, kind, column.iloc[train], column.iloc[rows])[1] for label, kind, column in used]
        x = np.hstack([latents[rows], *blocks])
        centre, spread = x[: len(train)].mean(axis=0), x[: len(train)].std(axis=0)
        x = (x - centre) / np.where(spread > 1e-12, spread, np.inf)
        return x[: len(train)], x[len(train) :]

    return features


def summarise(found: pd.DataFrame, base: dict[str, Any], bootstraps: int, seed: int) -> list[dict[str, Any]]:
    """Metric rows of one score per learner and feature set; one row with the status where there are no predictions."""
    if not len(found):
        return [base]
    rows = []
    for (learner, features), part in found.groupby(["learner", "features"], sort=True):
        fold = part["fold"].to_numpy(int)
        weights = person_weights(part["person"].to_numpy(), fold, bootstraps, seed)
        truth, guess, mean = (part[name].to_numpy(float) for name in ("truth", "prediction", "training_mean"))
        for row in metric_table(base["type"] == "binary", truth, guess, mean, fold, weights):
            rows.append(base | {"learner": learner, "features": features, "interval": INTERVAL} | row)
    return rows


def _usable(status: str, reason: str, table: pd.DataFrame, y: np.ndarray, binary: bool, inner: int) -> tuple[str, str]:
    if status != "ok":
        return status, reason
    if table["person"].nunique() < PEOPLE or table["fold"].nunique() < 2:
        return "too few people", f"{table['person'].nunique()} people in {table['fold'].nunique()} folds"
    for k in table["fold"].unique() if binary else []:
        train = (table["fold"] != k).to_numpy()
        rarer = min(table.loc[train & (y == value), "person"].nunique() for value in (0, 1))
        if rarer < inner:
            return "too few people", f"{rarer} people of the rarer class to train on for fold {k}"
    return "ok", ""


if __name__ == "__main__":
    cli(run)
