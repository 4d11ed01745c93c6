"""Years of each scan since the person's first one, and the age there, for trajectories; standard library only.

The clock is `cohort.time.column` (age at each scan, or years, months or days from any event of the person), else the
dates of the sessions.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from neurovae.io.tables import first, lookup, no_column, number, some
from neurovae.plan import dates, sessions
from neurovae.plan.index import Index, Scan

UNITS = {"years": 1.0, "months": 1 / 12, "days": 1 / 365.25}  # in years
MIN_PEOPLE = 10  # people with two or more sessions
VISIT_NUMBER = 100  # numbers below it in labels of sessions are the order of the visits, larger ones may be any ID
LONGEST = 60.0  # years between two sessions of a person


class Timed(NamedTuple):
    """Of each scan: years since the person's first session, and age at that session (None: not known); problems."""

    years: dict[str, float]
    age: dict[str, float | None]
    problems: list[str]
    notes: list[str]


def problems(config: Mapping[str, Any], models: list[str], index: Index) -> tuple[list[str], list[str]]:
    """List problems and notes of the `trajectory` section; nothing where no model is named there.

    models: names of all models of the run, with the baselines.
    """
    section, cohort = config["trajectory"], config["cohort"]
    if not section["models"]:
        return [], []
    found = [
        f"trajectory.models: no model {name!r}; there are {', '.join(models)}"
        for name in section["models"]
        if name not in models
    ]
    repeated = len(_repeated(index))
    if index.scans and repeated < MIN_PEOPLE:
        whole = len({scan.person for scan in index.scans})
        remedy = " (or set cohort.simulate.visits)" if cohort.get("simulate") else ""
        return [
            *found,
            f"trajectory.models: {repeated} of {whole} people have two or more sessions, at least {MIN_PEOPLE} are "
            f"needed; leave trajectory.models empty{remedy}",
        ], []
    if cohort.get("simulate"):
        return found, []
    timed = times(cohort, index, section["age"])
    return found + timed.problems, timed.notes


def times(cohort: Mapping[str, Any], index: Index, age: str | None) -> Timed:
    """Return the time of each scan of people whose sessions all have one.

    Args:
        cohort: the section; `time`, `scan_date` and `scan_date_format` are read.
        index: of its scans and tables.
        age: column with the age, in years, at a scan or at the first one; None: not known.
    """
    setting = cohort.get("time") or {}
    column, unit = setting.get("column"), UNITS[setting.get("unit") or "years"]
    columns = {name for table in index.tables for name in table.columns}
    missing_columns = {"cohort.time.column": column, "trajectory.age": age}
    faults = [
        f"{key}: {no_column(name, columns)}" for key, name in missing_columns.items() if name and name not in columns
    ]
    if faults:
        return Timed({}, {}, faults, [])
    years: dict[str, float] = {}
    notes: list[str] = []
    by_person: dict[str, dict[str, list[Scan]]] = defaultdict(lambda: defaultdict(list))
    for scan in index.scans:
        by_person[scan.person][scan.session].append(scan)
    for person, labels in by_person.items():
        if len(labels) == 1:
            years |= {scan.scan: 0.0 for scans in labels.values() for scan in scans}
            continue
        clock, person_faults = _clock(person, labels, cohort, index, column, unit)
        faults += person_faults
        if len(clock) == len(labels):
            backwards = _backwards(person, clock, column)
            faults += backwards if _numbered(clock) else []
            notes += [] if _numbered(clock) else backwards
            start = min(clock.values())
            years |= {scan.scan: clock[label] - start for label, scans in labels.items() for scan in scans}
    if column and not faults and len(years) and max(years.values()) == 0:
        faults.append(f"cohort.time.column: '{column}' is the same at all sessions of every person; name another one")
    faults += _too_long(years, column)
    ages: dict[str, float | None] = {}
    for labels in by_person.values():
        of_person = _age(labels, years, index, age)
        ages |= {scan.scan: of_person for scans in labels.values() for scan in scans}
    if age and not faults and not any(value is not None for value in ages.values()):
        faults.append(f"trajectory.age: column '{age}' has no number for any first session; set trajectory.age to null")
    return Timed(years, ages, first(faults), first(notes, 3))


