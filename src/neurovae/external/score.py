"""One score of another cohort tested on the participants of this one: its associations, and its predictors."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate.fitted import fitted, linear_fits
from neurovae.associate.glm import glm
from neurovae.design.design import design, used_confounds
from neurovae.errors import InputError
from neurovae.external import coding, predictor, replication, transfer
from neurovae.external.words import ADDED, RECALIBRATED, UNTOUCHED
from neurovae.io import latent_table
from neurovae.plan import external as plan
from neurovae.predict.features import LATENTS
from neurovae.predict.folds import Cases, groups_of
from neurovae.predict.metrics import metric_table, person_weights

FOUND = ["effect", "ci_low", "ci_high", "p", "p_maxt", "n"]  # of the other cohort's tests
FEWEST = 3  # people for whom a predictor is judged
Rows = list[dict[str, Any]]


def associations(table: pd.DataFrame, score: dict[str, Any], confounds: Rows, theirs: dict[str, Any]) -> Rows:
    """Rows of one score: each latent of the other cohort's tests, and all latents together.

    table: joined scans, with the latents of the other cohort's model.
    """
    data = fitted(table, score, confounds)
    fits = [linear_fits(table, one) for one in data]
    tested = pd.DataFrame(glm(table, data, fits))
    columns = ["latent", "effect", "ci_low", "ci_high", "p", "n", "status", "reason"]
    tested = tested.reindex(columns=columns)
    found = pd.DataFrame(theirs.get("associations") or [], columns=["latent", "status", *FOUND])
    found = found[found["status"] == "ok"].drop(columns="status").astype(dict.fromkeys(FOUND, float))
    if found.empty:
        return [{"status": "not tested there", "reason": f"the other cohort has no tests ({theirs['status']})"}]
    rows = replication.replicate(found, tested)
    cases, names = data[0].cases, [row["latent"] for row in rows if row["same_sign"] is not None]
    z = table[names].to_numpy(float)[cases.rows]
    return [replication.agreement(rows, (cases.y, cases.x, z) if names else None, cases.family), *rows]


def predictions(
    table: pd.DataFrame,
    score: dict[str, Any],
    scores: Rows,
    confounds: Rows,
    rules: dict[str, dict[str, Any]],
    cases: Cases,
    draws: int,
    seed: int,
) -> tuple[Rows, Rows]:
    """Rows of the transfer of one score's predictors, and the predictions of each person's first scan.

    Args:
        table: joined scans, with the latents of the other cohort's model.
        score: that is predicted.
        scores, confounds: of the configuration.
        rules: of `plan.external.pairs`, of all scores.
        cases: of the own model (`complete_cases`).
        draws: resamples of people.
        seed: of these.

    Raises:
        InputError: the score, or a confound, seems to be in another unit, or has another type.
    """
    rule, binary = rules[score["name"]], score["type"] == "binary"
    theirs = rule["theirs"]
    if not theirs.get("predictors"):
        return [
            {"status": "not predicted there", "reason": f"the other cohort has no predictor ({theirs['status']})"}
        ], []
    found = design(table, score, confounds, with_split=False, drop_silent=False)
    part = table.iloc[found.rows].reset_index(drop=True)
    truth = rule["multiply"] * _in_unit(found.y, score) + rule["add"]
    if faults := plan.other_scale(score["name"], list(truth), rule | {"multiply": 1, "add": 0}):
        raise InputError(faults)
    if len(part) < FEWEST or np.ptp(truth) == 0:
        return [{"status": "too few people", "reason": f"{len(part)} people with the score", "n": len(part)}], []
    values, note = known(part, score, scores, confounds, theirs["coding"], rules)
    rows: Rows = []
    records: Rows = []
    for one in theirs["predictors"]:
        name = one["features"]
        reason = note if name != LATENTS else ""
        value = predictor.apply(one, part[latent_table.columns(part)], theirs["coding"], values)[0]
        shared = {"features": name, "n": len(part), "status": "ok", "reason": reason}
        source = {row["metric"]: row["value"] for row in theirs.get("cross_fitted", []) if row["features"] == name}
        metrics = transfer.untouched(truth, value, one["mean"], binary, draws, seed, groups_of(part))
        rows += [
            shared | {"application": UNTOUCHED, "value_source": source.get(row["metric"])} | row for row in metrics
        ]
        records += _records(part, truth, value, binary, name, UNTOUCHED)
        again = transfer.recalibrated(truth, value, part["fold"].to_numpy(int), binary)
        own = shared | {"application": RECALIBRATED}
        if isinstance(again, str):
            rows.append(own | {"status": "too few people", "reason": again})
            continue
        weights = person_weights(groups_of(part), again["fold"].to_numpy(int), draws, seed)
        folds = {"folds": again["fold"].nunique(), "interval": transfer.INTERVAL}
        rows += [own | folds | row for row in metric_table(again, binary, weights)]
        records += _records(part, truth, again["prediction"].to_numpy(), binary, name, RECALIBRATED)
    return rows + added(table, theirs, cases, draws, seed), records


def added(
    table: pd.DataFrame,
    theirs: dict[str, Any],
    cases: Cases,
    draws: int,
    seed: int,
) -> Rows:
    """Rows of what the other cohort's predictor from latents adds to the own latents."""
    shared = {"application": ADDED}
    if cases.base["status"] != "ok":
        return [shared | {key: cases.base[key] for key in ("status", "reason", "n")}]
    part = table.set_index("scan").loc[cases.table["scan"]].reset_index()
    one = next(entry for entry in theirs["predictors"] if entry["features"] == LATENTS)
    value = predictor.apply(one, part[latent_table.columns(part)], theirs["coding"], {})[0]
    return [shared | {"status": "ok", "reason": ""} | row for row in transfer.beside(cases, value, draws, seed)]


