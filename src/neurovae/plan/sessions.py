"""The order of each person's sessions, and which of them cross-sectional tests use; standard library only.

In order of preference: dates of all sessions of a person; the order of the sessions table; the numbers in the labels.
Labels without numbers or dates give a warning that names the chosen order. `cohort.session` names one session instead.
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
TIME = re.compile(r"[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?(?:([+-])(\d\d):?(\d\d))?")  # 23:30:00+02:00
UNITS = (24, 24 * 60, 24 * 3600)
BASIC = re.compile(r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)")  # 18901014T123300, which some converters write
MAX_NAMES = 5  # up to this number of different first sessions are named
Order = dict[str, int | None]


class Sequenced(NamedTuple):
    """Scan -> place of its session within the person from 1 (None: not for cross-sectional tests), notes, problems."""

    order: Order
    notes: list[str]
    problems: list[str]


def sequence(
    scans: Sequence[Any], tables: list[Keyed], times: Mapping[str, str], cohort: Mapping[str, Any], sessions: set[str]
) -> Sequenced:
    """Return the place of every scan's session.

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
        return _only(str(cohort["session"]), people)
    order: Order = {}
    doubts: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for labels in people.values():
        ordered, doubt = list(labels), ""
        if len(labels) > 1:
            ordered, doubt = _order_sessions(labels, tables, times, cohort, sessions)
        order |= {scan.scan: place for place, label in enumerate(ordered, 1) for scan in labels[label]}
        if doubt:
            doubts[doubt][tuple(ordered)] += 1
    return Sequenced(
        order, [_doubt(reason, counts) for reason, counts in doubts.items()] + _different_firsts(scans, order), []
    )


def _different_firsts(scans: Sequence[Any], order: Order) -> list[str]:
    """Note that people's first sessions differ, where there are only a few different ones."""
    n_of_first = Counter({scan.person: scan.session for scan in scans if order[scan.scan] == 1}.values())
    if not 1 < len(n_of_first) <= MAX_NAMES:
        return []
    texts = ", ".join(f"{_label_text(label)} of {count}" for label, count in n_of_first.most_common())
    return [f"cross-sectional tests use the first session of each person: {texts} people (cohort.session names one)"]


def _only(session_name: str, people: Mapping[str, Mapping[str, list[Any]]]) -> Sequenced:
    """Use all scans of the named session, and no other, for cross-sectional tests."""
    label = session_name.removeprefix("ses-")
    n_of_session = Counter(session for labels in people.values() for session in labels)
    order: Order = {
        scan.scan: 1 if session == label else None
        for labels in people.values()
        for session, members in labels.items()
        for scan in members
    }
    if n_of_session and label not in n_of_session:
        twin = next((session for session in n_of_session if loose(session) == loose(label)), None)
        hint = f"did you mean '{twin}'? " if twin else ""
        texts = ", ".join(f"{session or 'none'} ({count})" for session, count in sorted(n_of_session.items()))
        return Sequenced(
            order, [], [f"cohort.session: nobody has a session '{label}'; {hint}there are {texts} (people); correct it"]
        )
    people_without = sorted(person for person, labels in people.items() if label not in labels)
    note = f"cohort.session: {len(people_without)} of {len(people)} people "
    note += f"have no session '{label}' ({some(people_without)}); "
    return Sequenced(order, [note + "cross-sectional tests leave them out"] if people_without else [], [])


def _order_sessions(
    labels: Mapping[str, list[Any]],
    tables: list[Keyed],
    times: Mapping[str, str],
    cohort: Mapping[str, Any],
    sessions: set[str],
) -> tuple[list[str], str]:
    """Return one person's sessions in time, and any doubt about the order."""
    in_numbers = sorted(labels, key=natural)
    texts = {label: written(labels[label], tables, times, cohort) for label in labels}
    date_of = {label: _earliest(table_order, cohort.get("scan_date_format")) for label, table_order in texts.items()}
    unreadable = next(
        (table_order[0] for label, table_order in texts.items() if table_order and date_of[label] is None), None
    )
    days_known = {day for day in date_of.values() if day is not None}
    if len(days_known) == len(labels) and len({calendar for calendar, _ in days_known}) == 1:
        return sorted(in_numbers, key=lambda label: date_of[label] or (True, 0.0)), ""
    doubt = "; only some of the sessions have a date, so dates are not used" if days_known else ""
    doubt = "; two sessions have the same date" if None not in date_of.values() else doubt
    doubt = f"; dates such as '{unreadable}' cannot be read (write YYYY-MM-DD)" if unreadable else doubt
    table_order = _table_order(labels, [table for table in tables if table.file in sessions])
    numbered = len({re.sub(r"\d+$", "", label.lower()) for label in labels}) == 1
    if table_order is None and numbered:
        return in_numbers, f"by the numbers in their labels{doubt}" if doubt else ""
    if table_order is None:
        return in_numbers, f"alphabetically, which need not be the order in time{doubt}"
    if numbered and table_order != in_numbers:
        return table_order, f"as in the sessions table, although the numbers in the labels differ{doubt}"
    if not numbered and table_order == in_numbers:
        return table_order, f"as in the sessions table, which is alphabetical{doubt}"
    return table_order, f"as in the sessions table{doubt}" if doubt else ""


