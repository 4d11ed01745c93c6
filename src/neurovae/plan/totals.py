"""Totals of a questionnaire's items, with a stated rule for missing items; standard library only."""

from collections.abc import Iterable, Mapping
from typing import Any

from neurovae.io.tables import Keyed, Row, first, no_column, number

SUSPECT = 90  # an item's value from here on, where the others stay low, looks like a code (101: unable to rate)


def add(
    items: Iterable[Mapping[str, Any]], tables: list[Keyed], keys: set[str]
) -> tuple[list[Keyed], list[str], list[str]]:
    """Give the tables with a column per entry that has `sum_of`; also problems and warnings.

    Args:
        items: scores and confounds of the configuration.
        tables: the cohort's tables.
        keys: the keys of the scans; only their rows are looked at.
    """
    tables = list(tables)
    problems: list[str] = []
    warnings: list[str] = []
    for item in items:
        if not item.get("sum_of"):
            continue
        problems += _settings(item)
        holders = [turn for turn, table in enumerate(tables) if not set(item["sum_of"]) - set(table.columns)]
        if not holders:
            problems.append(_nowhere(item, tables))
        for turn in holders:
            tables[turn], faults, notes = _added(item, tables[turn], keys)
            problems, warnings = problems + faults, warnings + notes
    return tables, problems, warnings


def total(item: Mapping[str, Any], values: list[float | None]) -> float | None:
    """The sum; with missing items, the sum times all over given ones (prorated), None beyond `max_missing`."""
    given = [value for value in values if value is not None]
    if not given or len(values) - len(given) > (item.get("max_missing") or 0) * len(values) + 1e-9:
        return None
    return sum(given) * len(values) / len(given)


def _settings(item: Mapping[str, Any]) -> list[str]:
    problems = []
    if item.get("column"):
        problems.append(f"cohort: '{item['name']}' has column and sum_of; give one of the two")
    if len(set(item["sum_of"])) < len(item["sum_of"]):
        twice = sorted({name for name in item["sum_of"] if item["sum_of"].count(name) > 1})
        problems.append(f"cohort: sum_of of '{item['name']}' names {', '.join(twice)} twice; name each item once")
    if item.get("max_missing") and item["type"] in ("count", "ordinal"):
        problems.append(
            f"cohort: '{item['name']}' is a {item['type']}, but totals with missing items (max_missing above 0) are "
            "prorated and not whole numbers; make it bounded or continuous, or set max_missing: 0"
        )
    return problems


def _nowhere(item: Mapping[str, Any], tables: list[Keyed]) -> str:
    best = max(tables, key=lambda table: len(set(item["sum_of"]) & set(table.columns)), default=None)
    columns = best.columns if best else []
    missing = [name for name in item["sum_of"] if name not in columns]
    where = f"{best.file}: " if best else ""
    return (
        f"{where}sum_of of '{item['name']}': no table has all {len(item['sum_of'])} items; {len(missing)} missing "
        f"here: {no_column(missing[0], columns)}"
    )


def _added(item: Mapping[str, Any], table: Keyed, keys: set[str]) -> tuple[Keyed, list[str], list[str]]:
    """The table with the total beside its items."""
    name, needed = item["name"], set(table.rows) & keys
    if name in table.columns:
        fault = f"{table.file}: sum_of of '{name}': there is a column of this name; give the score another name"
        return table, [fault], []
    problems: list[str] = []
    rows, prorated, dropped = dict(table.rows), 0, 0
    seen: list[tuple[float, Row, str]] = []
    for key in sorted(needed):
        row = table.rows[key]
        values, faults = _values(item, row)
        problems += faults
        seen += [(v, row, c) for v, c in zip(values, item["sum_of"], strict=True) if v is not None]
        found, gone = total(item, values), sum(value is None for value in values)
        prorated, dropped = prorated + (found is not None and gone > 0), dropped + (found is None)
        rows[key] = row._replace(cells={**row.cells, name: None if found is None else f"{found:.12g}"})
    warnings = []
    if prorated or dropped:
        allowed = round((item.get("max_missing") or 0) * len(item["sum_of"]) + 1e-9)
        warnings.append(
            f"{table.file}: '{name}': {prorated} totals are prorated and {dropped} are missing, because of missing "
            f"items; up to {allowed} of {len(item['sum_of'])} may be missing (max_missing)"
        )
    problems += _suspects(item, table, seen)
    keyed = table._replace(columns=[*table.columns, name], rows=rows)
    return keyed, first(list(dict.fromkeys(problems))), warnings


def _values(item: Mapping[str, Any], row: Row) -> tuple[list[float | None], list[str]]:
    """The items of one row as numbers, None where missing, and what does not fit."""
    bounds = item.get("item_bounds")
    wanted = f"a number from {bounds[0]:g} to {bounds[1]:g}" if bounds else "a number"
    values: list[float | None] = []
    problems = []
    for column in item["sum_of"]:
        text = row.cells.get(column)
        value = None if text is None else number(text)
        values.append(value)
        if text is not None and (value is None or (bounds and not bounds[0] <= value <= bounds[1])):
            problems.append(
                f"{row.where}: {column} is '{text}'; give {wanted}, or list it under missing if it is a code"
            )
    return values, problems


def _suspects(item: Mapping[str, Any], table: Keyed, seen: list[tuple[float, Row, str]]) -> list[str]:
    """Values far from the others where no bounds are given: codes for missing would be added into the total."""
    if item.get("item_bounds") or not seen:
        return []
    usual = sorted(value for value, _, _ in seen)[len(seen) // 2]
    odd = [one for one in seen if one[0] < 0 <= usual or one[0] >= max(SUSPECT, 10 * usual)]
    if not odd:
        return []
    value, row, column = odd[0]
    return [
        f"{row.where}: {column} is {value:g}, the median of the items of '{item['name']}' is {usual:g} ({len(odd)} "
        "such values); if it is a code, list it under missing, otherwise give item_bounds"
    ]
