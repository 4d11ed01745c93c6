"""Clinical tables with a row per visit, and the row that belongs to each scan; standard library only.

A scan gets the row of the same visit (its session label is the visit's code). Where there is none, and `max_days`
is set, it gets the row nearest in time. A table without visits and dates has one row per person.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurovae.io.missing import Codes, codes
from neurovae.io.tables import Keyed, Row, first, lookup, loose, no_column, number, read, short
from neurovae.plan import dates, sessions
from neurovae.plan.visit_messages import long_delays, nobody, several, too_far, warnings_of
from neurovae.plan.visit_rows import Match as Match
from neurovae.plan.visit_rows import Target, Visit, by_person, codes_of, plain_id

YES, NO = {"on", "yes", "true"}, {"off", "no", "false"}  # words that YAML reads as true and false
Tables = Sequence[Keyed]


class Joined(NamedTuple):
    """The visit tables with a row per scan, all matches, problems and warnings."""

    tables: list[Keyed]
    matches: list[Match]
    problems: list[str]
    warnings: list[str]


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
        result.warnings.extend(long_delays(result.matches, cohort.get("caveat_days")))
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
        targets.append(Target(scan.scan, plain_id(cells[0][0]) if cells else "", scan.session, day))
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
    people, unread_rows = by_person(entry, rows, {target.person for target in targets})
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
        problems += nobody(entry, label, targets, people, rows, matches)
    columns = _exposed(entry, table.columns, rename)
    scan_rows = {
        scan: Row(label, row.number, dict(zip(columns, (row.cells[name] for name in table.columns), strict=True)))
        for scan, row in row_of.items()
    }
    keyed = Keyed(label, table.header, columns, scan_rows, notes=table.notes)
    return Joined([keyed], matches, first(list(dict.fromkeys(problems))), warnings_of(entry, label, matches))


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


def _match(entry: Mapping[str, Any], label: str, scan: Target, visits: list[Visit]) -> tuple[Match, Visit | None, str]:
    """Find the visit of one scan; a problem where several rows qualify and no rule decides."""
    limit, before = entry.get("max_days"), entry.get("direction") == "before"

    def far(visit: Visit) -> bool:
        delay = dates.between(scan.day, visit.day)
        return delay is not None and ((limit is not None and abs(delay) > limit) or (before and delay > 0))

    by, candidates, reason = "visit", [], "" if visits else "no row of this person"
    if visits and entry.get("visit"):
        visit_codes = codes_of(entry, scan.session)
        same_visit = [visit for visit in visits if visit.code in visit_codes] if scan.session else []
        candidates = [visit for visit in same_visit if not far(visit)]
        reason = f"no row of visit {' or '.join(visit_codes)}" if scan.session else "the scan has no session label"
        reason = too_far(scan, same_visit, limit, before) if same_visit else reason
    if visits and not candidates and limit is not None:
        by, dated = "date", [visit for visit in visits if dates.between(scan.day, visit.day) is not None]
        in_range = [visit for visit in dated if not far(visit)]
        candidates = _nearest(scan, in_range)
        reason = "the scan has no date" if scan.day is None else "no row has a date of the same kind"
        reason = too_far(scan, dated, limit, before) if dated else reason
    if visits and not candidates and not entry.get("visit") and limit is None:
        by, candidates = "person", [visit for visit in visits if not far(visit)]
        reason = "no row on or before the day of the scan"
    if not candidates:
        return Match(scan.scan, label, None, None, "", None, reason), None, ""
    if len(candidates) > 1 and not entry.get("keep"):
        return (
            Match(scan.scan, label, None, None, "", None, "several rows"),
            None,
            several(entry, scan, candidates, by),
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
