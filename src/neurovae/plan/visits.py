"""Clinical tables with a row per visit, and the row that belongs to each scan; standard library only.

A scan gets the row of the same visit (its session label is the visit's code). Where there is none, and `max_days`
is set, it gets the row nearest in time. A table without visits and dates has one row per person.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurovae.io.missing import Codes, codes
from neurovae.io.tables import Keyed, Row, first, lookup, no_column, number, read, short
from neurovae.plan import dates, sessions

YES, NO = {"on", "yes", "true"}, {"off", "no", "false"}  # words that YAML reads as true and false
Tables = Sequence[Keyed]


class Match(NamedTuple):
    """The row of a scan: how it was found, days from the scan to the visit; or the reason why there is none."""

    scan: str
    table: str
    row: int | None
    visit: str | None
    by: str  # visit, date or person
    days: float | None
    reason: str


class Joined(NamedTuple):
    """The visit tables with a row per scan, all matches, problems and warnings."""

    tables: list[Keyed]
    matches: list[Match]
    problems: list[str]
    warnings: list[str]


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


def join(cohort: Mapping[str, Any], scans: Iterable[Any], tables: Tables, times: Mapping[str, str]) -> Joined:
    """Find each scan's row in every table of `cohort.visits`.

    Args:
        cohort: the section.
        scans: of the index.
        tables: the cohort's own, which give the dates of scans and further ids of people.
        times: acq_time by scan, from the scans tables.
    """
    joined = Joined([], [], [], [])
    entries, scans = cohort.get("visits") or [], list(scans)
    names = [os.path.basename(entry["file"]) for entry in entries]
    for turn, entry in enumerate(entries):
        again = names[:turn].count(names[turn])
        label = f"{names[turn]} (visits {turn + 1})" if again else names[turn]
        known = [*tables, *joined.tables]
        seen, problems = _scans(cohort, entry, scans, known, times, label)
        one = _joined(entry, label, seen, cohort.get("rename") or {}, codes(dict(cohort)))
        one.warnings.extend(_long(one.matches, cohort.get("caveat_days")))
        joined.tables.extend(one.tables)
        joined.matches.extend(one.matches)
        joined.problems.extend(problems + one.problems)
        joined.warnings.extend(one.warnings)
    return joined


def files(cohort: Mapping[str, Any]) -> list[str]:
    """The visit tables, each once."""
    return list(dict.fromkeys(entry["file"] for entry in cohort.get("visits") or []))


def days(matches: Iterable[Match]) -> dict[tuple[str, str], float]:
    """Days from the scan to the visit by (table, scan), where both dates are known."""
    return {(match.table, match.scan): match.days for match in matches if match.days is not None}


def _scans(
    cohort: Mapping[str, Any],
    entry: Mapping[str, Any],
    scans: list[Any],
    tables: Tables,
    times: Mapping[str, str],
    label: str,
) -> tuple[list[Target], list[str]]:
    """Each scan with the id that the visit table knows its person by, and its date."""
    same, when = entry.get("same_as"), cohort.get("scan_date")
    columns = {column for table in tables for column in table.columns}
    problems = []
    if same and same not in columns:
        problems.append(f"cohort.visits, {label}: same_as: {no_column(same, columns)}")
    if when and when not in columns:
        problems.append(f"cohort.scan_date: {no_column(when, columns)}")
    seen: list[Target] = []
    for scan in scans:
        cells = lookup(tables, same, scan.keys) if same else [(scan.person, None)]
        texts = sessions.written([scan], list(tables), times, cohort) if entry.get("date") else []
        day = dates.parse(texts[0], cohort.get("scan_date_format")) if texts else None
        if texts and day is None:
            problems.append(dates.unreadable(scan.scan, when or "the date of the scan", texts[0]))
        seen.append(Target(scan.scan, _id(cells[0][0]) if cells else "", scan.session, day))
    if entry.get("date") and entry.get("max_days") is not None and scans and not any(one.day for one in seen):
        problems.append(
            f"cohort.visits, {label}: max_days needs the dates of the scans, and no scan has one; give acq_time in the "
            "sessions or scans tables, or name the column of the cohort's tables in cohort.scan_date"
        )
    return seen, first(list(dict.fromkeys(problems)))


def _joined(
    entry: Mapping[str, Any], label: str, seen: list[Target], rename: Mapping[str, str], known: Codes
) -> Joined:
    """One visit table with a row per scan."""
    own = codes({"missing": entry.get("missing") or []})
    table, problems = read(entry["file"], file=label, rename={}, codes=known._replace(missing=_both(known, own)))
    problems += _settings(entry, label, table.columns)
    if problems or not table.columns:
        return Joined([Keyed(label, table.header, _exposed(entry, table.columns, rename), {})], [], problems, [])
    rows = table.rows
    for column, wanted in (entry.get("where") or {}).items():
        kept = [row for row in rows if _allowed(row.cells[column], wanted)]
        if rows and not kept:
            values = sorted({row.cells[column] or "n/a" for row in rows})
            problems.append(
                f"{label}: where: no row has {wanted!r} in column '{column}'; there are "
                f"{', '.join(map(repr, values[:8]))}{' ...' if len(values) > 8 else ''}"
            )
        rows = kept
    people, unread = _people(entry, rows, {one.person for one in seen})
    problems += unread
    found: dict[str, Row] = {}
    matches: list[Match] = []
    for one in seen:
        match, visit, fault = _match(entry, label, one, people.get(one.person, []))
        matches.append(match)
        problems += [fault] if fault else []
        if visit:
            found[one.scan] = visit.row
    if not problems:
        problems += _nobody(entry, label, seen, people, rows, matches)
    columns = _exposed(entry, table.columns, rename)
    kept_rows = {
        scan: Row(label, row.number, dict(zip(columns, (row.cells[name] for name in table.columns), strict=True)))
        for scan, row in found.items()
    }
    keyed = Keyed(label, table.header, columns, kept_rows, notes=table.notes)
    return Joined([keyed], matches, first(list(dict.fromkeys(problems))), _warnings(entry, label, matches))


def _settings(entry: Mapping[str, Any], label: str, columns: list[str]) -> list[str]:
    """Columns that the table lacks, and settings that do not go together."""
    named = {key: entry[key] for key in ("person", "visit", "date") if entry.get(key)}
    named |= {f"where of '{column}'": column for column in entry.get("where") or {}}
    place = f"cohort.visits, {label}"
    problems = [
        f"{place}: {key}: {no_column(column, columns)}" for key, column in named.items() if column not in columns
    ]
    if entry.get("max_days") is not None and not entry.get("date"):
        problems.append(f"{place}: max_days is given without date; name the column with the date of the visit")
    if entry.get("sessions") and not entry.get("visit"):
        problems.append(f"{place}: sessions is given without visit; name the column with the visit's code")
    return problems if columns else []


def _exposed(entry: Mapping[str, Any], columns: list[str], rename: Mapping[str, str]) -> list[str]:
    """The names by which the cohort's section knows the columns."""
    file, prefix = short(os.path.basename(entry["file"])), entry.get("prefix") or ""
    return [prefix + rename.get(f"{file}:{name}", rename.get(name, name)) for name in columns]


