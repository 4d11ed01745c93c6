"""A cohort without images: its rows are those of the participants table, one per person or per person and session.

The key of a row (`sub-01`, `sub-01_ses-2`) stands where that of a scan does: in the column `scan` of all tables.
"""

from typing import Any, NamedTuple

from neurovae.io.tables import Keyed, first

UNUSED = ("preprocess", "interpret")  # sections of the configuration that concern images
SESSIONS = ("sessions.tsv", "sub-*/sub-*_sessions.tsv")  # tables of a BIDS folder with a row per session


class Rows(NamedTuple):
    """Keys of the rows, what is left out as (key, person, reason), and problems."""

    keys: list[str]
    excluded: list[tuple[str | None, str, str]]
    problems: list[str]


def rows(tables: list[Keyed]) -> Rows:
    """The rows of the tables, participants first: the sessions, where any table has them, else the people."""
    participants = tables[0]
    by_session = {key: row for table in tables if table is participants or table.file in SESSIONS
                  for key, row in table.rows.items() if "_ses-" in key}  # fmt: skip
    if not by_session:
        return Rows(list(participants.rows), [], [])
    people: dict[str, str] = {}
    for key, row in participants.rows.items():
        people.setdefault(key.split("_")[0], row.where)
    long = any("_ses-" in key for key in participants.rows)
    problems = [
        f"{row.where}: session_id is empty, but other rows have one; give the session, or leave the row out"
        for key, row in participants.rows.items()
        if long and "_ses-" not in key
    ]
    excluded: list[tuple[str | None, str, str]] = [
        (key, key.split("_")[0], f"no row in {participants.file}")
        for key in by_session
        if key.split("_")[0] not in people
    ]
    with_session = {key.split("_")[0] for key in by_session}
    excluded += [
        (None, person, f"{where}: no session in {' or '.join(SESSIONS)}")
        for person, where in people.items()
        if person not in with_session
    ]
    return Rows([key for key in by_session if key.split("_")[0] in people], excluded, first(problems))


def notes(given: dict[str, Any]) -> list[str]:
    """Notes on what the user gives of sections that have no effect without images; the override alone has one."""
    quality = (given.get("preprocess") or {}).get("qc") or {}
    kept = {"preprocess": set(given.get("preprocess") or {}) - ({"qc"} if set(quality) == {"override"} else set())}
    return [
        f"{section}: has no effect, since the cohort has no images; leave it out"
        for section in UNUSED
        if kept.get(section, set(given.get(section) or {}))
    ]