def _clock(
    person: str,
    labels: Mapping[str, list[Scan]],
    cohort: Mapping[str, Any],
    index: Index,
    column: str | None,
    unit: float,
) -> tuple[dict[str, float], list[str]]:
    """Return the time in years of each session of one person on the person's own axis, and problems."""
    clock: dict[str, float] = {}
    kinds: dict[str, bool] = {}
    faults = []
    for label, scans in labels.items():
        if column:
            texts = [cell for scan in scans for cell, _ in lookup(index.tables, column, scan.keys)[:1]]
            values = [number(text) for text in texts]
            if not texts:
                faults.append(
                    f"{person}, ses-{label}: column '{column}' (cohort.time) is empty; give it, or leave the scan out"
                )
            elif values[0] is None:
                faults.append(f"{person}, ses-{label}: {column} is {texts[0]!r}; give a number")
            else:
                clock[label] = values[0] * unit
            continue
        texts = sessions.written(scans, list(index.tables), index.times, dict(cohort))
        days = [dates.parse(text, cohort.get("scan_date_format")) for text in texts]
        if not texts:
            faults.append(
                f"{person}, ses-{label}: no date; give acq_time in the sessions or scans tables, or name a column with "
                "the time of the scan (age, or days from entry) in cohort.time.column"
            )
        elif days[0] is None:
            faults.append(dates.unreadable(f"{person}, ses-{label}", "the date of the session", texts[0]))
        else:
            clock[label], kinds[label] = days[0].value * UNITS["days"], days[0].calendar
    if len(set(kinds.values())) > 1:
        faults.append(f"{person}: some sessions have a calendar date, others a number of days; give one of the two")
    return clock, faults


def _backwards(person: str, clock: Mapping[str, float], column: str | None) -> list[str]:
    """List sessions that are earlier in time than one with a lower number in its label."""
    ordered = sorted(clock, key=sessions.natural)
    source = f"column '{column}'" if column else "their dates"
    return [
        f"{person}: time runs backwards, ses-{later} is {clock[earlier] - clock[later]:.2f} years before "
        f"ses-{earlier} by {source}; correct it, or the labels"
        for earlier, later in zip(ordered[:-1], ordered[1:], strict=True)
        if clock[later] < clock[earlier] and _alike(ordered)
    ]


def _alike(labels: list[str]) -> bool:
    return len({re.sub(r"\d+$", "", label.lower()) for label in labels}) == 1


def _numbered(labels: Mapping[str, float]) -> bool:
    """Whether the labels count the visits: 1, 2 or M0, M12, and not any number."""
    numbers = [match[0] for label in labels if (match := re.search(r"\d+$", label))]
    return len(numbers) == len(labels) and all(int(text) < VISIT_NUMBER for text in numbers)


def _too_long(years: Mapping[str, float], column: str | None) -> list[str]:
    far = [f"{scan} ({value:.0f})" for scan, value in years.items() if value > LONGEST]
    where = f"cohort.time: column '{column}'" if column else "the dates of the sessions"
    text = f"{where}: more than {LONGEST:.0f} years after the first session: {some(far)}; correct the values"
    return [f"{text}, or cohort.time.unit" if column else text] if far else []


def _age(labels: Mapping[str, list[Scan]], years: Mapping[str, float], index: Index, age: str | None) -> float | None:
    """Return the age in the row of the first session, or of the person."""
    scans = [scan for scans in labels.values() for scan in scans if scan.scan in years]
    if not age or not scans:
        return None
    earliest = min(scans, key=lambda scan: (years[scan.scan], scan.scan))
    cells = lookup(index.tables, age, earliest.keys)
    return number(cells[0][0]) if cells else None


def _repeated(index: Index) -> list[str]:
    of: dict[str, set[str]] = defaultdict(set)
    for scan in index.scans:
        of[scan.person].add(scan.session)
    return [person for person, labels in of.items() if len(labels) > 1]
