"""Every problem of a cohort's tables at once, before the first job; standard library only."""

import re
from typing import Any
from urllib.parse import quote

from neurovae.cohort.columns import Seen, codes, plain, source, values
from neurovae.cohort.family import problems as relatives
from neurovae.cohort.words import read_as_missing, same_words
from neurovae.io.tables import first, lookup, no_column, number, short
from neurovae.plan.index import Index, look, people, used

LIMIT = re.compile(r"[<>\u2264\u2265]=?\s*[\d.]+|[\d.]+\s*\+|[\d.]+\s*[-\u2013]\s*[\d.]+")  # <5, 89+, 18-38

RESERVED = {"scan", "person", "session", "acquisition", "run", "site", "fold", "split", "family"}
RESERVED |= {"model", "seed", "error", "model_hash", "data_hash"}
AUDITED = {
    "size",
    "rotation",
    "translation",
    "proportions",
    "shear",
    "noise",
    "sharpness",
    "registration",
}  # nuisances.GROUPS
PREFIXES = ("mu_", "logvar_", "kl_", "split_", "qc_", "latents_", "table_", "days_")
LONGEST = 120  # characters of a score's name as interpret.images.in_file writes it
TYPES = ("continuous", "gamma", "count", "binary", "ordinal", "bounded")


def check(cohort: dict[str, Any], found: Index | None = None) -> list[str]:
    """List every problem of the `cohort` section's ids, files, columns and values, each with file and row."""
    found = found or look(cohort)
    problems = [*found.problems, *_names(cohort)]
    if any(table.columns for table in found.tables):
        problems += _columns(cohort, found)
        seen = {
            column: values(found, column) for what, column in used(cohort) if what.startswith(("score", "confound"))
        }
        for score in cohort.get("scores") or []:
            problems += _score(score, found, seen)
        for confound in cohort.get("confounds") or []:
            if confound.get("from", "table") == "table":
                problems += _rows(confound, seen)
                problems += _empty(confound, found, seen)
    return problems + _folds(cohort, found) + relatives(found.scans, (cohort.get("folds") or {}).get("by", "person"))


