"""Repeated scans of people: every column is split into the person's mean and the deviations from it.

Within-between model: Mundlak 1978; Bell & Jones 2015, eq. 4. The confounds are split like the latent, so that the
effect of age between people is not mistaken for the effect of ageing within a person. Under a random intercept both
parts are orthogonal: the within part of a Gaussian score is least squares on the deviations, whatever the variances.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import RARER_CLASS, RESIDUAL_DF, Design, design, relatives
from neurovae.stats.basis import ROUNDING, independent

SITES = 6  # fewer sites than this: no variance between sites is estimated


@dataclass(frozen=True)
class Repeated:
    """Complete cases of one score; P people, n scans, `person` (n,) holds 0..P-1."""

    cases: Design  # scans that entered, with y and the confounds of each scan
    person: np.ndarray  # (n,)
    first: np.ndarray  # (P,) each person's first scan among the n
    counts: np.ndarray  # (P,) scans
    site: np.ndarray  # (P,) codes of the sites, as the random effect or for exchanging people within them
    between: np.ndarray  # (P, columns) means of the confounds, the intercept first
    within: np.ndarray  # (n, columns) their deviations, those that vary
    family: np.ndarray | None  # (P,) codes of the families, where some people are related
    varying: bool  # whether the score changes within any person
    status: str
    reason: str


def repeated(
    table: pd.DataFrame, score: dict[str, Any], confounds: list[dict[str, Any]], random_site: bool
) -> Repeated:
    """Build the complete cases of one score. A random site is no covariate; a scan without a site is left out."""
    notes, values = [], table
    if random_site:
        has_site = table["site"].replace("n/a", None).notna()
        notes += [f"{(~has_site).sum()} scans without a site left out"] if not has_site.all() else []
        values = table.assign(site="all", **{score["name"]: table[score["name"]].where(has_site)})
        confounds = [entry for entry in confounds if entry["name"] != "site"]
    cases = design(values, score, confounds, per_person=False)
    between, within, usable = _split(table, cases)
    while len(usable) and not usable.all():
        notes.append(f"{len(set(table['person'].iloc[cases.rows[~usable]]))} people left out (alone in a level)")
        cases = Design(cases.rows[usable], cases.y[usable], cases.x[usable], cases.text, cases.status, cases.reason)
        between, within, usable = _split(table, cases)
    cases = Design(cases.rows, cases.y, cases.x, "; ".join([cases.text, *notes]), cases.status, cases.reason)
    person, counts = people(table, cases.rows)
    first = np.unique(person, return_index=True)[1]
    site = pd.factorize(table["site"].iloc[cases.rows[first]].astype(str))[0]
    varying, family = bool(changes(cases.y, person).any()), relatives(table, cases.rows[first])
    status, reason = _usable(table, cases, person, site, between.shape[1], random_site, score["type"])
    if status == "ok" and random_site and family is not None:
        status, reason = "not available", "a random effect of the site beside families; set site: covariate"
    return Repeated(cases, person, first, counts, site, between, within, family, varying, status, reason)


def people(table: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each scan's person, and how many scans each person has."""
    person = pd.factorize(table["person"].iloc[rows])[0]
    return person, np.bincount(person)


def means(values: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return the mean over each person's scans. values: (n, columns), result: (P, columns)."""
    sums = np.zeros((person.max() + 1 if len(person) else 0, values.shape[1]))
    np.add.at(sums, person, values)
    return sums / np.bincount(person)[:, None]


def deviations(values: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return each scan's deviation from its person's mean. (n, columns)."""
    return values - means(values, person)[person]


def changes(y: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Whether each scan's value differs from its person's mean beyond round-off. (n,)."""
    return np.abs(deviations(y[:, None], person)[:, 0]) > ROUNDING * np.abs(y).max(initial=0.0)


def _split(table: pd.DataFrame, cases: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return columns between and within people, and which scans do not belong to a person who alone fills a column."""
    if not len(cases.rows):
        return np.ones((0, 1)), np.ones((0, 0)), np.ones(0, bool)
    person, _ = people(table, cases.rows)
    between, within = means(cases.x, person), deviations(cases.x, person)
    between = between[:, independent(between)]
    changing = np.abs(within) > 1e-9 * np.abs(cases.x).max(axis=0)
    within = within[
        :, [len(set(person[column])) > 1 for column in changing.T]
    ]  # one person alone carries no information
    within = within[:, independent(within)] if within.shape[1] else within
    sole = np.square(np.linalg.qr(between)[0]).sum(axis=1) > 1 - 1e-8
    overdetermined = len(between) > between.shape[1]
    return between, within, ~sole[person] if overdetermined else np.ones(len(person), bool)


def _usable(
    table: pd.DataFrame, cases: Design, person: np.ndarray, site: np.ndarray, columns: int, random_site: bool, kind: str
) -> tuple[str, str]:
    if cases.status != "ok":
        return cases.status, cases.reason.replace("people", "scans")
    total = person.max() + 1
    if random_site and len(set(site)) < SITES:
        n_sites = len(set(site))
        return "too few sites", f"a random effect needs {SITES} sites, found {n_sites}; set site: covariate"
    if random_site and pd.Series(table["site"].iloc[cases.rows].to_numpy()).groupby(person).nunique().max() > 1:
        return "not available", "a person was scanned at several sites, which are then not nested; set site: covariate"
    if len(person) == total and not random_site:
        return "one scan per person", "of those with the score; see the GLM"
    if total - columns - 1 < RESIDUAL_DF:
        return "too few people", f"{total} people for {columns - 1} confound columns between people"
    if kind == "binary":
        rarer = min(len(set(person[cases.y == value])) for value in (0, 1))
        return ("ok", "") if rarer >= RARER_CLASS else ("too few people", f"{rarer} people ever in the rarer class")
    return "ok", ""
