"""The order of each person's sessions, and which of them cross-sectional tests use; standard library only.

In order of trust: dates of all sessions of a person; the order of the sessions table; the numbers in the labels. Words
without dates are named in a warning, with what was taken. `cohort.session` names one session instead.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurovae.io.missing import Codes
from neurovae.io.tables import Keyed, lookup, loose, read, some
from neurovae.plan import dates

COLUMNS = (
    "acq_time",
    "acq_date",
    "acquisition_date",
    "acquisition_time",
    "scan_date",
    "scandate",
    "session_date",
    "session_time",
    "visit_date",
    "study_date",
    "examdate",
    "exam_date",
    "date",
)  # fmt: skip - of a session's date, in this order, in any case
TIME, UNITS = re.compile(r"[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?"), (24, 24 * 60, 24 * 3600)
BASIC = re.compile(r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)")  # 18901014T123300, which some converters write
FEW = 5  # first sessions that differ between people are named up to this number
Order = dict[str, int | None]


class Sequenced(NamedTuple):
    """Scan -> place of its session within the person from 1 (None: not for cross-sectional tests), notes, problems."""

    order: Order
    notes: list[str]
    problems: list[str]


def sequence(
    scans: Sequence[Any], tables: list[Keyed], times: Mapping[str, str], cohort: Mapping[str, Any], sessions: set[str]
) -> Sequenced:
    """Place every scan's session.

    Args:
        scans: of the index.
        tables: of the cohort.
        times: acq_time of a scan, by key, from the scans tables.
        cohort: the section; `session`, `scan_date` and `scan_date_format` are read.
        sessions: names of the tables whose rows are in the order of sessions.
    """
    people: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for scan in scans:
        people[scan.person][scan.session].append(scan)
    if cohort.get("session") is not None:
        return _named(str(cohort["session"]), people)
    order: Order = {}
    doubts: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for labels in people.values():
        ranked, doubt = list(labels), ""
        if len(labels) > 1:
            ranked, doubt = _ranked(labels, tables, times, cohort, sessions)
        order |= {scan.scan: place for place, label in enumerate(ranked, 1) for scan in labels[label]}
        if doubt:
            doubts[doubt][tuple(ranked)] += 1
    return Sequenced(order, [_doubt(why, counts) for why, counts in doubts.items()] + _differ(scans, order), [])


def _differ(scans: Sequence[Any], order: Order) -> list[str]:
    """That people's first sessions are not the same one, where sessions are the same few for everybody."""
    used = Counter({scan.person: scan.session for scan in scans if order[scan.scan] == 1}.values())
    if not 1 < len(used) <= FEW:
        return []
    shown = ", ".join(f"{_shown(label)} of {count}" for label, count in used.most_common())
    return [f"cross-sectional tests use the first session of each person: {shown} people (cohort.session names one)"]


def _named(wanted: str, people: Mapping[str, Mapping[str, list[Any]]]) -> Sequenced:
    """All scans of the named session, and no other, are for cross-sectional tests."""
    label = wanted.removeprefix("ses-")
    found = Counter(session for labels in people.values() for session in labels)
    order: Order = {
        scan.scan: 1 if session == label else None
        for labels in people.values()
        for session, members in labels.items()
        for scan in members
    }
    if found and label not in found:
        twin = next((session for session in found if loose(session) == loose(label)), None)
        hint = f"did you mean '{twin}'? " if twin else ""
        there = ", ".join(f"{session or 'none'} ({count})" for session, count in sorted(found.items()))
        return Sequenced(
            order, [], [f"cohort.session: nobody has a session '{label}'; {hint}there are {there} (people); correct it"]
        )
    without = sorted(person for person, labels in people.items() if label not in labels)
    note = f"cohort.session: {len(without)} of {len(people)} people have no session '{label}' ({some(without)}); "
    return Sequenced(order, [note + "cross-sectional tests leave them out"] if without else [], [])


