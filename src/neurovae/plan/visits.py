"""Clinical tables with a row per visit, and the row that belongs to each scan; standard library only.

A scan gets the row of the same visit (its session label is the visit's code). Where there is none, and `max_days`
is set, it gets the row nearest in time. A table without visits and dates has one row per person.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurovae.io.levels import level
from neurovae.io.missing import Codes, codes
from neurovae.io.tables import Keyed, Row, first, lookup, loose, no_column, number, read, short
from neurovae.plan import dates, sessions

YES, NO = {"on", "yes", "true"}, {"off", "no", "false"}  # words that YAML reads as true and false
YEARS = 5  # so many numbers from 1900 to 2099, and no other, are years
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
    for place, entry in enumerate(entries):
        n_before = names[:place].count(names[place])
        label = f"{names[place]} (visits {place + 1})" if n_before else names[place]
        tables_so_far = [*tables, *joined.tables]
        targets, problems = _scans(cohort, entry, scans, tables_so_far, times, label)
        result = _join_table(entry, label, targets, cohort.get("rename") or {}, codes(dict(cohort)))
        result.warnings.extend(_long(result.matches, cohort.get("caveat_days")))
        joined.tables.extend(result.tables)
        joined.matches.extend(result.matches)
        joined.problems.extend(problems + result.problems)
        joined.warnings.extend(result.warnings)
    return joined


def files(cohort: Mapping[str, Any]) -> list[str]:
    """List the visit tables, each once."""
    return list(dict.fromkeys(entry["file"] for entry in cohort.get("visits") or []))


def days(matches: Iterable[Match]) -> dict[tuple[str, str], float]:
    """Return days from the scan to the visit by (table, scan), where both dates are known."""
    return {(match.table, match.scan): match.days for match in matches if match.days is not None}


def _scans(
    cohort: Mapping[str, Any],
    entry: Mapping[str, Any],
    scans: list[Any],
    tables: Tables,
    times: Mapping[str, str],
    label: str,
) -> tuple[list[Target], list[str]]:
    """Return each scan with its person's id in the visit table, and its date."""
    same_as, date_column = entry.get("same_as"), cohort.get("scan_date")
    columns = {column for table in tables for column in table.columns}
    problems = []
    if same_as and same_as not in columns:
        problems.append(f"cohort.visits, {label}: same_as: {no_column(same_as, columns)}")
    if date_column and date_column not in columns:
        problems.append(f"cohort.scan_date: {no_column(date_column, columns)}")
    labels = {scan.session for scan in scans if scan.session}
    for key in (str(key).removeprefix("ses-") for key in entry.get("sessions") or {}):
        twin = next((name for name in sorted(labels) if loose(name) == loose(key)), None)
        if twin and key not in labels:
            problems.append(f"cohort.visits, {label}: sessions: no scan is of session {key!r}; did you mean {twin!r}?")
    targets: list[Target] = []
    for scan in scans:
        cells = lookup(tables, same_as, scan.keys) if same_as else [(scan.person, None)]
        texts = sessions.written([scan], list(tables), times, cohort) if entry.get("date") else []
        day = dates.parse(texts[0], cohort.get("scan_date_format")) if texts else None
        if texts and day is None:
            problems.append(dates.unreadable(scan.scan, date_column or "the date of the scan", texts[0]))
        targets.append(Target(scan.scan, _id(cells[0][0]) if cells else "", scan.session, day))
    if entry.get("date") and entry.get("max_days") is not None and scans and not any(target.day for target in targets):
        problems.append(
            f"cohort.visits, {label}: max_days needs the dates of the scans, and no scan has one; give acq_time in the "
            "sessions or scans tables, or name the column of the cohort's tables in cohort.scan_date"
        )
    return targets, first(list(dict.fromkeys(problems)))