def _both(first_of: Codes, other: Codes) -> dict[str, frozenset[str]]:
    """The codes for missing values of both."""
    columns = [*first_of.missing, *other.missing]
    return {name: first_of.missing.get(name, frozenset()) | other.missing.get(name, frozenset()) for name in columns}


def _plain(text: str) -> str:
    """One spelling per number."""
    parsed = number(text)
    return text if parsed is None else f"{parsed:.15g}"


def _allowed(cell: str | None, wanted: Any) -> bool:
    """Whether a cell is one of the wanted values; null stands for an empty cell, true for ON, yes and true."""
    if isinstance(wanted, list):
        return any(_allowed(cell, one) for one in wanted)
    if wanted is None or cell is None:
        return wanted is None and cell is None
    if isinstance(wanted, bool):
        return cell.lower() in (YES if wanted else NO)
    return _plain(cell) == _plain(str(wanted))


def _id(text: str | None) -> str:
    """An id by its letters and digits alone: `002_S_0295` is `sub-002S0295`, and `3001` is `3001.0`."""
    return re.sub(r"[^A-Za-z0-9]", "", _spelled(text))


def _spelled(text: str | None) -> str:
    return re.sub(r"(?<=\d)\.0+$", "", (text or "").removeprefix("sub-"))


def _people(entry: Mapping[str, Any], rows: list[Row], wanted: set[str]) -> tuple[dict[str, list[Visit]], list[str]]:
    """The visits of the wanted people in the order of the file, and what cannot be read in their rows."""
    people: dict[str, list[Visit]] = {}
    spelling: dict[str, str] = {}
    problems: list[str] = []
    calendar: set[bool] = set()
    for row in rows:
        raw = row.cells[entry["person"]]
        person = _id(raw)
        if not person or person not in wanted:
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
        people.setdefault(person, []).append(Visit(row, row.cells[entry["visit"]] if entry.get("visit") else None, day))
    if len(calendar) > 1:
        problems.append(f"{rows[0].file}: {entry['date']} holds both dates and numbers of days; give one of the two")
    return people, problems


