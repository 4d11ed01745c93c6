"""What a validation in another cohort needs of this one, without any participant: effects, predictors, and scales.

Everything is a count, a mean, a standard deviation, a coefficient or a test over at least FEWEST participants. Text
that names sites or small groups is left out, and so is the support vector machine, which is made of participants.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import NOT_MADE, design, join, used_confounds
from neurovae.errors import InputError
from neurovae.external import coding, predictor
from neurovae.io import latent_table
from neurovae.io.files import sha256
from neurovae.io.parquet import read_parquet
from neurovae.predict.features import BOTH, CONFOUNDS, LATENTS
from neurovae.predict.folds import groups_of
from neurovae.provenance.record import place

FORMAT = 1
FEWEST = 10  # participants of a score; fewer give nothing away
LEVEL = 5  # participants of a level of an ordinal score that is named, and of either class of a binary one
SCHEMA = ("name", "type", "positive", "bounds", "link")
TESTS = ("latent", "status", "n", "effect", "ci_low", "ci_high", "p", "q", "partial_r2", "p_maxt")
RERUN = "run the workflow again before the export, or export without scores (--scores false)"
Row = dict[str, Any]


def of_run(root: Path, model: str, fit: str, stamp: str) -> tuple[Row | None, str]:
    """What an export holds for validation elsewhere, or why nothing.

    Args:
        root: results/<cohort>.
        model: name of the model.
        fit: "fold-0_seed-0".
        stamp: digest of the weights (`weights.model_hash`).

    Raises:
        InputError: latents of other weights, or tests of other tables than those that are there.
    """
    stage = root / "associate" / model / fit
    paths = [stage / "glm.parquet", stage / "permute.parquet", root / "latents" / model / fit / "latents.parquet"]
    paths += [root / "cohort" / "cohort.parquet", root / "preprocess" / "qc.parquet", place(paths[0])]
    paths += [paths[2].with_name(latent_table.INDEX)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        return None, f"{missing[0]} is not there"
    tests = read_parquet(paths[0]).merge(
        read_parquet(paths[1])[["score", "latent", "p_maxt"]], on=["score", "latent"], how="left"
    )
    latents = latent_table.read(paths[2])
    if (latents["model_hash"] != stamp).any():
        raise InputError(f"{paths[2]}: of other weights than these; {RERUN}")
    if changed := _changed(paths[5], root, paths[2:5]):
        raise InputError(f"{paths[0]}: computed from another {changed} than is there now; {RERUN}")
    table = join(read_parquet(paths[3]), latents, read_parquet(paths[4]))
    settings = arguments(place(paths[0]))
    of_predict = root / "predict" / model / f"seed-{fit.rsplit('-', 1)[1]}" / "predict.parquet"
    predicted = read_parquet(of_predict) if of_predict.is_file() else None
    options: Row = {}
    if predicted is not None and place(of_predict).is_file():
        options = arguments(place(of_predict))
        if changed := _changed(place(of_predict), root, paths[2:5]):
            raise InputError(f"{of_predict}: computed from another {changed} than is there now; {RERUN}")
    sizes = latent_table.sizes(paths[-1:])
    found = describe(
        table,
        tests,
        predicted,
        settings["scores"],
        settings["confounds"],
        options.get("inner", 3),
        options.get("seed", 0),
        sizes[0] if sizes else None,
    )
    return {"format": FORMAT, "model": model, "fit": fit, **found}, ""


def _changed(record: Path, root: Path, tables: list[Path]) -> str:
    """The first of the tables that is no longer what a result was computed from, by the result's record; or none."""
    used: Row = json.loads(record.read_text(encoding="utf-8")).get("inputs", {})
    for table in tables:
        end = str(table.relative_to(root.parent))
        digest = next((value for name, value in used.items() if name.endswith(end)), None)
        if digest and digest != sha256(table):
            return table.name
    return ""


def arguments(record: Path) -> Row:
    """Options of the command that made a result, from its record; those that are JSON are read."""
    words = json.loads(record.read_text(encoding="utf-8"))["arguments"]
    found: Row = {}
    for name, value in zip(words[::2], words[1::2], strict=False):
        try:
            found[name.removeprefix("--")] = json.loads(value)
        except ValueError:
            found[name.removeprefix("--")] = value
    return found


