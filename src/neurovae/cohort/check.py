"""Check a cohort's tables before the first job and list all problems at once; standard library only."""

import re
from typing import Any
from urllib.parse import quote

from neurovae.cohort import survival
from neurovae.cohort.columns import Cells, codes, plain, source, values
from neurovae.cohort.family import problems as relatives
from neurovae.cohort.words import read_as_missing, same_words
from neurovae.io.tables import GROUPED, first, lookup, no_column, number, short
from neurovae.plan.index import Index, look, people, used

LIMIT = re.compile(r"[<>\u2264\u2265]=?\s*[\d.]+|[\d.]+\s*\+|[\d.]+\s*[-\u2013]\s*[\d.]+")  # <5, 89+, 18-38
THOUSANDS = re.compile(r"[+-]?\d{1,3}(([,' ]\d{3})+(\.\d+)?|(\.\d{3})+,\d+)", re.ASCII)  # 1,234,567 or 1.234,5

RESERVED = {"scan", "person", "session", "acquisition", "run", "site", "fold", "split", "family"}
RESERVED |= {"model", "seed", "error", "model_hash", "data_hash"}
AUDITED = {
    "head size",
    "rotation",
    "translation",
    "head proportions",
    "shear",
    "noise",
    "sharpness",
    "registration",
}  # nuisances.GROUPS
PREFIXES = ("mu_", "logvar_", "kl_", "split_", "qc_", "latents_", "table_", "days_")
LONGEST = 120  # characters of a score's name as interpret.images.in_file writes it
TYPES = ("continuous", "gamma", "count", "binary", "ordinal", "bounded", "survival")


def check(cohort: dict[str, Any], index: Index | None = None) -> list[str]:
    """List every problem of the `cohort` section's ids, files, columns and values, each with file and row."""
    index = index or look(cohort)
    problems = [*index.problems, *_names(cohort)]
    if any(table.columns for table in index.tables):
        problems += _columns(cohort, index)
        cells = {
            column: values(index, column)
            for purpose, column in used(cohort)
            if purpose.startswith(("score", "confound"))
        }
        for score in cohort.get("scores") or []:
            problems += _score(score, index, cells)
        for confound in cohort.get("confounds") or []:
            if confound.get("from", "table") == "table":
                problems += _rows(confound, cells)
                problems += _empty(confound, index, cells)
    return problems + _folds(cohort, index) + relatives(index.scans, (cohort.get("folds") or {}).get("by", "person"))


def _names(cohort: dict[str, Any]) -> list[str]:
    problems = survival.settings(cohort.get("scores") or [], cohort.get("confounds") or [])
    column_of: dict[str, str] = {}
    for score in cohort.get("scores") or []:
        name, column = score["name"], source(score)
        if name in RESERVED or name.startswith(PREFIXES):
            problems.append(f"cohort.scores: '{name}' is a name of neurovae's own columns; give the score another name")
        if name in column_of:
            problems.append(f"cohort.scores: '{name}' is given twice; names are unique")
        if score["type"] not in TYPES:
            problems.append(f"cohort.scores: {name} is of type '{score['type']}'; give one of {', '.join(TYPES)}")
        if score["type"] == "bounded" and len(score.get("bounds") or []) != 2:
            problems.append(f"cohort.scores: {name} is bounded, bounds are missing; give bounds: [lowest, highest]")
        problems += _range(score)
        if len(quote(name)) > LONGEST:
            problems.append(
                f"cohort.scores: '{name[:20]}...' is too long for file names: {len(quote(name))} characters, at most "
                f"{LONGEST} (a letter outside a to z counts as 3 to 12); give a shorter name, and its column"
            )
        column_of[name] = column
    for confound in cohort.get("confounds") or []:
        problems += _range(confound)
        name, column = confound["name"], source(confound)
        is_site = name == "site" and column == cohort.get("site")
        is_quality_column = (
            confound.get("from") == "preprocess" and name == column
        )  # `noise` of the quality table may keep its name
        reserved = RESERVED if is_quality_column else RESERVED | AUDITED
        if (name in reserved and not is_site) or name.startswith(PREFIXES):
            problems.append(f"cohort.confounds: '{name}' is a name of neurovae's own columns; give another name")
        if column_of.get(name, column) != column:
            problems.append(
                f"cohort.confounds: '{name}' is also a score, of column '{column_of[name]}'; give another name"
            )
    return problems


