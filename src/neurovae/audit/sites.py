"""Variance of the latents that is explained by site, before and after harmonisation with ComBat.

Per latent: partial R2 of site beyond the other confounds (F test), and equality of the residual variances over sites
(Levene's test about medians, Brown & Forsythe 1974), before and after ComBat. ComBat is fitted on the people of the
other folds. Row "all": balanced accuracy of a logistic regression that predicts the site from the latents of people of
another fold (chance is 1 / sites); the one before ComBat is also given where a site has too few people for it. ComBat
keeps differences in age between sites, so that they may still predict the site.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f, levene
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurovae.cli import Json, cli
from neurovae.design.design import Design, design, first_scans, join
from neurovae.design.rows import described, provenance, stopped, varies
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.predict.harmonise import apply, fit
from neurovae.stats.basis import independent

WHEN = ("before", "after")
NUMBERS = [f"{name}_{when}" for name in ("r2", "p", "q", "levene_p", "accuracy") for when in WHEN]
COLUMNS = {"model": "object", "fold": "Int64", "seed": "Int64", "latent": "object", "session": "object", "n": "Int64",
           "n_sites": "Int64", "n_confound_columns": "Int64", "confounds": "object"} | dict.fromkeys(
           [*NUMBERS, "chance"], "float64") | {"family_size": "Int64", "split_policy": "object", "status": "object",
           "reason": "object", "verdict": "object"}  # fmt: skip
Row = dict[str, Any]


def run(*, cohort: Path, latents: Path, qc: Path, health: Path, confounds: Json, out: Path) -> None:
    """Write the variance of each latent that site explains, before and after ComBat (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun sites

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        qc: qc.parquet.
        health: health.json of the model.
        confounds: the confounds of the configuration.
        out: table to write (.parquet, .tsv).
    """
    verdict, reason = read_verdict(health)
    table = first_scans(join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc)))
    rows = [stopped(table, verdict, reason)] if verdict in STOPPING else sites(table, confounds)
    write_both(out, tidy([row | {"verdict": verdict} for row in rows], COLUMNS))


def sites(table: pd.DataFrame, confounds: list[Row]) -> list[Row]:
    """Return one row per latent and one named all; people without a site or a confound are left out."""
    source, table = provenance(table), table[table["site"].replace("n/a", None).notna()].reset_index(drop=True)
    if table["site"].nunique() < 2:
        reason = f"all {len(table)} people are from site {table['site'].iloc[0]}" if len(table) else "no site is known"
        row = {"n": len(table), "n_sites": int(len(table) > 0), "status": "one site", "reason": reason}
        return [source | row]
    names = latent_table.columns(table)
    people = _people(table, confounds)
    base = described(table, {"name": "", "type": ""}, "", people)
    base |= {"n_sites": int(table["site"].iloc[people.rows].nunique())}
    base = {name: value for name, value in base.items() if name in COLUMNS}
    if people.status != "ok" or base["n_sites"] < 2:
        status = {"status": people.status, "reason": people.reason}
        one_site = {"status": "one site", "reason": "only one site among the people with all confounds"}
        return [base | {"latent": name} | (status if people.status != "ok" else one_site) for name in [*names, "all"]]
    z, site = table[names].to_numpy(float)[people.rows], table["site"].to_numpy(str)[people.rows]
    fold, x = table["fold"].to_numpy()[people.rows], people.x
    try:
        after, accuracy = out_of_fold(z, site, x[:, 1:], fold)
    except InputError as error:
        after, problem = np.full_like(z, np.nan), "; ".join(error.problems)
        accuracy = {"accuracy_before": unharmonised(z, site, fold)}
    else:
        problem = ""
    rows = [base | {"latent": name} | _site_numbers(z[:, k], after[:, k], site, x) for k, name in enumerate(names)]
    rows = [row | {"status": "no harmonisation", "reason": problem} if problem else row for row in rows]
    for stage in WHEN:
        p = np.array([row.get(f"p_{stage}", np.nan) for row in rows])
        q, m = bh(p, np.isfinite(p))
        rows = [row | {f"q_{stage}": q[k], "family_size": m if stage == "before" else row["family_size"]}
                for k, row in enumerate(rows)]  # fmt: skip
    status = {"status": "no harmonisation", "reason": problem} if problem else {"status": "ok", "reason": ""}
    return [*rows, base | {"latent": "all", "chance": 1 / base["n_sites"]} | accuracy | status]


def out_of_fold(
    z: np.ndarray, site: np.ndarray, x: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Latents harmonised by the other folds' people, and the balanced accuracy of predicting the site before and after.

    z: (n, latents), site: (n,), x: (n, columns) confounds, fold: (n,).

    Raises:
        InputError: the other folds of a fold hold fewer than two people of a site.
    """
    harmonised, predicted = np.full_like(z, np.nan), {stage: np.empty(len(site), site.dtype) for stage in WHEN}
    for fold_tested in np.unique(fold):
        test, train = fold == fold_tested, fold != fold_tested
        combat = fit(z[train], site[train], x[train])
        harmonised[test] = apply(combat, z[test], site[test], x[test])
        harmonised_train = apply(combat, z[train], site[train], x[train])
        for stage, z_train, z_test in (("before", z[train], z[test]), ("after", harmonised_train, harmonised[test])):
            predicted[stage][test] = _classifier().fit(z_train, site[train]).predict(z_test)
    return harmonised, {f"accuracy_{stage}": float(balanced_accuracy_score(site, predicted[stage])) for stage in WHEN}


def unharmonised(z: np.ndarray, site: np.ndarray, fold: np.ndarray) -> float:
    """Balanced accuracy of predicting the site from latents (n, latents) of people of another fold, as they are."""
    predicted = np.empty(len(site), site.dtype)
    for fold_tested in np.unique(fold):
        test, train = fold == fold_tested, fold != fold_tested
        predicted[test] = _classifier().fit(z[train], site[train]).predict(z[test])
    return float(balanced_accuracy_score(site, predicted))


def site_r2(z: np.ndarray, site: np.ndarray, x: np.ndarray) -> tuple[float, float, float]:
    """Return partial R2 of site beyond the columns of x, p of its F, p of Levene's test. z: (n,), x: (n, columns)."""
    dummies = site[:, None] == np.unique(site)[None, :]
    full = np.hstack([x, dummies])
    full = full[:, independent(full)]
    extra, df = full.shape[1] - x.shape[1], len(z) - full.shape[1]
    null_residual, full_residual = (z - one @ np.linalg.lstsq(one, z, rcond=None)[0] for one in (x, full))
    r2 = 1 - (full_residual @ full_residual) / (null_residual @ null_residual)
    p = float(f.sf(r2 / extra / ((1 - r2) / df), extra, df)) if extra else np.nan
    groups = [group for one in np.unique(site) if len(group := full_residual[site == one]) > 1]
    return float(r2), p, float(levene(*groups, center="median").pvalue) if len(groups) > 1 else np.nan


def _people(table: pd.DataFrame, confounds: list[Row]) -> Design:
    """Complete cases and their confounds without the site; the row number takes the place of the score."""
    without_site = table.assign(site="all", latents_row=np.arange(len(table), dtype=float))
    return design(
        without_site, {"name": "latents_row", "type": "continuous"}, [c for c in confounds if c["name"] != "site"]
    )


def _classifier() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))


def _site_numbers(before: np.ndarray, after: np.ndarray, site: np.ndarray, x: np.ndarray) -> Row:
    if not varies(before, x):
        return {"status": "constant latent", "reason": "it does not vary between people beyond the confounds"}
    row: Row = {"status": "ok", "reason": ""}
    for stage, z in (("before", before), ("after", after)):
        if np.isfinite(z).all():
            numbers = zip(("r2", "p", "levene_p"), site_r2(z, site, x), strict=True)
            row |= {f"{name}_{stage}": value for name, value in numbers}
    return row


if __name__ == "__main__":
    cli(run)
