"""What a clinical table is found to lack: rows that no scan has, scans without a row, visits written in another way."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from neurovae.io.tables import Row, first, loose
from neurovae.plan import dates
from neurovae.plan.visit_rows import Match, Target, Visit, codes_of, plain_id


def too_far(scan: Target, visits: list[Visit], limit: float | None, before: bool) -> str:
    """Why no row is near enough to a scan, with the days to the nearest."""
    delays = [delay for visit in visits if (delay := dates.between(scan.day, visit.day)) is not None]
    nearest = min(delays, key=abs, default=0.0)
    allowed = f"at most {limit:g} days" if limit is not None else "rows"
    return f"the nearest row is {nearest:+g} days from the scan; {allowed}{' before the scan' * before} are allowed"


def several(entry: Mapping[str, Any], scan: Target, visits: list[Visit], by: str) -> str:
    """The problem that several rows qualify for a scan, with the remedy; by: visit, date or person."""
    codes_text = " or ".join(dict.fromkeys(visit.code or "" for visit in visits))
    description = {"visit": f"visit {codes_text}", "date": "the nearest day", "person": "this person"}[by]
    rows = " and ".join(str(visit.row.number) for visit in visits[:4]) + (" ..." if len(visits) > 4 else "")
    remedy = "keep: first or keep: last" + ("" if entry.get("visit") or entry.get("date") else ", visit, date")
    return (
        f"{visits[1].row.where}: {scan.scan} has {len(visits)} rows of {description} (rows {rows}); "
        f"keep one, choose by where (PDSTATE: ON), or set {remedy}"
    )


def nobody(
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
        return [f"{label}: no scan is given a row ({reasons(matches)}); see visit, sessions, date and max_days"]
    return []


def _near_people(
    entry: Mapping[str, Any], label: str, targets: list[Target], people: dict[str, list[Visit]], rows: list[Row]
) -> list[str]:
    """List scans without a row of their person, where an ID in the table differs in zeros or capitals only."""
    without = {loose(target.person): target for target in targets if target.person and target.person not in people}
    ids = [plain_id(row.cells[entry["person"]]) for row in rows]
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
        codes_wanted = codes_of(entry, target.session) if target.session else []
        if match.row is not None or any(visit.code in codes_wanted for visit in visits):
            continue
        code_of = {_like(visit.code): visit.code for visit in visits if visit.code}
        twin = next((code_of[_like(code)] for code in codes_wanted if _like(code) in code_of), None)
        if twin:
            twins[target.session, twin] = twins.get((target.session, twin), 0) + 1
    there = {visit.code for visits in people.values() for visit in visits}
    problems = []
    for (session, twin), count in sorted(twins.items()):
        both = [code for code in codes_of(entry, session) if code in there] + [twin]
        remedy = json.dumps({session: both if len(both) > 1 else twin}, ensure_ascii=False)
        problems.append(
            f"{label}: session {session!r} has no row for {count} scan{'s' * (count > 1)}, but visit {twin!r} looks "
            f"like it; write sessions: {remedy} if they are the same"
        )
    return problems


def _like(text: str) -> str:
    """The text without capitals, punctuation and leading zeros: `M006` and `m06` agree."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^a-z0-9]", "", text.lower()))


def reasons(matches: Iterable[Match]) -> str:
    """Count the scans without a row by reason; numbers of days are left out."""
    counts: dict[str, int] = {}
    for match in matches:
        if match.row is None:
            reason = "the nearest row is too far in time" if "nearest row is" in match.reason else match.reason
            counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()))


def warnings_of(entry: Mapping[str, Any], label: str, matches: list[Match]) -> list[str]:
    """Warn of scans without a row, and of rows without a known delay."""
    without = [match.scan for match in matches if match.row is None]
    warnings = []
    if without:
        warnings.append(
            f"{label}: {len(without)} of {len(matches)} scans have no row, such as {without[0]} ({reasons(matches)}); "
            "their values are missing"
        )
    n_unknown = sum(match.row is not None and match.days is None for match in matches)
    if entry.get("date") and n_unknown:
        warnings.append(f"{label}: days between scan and visit are not known for {n_unknown} of {len(matches)} scans")
    return warnings


def long_delays(matches: list[Match], limit: float | None) -> list[str]:
    """Warn of scans whose row lies long before or after them."""
    delays = [match.days for match in matches if match.days is not None]
    late = [delay for delay in delays if limit is not None and abs(delay) > limit]
    if not late:
        return []
    return [
        f"{matches[0].table}: {len(late)} of {len(delays)} scans are more than {limit:g} days from the row that they "
        f"are given ({min(delays):+g} to {max(delays):+g} days)"
    ]