def describe(
    table: pd.DataFrame,
    tests: pd.DataFrame,
    predicted: pd.DataFrame | None,
    scores: list[Row],
    confounds: list[Row],
    inner: int,
    seed: int,
    size: np.ndarray | None = None,
) -> Row:
    """The description of one model's inference.

    Args:
        table: joined scans (`design.join`).
        tests: of glm.parquet, with p_maxt.
        predicted: predict.parquet; None: there are no cross-fitted metrics.
        scores, confounds: of the configuration.
        inner: inner folds of the predictors.
        seed: of these.
        size: of the latents; None: not known.
    """
    people = table["person"].nunique()
    shared = {"people": people, "sites": int(table["site"].replace("n/a", None).nunique())}
    names = latent_table.columns(table)
    return {
        "cohort": shared,
        "latents": names,
        "scores": [_score(table, score, scores, tests, predicted, confounds, inner, seed, size) for score in scores],
    }


def _score(
    table: pd.DataFrame,
    score: Row,
    scores: list[Row],
    tests: pd.DataFrame,
    predicted: pd.DataFrame | None,
    confounds: list[Row],
    inner: int,
    seed: int,
    size: np.ndarray | None,
) -> Row:
    cases = design(table, score, confounds, with_split=False, per_person=False, drop_silent=False)
    part = table.iloc[cases.rows].reset_index(drop=True)
    row: Row = {name: score.get(name) for name in SCHEMA} | {"people": part["person"].nunique(), "status": cases.status}
    if part["person"].nunique() < FEWEST:
        return row | {"status": cases.status if cases.status == NOT_MADE else "too few people", "people": None}
    y = _in_unit(cases.y, score)
    first = y[~part["person"].duplicated().to_numpy()]
    if score["type"] == "binary" and min((first == 0).sum(), (first == 1).sum()) < LEVEL:
        return row | {"status": "too few people of one class", "people": None}
    own = tests[tests["score"] == score["name"]]
    row["associations"] = [_plain({name: one[name] for name in TESTS}) for one in own.to_dict("records")]
    if predicted is not None:
        kept = predicted[(predicted["score"] == score["name"]) & (predicted["learner"] == "linear")]
        kept = kept[kept["status"] == "ok"]
        names = ("features", "metric", "value", "ci_low", "ci_high", "policy")
        row["cross_fitted"] = [_plain({name: one[name] for name in names}) for one in kept.to_dict("records")]
    row |= {"mean": float(first.mean()), "sd": float(first.std(ddof=1))}
    if score["type"] == "ordinal":
        counts = pd.Series(first).value_counts()
        row["levels"] = sorted(float(level) for level in counts.index[counts >= LEVEL])
    return row | (_predictors(part, y, score, scores, confounds, inner, seed, size) if cases.status == "ok" else {})


def _in_unit(y: np.ndarray, score: Row) -> np.ndarray:
    """Values as in the table: a bounded score is a fraction in a design."""
    if score["type"] != "bounded":
        return y
    low, high = score["bounds"]
    return low + (high - low) * y


def _predictors(
    part: pd.DataFrame,
    y: np.ndarray,
    score: Row,
    scores: list[Row],
    confounds: list[Row],
    inner: int,
    seed: int,
    size: np.ndarray | None,
) -> Row:
    """The linear predictors from latents, from confounds, and from both, with the coding of the confounds."""
    used = coding.in_words(used_confounds(part, score, confounds, with_split=False)[0], scores)
    codings = coding.code(used, part["person"])
    columns = coding.coded(codings, {name: column for name, _, column in used}, len(part))
    latents = part[latent_table.columns(part)]
    sets = (LATENTS, CONFOUNDS, BOTH) if coding.columns(codings) else (LATENTS,)
    same: Row = {"binary": score["type"] == "binary", "inner": inner, "seed": seed, "size": size}
    fitted = [predictor.fit(name, y, latents, codings, columns, groups_of(part), **same) for name in sets]
    return {"coding": codings, "predictors": fitted}


def _plain(row: Row) -> Row:
    """Values that JSON has: missing ones are null."""
    return {
        name: None if pd.isna(value) else getattr(value, "item", lambda v=value: v)() for name, value in row.items()
    }
