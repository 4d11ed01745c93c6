"""A column's values among the scans, and its two values as 0 and 1; standard library only."""

from typing import Any

from neurovae.io.tables import Row, lookup, number
from neurovae.plan.index import Index

USUAL = ("age", "sex", "gender", "site", "scanner", "centre", "center", "manufacturer", "handedness", "education")
Cells = dict[str, list[tuple[str, Row]]]  # column -> its values among the scans


def values(index: Index, column: str) -> list[tuple[str, Row]]:
    """Return the column's non-missing values among indexed scans, once per row of a table."""
    rows = {
        (row.file, row.number): (value, row)
        for scan in index.scans
        for value, row in lookup(index.tables, column, scan.keys)
    }
    return list(rows.values())


def source(item: dict[str, Any]) -> str:
    """Return the column that a score or a confound is read from; of a survival score that of its time."""
    return str(item.get("time") or item.get("column") or item["name"])


def parts(score: dict[str, Any]) -> dict[str, str]:
    """Columns of the event and, where there is one, the entry of a survival score, by the name they get here."""
    given = {part: score.get(part) for part in ("event", "entry")} if score["type"] == "survival" else {}
    return {f"{score['name']}_{part}": column for part, column in given.items() if column}


def plain(value: str) -> str:
    """Return one spelling per number, so that `1` and `1.0` are the same value."""
    parsed_number = number(value)
    if parsed_number is None:
        return value
    return str(int(parsed_number)) if parsed_number.is_integer() else repr(parsed_number)


def codes(texts: set[str], positive: Any) -> dict[str, float]:
    """0.0 or 1.0 for each of two values (1 is `positive`, or the larger number); empty where this is ambiguous."""
    levels = sorted({plain(text) for text in texts}, key=lambda text: (number(text) or 0.0, text))
    one_value = plain(str(positive)) if positive is not None else levels[-1] if levels else ""
    ambiguous = positive is None and any(number(level) is None for level in levels)
    if len(levels) > 2 or ambiguous or one_value not in levels:
        return {}
    return {text: float(plain(text) == one_value) for text in texts}