def _join_table(
    entry: Mapping[str, Any], label: str, targets: list[Target], rename: Mapping[str, str], cohort_codes: Codes
) -> Joined:
    """Return one visit table with a row per scan."""
    table_codes = codes({"missing": entry.get("missing") or []})
    table, problems = read(
        entry["file"],
        file=label,
        rename={},
        codes=cohort_codes._replace(missing=_merged_codes(cohort_codes, table_codes)),
    )
    problems += _settings(entry, label, table.columns)
    if problems or not table.columns:
        return Joined([Keyed(label, table.header, _exposed(entry, table.columns, rename), {})], [], problems, [])
    rows = table.rows
    for column, allowed in (entry.get("where") or {}).items():
        selected = [row for row in rows if _allowed(row.cells[column], allowed)]
        if rows and not selected:
            values = sorted({row.cells[column] or "(empty: null)" for row in rows})
            problems.append(
                f"{label}: where: no row has {allowed!r} in column '{column}'; there are "
                f"{', '.join(map(repr, values[:8]))}{' ...' if len(values) > 8 else ''}"
            )
        rows = selected
    people, unread_rows = _people(entry, rows, {target.person for target in targets})
    problems += unread_rows
    row_of: dict[str, Row] = {}
    matches: list[Match] = []
    for target in targets:
        match, visit, fault = _match(entry, label, target, people.get(target.person, []))
        matches.append(match)
        problems += [fault] if fault else []
        if visit:
            row_of[target.scan] = visit.row
    if not problems:
        problems += _nobody(entry, label, targets, people, rows, matches)
    columns = _exposed(entry, table.columns, rename)
    scan_rows = {
        scan: Row(label, row.number, dict(zip(columns, (row.cells[name] for name in table.columns), strict=True)))
        for scan, row in row_of.items()
    }
    keyed = Keyed(label, table.header, columns, scan_rows, notes=table.notes)
    return Joined([keyed], matches, first(list(dict.fromkeys(problems))), _warnings(entry, label, matches))


def _settings(entry: Mapping[str, Any], label: str, columns: list[str]) -> list[str]:
    """List columns that the table lacks, and settings that contradict each other."""
    columns_named = {key: entry[key] for key in ("person", "visit", "date") if entry.get(key)}
    columns_named |= {f"where of '{column}'": column for column in entry.get("where") or {}}
    place = f"cohort.visits, {label}"
    problems = [
        f"{place}: {key}: {no_column(column, columns)}"
        for key, column in columns_named.items()
        if column not in columns
    ]
    if entry.get("max_days") is not None and not entry.get("date"):
        problems.append(f"{place}: max_days is given without date; name the column with the date of the visit")
    if entry.get("sessions") and not entry.get("visit"):
        problems.append(f"{place}: sessions is given without visit; name the column with the visit's code")
    return problems if columns else []


def _exposed(entry: Mapping[str, Any], columns: list[str], rename: Mapping[str, str]) -> list[str]:
    """Return the names by which the cohort's section knows the columns."""
    file, prefix = short(os.path.basename(entry["file"])), entry.get("prefix") or ""
    return [prefix + rename.get(f"{file}:{name}", rename.get(name, name)) for name in columns]


def _merged_codes(first_of: Codes, other: Codes) -> dict[str, frozenset[str]]:
    """Merge the codes for missing values of both."""
    columns = [*first_of.missing, *other.missing]
    return {name: first_of.missing.get(name, frozenset()) | other.missing.get(name, frozenset()) for name in columns}


def _plain(text: str) -> str:
    """Return one spelling per number."""
    value = number(text)
    return text if value is None else f"{value:.15g}"


def _allowed(cell: str | None, allowed: Any) -> bool:
    """Whether a cell is one of the allowed values; null stands for an empty cell, true for ON, yes and true."""
    if isinstance(allowed, list):
        return any(_allowed(cell, value) for value in allowed)
    if allowed is None or cell is None:
        return allowed is None and cell is None
    if isinstance(allowed, bool):
        return cell.lower() in (YES if allowed else NO)
    return _plain(cell) == _plain(str(allowed))


def _id(text: str | None) -> str:
    """Reduce an id to letters and digits: `002_S_0295` is `sub-002S0295`, and `3001` is `3001.0`."""
    return re.sub(r"[^A-Za-z0-9]", "", _spelled(text))


def _spelled(text: str | None) -> str:
    return re.sub(r"(?<=\d)\.0+$", "", (text or "").removeprefix("sub-"))


def _people(
    entry: Mapping[str, Any], rows: list[Row], people_with_scan: set[str]
) -> tuple[dict[str, list[Visit]], list[str]]:
    """Return the visits of these people in the order of the file, and unreadable values in their rows."""
    people: dict[str, list[Visit]] = {}
    spelling: dict[str, str] = {}
    problems: list[str] = []
    calendar: set[bool] = set()
    for row in rows:
        raw = row.cells[entry["person"]]
        person = _id(raw)
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
        people.setdefault(person, []).append(Visit(row, None if code is None else _code(code), day))
    days_given = [visit.day.value for visits in people.values() for visit in visits if visit.day]
    if calendar == {False} and len(days_given) >= YEARS and all(1900 <= day < 2100 for day in days_given):
        problems.append(
            f"{rows[0].file}: {entry['date']} holds years ({days_given[0]:g}, ...), which would be read as numbers of "
            "days; give dates, or leave date out"
        )
    if len(calendar) > 1:
        problems.append(f"{rows[0].file}: {entry['date']} holds both dates and numbers of days; give one of the two")
    return people, problems


