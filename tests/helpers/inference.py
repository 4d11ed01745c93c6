"""The whole inference half on one small set of latents, as tables: what must not depend on how a table is written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate import mixed, multivariable, omnibus, univariate
from neurovae.audit import confounds as nuisances
from neurovae.audit import power, sites
from neurovae.design.design import join
from neurovae.predict import compare, importance, permutation, predict, voxels
from neurovae.predict.features import BOTH, CONFOUNDS
from neurovae.predict.folds import complete_cases, outer_folds

PEOPLE, TWICE, LATENTS, FOLDS = 60, 15, 3, 3
PERMUTATIONS, REPEATED, BOOTSTRAPS, INNER = 99, 19, 50, 2
Row = dict[str, Any]
SCORES: list[Row] = [
    {"name": "motor", "type": "continuous"},
    {"name": "rate", "type": "gamma"},
    {"name": "falls", "type": "count"},
    {"name": "ill", "type": "binary"},
    {"name": "stage", "type": "ordinal"},
    {"name": "mmse", "type": "bounded", "bounds": [0.0, 30.0]},
    {"name": "fixed", "type": "continuous"},
]
CONFOUNDED: list[Row] = [
    {"name": "age", "type": "continuous"},
    {"name": "sex", "type": "categorical"},
]
KEYS = {
    "glm": ["score", "latent"],
    "spline": ["score", "latent"],
    "curves": ["score", "latent", "point"],
    "permute": ["score", "latent"],
    "omnibus": ["score"],
    "directions": ["score", "latent"],
    "multivariable": ["score", "part", "term"],
    "mixed": ["score", "latent", "term"],
    "confounds": ["kind", "latent", "score", "nuisance"],
    "sites": ["latent"],
    "power": ["score", "tests"],
    "predict": ["score", "learner", "features", "metric"],
    "predictions": ["score", "learner", "features", "row"],
    "voxels": ["score", "learner", "features", "metric"],
    "importance": ["score", "learner", "latent"],
    "comparisons": ["score", "learner", "features", "against", "metric"],
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """What the inference half reads: cohort, latents and quality tables, voxels of each scan, and the configuration."""

    cohort: pd.DataFrame
    latents: pd.DataFrame
    qc: pd.DataFrame
    voxels: pd.DataFrame  # by scan
    scores: list[Row]
    confounds: list[Row]
    regions: tuple[str, ...] = ("thalamus",)


def world(seed: int = 0) -> World:
    """People of two sites, some with two sessions; latent 0 drives every score, as age does."""
    rng = np.random.default_rng(seed)
    n = PEOPLE
    z, age = rng.normal(size=(n, LATENTS)), rng.uniform(40, 80, n).round(1)
    eta = 0.8 * z[:, 0] + (age - 60) / 20
    person = [f"sub-{k:03d}" for k in range(n)]
    table = pd.DataFrame(
        {"person": person, "site": np.where(rng.random(n) < 0.5, "A", "B"), "fold": np.arange(n) % FOLDS}
    )
    table = table.assign(age=age, sex=rng.choice(["F", "M"], n), thalamus=7000 + 300 * eta + 200 * rng.normal(size=n))
    table["fixed"] = (eta + rng.normal(size=n)).round(3)
    second = table.iloc[:TWICE]
    table = pd.concat([table.assign(session="1"), second.assign(session="2", age=second["age"] + 1)], ignore_index=True)
    eta, n = np.append(eta, eta[:TWICE] + 0.1), len(table)
    table["motor"] = (20 + 3 * (eta + rng.normal(size=n))).round(2)
    table["rate"] = (10 * rng.gamma(3, np.exp(0.5 * eta) / 3)).round(3) + 0.001
    table["falls"] = rng.poisson(np.exp(0.5 + 0.5 * eta)).astype(float)
    table["ill"] = (eta + rng.logistic(size=n) > 0).astype(float)
    table["stage"] = np.digitize(eta + rng.logistic(size=n), [-1.0, 0.5, 1.5]).astype(float)
    table["mmse"] = rng.binomial(30, 1 / (1 + np.exp(-1 - eta))).astype(float)
    table = table.assign(scan=table["person"] + "_ses-" + table["session"], acquisition=None, run=None)
    z = np.vstack([z, z[:TWICE] + 0.2 * rng.normal(size=(TWICE, LATENTS))])
    latents = table[["scan", "person"]].assign(model="vae", fold=0, seed=1, split="report")
    latents = pd.concat([latents, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(LATENTS)])], axis=1)
    qc = table[["scan"]].assign(excluded=False, scale=rng.normal(1, 0.05, n), snr=rng.normal(20, 3, n))
    x = pd.DataFrame(z @ rng.normal(size=(LATENTS, 12)) + rng.normal(size=(n, 12)), index=table["scan"])
    return World(table, latents, qc, x, SCORES, CONFOUNDED)


def inference(given: World, learners: Iterable[str] = ("linear", "svm")) -> dict[str, pd.DataFrame]:
    """Every table of the inference half, by name, indexed by its keys."""
    table = join(given.cohort, given.latents, given.qc)
    scores, confounds, regions = given.scores, given.confounds, list(given.regions)
    glm, spline, curves, permute = univariate.tests(table, scores, confounds, PERMUTATIONS, 0)
    whole, directions = omnibus.omnibus(table, scores, confounds, PERMUTATIONS, 0)
    first = table.drop_duplicates("person").reset_index(drop=True)
    tables = {
        "glm": glm,
        "spline": spline,
        "curves": [row | {"point": k % 41} for k, row in enumerate(curves)],
        "permute": permute,
        "omnibus": whole,
        "directions": directions,
        "multivariable": [row for one in scores for row in multivariable.joint(table, one, confounds, 2)],
        "mixed": [row for one in scores for row in mixed.mixed(table, one, confounds, PERMUTATIONS, 0, False)],
        "confounds": nuisances.audit(first, scores, confounds, regions, 0.1),
        "sites": sites.sites(first, confounds),
        "power": [row for one in scores for row in power.check(given.cohort, one, confounds, 3, 0.8, 0.05)],
    }  # fmt: skip
    tables |= predicted(given, table, tuple(learners))
    found = {
        name: pd.DataFrame(rows).drop(columns=["model", "fold", "seed"], errors="ignore")
        for name, rows in tables.items()
    }
    return {name: one.set_index(KEYS[name]).sort_index() for name, one in found.items() if len(one)}


def predicted(given: World, table: pd.DataFrame, learners: tuple[str, ...]) -> dict[str, list[Row]]:
    """Predictions from latents and from voxels, their permutation, importances and comparisons."""
    folds, metrics, records, weights, baseline = outer_folds([table]), [], [], [], []
    for score in given.scores:
        cases = complete_cases(folds, score, given.confounds, inner=INNER, seed=0)
        found = predict.cross_validate(cases, learners)
        tested = {"linear": permutation.permutation_test(cases, "linear", REPEATED, 0)} if len(found) else {}
        metrics += predict.summarise(cases, found, tested, BOOTSTRAPS, 0)
        records.append(found)
        weights += importance.importance(cases, 2, 0) if "svm" in learners else []
        bare = complete_cases(voxels.on_voxels(table), score, given.confounds, inner=INNER, seed=0)
        if not bare.splits:
            continue
        x = voxels.coordinates(np.array(given.voxels.loc[bare.table["scan"]] @ given.voxels.loc[bare.table["scan"]].T))
        used = predict_confounds(bare.table, score, given.confounds)
        turned = voxels.with_voxels(
            bare, x, used, INNER, 0, [name for name in bare.splits if name in (CONFOUNDS, BOTH)]
        )
        baseline += predict.summarise(turned, predict.cross_validate(turned, ("linear",)), {}, BOOTSTRAPS, 0)
    told, tests = pd.concat(records).assign(verdict="ok"), pd.DataFrame(metrics).assign(verdict="ok")
    rows = compare.comparisons("vae", 1, told, tests, {"itself": (told, tests)})
    return {
        "predict": metrics, "predictions": numbered(told).to_dict("records"), "importance": weights,
        "voxels": baseline, "comparisons": rows,
    }  # fmt: skip


def numbered(told: pd.DataFrame) -> pd.DataFrame:
    """Predictions with a number in the place of a scan's name."""
    told = told.sort_values(["score", "learner", "features", "scan"])
    row = told.groupby(["score", "learner", "features"]).cumcount()
    return told.assign(row=row).drop(columns=["verdict", "scan", "person"])