def written(scans: list[Any], tables: list[Keyed], times: Mapping[str, str], cohort: Mapping[str, Any]) -> list[str]:
    """Return the recorded dates of a session: of its scans, else in its row of a table."""
    names = [cohort["scan_date"]] if cohort.get("scan_date") else COLUMNS
    columns = {column.lower(): column for table in tables for column in table.columns}
    texts = [times[scan.scan] for scan in scans if scan.scan in times]
    for name in [columns[name.lower()] for name in names if name.lower() in columns]:
        texts = texts or [cell for scan in scans for cell, _ in lookup(tables, name, scan.keys[:2])]
    return texts


def _earliest(texts: list[str], form: str | None) -> tuple[bool, float] | None:
    """Return the first of some moments as (calendar, days), with the time of day; None where one cannot be read."""
    texts = [BASIC.sub(r"\1-\2-\3T\4:\5:\6", text) for text in texts]
    parts = [(dates.parse(text, form), TIME.search(text)) for text in texts]
    moments = [(day.calendar, day.value + _of_day(time)) for day, time in parts if day is not None]
    return min(moments) if moments and len(moments) == len(texts) else None


def _of_day(time: re.Match[str] | None) -> float:
    """Convert hours, minutes and seconds to a fraction of the day; an offset from UTC is subtracted."""
    if time is None:
        return 0.0
    *clock, sign, hours, minutes = time.groups()
    offset = (float(hours or 0) / 24 + float(minutes or 0) / (24 * 60)) * (-1 if sign == "-" else 1)
    return sum(float(part or 0) / unit for part, unit in zip(clock, UNITS, strict=True)) - offset


def _table_order(labels: Mapping[str, list[Any]], tables: list[Keyed]) -> list[str] | None:
    """Return the sessions in the order of the first table that has a row for each of them."""
    for table in tables:
        rows = {
            label: next((table.rows[key].number for scan in scans for key in scan.keys[:2] if key in table.rows), None)
            for label, scans in labels.items()
        }
        if all(number is not None for number in rows.values()):
            return sorted(labels, key=lambda label: (rows[label] or 0, natural(label)))
    return None


def natural(label: str) -> str:
    """Return a key by which numbers in labels sort as numbers."""
    return re.sub(r"\d+", lambda match: match.group().zfill(9), label.lower())


def _label_text(label: str) -> str:
    return f"ses-{label}" if label else "scans without a session"


def _doubt(reason: str, counts: Counter[tuple[str, ...]]) -> str:
    orders = [(" before ".join(map(_label_text, labels)), n) for labels, n in counts.most_common(3)]
    texts = "; ".join(f"{count} {'person' if count == 1 else 'people'}: {order}" for order, count in orders)
    firsts = Counter(labels[0] for labels, count in counts.items() for _ in range(count))
    first_sessions = " or ".join(_label_text(label) for label, _ in firsts.most_common(3))
    return (
        f"sessions are ordered {reason} ({texts}): cross-sectional tests use {first_sessions}, "
        "the first that is usable; name the session in cohort.session, or give acq_time in the sessions or scans tables"
    )


def scan_times(
    files: Iterable[tuple[str, str]], scans: Sequence[Any], root: str, codes: Codes, *, all_people: bool = False
) -> tuple[dict[str, str], list[str], list[str]]:
    """Read acq_time by scan; return it with the tables read and their problems.

    Tables of people with one session are read only if `all_people` is set.
    """
    sessions = {(scan.person, scan.session) for scan in scans}
    with_several = {person for person, count in Counter(person for person, _ in sessions).items() if count > 1}
    keys = {scan.scan for scan in scans}
    times: dict[str, str] = {}
    files_read, problems = [], []
    for prefix, path in files:
        if not all_people and prefix.split("_")[0] not in with_several:
            continue
        table, table_problems = read(path, file=path[len(root) + 1 :], rename={}, codes=codes)
        files_read.append(path)
        problems += table_problems
        for row in table.rows:
            name = re.sub(r"(?i)\.nii(\.gz)?$", "", (row.cells.get("filename") or "").rsplit("/", 1)[-1])
            key, time = name.rpartition("_")[0], row.cells.get("acq_time")
            if key in keys and time is not None:
                times[key] = time
    return times, files_read, problems
