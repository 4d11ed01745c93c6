"""Dates in tables as days on one axis, so that a scan and a visit can be subtracted; standard library only."""

import re
from datetime import date, datetime
from typing import NamedTuple

ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})([T ].*)?")
BASIC = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(\.0+|T\d{4,6}.*)?")  # 20110228, as DICOM has it
MONTH = re.compile(r"(\d{1,2})/(\d{4})")  # PPMI gives months: 02/2011
YEAR_MONTH = re.compile(r"(\d{4})-(\d{2})")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
MIDDLE = 15  # day of a date that names a month only: at most 16 days off


class Day(NamedTuple):
    """A calendar date, or a number of days since an event of the person (OASIS), which cannot be mixed."""

    calendar: bool
    value: float


def parse(text: str, form: str | None = None) -> Day | None:
    """Return the day that a cell names; None where it cannot be read.

    Args:
        text: an ISO date with or without time or hyphens, `MM/YYYY`, `YYYY-MM` (both: the 15th), or a number of days.
        form: format of other dates, as strptime has it (`%m/%d/%Y`); 03/04/2011 is never guessed.
    """
    try:
        if form is not None:
            day = datetime.strptime(text, form).date()
            return _calendar(day if "%d" in form or "%j" in form or "%x" in form else day.replace(day=MIDDLE))
        if match := ISO.fullmatch(text) or BASIC.fullmatch(text):
            return _calendar(date(int(match[1]), int(match[2]), int(match[3])))
        if match := MONTH.fullmatch(text):
            return _calendar(date(int(match[2]), int(match[1]), MIDDLE))
        if match := YEAR_MONTH.fullmatch(text):
            return _calendar(date(int(match[1]), int(match[2]), MIDDLE))
    except ValueError:
        return None
    return Day(False, float(text)) if NUMBER.fullmatch(text) else None


def between(scan: Day | None, visit: Day | None) -> float | None:
    """Return days from the scan to the visit, negative where the visit came first; None where either is unknown."""
    if scan is None or visit is None or scan.calendar != visit.calendar:
        return None
    return visit.value - scan.value


def unreadable(where: str, column: str, text: str) -> str:
    """Return the message for a cell that is not read as a date."""
    return (
        f"{where}: {column} is {text!r}, which is not read as a date; write YYYY-MM-DD, or give the format "
        "(%m/%d/%Y: month first, %d/%m/%Y: day first)"
    )


def _calendar(day: date) -> Day:
    return Day(True, float(day.toordinal()))
