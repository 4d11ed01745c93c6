"""One validated table, a typed row per scan, and a list of who was left out and why."""

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import Json, cli
from neurovae.cohort.check import check
from neurovae.cohort.columns import codes, source
from neurovae.cohort.family import families, joined
from neurovae.cohort.warn import say
from neurovae.errors import InputError
from neurovae.io.files import write_json, write_tsv
from neurovae.io.levels import level
from neurovae.io.parquet import write_table
from neurovae.io.tables import lookup, number
from neurovae.plan import visits
from neurovae.plan.index import Index, data_root, look, people, used, written

KEYS = ("scan", "person", "session", "acquisition", "run", "site")
USUAL = ("age", "sex", "gender", "site", "scanner", "centre", "center", "manufacturer", "handedness", "education")
NUMBERS = ("age", "education")  # the others are categories, also where they are written as numbers


def run(*, cohort: Json, folds: Path, out: Path, excluded: Path, matched: Path, source: Path) -> None:
    """Check the cohort's tables and write cohort.parquet, excluded.tsv and visits.tsv.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun cohort

    Args:
        cohort: the config section.
        folds: folds.tsv.
        out: cohort.parquet.
        excluded: excluded.tsv, scans without a row and rows without a scan.
        matched: visits.tsv, the row of each visit table that each scan was given.
        source: source.json; by it, another data root under the same name is refused.

    Raises:
        InputError: every problem of the tables.
    """
    root = data_root(cohort)
    cohort = written(cohort)
    found = look(cohort)
    problems = check(cohort, found)
    if problems:
        raise InputError(problems)
    say(cohort, found)
    with open(folds, encoding="utf-8", newline="") as file:
        dealt = {row["person"]: int(row["fold"]) for row in csv.DictReader(file, delimiter="\t")}
    everyone = people(found.scans)
    if cohort.get("freeze"):
        new = new_folds(everyone, dealt, n=cohort["folds"]["n"], by=cohort["folds"]["by"])
        dealt = {**joined(new, dealt, families(found.scans)), **dealt}
    elif set(dealt) != {person for person, _, _ in everyone}:
        raise InputError(f"{folds}: its people are not those of the scans; make it anew (snakemake --forcerun folds)")
    write_table(out, build(cohort, found, dealt))
    rows = ({"scan": scan, "person": person, "reason": reason} for scan, person, reason in found.excluded)
    write_tsv(excluded, rows, ["scan", "person", "reason"])
    write_tsv(matched, (match._asdict() for match in found.visit_rows), list(visits.Match._fields))
    write_json(source, root)
    count = len({scan.person for scan in found.scans})
    print(f"{len(found.scans)} scans of {count} people, {len(found.excluded)} left out", flush=True)


def new_folds(everyone: Iterable[tuple[str, str, str]], dealt: dict[str, int], *, n: int, by: str) -> dict[str, int]:
    """A fold for each (person, site, stratum) without one; no frozen model has seen them, so any fold is valid.

    By "site" it is the fold of the site; otherwise the person's id alone decides.
    """
    everyone = list(everyone)
    of_site = {site: dealt[person] for person, site, _ in everyone if person in dealt} if by == "site" else {}
    return {
        person: of_site.get(site, int(hashlib.sha256((site if by == "site" else person).encode()).hexdigest(), 16) % n)
        for person, site, _ in everyone
        if person not in dealt
    }


def build(cohort: dict[str, Any], found: Index, folds: dict[str, int]) -> pd.DataFrame:
    """Make the typed table: keys, order of sessions, site, fold, scores, confounds, and columns for the audit.

    A name that is both score and confound is typed as the score. Columns that are associated with anatomy in most
    cohorts (USUAL, in any case) are kept even where nobody declared them, so that the audit can name them.
    """
    table = pd.DataFrame({key: [getattr(scan, key) for scan in found.scans] for key in KEYS})
    table["fold"] = [folds[scan.person] for scan in found.scans]
    table["session_order"] = pd.array([found.order.get(scan.scan, 1) for scan in found.scans], dtype="Int64")
    if cohort.get("family"):
        family = families(found.scans)
        table["family"] = [family[scan.person] for scan in found.scans]
    confounds = [item for item in cohort.get("confounds") or [] if item.get("from", "table") == "table"]
    for item in [*(cohort.get("scores") or []), *confounds]:
        if item["name"] not in table:
            texts = _texts(found, source(item))
            table[item["name"]] = typed(texts, item["type"], item.get("positive"))
    table = table.assign(**delays(found, [*(cohort.get("scores") or []), *confounds]))
    return table.assign(**undeclared(found, set(table), used(cohort)))


def delays(found: Index, items: Iterable[dict[str, Any]]) -> dict[str, pd.Series]:
    """Days from the scan to the visit that a score is from, as `days_<score>`, where a visit table gives dates."""
    known = visits.days(found.visit_rows)
    columns: dict[str, pd.Series] = {}
    for item in items:
        rows = [lookup(found.tables, item.get("column") or item["name"], scan.keys) for scan in found.scans]
        delay = [
            known.get((row[0][1].file, scan.scan)) if row else None for row, scan in zip(rows, found.scans, strict=True)
        ]
        if any(value is not None for value in delay):
            columns[f"days_{item['name']}"] = pd.Series(delay, dtype="float64")
    return columns


def undeclared(found: Index, taken: set[str], declared: list[tuple[str, str]]) -> dict[str, pd.Series]:
    """USUAL columns that the configuration does not name, as numbers or text; `table_site` where `site` is taken."""
    named = {column for _, column in declared}
    columns = sorted({column for table in found.tables for column in table.columns})
    carried: dict[str, pd.Series] = {}
    for column in columns:
        name = column.lower() if column.lower() not in KEYS else f"table_{column.lower()}"
        if column.lower() in USUAL and column not in named and name not in taken | set(carried):
            texts = _texts(found, column)
            numeric = column.lower() in NUMBERS and all(text is None or number(text) is not None for text in texts)
            carried[name] = typed(texts, "continuous" if numeric else "categorical")
    return carried


def typed(texts: Iterable[str | None], kind: str, positive: Any = None) -> pd.Series:
    """Turn a column's texts into float64 (binary: 0.0 and 1.0) or, if categorical, strings; missing is NaN or None."""
    texts = list(texts)
    if kind == "categorical":
        return pd.Series([None if text is None else level(text) for text in texts], dtype=object)
    if kind == "binary":
        code = codes({text for text in texts if text is not None}, positive)
        return pd.Series([None if text is None else code[text] for text in texts], dtype="float64")
    return pd.Series([None if text is None else number(text) for text in texts], dtype="float64")


def _texts(found: Index, column: str) -> list[str | None]:
    seen = (lookup(found.tables, column, scan.keys) for scan in found.scans)
    return [values[0][0] if values else None for values in seen]


if __name__ == "__main__":
    cli(run)
