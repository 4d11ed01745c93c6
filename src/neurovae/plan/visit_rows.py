"""The rows of a clinical table with a row per visit, by person; IDs and codes in one spelling."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from neurovae.io.levels import level
from neurovae.io.tables import Row
from neurovae.plan import dates

YEARS = 5  # so many numbers from 1900 to 2099, and no other, are years


class Match(NamedTuple):
    """The row of a scan: how it was found, days from the scan to the visit; or the reason why there is none."""

    scan: str
    table: str
    row: int | None
    visit: str | None
    by: str  # visit, date or person
    days: float | None
    reason: str


class Visit(NamedTuple):
    """One row of a visit table: its code and day, None where it has none."""

    row: Row
    code: str | None
    day: dates.Day | None


class Target(NamedTuple):
    """The properties of a scan that determine its row: key, the person's id in the table, session and day."""

    scan: str
    person: str
    session: str
    day: dates.Day | None


def plain_id(text: str | None) -> str:
    """Reduce an id to letters and digits: `002_S_0295` is `sub-002S0295`, and `3001` is `3001.0`."""
    return re.sub(r"[^A-Za-z0-9]", "", _spelled(text))


def _spelled(text: str | None) -> str:
    return re.sub(r"(?<=\d)\.0+$", "", (text or "").removeprefix("sub-"))


def by_person(
    entry: Mapping[str, Any], rows: list[Row], people_with_scan: set[str]
) -> tuple[dict[str, list[Visit]], list[str]]:
    """Return the visits of these people in the order of the file, and unreadable values in their rows."""
    people: dict[str, list[Visit]] = {}
    spelling: dict[str, str] = {}
    problems: list[str] = []
    calendar: set[bool] = set()
    for row in rows:
        raw = row.cells[entry["person"]]
        person = plain_id(raw)
        if not person or person not in people_with_scan:
            continue
        if spelling.setdefault(person, _spelled(raw)) != _spelled(raw):
            problems.append(
                f"{row.where}: {entry['person']} is {raw!r}, but {spelling[person]!r} in another row; only letters and "
                "digits are compared: write one ID for one person"
            )
        text = row.cells[entry["date"]] if entry.get("date") else None
        day = dates.parse(text, entry.get("date_format")) if text else None
        if text and day is None:
            problems.append(dates.unreadable(row.where, entry["date"], text))
        calendar |= {day.calendar} if day else set()
        code = row.cells[entry["visit"]] if entry.get("visit") else None
        people.setdefault(person, []).append(Visit(row, None if code is None else code_of_visit(code), day))
    days_given = [visit.day.value for visits in people.values() for visit in visits if visit.day]
    if calendar == {False} and len(days_given) >= YEARS and all(1900 <= day < 2100 for day in days_given):
        problems.append(
            f"{rows[0].file}: {entry['date']} holds years ({days_given[0]:g}, ...), which would be read as numbers of "
            "days; give dates, or leave date out"
        )
    if len(calendar) > 1:
        problems.append(f"{rows[0].file}: {entry['date']} holds both dates and numbers of days; give one of the two")
    return people, problems


def codes_of(entry: Mapping[str, Any], session: str) -> list[str]:
    """Return the codes of the visits of a scan's session."""
    written = {str(label).removeprefix("ses-"): code for label, code in (entry.get("sessions") or {}).items()}
    wanted = written.get(session, session)
    return [code_of_visit(code) for code in (wanted if isinstance(wanted, list) else [wanted])]


def code_of_visit(text: Any) -> str:
    """Return one spelling of a visit's code: `ses-1` and `1.0` are 1."""
    return level(str(text).removeprefix("ses-"))
