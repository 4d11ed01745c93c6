"""Dates in tables, as days on one axis, so that a scan and a visit can be subtracted; standard library only."""

import re
from datetime import date, datetime
from typing import NamedTuple

ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})([T ].*)?")
MONTH = re.compile(r"(\d{1,2})/(\d{4})")  # PPMI gives months: 02/2011
YEAR_MONTH = re.compile(r"(\d{4})-(\d{2})")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
MIDDLE = 15  # day of a date that names a month only: at most 16 days off


class Day(NamedTuple):
    """A calendar date, or a number of days since an event of the person (OASIS), which cannot be mixed."""

    calendar: bool
    value: float


def parse(text: str, form: str | None = None) -> Day | None:
    """The day that a cell names; None where it cannot be read.

    Args:
        text: an ISO date with or without time, `MM/YYYY`, `YYYY-MM` (both: the 15th), or a number of days.
        form: format of other dates, as strptime has it (`%m/%d/%Y`); 03/04/2011 is never guessed.
    """
    try:
        if form is not None:
            named = datetime.strptime(text, form).date()
            return _calendar(named if "%d" in form or "%j" in form or "%x" in form else named.replace(day=MIDDLE))
        if found := ISO.fullmatch(text):
            return _calendar(date(int(found[1]), int(found[2]), int(found[3])))
        if found := MONTH.fullmatch(text):
            return _calendar(date(int(found[2]), int(found[1]), MIDDLE))
        if found := YEAR_MONTH.fullmatch(text):
            return _calendar(date(int(found[1]), int(found[2]), MIDDLE))
    except ValueError:
        return None
    return Day(False, float(text)) if NUMBER.fullmatch(text) else None


def between(scan: Day | None, visit: Day | None) -> float | None:
    """Days from the scan to the visit, negative where the visit came first; None where either is unknown."""
    if scan is None or visit is None or scan.calendar != visit.calendar:
        return None
    return visit.value - scan.value


def unreadable(where: str, column: str, text: str) -> str:
    """The message for a cell that names no day."""
    return (
        f"{where}: {column} is {text!r}, which is not read as a date; write YYYY-MM-DD, or give the format "
        "(%m/%d/%Y: month first, %d/%m/%Y: day first)"
    )


def _calendar(named: date) -> Day:
    return Day(True, float(named.toordinal()))
