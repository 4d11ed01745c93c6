"""The outer folds of one model, by policy, and one score's complete cases in them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import RARER_CLASS, design, relatives, used_confounds
from neurovae.design.imputed import said, without_score
from neurovae.design.rows import provenance, sessions
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.predict.features import (
    BOTH,
    CONFOUNDS,
    FEATURES,
    LATENTS,
    Split,
    Used,
    confound_columns,
    feature_maker,
    split_rows,
)
from neurovae.stats.basis import independent

PEOPLE = 20  # fewer people than this are not cross-validated
EVENTS = 20  # nor a survival score with fewer events


@dataclass(frozen=True)
class Folds:
    """Outer folds of one cohort: the table of latents to use for each, all over the same scans, and the policy."""

    tables: dict[int, pd.DataFrame]
    policy: str
    sizes: dict[int, np.ndarray] = field(default_factory=dict)  # of the latents of each fold; empty: not known


@dataclass(frozen=True)
class Cases:
    """Complete cases of one score; `base`: what its rows share, with status; `splits`: by features, one per fold."""

    table: pd.DataFrame  # (n, ...) cohort columns, by person and session
    y: np.ndarray  # (n,); of a survival score (n, 3): entry, time, event, and a row per person
    x: np.ndarray  # (n, 1 + confound columns) of all cases, for the permutation
    binary: bool
    base: dict[str, Any]
    latents: list[str]
    splits: dict[str, list[Split]]

    @property
    def full(self) -> str:
        """The feature set with everything in it."""
        return BOTH if CONFOUNDS in self.splits else LATENTS


def outer_folds(tables: list[pd.DataFrame], sizes: list[np.ndarray] | None = None) -> Folds:
    """Return the outer folds; sizes: of the latents of each table, where they are known.

    Policy "per fold" when each outer fold has its own model, which must not have been trained on people of that fold;
    else "transductive".
    """
    folds = sorted(int(k) for k in tables[0]["fold"].unique())
    people = tables[0].groupby("person")["fold"].nunique()
    problems = [f"cohort table: {person} lies in several folds" for person in people.index[people > 1]]
    if "family" in tables[0]:
        related = tables[0].groupby("family")["fold"].nunique()
        problems += [f"cohort table: family {name} lies in several folds" for name in related.index[related > 1]]
    model_folds = [int(table["latents_fold"].iloc[0]) for table in tables]
    if len({table["latents_model"].iloc[0] for table in tables}) > 1:
        problems.append("latents: tables of several models; predict takes one model at a time")
    if len(tables) > 1 and sorted(model_folds) != folds:
        problems.append(
            f"latents: tables of folds {sorted(model_folds)} for the outer folds {folds}; give one each, or one"
        )
    if any(not table["scan"].equals(tables[0]["scan"]) for table in tables):
        problems.append("latents: the tables do not hold the same scans")
    if problems:
        raise InputError(problems)
    if sorted(model_folds) != folds:
        return Folds(dict.fromkeys(folds, tables[0]), "transductive", dict.fromkeys(folds, sizes[0]) if sizes else {})
    by_fold = dict(zip(model_folds, tables, strict=True))
    problems = [
        f"latents of fold {k}: {row.person} is tested there but has split '{row.latents_split}', not 'test'"
        for k in folds
        for row in by_fold[k][(by_fold[k]["fold"] == k) & (by_fold[k]["latents_split"] != "test")].itertuples()
    ]
    if problems:
        raise InputError(problems)
    return Folds(by_fold, "per fold", dict(zip(model_folds, sizes, strict=True)) if sizes else {})


def complete_cases(
    folds: Folds,
    score: dict[str, Any],
    confounds: list[dict[str, Any]],
    *,
    inner: int,
    harmonise: str = "none",
    new_site: str = "refuse",
    seed: int = 0,
    impute: bool = False,
) -> Cases:
    """The complete cases of a score with the columns of every feature set in every fold; no columns if not usable.

    Args:
        folds: of one model.
        score: of the configuration.
        confounds: of the configuration; site is added where there are several.
        inner: inner folds of people.
        harmonise: "none", or "combat" for the latents over sites, fitted on each training set.
        new_site: "refuse" a fold that tests people of a site without training people, or give them the "mean" site.
        seed: of the inner folds.
        impute: missing confounds, in every training set.
    """
    first = next(iter(folds.tables.values()))
    filled, text = without_score(first, score, confounds, seed) if impute else ({}, "")
    survival = score["type"] == "survival"
    cases_found = design(
        first, score, confounds, with_split=False, per_person=survival, drop_silent=False, filled=filled, survival=True
    )
    cases_found = said(cases_found, text) if text else cases_found
    table, y = first.iloc[cases_found.rows].reset_index(drop=True), cases_found.y
    if score["type"] == "bounded":
        y = score["bounds"][0] + (score["bounds"][1] - score["bounds"][0]) * y
    confounds_used = used_confounds(table, score, confounds, with_split=False)[0]
    base = provenance(first) | {"score": score["name"], "type": score["type"], "policy": folds.policy}
    base["session"] = sessions(first, cases_found.rows)
    base |= {"n": table["person"].nunique(), "n_scans": len(table), "folds": table["fold"].nunique()}
    base |= {
        "confounds": cases_found.text,
        "n_imputed": cases_found.imputed,
        "harmonised": harmonise,
        "status": cases_found.status,
        "reason": cases_found.reason.replace("people", "scans"),  # `design` counts rows
    }
    if survival and harmonise != "none":
        base["harmonised"] = harmonise = "none (survival score)"
    if folds.policy == "per fold":
        base["fold"] = None  # one model per fold
    x = _expected(confounds_used, first.iloc[cases_found.rows]) if cases_found.imputed else cases_found.x
    cases = Cases(table, y, x, score["type"] == "binary", base, latent_table.columns(table), {})
    if base["status"] == "ok":
        base |= _too_few(cases, inner)
    if base["status"] == "ok" and harmonise == "combat":
        base |= _one_site(table, base["reason"])
    if base["status"] == "ok":
        base |= _new_levels(table, confounds_used, base["harmonised"], new_site, cases_found.text)
    if base["status"] == "ok" and cases_found.imputed:
        base |= _too_few_known(table, confounds_used)
    if base["status"] != "ok":
        return cases
    try:
        return replace(cases, splits=_splits(cases, folds, cases_found.rows, confounds_used, inner, seed))
    except InputError as error:  # of harmonise: a site with too few people in some training set
        base |= {"status": "not harmonised", "reason": "; ".join(error.problems)}
        return cases


def _expected(used: Used, table: pd.DataFrame) -> np.ndarray:
    """Intercept and confounds of all cases, with what is expected of them where they are missing."""
    everyone, z = np.arange(len(table)), table[latent_table.columns(table)].to_numpy(float)
    x = np.column_stack([np.ones(len(table)), confound_columns(used, everyone, everyone[:0], z)])
    return x[:, independent(x)]


def _splits(cases: Cases, folds: Folds, rows: np.ndarray, used: Used, inner: int, seed: int) -> dict[str, list[Split]]:
    site = cases.table["site"] if cases.base["harmonised"] == "combat" else None
    splits: dict[str, list[Split]] = {}
    for name in FEATURES if used else (LATENTS,):
        for k in sorted(cases.table["fold"].unique()):
            latents = folds.tables[int(k)].iloc[rows][cases.latents].to_numpy(float)
            train, test = np.flatnonzero(cases.table["fold"] != k), np.flatnonzero(cases.table["fold"] == k)
            features = feature_maker(name, latents, used, site)
            size = folds.sizes.get(int(k)) if name != CONFOUNDS else None
            part = split_rows(features, groups_of(cases.table), train, test, inner, seed, size)
            splits.setdefault(name, []).append(part)
    return splits


def groups_of(table: pd.DataFrame) -> np.ndarray:
    """Codes that stay together in folds and resamples: families where some people are related, else people. (n,)."""
    return table["family" if relatives(table, np.arange(len(table))) is not None else "person"].to_numpy()


def _one_site(table: pd.DataFrame, reason: str) -> dict[str, Any]:
    """Say where the training people come from one site, so that ComBat has nothing to harmonise."""
    folds = sorted(table["fold"].unique())
    single_site = [k for k in folds if table.loc[table["fold"] != k, "site"].nunique() < 2]
    if len(single_site) == len(folds):
        return {"harmonised": "none (one site)" if table["site"].nunique() < 2 else "none (one training site)"}
    note = f"ComBat has nothing to harmonise in fold {', '.join(map(str, single_site))}: one training site"
    return {"reason": "; ".join(filter(None, [reason, note]))} if single_site else {}


def _new_levels(table: pd.DataFrame, used: Used, harmonise: str, new_site: str, text: str) -> dict[str, Any]:
    """Status or note where a fold tests people of a site, or another level, without training people."""
    categories = {name: column for name, kind, column in used if kind == "categorical"}
    if harmonise == "combat":
        categories["site"] = table["site"]
    new_levels = [
        f"{name} {', '.join(sorted(levels))} in fold {k}"
        for name, column in categories.items()
        for k in sorted(table["fold"].unique())
        if (
            levels := set(column[table["fold"] == k].dropna().astype(str))
            - set(column[table["fold"] != k].dropna().astype(str))
        )
    ]
    if not new_levels:
        return {}
    problem = f"no training person has {'; '.join(new_levels)}"
    if new_site == "refuse":
        advice = "set predict.new_site: mean, or leave the confound out"
        return {"status": "new site", "reason": f"{problem}, so its effect cannot be estimated; {advice}"}
    return {"confounds": f"{text}; {problem}: the training mean is used"}


def _too_few_known(table: pd.DataFrame, used: Used) -> dict[str, Any]:
    """Too few training people from whom a missing confound could be learnt."""
    for name, _, column in used:
        for k in sorted(table["fold"].unique()):
            count = table.loc[(table["fold"] != k).to_numpy() & column.notna().to_numpy(), "person"].nunique()
            if count < PEOPLE / 2:
                return {"status": "too few people", "reason": f"{count} people to train on for fold {k} have {name}"}
    return {}


def _too_few(cases: Cases, inner: int) -> dict[str, Any]:
    table = cases.table
    if table["person"].nunique() < PEOPLE or table["fold"].nunique() < 2:
        reason = f"{table['person'].nunique()} people in {table['fold'].nunique()} folds"
        return {"status": "too few people", "reason": reason}
    if cases.y.ndim == 2:
        return _too_few_events(cases)
    if cases.binary and (rarer := _rarer(cases, np.ones(len(table), bool))) < RARER_CLASS:
        return {"status": "too few people", "reason": f"{rarer} people in the rarer class"}
    for k in table["fold"].unique():
        train = (table["fold"] != k).to_numpy()
        if (people := table.loc[train, "person"].nunique()) < inner:
            return {
                "status": "too few people",
                "reason": f"{people} people to train on for fold {k}, {inner} inner folds",
            }
        if not cases.binary:
            continue
        rarer = _rarer(cases, train)
        if rarer < inner:
            reason = f"{rarer} people of the rarer class to train on for fold {k}"
            return {"status": "too few people", "reason": reason}
    return {}


def _too_few_events(cases: Cases) -> dict[str, Any]:
    """Too few events of a survival score, over all or in a training set or its inner folds' remainders."""
    event, fold = cases.y[:, 2], cases.table["fold"].to_numpy()
    if event.sum() < EVENTS:
        return {"status": "too few events", "reason": f"{int(event.sum())} events, {EVENTS} are needed"}
    lacking = [k for k in np.unique(fold) if event[fold != k].sum() < EVENTS / 2 or not event[fold == k].any()]
    if lacking:
        reason = f"fold {', '.join(map(str, lacking))} tests nobody with the event, or leaves too few of them to train"
        return {"status": "too few events", "reason": reason}
    return {}


def _rarer(cases: Cases, rows: np.ndarray) -> int:
    """People who are ever in the rarer class, among these rows (bool)."""
    return min(int(cases.table.loc[rows & (cases.y == value), "person"].nunique()) for value in (0, 1))