def _ranked(
    labels: Mapping[str, list[Any]],
    tables: list[Keyed],
    times: Mapping[str, str],
    cohort: Mapping[str, Any],
    sessions: set[str],
) -> tuple[list[str], str]:
    """One person's sessions in time, and what is doubtful about it."""
    natural = sorted(labels, key=_natural)
    texts = {label: written(labels[label], tables, times, cohort) for label in labels}
    when = {label: _earliest(listed, cohort.get("scan_date_format")) for label, listed in texts.items()}
    unread = next((listed[0] for label, listed in texts.items() if listed and when[label] is None), None)
    known = {day for day in when.values() if day is not None}
    if len(known) == len(labels) and len({calendar for calendar, _ in known}) == 1:
        return sorted(natural, key=lambda label: when[label] or (True, 0.0)), ""
    why = "; only some of the sessions have a date, so dates are not used" if known else ""
    why = "; two sessions have the same date" if None not in when.values() else why
    why = f"; dates such as '{unread}' cannot be read (write YYYY-MM-DD)" if unread else why
    listed = _listed(labels, [table for table in tables if table.file in sessions])
    numbered = len({re.sub(r"\d+$", "", label.lower()) for label in labels}) == 1
    if listed is None and numbered:
        return natural, f"by the numbers in their labels{why}" if why else ""
    if listed is None:
        return natural, f"alphabetically, which need not be the order in time{why}"
    if numbered and listed != natural:
        return listed, f"as in the sessions table, although the numbers in the labels differ{why}"
    if not numbered and listed == natural:
        return listed, f"as in the sessions table, which is alphabetical{why}"
    return listed, f"as in the sessions table{why}" if why else ""


def written(scans: list[Any], tables: list[Keyed], times: Mapping[str, str], cohort: Mapping[str, Any]) -> list[str]:
    """What is written about a session's date: for its scans, else in its row of a table."""
    names = [cohort["scan_date"]] if cohort.get("scan_date") else COLUMNS
    columns = {column.lower(): column for table in tables for column in table.columns}
    found = [times[scan.scan] for scan in scans if scan.scan in times]
    for name in [columns[name.lower()] for name in names if name.lower() in columns]:
        found = found or [cell for scan in scans for cell, _ in lookup(tables, name, scan.keys[:2])]
    return found


def _earliest(texts: list[str], form: str | None) -> tuple[bool, float] | None:
    """The first of some moments as (calendar, days), the time of day included; None where one cannot be read."""
    texts = [BASIC.sub(r"\1-\2-\3T\4:\5:\6", text) for text in texts]
    found = [(dates.parse(text, form), TIME.search(text)) for text in texts]
    moments = [(day.calendar, day.value + _of_day(time)) for day, time in found if day is not None]
    return min(moments) if moments and len(moments) == len(texts) else None


def _of_day(time: re.Match[str] | None) -> float:
    """Hours, minutes and seconds as a part of the day."""
    parts = time.groups() if time else ()
    return sum(float(part or 0) / unit for part, unit in zip(parts, UNITS, strict=False))


def _listed(labels: Mapping[str, list[Any]], tables: list[Keyed]) -> list[str] | None:
    """The sessions in the order of the first table that has a row for each of them."""
    for table in tables:
        rows = {
            label: next((table.rows[key].number for scan in scans for key in scan.keys[:2] if key in table.rows), None)
            for label, scans in labels.items()
        }
        if all(number is not None for number in rows.values()):
            return sorted(labels, key=lambda label: (rows[label] or 0, _natural(label)))
    return None


def _natural(label: str) -> str:
    return re.sub(r"\d+", lambda found: found.group().zfill(9), label.lower())


def _shown(label: str) -> str:
    return f"ses-{label}" if label else "scans without a session"


def _doubt(why: str, counts: Counter[tuple[str, ...]]) -> str:
    orders = [(" before ".join(map(_shown, labels)), n) for labels, n in counts.most_common(3)]
    shown = "; ".join(f"{count} {'person' if count == 1 else 'people'}: {order}" for order, count in orders)
    firsts = Counter(labels[0] for labels, count in counts.items() for _ in range(count))
    taken = " or ".join(_shown(label) for label, _ in firsts.most_common(3))
    return (
        f"sessions are ordered {why} ({shown}): cross-sectional tests use {taken}, the first that is usable; name the "
        "session in cohort.session, or give acq_time in the sessions or scans tables"
    )


def scan_times(
    files: Iterable[tuple[str, str]], scans: Sequence[Any], root: str, codes: Codes, *, everyone: bool = False
) -> tuple[dict[str, str], list[str], list[str]]:
    """acq_time by scan, the tables read, and their problems; tables of people with one session only for `everyone`."""
    sessions = {(scan.person, scan.session) for scan in scans}
    several = {person for person, count in Counter(person for person, _ in sessions).items() if count > 1}
    keys = {scan.scan for scan in scans}
    times: dict[str, str] = {}
    read_files, problems = [], []
    for prefix, path in files:
        if not everyone and prefix.split("_")[0] not in several:
            continue
        table, unread = read(path, file=path[len(root) + 1 :], rename={}, codes=codes)
        read_files.append(path)
        problems += unread
        for row in table.rows:
            name = re.sub(r"(?i)\.nii(\.gz)?$", "", (row.cells.get("filename") or "").rsplit("/", 1)[-1])
            key, when = name.rpartition("_")[0], row.cells.get("acq_time")
            if key in keys and when is not None:
                times[key] = when
    return times, read_files, problems
