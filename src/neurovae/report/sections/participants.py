"""Participants: table 1, distributions of scores and confounds, exclusions, and which effects could be detected."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import first_scans, in_order, survival_values
from neurovae.report.blocks import Block, figure, missing, note, table, text
from neurovae.report.figures import columns, thumbnails
from neurovae.report.results import (
    COHORT,
    EXCLUDED,
    POWER,
    QUALITY,
    Run,
    analysed,
    counted,
    declared,
    levels,
    positive,
    read,
)
from neurovae.report.sections.visits import visits
from neurovae.report.text import count, shown

POWERED = {"score": "score", "n": "participants", "confound_columns": "confound regressors", "tests": "tests",
           "level": "significance level", "power": "power", "partial_r": "smallest partial r",
           "odds_ratio": "smallest odds ratio per SD",
           "hazard_ratio": "smallest hazard ratio per SD", "cases": "cases"}  # fmt: skip

LARGE = 0.1  # share of the participants


def participants(run: Run) -> list[Block]:
    """Table 1 with histograms, detectable effects, and who was excluded."""
    whole = read(run, COHORT)
    if whole is None:
        return [missing(COHORT, "the stage cohort has not written it")]
    people, named = analysed(whole, read(run, QUALITY)), declared(run, whole)
    first = first_scans(in_order(people))
    sites, unknown = first["site"].value_counts(), int(first["site"].isna().sum())
    blocks = [text(_counts(run, whole, people, sites, unknown))]
    heads = {"column": "column", "role": "role", "type": "type", "n": "participants", "missing": "missing",
             "value": "mean ± SD, or counts", "range": "range"}  # fmt: skip
    heads |= {f"site {site}": f"site {site}" for site in sites.index if len(sites) > 1}
    blocks += [note(words) for words in lacking(run, people)]
    source = f"{COHORT}, {QUALITY}"
    caption = f"Table 1. Scores, and confounds from the input tables, at each participant's first {run.unit}"
    blocks += [table(summary(run, first, named), heads, source, caption, 40)]
    if named:
        coded = first.assign(**{name: levels(first[name], positive(run, name)) for name in named})
        image = thumbnails.drawn(columns.histograms(coded, named))
        blocks += [
            figure(
                image, f"Distributions of scores and confounds, one {run.unit} per participant.", source, "histograms"
            )
        ]
    return [*blocks, *visits(run), *_power(run), *_excluded(run)]


def _counts(run: Run, whole: pd.DataFrame, people: pd.DataFrame, sites: pd.Series, unknown: int) -> str:
    each = [f"{name}: {n}" for name, n in sites.items()] + [f"not known: {unknown}"] * bool(unknown)
    if not run.images:
        out = whole["person"].nunique() - people["person"].nunique()
        excluded = f" {count(out, 'participant')} had been excluded by hand." if out else ""
        return f"{counted(run, people)} were analysed{_sites(sites, each)}{excluded}"
    said = f"{people['person'].nunique()} of {count(whole['person'].nunique(), 'participant')} and {len(people)} of "
    said += f"{count(len(whole), 'scan')} passed quality control and were analysed"
    return said + _sites(sites, each)


def _sites(sites: pd.Series, each: list[str]) -> str:
    said = f", from {count(len(sites), 'site')}" if len(sites) else ""
    return said + (f" ({', '.join(each)})." if len(each) > 1 else ".")


def summary(run: Run, people: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Table 1: a row per column, mean and SD or counts of levels, overall and by site."""
    section = run.config.get("cohort", {})
    rows: list[dict[str, Any]] = []
    for name in names:
        entries = [(key[:-1], one) for key in ("scores", "confounds") for one in section.get(key, [])]
        own = [(role, one["type"]) for role, one in entries if one["name"] == name]
        values = levels(people[name], positive(run, name))
        known = values.dropna()
        if own[0][1] == "survival":
            rows.append(_survival(people, name, section))
            continue
        row = {"column": name, "role": ", ".join(role for role, _ in own), "type": own[0][1], "n": len(known)}
        row |= {"missing": int(values.isna().sum()), "value": described(known)}
        row |= {"range": f"{shown(known.min())} to {shown(known.max())}" if numeric(known) else ""}
        by_site = values.groupby(people["site"])
        rows.append(row | {f"site {site}": described(part.dropna()) for site, part in by_site})
    return pd.DataFrame(rows)


