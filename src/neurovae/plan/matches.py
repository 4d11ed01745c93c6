"""Ids and sessions of tables that meet no scan: counted and named, and refused where they nearly match one."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from neurovae.io.tables import Keyed, first, loose, some


def unmatched(tables: list[Keyed], scans: list[Any], columns: set[str]) -> tuple[list[str], list[str]]:
    """Problems (nearly matching, or no session matches at all) and notes (rows of nobody) of the tables in use.

    Args:
        tables: of the cohort, participants or plain table first: its people are matched by the index.
        scans: of the index.
        columns: that the configuration names; tables without any of them may hold anything.
    """
    problems, notes = [], []
    for turn, table in enumerate(tables):
        if scans and columns & set(table.columns):
            faults, note = _table(table, scans, people=turn > 0)
            problems += faults
            notes += note
    return problems, notes


def _table(table: Keyed, scans: list[Any], people: bool) -> tuple[list[str], list[str]]:
    keys = {key for scan in scans for key in scan.keys}
    lost = {key: row for key, row in table.rows.items() if key not in keys and (people or "_ses-" in key)}
    persons = {scan.person for scan in scans}
    if not people:
        lost = {key: row for key, row in lost.items() if key.split("_")[0] in persons}
    twins = {loose(key): key for key in sorted(keys)}
    held = set(table.rows) | {key.split("_")[0] for key in table.rows}
    near = [
        f"{row.where}: no scan is of {key}, but one is of {twin}, which has no row here; write both in the same way"
        for key, row in lost.items()
        if (twin := twins.get(loose(key)) or _of_person(key, twins)) and twin not in held
    ]
    sessions = [key for key in table.rows if "_ses-" in key and key.split("_")[0] in persons]
    if sessions and not near and not any(key in keys for key in table.rows):
        there = sorted({f"ses-{scan.session}" if scan.session else "no session" for scan in scans})
        return [
            f"{table.file}: none of its {len(sessions)} sessions has a scan; rows are of "
            f"{some(sorted({'ses-' + key.split('_ses-')[1] for key in sessions}))}, scans of {some(there)}; write the "
            "session labels in the same way"
        ], []
    note = f"{table.file}: {len(lost)} of {len(table.rows)} rows belong to no scan ({some(lost)})"
    return first(near), [note] if lost and not near else []


def _of_person(key: str, twins: dict[str, str]) -> str | None:
    """The scans' spelling of the person of a session's row."""
    return twins.get(loose(key.split("_")[0])) if "_ses-" in key else None


def twins(tables: Iterable[Keyed], scans: list[Any]) -> list[str]:
    """People whose ids differ in capitals or leading zeros only: read as several people."""
    alike: dict[str, set[str]] = defaultdict(set)
    where = {key.split("_")[0]: row.where for table in tables for key, row in table.rows.items()}
    for person in [*where, *(scan.person for scan in scans)]:
        alike[loose(person)].add(person)
    return first(
        [
            f"{' and '.join(f'{person} ({where[person]})' if person in where else person for person in sorted(group))} "
            "are read as different people; if they are one, write one ID"
            for group in alike.values()
            if len(group) > 1
        ],
        10,
    )


def left_out(excluded: list[tuple[str | None, str, str]]) -> list[str]:
    """How many scans and rows are left out, for the dry run; each one stands in excluded.tsv."""
    scans = [scan for scan, _, _ in excluded if scan is not None]
    rows = [person for scan, person, _ in excluded if scan is None]
    out = "scans are" if len(scans) > 1 else "scan is"
    without = "rows have" if len(rows) > 1 else "row has"
    notes = [f"{len(scans)} {out} left out ({some(scans)}): {excluded[_first(excluded, True)][2]}"] if scans else []
    return notes + (
        [f"{len(rows)} {without} no scan ({some(rows)}): {excluded[_first(excluded, False)][2]}"] if rows else []
    )


def _first(excluded: list[tuple[str | None, str, str]], scan: bool) -> int:
    return next(place for place, entry in enumerate(excluded) if (entry[0] is not None) == scan)
