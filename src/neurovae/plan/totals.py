"""Totals of a questionnaire's items, with a stated rule for missing items; standard library only."""

from collections.abc import Iterable, Mapping
from typing import Any

from neurovae.io.suspects import USUAL, suspects
from neurovae.io.tables import Keyed, Row, first, no_column, number

SUSPECT = 90  # an item's value from here on, where the others are low, is probably a code (101: unable to rate)


def add(
    items: Iterable[Mapping[str, Any]], tables: list[Keyed], keys: set[str]
) -> tuple[list[Keyed], list[str], list[str]]:
    """Return the tables with a column for each entry that has `sum_of`; also problems and warnings.

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
        with_all_items = [place for place, table in enumerate(tables) if not set(item["sum_of"]) - set(table.columns)]
        if not with_all_items:
            problems.append(_no_table(item, tables))
        for place in with_all_items:
            tables[place], more_problems, notes = _with_total(item, tables[place], keys)
            problems, warnings = problems + more_problems, warnings + notes
    return tables, problems, warnings


def total(item: Mapping[str, Any], values: list[float | None]) -> float | None:
    """Return the sum; with missing items, the sum scaled to all items (prorated), None beyond `max_missing`."""
    present = [value for value in values if value is not None]
    if not present or len(values) - len(present) > (item.get("max_missing") or 0) * len(values) + 1e-9:
        return None
    return sum(present) * len(values) / len(present)


def _settings(item: Mapping[str, Any]) -> list[str]:
    problems = []
    if item.get("column"):
        problems.append(f"cohort: '{item['name']}' has column and sum_of; give one of the two")
    if len(set(item["sum_of"])) < len(item["sum_of"]):
        repeated = sorted({name for name in item["sum_of"] if item["sum_of"].count(name) > 1})
        problems.append(f"cohort: sum_of of '{item['name']}' names {', '.join(repeated)} twice; name each item once")
    if item.get("max_missing") and item["type"] in ("count", "ordinal"):
        problems.append(
            f"cohort: '{item['name']}' is a {item['type']}, but totals with missing items (max_missing above 0) are "
            "prorated and not whole numbers; make it bounded or continuous, or set max_missing: 0"
        )
    return problems


def _no_table(item: Mapping[str, Any], tables: list[Keyed]) -> str:
    best = max(tables, key=lambda table: len(set(item["sum_of"]) & set(table.columns)), default=None)
    columns = best.columns if best else []
    missing = [name for name in item["sum_of"] if name not in columns]
    place = f"{best.file}: " if best else ""
    return (
        f"{place}sum_of of '{item['name']}': no table has all {len(item['sum_of'])} items; {len(missing)} missing "
        f"here: {no_column(missing[0], columns)}"
    )


def _with_total(item: Mapping[str, Any], table: Keyed, keys: set[str]) -> tuple[Keyed, list[str], list[str]]:
    """Add the total to a table with its items."""
    name, used_keys = item["name"], set(table.rows) & keys
    if name in table.columns:
        fault = f"{table.file}: sum_of of '{name}': there is a column of this name; give the score another name"
        return table, [fault], []
    problems: list[str] = []
    rows, n_prorated, n_dropped = dict(table.rows), 0, 0
    item_values: list[tuple[float, Row, str]] = []
    for key in sorted(used_keys):
        row = table.rows[key]
        values, faults = _values(item, row)
        problems += faults
        item_values += [(v, row, c) for v, c in zip(values, item["sum_of"], strict=True) if v is not None]
        sum_of_row, n_missing = total(item, values), sum(value is None for value in values)
        n_prorated, n_dropped = (
            n_prorated + (sum_of_row is not None and n_missing > 0),
            n_dropped + (sum_of_row is None),
        )
        rows[key] = row._replace(cells={**row.cells, name: None if sum_of_row is None else f"{sum_of_row:.12g}"})
    warnings = []
    if n_prorated or n_dropped:
        allowed = round((item.get("max_missing") or 0) * len(item["sum_of"]) + 1e-9)
        warnings.append(
            f"{table.file}: '{name}': {n_prorated} totals are prorated and {n_dropped} are missing, because of missing "
            f"items; up to {allowed} of {len(item['sum_of'])} may be missing (max_missing)"
        )
    problems += _suspects(item, table, item_values)
    keyed = table._replace(columns=[*table.columns, name], rows=rows)
    return keyed, first(list(dict.fromkeys(problems))), warnings


def _values(item: Mapping[str, Any], row: Row) -> tuple[list[float | None], list[str]]:
    """Return the items of one row as numbers, None where missing, and problems."""
    bounds = item.get("item_bounds")
    expected = f"a number from {bounds[0]:g} to {bounds[1]:g}" if bounds else "a number"
    values: list[float | None] = []
    problems = []
    for column in item["sum_of"]:
        text = row.cells.get(column)
        value = None if text is None else number(text)
        values.append(value)
        if text is not None and (value is None or (bounds and not bounds[0] <= value <= bounds[1])):
            problems.append(
                f"{row.where}: {column} is '{text}'; give {expected}, or list it under missing if it is a code"
            )
    return values, problems


def _suspects(item: Mapping[str, Any], table: Keyed, item_values: list[tuple[float, Row, str]]) -> list[str]:
    """Report values far from the others where no bounds are given: codes for missing would be added to the total."""
    if item.get("item_bounds") or not item_values:
        return []
    median = sorted(value for value, _, _ in item_values)[len(item_values) // 2]
    usual = {value for value, why in suspects([value for value, _, _ in item_values]).items() if why == USUAL}
    distant = [
        entry
        for entry in item_values
        if entry[0] in usual or entry[0] < 0 <= median or entry[0] >= max(SUSPECT, 10 * median)
    ]
    if not distant:
        return []
    value, row, column = distant[0]
    return [
        f"{row.where}: {column} is {value:g}, the median of the items of '{item['name']}' is {median:g} "
        f"({len(distant)} such values); if it is a code, list it under missing, otherwise give item_bounds"
    ]