def known(
    part: pd.DataFrame,
    score: dict[str, Any],
    scores: Rows,
    confounds: Rows,
    codings: Rows,
    rules: dict[str, dict[str, Any]],
) -> tuple[dict[str, pd.Series], str]:
    """The confounds of the other cohort that this one has, by name and in its unit, and a note on those that it lacks.

    Raises:
        InputError: a confound has another type here, or seems to be in another unit.
    """
    used = coding.in_words(used_confounds(part, score, confounds, with_split=False)[0], scores)
    of_table = {one["name"] for one in confounds if one.get("from", "table") == "table"}
    own = [(name, kind, list(column) if name in of_table else []) for name, kind, column in used]
    if faults := plan.other_confounds(codings, own, rules):
        raise InputError(faults)
    declared = {}
    for name, kind, column in used:
        theirs, multiply, add = plan.conversion(name, rules)
        declared[theirs] = multiply * column + add if kind == "continuous" else column
    measured = {
        entry["name"]: part[f"qc_{entry['name']}"] for entry in codings if f"qc_{entry['name']}" in part.columns
    }
    values = measured | declared
    lacking = [entry["name"] for entry in codings if entry["name"] not in values]
    words = f"{', '.join(lacking)}: not a confound here; the mean of the other cohort was used" if lacking else ""
    return values, "; ".join(filter(None, [words, *_unknown(codings, values, len(part))]))


def _unknown(codings: Rows, values: dict[str, pd.Series], people: int) -> list[str]:
    """Notes on confounds whose value, or level, is unknown for some of the people, who count as the mean."""
    counts = {
        entry["name"]: int(np.isnan(coding.coded([entry], values, people)).any(axis=1).sum())
        for entry in codings
        if entry["name"] in values
    }
    return [
        f"{name}: {count} of {people} participants have no value, or a level that is not in the other cohort's "
        "predictor; its mean was used"
        for name, count in counts.items()
        if count
    ]


def _in_unit(y: np.ndarray, score: dict[str, Any]) -> np.ndarray:
    if score["type"] != "bounded":
        return y
    low, high = score["bounds"]
    return np.asarray(low + (high - low) * y)


def _records(
    part: pd.DataFrame, truth: np.ndarray, value: np.ndarray, binary: bool, features: str, application: str
) -> Rows:
    probability = 1 / (1 + np.exp(-value)) if binary else np.full(len(value), np.nan)
    return [
        {"scan": scan, "person": person, "features": features, "application": application, "truth": y, "prediction": x,
         "probability": p}
        for scan, person, y, x, p in zip(part["scan"], part["person"], truth, value, probability, strict=True)
    ]  # fmt: skip