def _range(item: dict[str, Any]) -> list[str]:
    """List bounds and plausible ranges in the wrong order, and those that are not used."""
    problems = []
    for key in ("bounds", "plausible"):
        low, high = (item.get(key) or [None, None])[:2] if len(item.get(key) or []) in (0, 2) else (None, None)
        if low is not None and high is not None and low >= high:
            problems.append(f"cohort: {key} of {item['name']} is [{low:g}, {high:g}]; give the lower value first")
    measured = {"preprocess": "of preprocessing", "blocks": "of a block"}.get(item.get("from", "table"))
    if item.get("plausible") and (item["type"] in ("binary", "categorical") or measured):
        reason = measured or item["type"]
        problems.append(f"cohort: {item['name']} is {reason}, where plausible is not used; leave it out")
    return problems


def _columns(cohort: dict[str, Any], index: Index) -> list[str]:
    """List columns that the configuration names and no table has, and columns on which two tables disagree."""
    files = ", ".join(table.file for table in index.tables)
    columns = {column for table in index.tables for column in table.columns}
    header = {column for table in index.tables for column in table.header}
    files_of = {f"{short(table.file)}:{column}" for table in index.tables for column in table.header}
    problems = [
        f"{files}: rename of '{old}': {no_column(old, header)}"
        for old in cohort.get("rename") or {}
        if old not in header | files_of
    ]
    problems += [
        f"{files}: {purpose}: {no_column(name, columns)}" for purpose, name in used(cohort) if name not in columns
    ]
    for key in ("missing", "not_missing"):
        setting = cohort.get(key) if isinstance(cohort.get(key), dict) else {}
        missing_columns = [name for name in setting or {} if name not in columns | {"*"}]
        problems += [f"{files}: cohort.{key}: {no_column(name, columns)}" for name in missing_columns]
    for column in sorted({column for _, column in used(cohort)}):
        if sum(column in table.columns for table in index.tables) > 1:
            problems += _disagreements(index, column)
    return problems


def _disagreements(index: Index, column: str) -> list[str]:
    problems = {}
    for scan in index.scans:
        cells = lookup(index.tables, column, scan.keys)
        if len({plain(value) for value, _ in cells}) > 1:
            (one, row), (other_value, other_row) = (
                cells[0],
                next(pair for pair in cells if plain(pair[0]) != plain(cells[0][0])),
            )
            problems[other_row.where] = (
                f"{row.where}: {column} is '{one}', but '{other_value}' in {other_row.where}; "
                f"correct one, or rename one with cohort.rename: {{{short(other_row.file)}:{column}: new_name}}"
            )
    return first(list(problems.values()))


def _rows(item: dict[str, Any], cells: Cells) -> list[str]:
    """List rows whose value does not fit the declared type or the declared plausible range."""
    problems = []
    for value, row in cells[source(item)]:
        expected = _expected(value, item)
        remedy = f"{expected} or n/a; if {value} is a code for missing, list it in cohort.missing"
        if expected:
            problems.append(f"{row.where}: {item['name']} is '{value}'; give {remedy}")
    return first(problems)


def _empty(confound: dict[str, Any], index: Index, cells: Cells) -> list[str]:
    """Report a confound without any value, since no person could then be tested."""
    column = source(confound)
    files = ", ".join(table.file for table in index.tables if column in table.columns)
    if not files or not index.scans or cells[column] or index.problems:
        return []
    hint = read_as_missing(index.tables, column)
    return [f"{files}: confound {confound['name']} has no value for any of the {len(index.scans)} scans; drop it{hint}"]


