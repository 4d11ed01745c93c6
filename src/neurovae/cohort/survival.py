"""Check the columns of survival scores before the first job, row by row; standard library only, for parse time."""

from typing import Any

from neurovae.cohort.columns import parts, source
from neurovae.io.tables import Row, first, lookup, number
from neurovae.plan.index import Index, Scan

EVENTS = 10  # people with an event that a test needs, as in design.design, which needs pandas
PREDICTED = 20  # people with an event that a prediction needs, as in predict.survival
KEYS = ("time", "event", "entry")
OTHERS = ("column", "sum_of", "item_bounds", "bounds", "plausible", "positive", "link")
Follow = tuple[float, float, int]  # entry, time, event


def settings(scores: list[dict[str, Any]], confounds: list[dict[str, Any]]) -> list[str]:
    """List keys of survival scores that lack, do not go together, or belong to other types."""
    problems = []
    names = {item["name"] for item in [*scores, *confounds]}
    for score in scores:
        place = f"cohort.scores: {score['name']}"
        given = [key for key in KEYS if score.get(key)]
        if score["type"] != "survival":
            problems += [f"{place} is {score['type']}, where {', '.join(given)} is not used; leave it out"] * bool(
                given
            )
            continue
        lacking = [key for key in KEYS[:2] if key not in given]
        if lacking:
            problems.append(
                f"{place} is a survival score, {' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing; "
                "name the columns: time: ..., event: ..."
            )
        columns = [score[key] for key in given]
        if len(set(columns)) < len(columns):
            problems.append(f"{place}: {', '.join(given)} are of one column; give each its own")
        unused = [key for key in OTHERS if score.get(key) is not None]
        if unused:
            problems.append(f"{place} is a survival score, where {', '.join(unused)} is not used; leave it out")
        taken = sorted(names & set(parts(score)))
        problems += [f"{place}: '{one}' is needed for its own column; give the other another name" for one in taken]
    return problems


def rows(score: dict[str, Any], index: Index) -> list[str]:
    """List every row whose time, event and entry do not fit together, and a score without any event."""
    problems: dict[str, str] = {}
    events = complete = 0
    for scan in index.scans:
        given = {key: cell[0] for key, cell in cells(score, index, scan).items() if cell}
        if not set(given) - {"entry"}:  # the age at the scan is known of people without follow-up too
            continue
        fault, follow = _read(score, given)
        if fault:
            where = next(iter(given.values()))[1].where
            problems.setdefault(where, f"{where}: {score['name']}: {fault}")
        elif follow is not None:
            events, complete = events + follow[2], complete + 1
    listed = first(list(problems.values()))
    if complete and not events and not problems:
        files = ", ".join(dict.fromkeys(table.file for table in index.tables if score["event"] in table.columns))
        listed.append(
            f"{files}: {score['name']} has no event among {complete} scans ({score['event']} is 0 for everyone); a "
            f"time to event needs {EVENTS} events: drop it from cohort.scores"
        )
    return listed


def cells(score: dict[str, Any], index: Index, scan: Scan) -> dict[str, list[tuple[str, Row]]]:
    """What the tables hold of a scan, by key of the score."""
    return {key: lookup(index.tables, column, scan.keys) for key, column in _columns(score).items()}


def follow_up(score: dict[str, Any], found: dict[str, list[tuple[str, Row]]]) -> Follow | None:
    """Entry, time and event of one scan; None where something is missing. found: of `cells`."""
    given = {key: cell[0] for key, cell in found.items() if cell}
    return _read(score, given)[1] if len(given) == len(_columns(score)) else None


def _columns(score: dict[str, Any]) -> dict[str, str]:
    return {"time": source(score)} | {key: score[key] for key in KEYS[1:] if score.get(key)}


def _read(score: dict[str, Any], given: dict[str, tuple[str, Row]]) -> tuple[str, Follow | None]:
    """What is wrong with one scan's cells, in words, and its follow-up if nothing is."""
    columns = _columns(score)
    if lacking := [columns[key] for key in columns if key not in given]:
        known = ", ".join(f"{columns[key]} is '{value}'" for key, (value, _) in given.items())
        return f"{known}, but {' and '.join(lacking)} missing; give all of them or none (n/a)", None
    values: dict[str, float] = {}
    for key, (text, _) in given.items():
        parsed = number(text)
        if parsed is None:
            return f"{columns[key]} is '{text}'; give a number or n/a; if it is a code, list it in cohort.missing", None
        values[key] = parsed
    event, time, entry = values["event"], values["time"], values.get("entry", 0.0)
    if event not in (0, 1):
        return f"{columns['event']} is {event:g}; give 1 (the event happened) or 0 (observation ended without it)", None
    if "entry" in values:
        return _after(f"{columns['time']} ({time:g})", f"{columns['entry']} ({entry:g})", entry, time, int(event))
    return _after(f"{columns['time']} is {time:g}: it", "the scan", 0.0, time, int(event))


def _after(end: str, begin: str, entry: float, time: float, event: int) -> tuple[str, Follow | None]:
    if event and time <= entry:
        at = "lies at" if time == entry else "lies before"
        return (
            f"{end} {at} {begin}, and the event has happened; who had it before the scan is not at risk of it: "
            "give n/a for both, or correct the times"
        ), None
    if time < entry:
        return f"{end} lies before {begin}; observation cannot end before it begins: correct the times, or n/a", None
    return "", (entry, time, event)