def _codes(entry: Mapping[str, Any], session: str) -> list[str]:
    """Codes of the visits that are the scan's session."""
    given = (entry.get("sessions") or {}).get(session, session)
    return [str(code) for code in given] if isinstance(given, list) else [str(given)]


def _match(entry: Mapping[str, Any], label: str, scan: Target, visits: list[Visit]) -> tuple[Match, Visit | None, str]:
    """The visit of one scan; a problem where several rows qualify and no rule decides."""
    limit, before = entry.get("max_days"), entry.get("direction") == "before"

    def far(visit: Visit) -> bool:
        delay = dates.between(scan.day, visit.day)
        return delay is not None and ((limit is not None and abs(delay) > limit) or (before and delay > 0))

    by, chosen, reason = "visit", [], "" if visits else "no row of this person"
    if visits and entry.get("visit"):
        wanted = _codes(entry, scan.session)
        same = [visit for visit in visits if visit.code in wanted] if scan.session else []
        chosen = [visit for visit in same if not far(visit)]
        reason = f"no row of visit {' or '.join(wanted)}" if scan.session else "the scan has no session label"
        reason = _too_far(scan, same, limit, before) if same else reason
    if visits and not chosen and limit is not None:
        by, near = "date", [visit for visit in visits if dates.between(scan.day, visit.day) is not None]
        inside = [visit for visit in near if not far(visit)]
        chosen = _nearest(scan, inside)
        reason = "the scan has no date" if scan.day is None else "no row has a date of the same kind"
        reason = _too_far(scan, near, limit, before) if near else reason
    if visits and not chosen and not entry.get("visit") and limit is None:
        by, chosen = "person", [visit for visit in visits if not far(visit)]
        reason = "no row on or before the day of the scan"
    if not chosen:
        return Match(scan.scan, label, None, None, "", None, reason), None, ""
    if len(chosen) > 1 and not entry.get("keep"):
        return Match(scan.scan, label, None, None, "", None, "several rows"), None, _several(entry, scan, chosen, by)
    ranked = sorted(chosen, key=lambda visit: visit.day.value if visit.day else 0.0)
    visit = ranked[-1 if entry.get("keep") == "last" else 0]
    delay = dates.between(scan.day, visit.day)
    return Match(scan.scan, label, visit.row.number, visit.code, by, delay, ""), visit, ""


def _nearest(scan: Target, visits: list[Visit]) -> list[Visit]:
    """The visits of the nearest day; of two days equally near, the one before the scan."""
    delays = [dates.between(scan.day, visit.day) or 0.0 for visit in visits]
    best = min(delays, key=lambda delay: (abs(delay), delay), default=0.0)
    return [visit for visit, delay in zip(visits, delays, strict=True) if delay == best]