def _survival(people: pd.DataFrame, name: str, section: dict[str, Any]) -> dict[str, Any]:
    """Table 1's row of a time to event: events, and the length of observation, overall and by site."""
    score = next(one for one in section["scores"] if one["name"] == name)
    entry, time, event = survival_values(people, score).T
    known = np.isfinite(time)
    sites = people["site"][known]

    def told(rows: np.ndarray) -> str:
        if not rows.any():
            return "n/a"
        return f"{int(event[rows].sum())} events; observed for {shown(float(np.median((time - entry)[rows])))} (median)"

    row = {"column": name, "role": "score", "type": "survival", "n": int(known.sum()), "missing": int((~known).sum())}
    row |= {"value": told(known), "range": f"{shown(time[known].min())} to {shown(time[known].max())}"}
    return row | {f"site {site}": told(known & (people["site"] == site).to_numpy()) for site in sites.dropna().unique()}


def lacking(run: Run, people: pd.DataFrame) -> list[str]:
    """Confounds that more than a tenth of the participants with a score lack, and what was done about it."""
    section = run.config.get("cohort", {})
    scores = [one["name"] for one in section.get("scores", []) if one["name"] in people]
    known = people[people[scores].notna().any(axis=1)] if scores else people
    everyone, said = known["person"].nunique(), []
    for name in [one["name"] for one in section.get("confounds", []) if one["name"] in people]:
        lost = everyone - known.loc[known[name].notna(), "person"].nunique()
        if lost > LARGE * everyone:
            said += [f"{name} is missing in {lost} of {count(everyone, 'participant')} with a score "
                     f"({lost / everyone:.0%})"]  # fmt: skip
    if not said:
        return []
    if section.get("missing_confounds") == "impute":
        return [f"{'; '.join(said)}. It was imputed in most tests and in predictions; each row says so (n_imputed)."]
    return [f"{'; '.join(said)}. Tests and predictions leave them out (cohort.missing_confounds)."]


def numeric(values: pd.Series) -> bool:
    """Whether a column has a mean: numbers of more than two values."""
    return bool(pd.api.types.is_numeric_dtype(values) and values.nunique() > 2)


def described(values: pd.Series) -> str:
    """ "63.1 ± 8.2", or "F: 31, M: 41"."""
    if values.empty:
        return "n/a"
    if numeric(values):
        return f"{shown(float(values.mean()))} ± {shown(float(values.std()))}"
    counts = values.value_counts()
    more = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    return ", ".join(f"{shown(level)}: {n}" for level, n in counts.sort_index().head(8).items()) + more


def _power(run: Run) -> list[Block]:
    power = read(run, POWER)
    if power is None:
        return [missing(POWER, "power has not been computed")]
    lost = [f"{row['score']}: {row['status']}: {row['reason']}"
            for row in power[power["status"] != "ok"].to_dict("records")]  # fmt: skip
    notes = [note("; ".join(lost))] if lost else []
    title = "Smallest detectable partial correlation, for one test and for tests of all latents (Bonferroni)"
    return [*notes, table(power[power["status"] == "ok"], POWERED, POWER, title)]


def _excluded(run: Run) -> list[Block]:
    left = read(run, EXCLUDED)
    if left is None:
        return [missing(EXCLUDED, "the stage cohort has not written it")]
    if left.empty:
        return (
            [text("No row of the participants table was left out.")]
            if not run.images
            else [text("Every scan had an entry in the participants table, and every entry had a scan.")]
        )
    heads = {"scan": "scan", "person": "participant", "reason": "reason"}
    what = count(len(left), "scan or row", "scans or rows") if run.images else count(len(left), "row")
    before = " before preprocessing" if run.images else ""
    return [table(left, heads, EXCLUDED, f"{what} excluded{before}, with the reason")]