def predict_confounds(table: pd.DataFrame, score: Row, confounds: list[Row]) -> Any:
    """The confounds that enter for this score."""
    return voxels.used_confounds(table, score, confounds, with_split=False)[0]


def differing(
    before: dict[str, pd.DataFrame],
    after: dict[str, pd.DataFrame],
    expected: Callable[[str, str, pd.Series, pd.Series], pd.Series] | None = None,
    rounding: float = 1e-6,
) -> list[str]:
    """What two runs do not agree on, as "table column (rows of rows)".

    expected: of a table's name, a column's name, the values before and after: the values that there should be after.
    rounding: relative to a value, or to the largest of its score and metric.
    """
    found = []
    for name, old in before.items():
        new = after[name]
        if not old.index.equals(new.index):
            found.append(f"{name}: other rows")
            continue
        for column in old.columns.union(new.columns):
            if column not in new or column not in old:
                found.append(f"{name} {column}: only once")
                continue
            wanted = expected(name, column, old[column], new[column]) if expected else old[column]
            apart = differs(wanted, new[column], rounding)
            if apart.any():
                found.append(
                    f"{name} {column}: {apart.sum()} of {len(apart)}, first {wanted[apart].iloc[0]} and {new[column][apart].iloc[0]}"
                )
    return found


def differs(a: pd.Series, b: pd.Series, rounding: float) -> np.ndarray:
    """Rows in which two columns differ beyond rounding, of a value or of the largest of its score and metric."""
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        x, y = a.astype(float), b.to_numpy(float)
        shared = [name for name in ("score", "metric") if name in x.index.names]
        largest = x.abs().groupby(level=shared, dropna=False).transform("max") if shared else x.abs().max()
        gap, same = np.abs(x.to_numpy() - y), x.isna().to_numpy() & np.isnan(y)
        return np.asarray(~same & ~(gap <= rounding * np.fmax(np.abs(y), np.nan_to_num(np.asarray(largest, float)))))
    x, y = a.astype(object), b.astype(object)
    return np.asarray(~((x == y) | (x.isna() & y.isna())))


def changed(given: World, **parts: Any) -> World:
    """The world with some of its parts replaced."""
    return replace(given, **parts)
