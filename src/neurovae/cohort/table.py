"""Write one validated table with a typed row per scan, and a list of who was left out and why."""

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import Json, cli
from neurovae.cohort.check import check
from neurovae.cohort.columns import USUAL, codes, parts, source
from neurovae.cohort.family import families, join_families
from neurovae.cohort.warn import print_warnings
from neurovae.errors import InputError
from neurovae.io.files import write_json, write_tsv
from neurovae.io.levels import level
from neurovae.io.parquet import write_table
from neurovae.io.tables import lookup, number
from neurovae.plan import visits
from neurovae.plan.index import Index, data_root, look, people, used, written

KEYS = ("scan", "person", "session", "acquisition", "run", "site")
NUMBERS = ("age", "education")  # the others are categories, also where they are written as numbers


def run(
    *,
    cohort: Json,
    folds: Path,
    out: Path,
    excluded: Path,
    matched: Path,
    source: Path,
    blocks: Path | None = None,
    measures: Json | None = None,
) -> None:
    """Check the cohort's tables and write cohort.parquet, excluded.tsv and visits.tsv.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun cohort

    Args:
        cohort: the config section.
        folds: folds.tsv.
        out: cohort.parquet.
        excluded: excluded.tsv, scans without a row and rows without a scan.
        matched: visits.tsv, the row of each visit table that was assigned to each scan.
        source: source.json, by which another data root under the same cohort name is refused.
        blocks: folder of the blocks.
        measures: block and quality measure of each further column of the table, such as mean_fd: [rest, mean_fd].

    Raises:
        InputError: every problem of the tables.
    """
    root = data_root(cohort)
    cohort = written(cohort)
    index_of_scans = look(cohort)
    problems = check(cohort, index_of_scans)
    if problems:
        raise InputError(problems)
    print_warnings(cohort, index_of_scans)
    with open(folds, encoding="utf-8", newline="") as file:
        folds_of_people = {row["person"]: int(row["fold"]) for row in csv.DictReader(file, delimiter="\t")}
    all_people = people(index_of_scans.scans)
    if cohort.get("freeze"):
        folds_of_new = new_folds(all_people, folds_of_people, n=cohort["folds"]["n"], by=cohort["folds"]["by"])
        folds_of_people = {
            **join_families(folds_of_new, folds_of_people, families(index_of_scans.scans)),
            **folds_of_people,
        }
    elif set(folds_of_people) != {person for person, _, _ in all_people}:
        raise InputError(f"{folds}: its people are not those of the scans; write it again (snakemake --forcerun folds)")
    table = build(cohort, index_of_scans, folds_of_people)
    write_table(out, table.assign(**quality(table["scan"], blocks or Path(), measures or {})))
    rows = ({"scan": scan, "person": person, "reason": reason} for scan, person, reason in index_of_scans.excluded)
    write_tsv(excluded, rows, ["scan", "person", "reason"])
    write_tsv(matched, (match._asdict() for match in index_of_scans.visit_rows), list(visits.Match._fields))
    write_json(source, root)
    count = len({scan.person for scan in index_of_scans.scans})
    print(f"{len(index_of_scans.scans)} scans of {count} people, {len(index_of_scans.excluded)} left out", flush=True)