def _codes(entry: Mapping[str, Any], session: str) -> list[str]:
    """Return the codes of the visits of a scan's session."""
    written = {str(label).removeprefix("ses-"): code for label, code in (entry.get("sessions") or {}).items()}
    wanted = written.get(session, session)
    return [_code(code) for code in (wanted if isinstance(wanted, list) else [wanted])]


def _code(text: Any) -> str:
    """Return one spelling of a visit's code: `ses-1` and `1.0` are 1."""
    return level(str(text).removeprefix("ses-"))


def _match(entry: Mapping[str, Any], label: str, scan: Target, visits: list[Visit]) -> tuple[Match, Visit | None, str]:
    """Find the visit of one scan; a problem where several rows qualify and no rule decides."""
    limit, before = entry.get("max_days"), entry.get("direction") == "before"

    def far(visit: Visit) -> bool:
        delay = dates.between(scan.day, visit.day)
        return delay is not None and ((limit is not None and abs(delay) > limit) or (before and delay > 0))

    by, candidates, reason = "visit", [], "" if visits else "no row of this person"
    if visits and entry.get("visit"):
        visit_codes = _codes(entry, scan.session)
        same_visit = [visit for visit in visits if visit.code in visit_codes] if scan.session else []
        candidates = [visit for visit in same_visit if not far(visit)]
        reason = f"no row of visit {' or '.join(visit_codes)}" if scan.session else "the scan has no session label"
        reason = _too_far(scan, same_visit, limit, before) if same_visit else reason
    if visits and not candidates and limit is not None:
        by, dated = "date", [visit for visit in visits if dates.between(scan.day, visit.day) is not None]
        in_range = [visit for visit in dated if not far(visit)]
        candidates = _nearest(scan, in_range)
        reason = "the scan has no date" if scan.day is None else "no row has a date of the same kind"
        reason = _too_far(scan, dated, limit, before) if dated else reason
    if visits and not candidates and not entry.get("visit") and limit is None:
        by, candidates = "person", [visit for visit in visits if not far(visit)]
        reason = "no row on or before the day of the scan"
    if not candidates:
        return Match(scan.scan, label, None, None, "", None, reason), None, ""
    if len(candidates) > 1 and not entry.get("keep"):
        return (
            Match(scan.scan, label, None, None, "", None, "several rows"),
            None,
            _several(entry, scan, candidates, by),
        )
    dated = [visit for visit in candidates if visit.day] or candidates  # a row without a date is neither first nor last
    by_date = sorted(dated, key=lambda visit: visit.day.value if visit.day else 0.0)
    visit = by_date[-1 if entry.get("keep") == "last" else 0]
    delay = dates.between(scan.day, visit.day)
    return Match(scan.scan, label, visit.row.number, visit.code, by, delay, ""), visit, ""


def _nearest(scan: Target, visits: list[Visit]) -> list[Visit]:
    """Return the visits of the nearest day; of two days equally near, the one before the scan."""
    delays = [dates.between(scan.day, visit.day) or 0.0 for visit in visits]
    best = min(delays, key=lambda delay: (abs(delay), delay), default=0.0)
    return [visit for visit, delay in zip(visits, delays, strict=True) if delay == best]


def _too_far(scan: Target, visits: list[Visit], limit: float | None, before: bool) -> str:
    delays = [delay for visit in visits if (delay := dates.between(scan.day, visit.day)) is not None]
    nearest = min(delays, key=abs, default=0.0)
    allowed = f"at most {limit:g} days" if limit is not None else "rows"
    return f"the nearest row is {nearest:+g} days from the scan; {allowed}{' before the scan' * before} are allowed"


def _several(entry: Mapping[str, Any], scan: Target, visits: list[Visit], by: str) -> str:
    codes_text = " or ".join(dict.fromkeys(visit.code or "" for visit in visits))
    description = {"visit": f"visit {codes_text}", "date": "the nearest day", "person": "this person"}[by]
    rows = " and ".join(str(visit.row.number) for visit in visits[:4]) + (" ..." if len(visits) > 4 else "")
    remedy = "keep: first or keep: last" + ("" if entry.get("visit") or entry.get("date") else ", visit, date")
    return (
        f"{visits[1].row.where}: {scan.scan} has {len(visits)} rows of {description} (rows {rows}); "
        f"keep one, choose by where (PDSTATE: ON), or set {remedy}"
    )