def _expected(value: str, item: dict[str, Any]) -> str | None:
    kind, parsed_number, bounds = item["type"], number(value), item.get("bounds") or []
    low, high = item.get("plausible") or (None, None)
    if kind in ("binary", "categorical"):
        return None
    if parsed_number is None and LIMIT.fullmatch(value):
        return "one number (it is a limit or a range: choose the number to use)"
    if parsed_number is None and (GROUPED.fullmatch(value) or THOUSANDS.fullmatch(value)):
        return "a number (with a decimal point) without separators of thousands"
    if parsed_number is None:
        return "a number (with a decimal point)" if "," in value else "a number"
    if kind == "count" and not parsed_number.is_integer():
        return "a whole number"
    if kind == "count" and parsed_number < 0:
        return "a count of 0 or more"
    if kind == "gamma" and parsed_number <= 0:
        return "a number above 0"
    if kind == "bounded" and len(bounds) == 2 and not bounds[0] <= parsed_number <= bounds[1]:
        return f"a number from {bounds[0]:g} to {bounds[1]:g}"
    if (low is not None and parsed_number < low) or (high is not None and parsed_number > high):
        span = f"from {low:g}" if high is None else f"up to {high:g}" if low is None else f"from {low:g} to {high:g}"
        return f"a plausible number ({span}, as declared)"
    return None


def _score(score: dict[str, Any], index: Index, cells: Cells) -> list[str]:
    """Check a score's rows, then the score as a whole: no value, one value, not binary."""
    name, column = score["name"], source(score)
    if not index.scans or not any(column in table.columns for table in index.tables):
        return []
    survives = score["type"] == "survival" and bool(score.get("time")) and bool(score.get("event"))
    problems = survival.rows(score, index) if survives else _rows(score, cells)
    texts = {value for value, _ in cells[column]}
    files = ", ".join(table.file for table in index.tables if column in table.columns)
    levels = sorted({plain(text) for text in texts})
    examples = ", ".join(repr(level) for level in levels[:6]) + (" ..." if len(levels) > 6 else "")
    hint = read_as_missing(index.tables, column)
    if not levels:
        empty = (
            f"{files}: {name} has no value for any of the {len(index.scans)} scans; check its IDs and "
            f"sessions, or drop it from cohort.scores{hint}"
        )
        problems += [] if index.problems else [empty]  # another problem may be the cause
    elif len(levels) == 1 and not survives:
        problems.append(f"{files}: {name} is constant, {examples} for everyone; drop it from cohort.scores{hint}")
    elif score["type"] == "binary" and len(levels) > 2:
        problems.append(
            f"{files}: {name} is binary but has {len(levels)} values, {examples}; recode it or change its type"
            f"{same_words(levels)}"
        )
    elif score["type"] == "binary" and not codes(texts, score.get("positive")):
        positive = (
            f"positive is {score['positive']!r}" if score.get("positive") is not None else "positive is not given"
        )
        problems.append(f"{files}: {name} is {examples}, {positive}; name (in quotes) the value that counts as 1")
    return problems


def _folds(cohort: dict[str, Any], index: Index) -> list[str]:
    folds, all_people = cohort.get("folds") or {}, people(index.scans)
    n, strata = folds.get("n", 5), {stratum for _, _, stratum in all_people}
    problems = []
    sites = {site for _, site, _ in all_people}
    if folds.get("by") == "site" and (not cohort.get("site") or len(sites) < n):
        problems.append(
            f"folds.by: site needs cohort.site and at least folds.n sites; found {len(sites)} for {n} folds;"
            f" set folds.n to {len(sites)}, or by: person"
        )
    min_people = 4 if n == 2 else n
    if all_people and len(all_people) < min_people:
        problems.append(
            f"cohort: {len(all_people)} people have a scan and a row, folds.n is {n};"
            f" give {min_people} or more people"
            + (f", or set folds.n to {len(all_people)}" if len(all_people) > 2 else "")
        )
    if len(strata) > 20:
        problems.append(
            f"folds.stratify: '{folds['stratify']}' has {len(strata)} values, at most 20 are allowed; give groups"
        )
    return problems