def quality(scans: pd.Series, blocks: Path, measures: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Quality measures of functional blocks by column, a value per scan; missing where a scan has none."""
    columns = {}
    for name, (block, measure) in measures.items():
        found = pd.read_csv(blocks / block / "quality.tsv", sep="\t", na_values=["n/a"], dtype={"scan": "object"})
        columns[name] = found[found["status"] == "ok"].set_index("scan")[measure].reindex(scans).to_numpy(float)
    return columns


def new_folds(all_people: Iterable[tuple[str, str, str]], folds: dict[str, int], *, n: int, by: str) -> dict[str, int]:
    """Assign a fold to each (person, site, stratum) without one; any fold is valid, since no frozen model used them.

    By "site" it is the fold of the site; otherwise it depends on the person's id alone.
    """
    all_people = list(all_people)
    of_site = {site: folds[person] for person, site, _ in all_people if person in folds} if by == "site" else {}
    return {
        person: of_site.get(site, int(hashlib.sha256((site if by == "site" else person).encode()).hexdigest(), 16) % n)
        for person, site, _ in all_people
        if person not in folds
    }


def build(cohort: dict[str, Any], index: Index, folds: dict[str, int]) -> pd.DataFrame:
    """Build the typed table: keys, order of sessions, site, fold, scores, confounds, and columns for the audit.

    A name that is both score and confound is typed as the score. Columns that are associated with anatomy in most
    cohorts (USUAL, in any case) are kept even if they are not declared, so that the audit can name them.
    """
    table = pd.DataFrame({key: [getattr(scan, key) for scan in index.scans] for key in KEYS})
    table["fold"] = [folds[scan.person] for scan in index.scans]
    table["session_order"] = pd.array([index.order.get(scan.scan, 1) for scan in index.scans], dtype="Int64")
    if cohort.get("family"):
        family = families(index.scans)
        table["family"] = [family[scan.person] for scan in index.scans]
    confounds = [item for item in cohort.get("confounds") or [] if item.get("from", "table") == "table"]
    for item in [*(cohort.get("scores") or []), *confounds]:
        if item["name"] not in table:
            texts = _texts(index, source(item))
            table[item["name"]] = typed(texts, item["type"], item.get("positive"))
        for name, column in parts(item).items():
            table[name] = typed(_texts(index, column), "continuous")
    table = table.assign(**delays(index, [*(cohort.get("scores") or []), *confounds]))
    return table.assign(**undeclared(index, set(table), used(cohort)))


def delays(index: Index, items: Iterable[dict[str, Any]]) -> dict[str, pd.Series]:
    """Days from the scan to the visit that a score is from, as `days_<score>`, where a visit table gives dates."""
    days_of = visits.days(index.visit_rows)
    columns: dict[str, pd.Series] = {}
    for item in items:
        rows = [lookup(index.tables, source(item), scan.keys) for scan in index.scans]
        delay = [
            days_of.get((row[0][1].file, scan.scan)) if row else None
            for row, scan in zip(rows, index.scans, strict=True)
        ]
        if any(value is not None for value in delay):
            columns[f"days_{item['name']}"] = pd.Series(delay, dtype="float64")
    return columns


def undeclared(index: Index, used_names: set[str], declared: list[tuple[str, str]]) -> dict[str, pd.Series]:
    """USUAL columns that the configuration does not name, as numbers or text; `table_site` where `site` is taken."""
    declared_columns = {column for _, column in declared}
    columns = sorted({column for table in index.tables for column in table.columns})
    series: dict[str, pd.Series] = {}
    for column in columns:
        name = column.lower() if column.lower() not in KEYS else f"table_{column.lower()}"
        if column.lower() in USUAL and column not in declared_columns and name not in used_names | set(series):
            texts = _texts(index, column)
            numeric = column.lower() in NUMBERS and all(text is None or number(text) is not None for text in texts)
            series[name] = typed(texts, "continuous" if numeric else "categorical")
    return series


def typed(texts: Iterable[str | None], kind: str, positive: Any = None) -> pd.Series:
    """Convert a column's texts to float64 (binary: 0.0 and 1.0) or, if categorical, strings; missing is NaN or None."""
    texts = list(texts)
    if kind == "categorical":
        return pd.Series([None if text is None else level(text) for text in texts], dtype=object)
    if kind == "binary":
        code = codes({text for text in texts if text is not None}, positive)
        return pd.Series([None if text is None else code[text] for text in texts], dtype="float64")
    return pd.Series([None if text is None else number(text) for text in texts], dtype="float64")


def _texts(index: Index, column: str) -> list[str | None]:
    cells = (lookup(index.tables, column, scan.keys) for scan in index.scans)
    return [values[0][0] if values else None for values in cells]


if __name__ == "__main__":
    cli(run)