def _nobody(
    entry: Mapping[str, Any],
    label: str,
    targets: list[Target],
    people: dict[str, list[Visit]],
    rows: list[Row],
    matches: list[Match],
) -> list[str]:
    """Report that no scan has a row, or that visits are written in a slightly different way."""
    if not targets or not rows:
        return []
    if not people:
        example = next((row.cells[entry["person"]] for row in rows if row.cells[entry["person"]]), None)
        return [
            f"{label}: no scan's person is in column '{entry['person']}'; "
            f"scans are of {targets[0].person!r} ..., rows of {example!r} ...; use the same IDs, "
            "or name in same_as the column of the participants table that holds these"
        ]
    problems = _near_people(entry, label, targets, people, rows)
    problems += _near_visits(label, entry, targets, people, matches) if entry.get("visit") else []
    if problems:
        return first(problems)
    if all(match.row is None for match in matches):
        return [f"{label}: no scan is given a row ({_reasons(matches)}); see visit, sessions, date and max_days"]
    return []


def _near_people(
    entry: Mapping[str, Any], label: str, targets: list[Target], people: dict[str, list[Visit]], rows: list[Row]
) -> list[str]:
    """List scans without a row of their person, where an ID in the table differs in zeros or capitals only."""
    without = {loose(target.person): target for target in targets if target.person and target.person not in people}
    ids = [_id(row.cells[entry["person"]]) for row in rows]
    twins = {loose(one): row for one, row in zip(ids, rows, strict=True) if one not in people}
    return [
        f"{row.where}: {entry['person']} is {row.cells[entry['person']]!r}, and {without[key].scan} has no row; "
        "write both IDs in the same way, or name in same_as the column of the participants table that holds these"
        for key, row in twins.items()
        if key in without
    ]


def _near_visits(
    label: str, entry: Mapping[str, Any], targets: list[Target], people: dict[str, list[Visit]], matches: list[Match]
) -> list[str]:
    """List sessions without a row of the visit, where their person has one whose code is nearly the same."""
    twins: dict[tuple[str, str], int] = {}
    for target, match in zip(targets, matches, strict=True):
        visits = people.get(target.person, [])
        codes_wanted = _codes(entry, target.session) if target.session else []
        if match.row is not None or any(visit.code in codes_wanted for visit in visits):
            continue
        code_of = {_like(visit.code): visit.code for visit in visits if visit.code}
        twin = next((code_of[_like(code)] for code in codes_wanted if _like(code) in code_of), None)
        if twin:
            twins[target.session, twin] = twins.get((target.session, twin), 0) + 1
    there = {visit.code for visits in people.values() for visit in visits}
    problems = []
    for (session, twin), count in sorted(twins.items()):
        both = [code for code in _codes(entry, session) if code in there] + [twin]
        remedy = json.dumps({session: both if len(both) > 1 else twin}, ensure_ascii=False)
        problems.append(
            f"{label}: session {session!r} has no row for {count} scan{'s' * (count > 1)}, but visit {twin!r} looks "
            f"like it; write sessions: {remedy} if they are the same"
        )
    return problems


def _like(text: str) -> str:
    """The text without capitals, punctuation and leading zeros: `M006` and `m06` agree."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^a-z0-9]", "", text.lower()))


def _reasons(matches: Iterable[Match]) -> str:
    """Count the scans without a row by reason; numbers of days are left out."""
    counts: dict[str, int] = {}
    for match in matches:
        if match.row is None:
            reason = "the nearest row is too far in time" if "nearest row is" in match.reason else match.reason
            counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))


def _warnings(entry: Mapping[str, Any], label: str, matches: list[Match]) -> list[str]:
    """Warn of scans without a row, and of rows without a known delay."""
    without = [match.scan for match in matches if match.row is None]
    warnings = []
    if without:
        warnings.append(
            f"{label}: {len(without)} of {len(matches)} scans have no row, such as {without[0]} ({_reasons(matches)}); "
            "their values are missing"
        )
    n_unknown = sum(match.row is not None and match.days is None for match in matches)
    if entry.get("date") and n_unknown:
        warnings.append(f"{label}: days between scan and visit are not known for {n_unknown} of {len(matches)} scans")
    return warnings


def _long(matches: list[Match], limit: float | None) -> list[str]:
    """Warn of scans whose row lies long before or after them."""
    delays = [match.days for match in matches if match.days is not None]
    late = [delay for delay in delays if limit is not None and abs(delay) > limit]
    if not late:
        return []
    return [
        f"{matches[0].table}: {len(late)} of {len(delays)} scans are more than {limit:g} days from the row that they "
        f"are given ({min(delays):+g} to {max(delays):+g} days)"
    ]