def _names(cohort: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    given: dict[str, str] = {}
    for score in cohort.get("scores") or []:
        name, column = score["name"], source(score)
        if name in RESERVED or name.startswith(PREFIXES):
            problems.append(f"cohort.scores: '{name}' is a name of neurovae's own columns; give the score another name")
        if name in given:
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
        given[name] = column
    for confound in cohort.get("confounds") or []:
        problems += _range(confound)
        name, column = confound["name"], source(confound)
        is_site = name == "site" and column == cohort.get("site")
        measured = (
            confound.get("from") == "preprocess" and name == column
        )  # `noise` of the quality table is what it says
        taken = RESERVED if measured else RESERVED | AUDITED
        if (name in taken and not is_site) or name.startswith(PREFIXES):
            problems.append(f"cohort.confounds: '{name}' is a name of neurovae's own columns; give another name")
        if given.get(name, column) != column:
            problems.append(f"cohort.confounds: '{name}' is also a score, of column '{given[name]}'; give another name")
    return problems


def _range(item: dict[str, Any]) -> list[str]:
    """Bounds and plausible ranges that are upside down, or that nothing would be compared with."""
    problems = []
    for key in ("bounds", "plausible"):
        low, high = (item.get(key) or [None, None])[:2] if len(item.get(key) or []) in (0, 2) else (None, None)
        if low is not None and high is not None and low >= high:
            problems.append(f"cohort: {key} of {item['name']} is [{low:g}, {high:g}]; give the lower value first")
    if item.get("plausible") and (item["type"] in ("binary", "categorical") or item.get("from") == "preprocess"):
        what = "of preprocessing" if item.get("from") == "preprocess" else item["type"]
        problems.append(f"cohort: {item['name']} is {what}, where plausible is not used; leave it out")
    return problems


def _columns(cohort: dict[str, Any], found: Index) -> list[str]:
    """Columns that the config names and no table has; and columns on which two tables disagree."""
    files = ", ".join(table.file for table in found.tables)
    columns = {column for table in found.tables for column in table.columns}
    header = {column for table in found.tables for column in table.header}
    files_of = {f"{short(table.file)}:{column}" for table in found.tables for column in table.header}
    problems = [
        f"{files}: rename of '{old}': {no_column(old, header)}"
        for old in cohort.get("rename") or {}
        if old not in header | files_of
    ]
    problems += [f"{files}: {what}: {no_column(name, columns)}" for what, name in used(cohort) if name not in columns]
    for key in ("missing", "not_missing"):
        given = cohort.get(key) if isinstance(cohort.get(key), dict) else {}
        unknown = [name for name in given or {} if name not in columns | {"*"}]
        problems += [f"{files}: cohort.{key}: {no_column(name, columns)}" for name in unknown]
    for column in sorted({column for _, column in used(cohort)}):
        if sum(column in table.columns for table in found.tables) > 1:
            problems += _disagreements(found, column)
    return problems


def _disagreements(found: Index, column: str) -> list[str]:
    problems = {}
    for scan in found.scans:
        seen = lookup(found.tables, column, scan.keys)
        if len({plain(value) for value, _ in seen}) > 1:
            (one, row), (two, other) = seen[0], next(pair for pair in seen if plain(pair[0]) != plain(seen[0][0]))
            problems[other.where] = (
                f"{row.where}: {column} is '{one}', but '{two}' in {other.where}; correct one, or tell them apart with"
                f" cohort.rename: {{{short(other.file)}:{column}: new_name}}"
            )
    return first(list(problems.values()))


def _rows(item: dict[str, Any], seen: Seen) -> list[str]:
    """Rows whose value does not fit the declared type or the declared plausible range."""
    problems = []
    for value, row in seen[source(item)]:
        wanted = _wanted(value, item)
        remedy = f"{wanted} or n/a; if {value} is a code for missing, list it in cohort.missing"
        if wanted:
            problems.append(f"{row.where}: {item['name']} is '{value}'; give {remedy}")
    return first(problems)


def _empty(confound: dict[str, Any], found: Index, seen: Seen) -> list[str]:
    """A confound without any value would leave nobody to test."""
    column = source(confound)
    files = ", ".join(table.file for table in found.tables if column in table.columns)
    if not files or not found.scans or seen[column] or found.problems:
        return []
    hint = read_as_missing(found.tables, column)
    return [f"{files}: confound {confound['name']} has no value for any of the {len(found.scans)} scans; drop it{hint}"]


def _wanted(value: str, item: dict[str, Any]) -> str | None:
    kind, parsed, bounds = item["type"], number(value), item.get("bounds") or []
    low, high = item.get("plausible") or (None, None)
    if kind in ("binary", "categorical"):
        return None
    if parsed is None and LIMIT.fullmatch(value):
        return "one number (it is a limit or a range: decide which number stands for it)"
    if parsed is None:
        return "a number (with a decimal point)" if "," in value else "a number"
    if kind == "count" and not parsed.is_integer():
        return "a whole number"
    if kind == "count" and parsed < 0:
        return "a count of 0 or more"
    if kind == "gamma" and parsed <= 0:
        return "a number above 0"
    if kind == "bounded" and len(bounds) == 2 and not bounds[0] <= parsed <= bounds[1]:
        return f"a number from {bounds[0]:g} to {bounds[1]:g}"
    if (low is not None and parsed < low) or (high is not None and parsed > high):
        span = f"from {low:g}" if high is None else f"up to {high:g}" if low is None else f"from {low:g} to {high:g}"
        return f"a plausible number ({span}, as declared)"
    return None


def _score(score: dict[str, Any], found: Index, seen: Seen) -> list[str]:
    """A score's rows, then the score as a whole: no value, one value, not binary."""
    name, column = score["name"], source(score)
    if not found.scans or not any(column in table.columns for table in found.tables):
        return []
    problems, texts = _rows(score, seen), {value for value, _ in seen[column]}
    files = ", ".join(table.file for table in found.tables if column in table.columns)
    levels = sorted({plain(text) for text in texts})
    shown = ", ".join(repr(level) for level in levels[:6]) + (" ..." if len(levels) > 6 else "")
    hint = read_as_missing(found.tables, column)
    if not levels:
        empty = (
            f"{files}: {name} has no value for any of the {len(found.scans)} scans; check its IDs and "
            f"sessions, or drop it from cohort.scores{hint}"
        )
        problems += [] if found.problems else [empty]  # another problem may be the cause
    elif len(levels) == 1:
        problems.append(f"{files}: {name} is constant, {shown} for everyone; drop it from cohort.scores{hint}")
    elif score["type"] == "binary" and len(levels) > 2:
        problems.append(
            f"{files}: {name} is binary but has {len(levels)} values, {shown}; recode it or change its type"
            f"{same_words(levels)}"
        )
    elif score["type"] == "binary" and not codes(texts, score.get("positive")):
        given = f"positive is {score['positive']!r}" if score.get("positive") is not None else "positive is not given"
        problems.append(f"{files}: {name} is {shown}, {given}; name (in quotes) the value that counts as 1")
    return problems


def _folds(cohort: dict[str, Any], found: Index) -> list[str]:
    folds, everyone = cohort.get("folds") or {}, people(found.scans)
    n, strata = folds.get("n", 5), {stratum for _, _, stratum in everyone}
    problems = []
    sites = {site for _, site, _ in everyone}
    if folds.get("by") == "site" and (not cohort.get("site") or len(sites) < n):
        problems.append(
            f"folds.by: site needs cohort.site and at least folds.n sites; found {len(sites)} for {n} folds;"
            f" set folds.n to {len(sites)}, or by: person"
        )
    least = 4 if n == 2 else n
    if everyone and len(everyone) < least:
        problems.append(
            f"cohort: {len(everyone)} people have a scan and a row, folds.n is {n};"
            f" give {least} or more people" + (f", or set folds.n to {len(everyone)}" if len(everyone) > 2 else "")
        )
    if len(strata) > 20:
        problems.append(
            f"folds.stratify: '{folds['stratify']}' has {len(strata)} values, at most 20 are allowed; give groups"
        )
    return problems