def _too_far(scan: Target, visits: list[Visit], limit: float | None, before: bool) -> str:
    delays = [delay for visit in visits if (delay := dates.between(scan.day, visit.day)) is not None]
    nearest = min(delays, key=abs, default=0.0)
    allowed = f"at most {limit:g} days" if limit is not None else "rows"
    return f"the nearest row is {nearest:+g} days from the scan; {allowed}{' before the scan' * before} are allowed"


def _several(entry: Mapping[str, Any], scan: Target, visits: list[Visit], by: str) -> str:
    named = " or ".join(dict.fromkeys(visit.code or "" for visit in visits))
    what = {"visit": f"visit {named}", "date": "the nearest day", "person": "this person"}[by]
    rows = " and ".join(str(visit.row.number) for visit in visits[:4]) + (" ..." if len(visits) > 4 else "")
    remedy = "keep: first or keep: last" + ("" if entry.get("visit") or entry.get("date") else ", visit, date")
    return (
        f"{visits[1].row.where}: {scan.scan} has {len(visits)} rows of {what} (rows {rows}); keep one, choose by where "
        f"(PDSTATE: ON), or set {remedy}"
    )


def _nobody(
    entry: Mapping[str, Any],
    label: str,
    seen: list[Target],
    people: dict[str, list[Visit]],
    rows: list[Row],
    matches: list[Match],
) -> list[str]:
    """Nobody has a row, or visits are written in a slightly different way."""
    if not seen or not rows:
        return []
    if not people:
        shown = next((row.cells[entry["person"]] for row in rows if row.cells[entry["person"]]), None)
        return [
            f"{label}: no scan's person is in column '{entry['person']}'; scans are of {seen[0].person!r} ..., rows of "
            f"{shown!r} ...; use the same IDs, or name in same_as the column of the participants table that holds these"
        ]
    if entry.get("visit"):
        there = {visit.code for visits in people.values() for visit in visits if visit.code}
        alike = {_like(code): code for code in sorted(there)}
        problems = []
        for session in sorted({one.session for one in seen if one.session}):
            twin = alike.get(_like(session))
            if twin and not set(_codes(entry, session)) & there:
                problems.append(
                    f"{label}: session {session!r} has no row, but visit {twin!r} looks like it; write "
                    f"sessions: {{{session}: {twin}}} if they are the same"
                )
        if problems:
            return problems
    if all(match.row is None for match in matches):
        return [f"{label}: no scan is given a row ({_reasons(matches)}); see visit, sessions, date and max_days"]
    return []


def _like(text: str) -> str:
    """The text without capitals, punctuation and leading zeros: `M006` and `m06` agree."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^a-z0-9]", "", text.lower()))


def _reasons(matches: Iterable[Match]) -> str:
    """How many scans have no row, for which reason; numbers of days are left out."""
    counts: dict[str, int] = {}
    for match in matches:
        if match.row is None:
            reason = "the nearest row is too far in time" if "nearest row is" in match.reason else match.reason
            counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))


def _warnings(entry: Mapping[str, Any], label: str, matches: list[Match]) -> list[str]:
    """Scans without a row, and rows that lie long before or after the scan."""
    without = [match.scan for match in matches if match.row is None]
    warnings = []
    if without:
        warnings.append(
            f"{label}: {len(without)} of {len(matches)} scans have no row, such as {without[0]} ({_reasons(matches)}); "
            "their values are missing"
        )
    unknown = sum(match.row is not None and match.days is None for match in matches)
    if entry.get("date") and unknown:
        warnings.append(f"{label}: days between scan and visit are not known for {unknown} of {len(matches)} scans")
    return warnings


def _long(matches: list[Match], limit: float | None) -> list[str]:
    """Scans whose row lies long before or after them."""
    delays = [match.days for match in matches if match.days is not None]
    late = [delay for delay in delays if limit is not None and abs(delay) > limit]
    if not late:
        return []
    return [
        f"{matches[0].table}: {len(late)} of {len(delays)} scans are more than {limit:g} days from the row that they "
        f"are given ({min(delays):+g} to {max(delays):+g} days)"
    ]
