"""Ids and sessions of tables that match no scan: counted and named, and refused where they nearly match one."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from neurovae.io.tables import Keyed, first, loose, some


def unmatched(tables: list[Keyed], scans: list[Any], columns: set[str]) -> tuple[list[str], list[str]]:
    """Problems (nearly matching, or no session matches at all) and notes (rows without a scan) of the tables in use.

    Args:
        tables: of the cohort, participants or plain table first: its people are matched by the index.
        scans: of the index.
        columns: that the configuration names; tables without any of them may hold anything.
    """
    problems, notes = [], []
    for number, table in enumerate(tables):
        if scans and columns & set(table.columns):
            faults, note = _table(table, scans, people=number > 0)
            problems += faults
            notes += note
    return problems, notes


def _table(table: Keyed, scans: list[Any], people: bool) -> tuple[list[str], list[str]]:
    keys = {key for scan in scans for key in scan.keys}
    without_scan = {key: row for key, row in table.rows.items() if key not in keys and (people or "_ses-" in key)}
    persons = {scan.person for scan in scans}
    if not people:
        without_scan = {key: row for key, row in without_scan.items() if key.split("_")[0] in persons}
    twins = {loose(key): key for key in sorted(keys)}
    with_row = set(table.rows) | {key.split("_")[0] for key in table.rows}
    nearly_matching = [
        f"{row.where}: no scan is of {key}, but one is of {twin}, which has no row here; write both in the same way"
        for key, row in without_scan.items()
        if (twin := twins.get(loose(key)) or _of_person(key, twins)) and twin not in with_row
    ]
    sessions = [key for key in table.rows if "_ses-" in key and key.split("_")[0] in persons]
    if sessions and not nearly_matching and not any(key in keys for key in table.rows):
        session_labels = sorted({f"ses-{scan.session}" if scan.session else "no session" for scan in scans})
        return [
            f"{table.file}: none of its {len(sessions)} sessions has a scan; rows are of "
            f"{some(sorted({'ses-' + key.split('_ses-')[1] for key in sessions}))}, scans of {some(session_labels)}; "
            "write the session labels in the same way"
        ], []
    note = f"{table.file}: {len(without_scan)} of {len(table.rows)} rows belong to no scan ({some(without_scan)})"
    return first(nearly_matching), [note] if without_scan and not nearly_matching else []


def _of_person(key: str, twins: dict[str, str]) -> str | None:
    """Return the scans' spelling of the person of a session's row."""
    return twins.get(loose(key.split("_")[0])) if "_ses-" in key else None


def twins(tables: Iterable[Keyed], scans: list[Any]) -> list[str]:
    """List people whose ids differ only in capitals or leading zeros and are read as several people."""
    groups: dict[str, set[str]] = defaultdict(set)
    place_of = {key.split("_")[0]: row.where for table in tables for key, row in table.rows.items()}
    for person in [*place_of, *(scan.person for scan in scans)]:
        groups[loose(person)].add(person)
    return first(
        [
            " and ".join(f"{person} ({place_of[person]})" if person in place_of else person for person in sorted(group))
            + " are read as different people; if they are one, write one ID"
            for group in groups.values()
            if len(group) > 1
        ],
        10,
    )


def left_out(excluded: list[tuple[str | None, str, str]]) -> list[str]:
    """Return notes for the dry run on how many scans and rows are left out; each is listed in excluded.tsv."""
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
