"""`cohort.reference_group` and the section `norm`: who the reference is, and whether what is asked for is possible.

Standard library only: what tables show is checked before the first job. Of a simulated cohort the job checks it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from neurovae.cohort.columns import source
from neurovae.io.levels import level
from neurovae.io.tables import lookup, no_column, number, some
from neurovae.plan.index import Index

FEWEST = 20  # people in the reference, as in predict
LEVEL = 5  # of these of one sex, as in norm.estimate, which needs numpy
SHOWN = 8  # values or people that are named
NUMBERS = ("continuous", "gamma", "count", "bounded")
Row = dict[str, Any]


def group_of(index: Index, column: str) -> dict[str, set[str]]:
    """Each person's values of a column, one spelling per number; an empty set where it is missing."""
    texts: dict[str, set[str]] = {}
    for scan in index.scans:
        found = {level(value) for value, _ in lookup(index.tables, column, scan.keys)}
        texts.setdefault(scan.person, set()).update(found)
    return texts


def members(groups: dict[str, set[str]], equals: Any) -> dict[str, bool]:
    """Whether each person is of the reference: all values are those of the rule; nobody without a value is."""
    wanted = {level(str(one)) for one in (equals if isinstance(equals, list) else [equals])}
    return {person: bool(found) and found <= wanted for person, found in groups.items()}


def section(cohort: Row, folds: Row) -> Row:
    """Return the part of the cohort section from which the job finds the reference.

    A column of a visit table needs the whole section, and an edit of it then trains the models again.

    folds: the part that determines the folds.
    """
    rule = cohort["reference_group"]
    if not rule:
        return {}
    if cohort["visits"]:
        return cohort
    renamed = {old: new for old, new in cohort["rename"].items() if new == rule["column"]}
    more = {key: cohort[key] for key in ("reference_group", "missing", "not_missing")}
    return {**folds, **more, "rename": {**folds["rename"], **renamed}}


def digest(cohort: Row, index: Index) -> str:
    """Return a short hash of who the reference is; empty where nobody is chosen, or the tables do not exist yet."""
    rule = cohort.get("reference_group")
    if not rule or cohort["simulate"]:
        return ""
    chosen = sorted(members(group_of(index, rule["column"]), rule["equals"]).items())
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]


def rule_problems(cohort: Row, index: Index) -> list[str]:
    """Problems of `cohort.reference_group`: no such column, a rule that matches nobody or too few, unclear people."""
    rule = cohort.get("reference_group")
    if not rule or not any(table.columns for table in index.tables):
        return []
    place, column = "cohort.reference_group", rule["column"]
    columns = [name for table in index.tables for name in table.columns]
    if column not in columns:
        return [f"{place}: {no_column(column, columns)}"]
    groups = group_of(index, column)
    chosen = members(groups, rule["equals"])
    several = [f"{person} ({', '.join(sorted(found))})" for person, found in groups.items() if len(found) > 1]
    if several:
        text = f"{len(several)} people have several values of {column}: {some(several)}"
        return [f"{place}: {text}; give each person one, or choose a column that does not change"]
    counts = Counter(value for found in groups.values() for value in found)
    found = ", ".join(f"{value} ({count})" for value, count in counts.most_common(SHOWN)) or "no values"
    if not any(chosen.values()):
        return [f"{place}: nobody has {column} = {rule['equals']}; found {found}; correct `equals`"]
    if (count := sum(chosen.values())) < FEWEST:
        return [f"{place}: {count} people have {column} = {rule['equals']}, {FEWEST} are needed; found {found}"]
    return []


def problems(config: Row, index: Index, models: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return problems and notes of the reference rule and of the section `norm`."""
    cohort, wanted = config["cohort"], config["norm"]
    faults = rule_problems(cohort, index)
    if not wanted["age"]:
        named = [key for key in ("sex", "deviation", "people") if wanted[key]]
        faults += [f"norm.{key}: needs norm.age, the column of the age at the scan; give it" for key in named]
        return faults, _unused(cohort) if not faults else []
    faults += _names(cohort, wanted, models)
    if wanted["deviation"] and not cohort["reference_group"]:
        faults.append(
            "norm.deviation: needs cohort.reference_group, whom the norm is learnt from; give column and equals"
        )
    if wanted["people"] and not wanted["deviation"]:
        faults.append("norm.people: participants have a page of their deviation; give norm.deviation: true")
    notes: list[str] = []
    if not faults and not cohort["simulate"]:
        known = {scan.person for scan in index.scans}
        strangers = [one for one in wanted["people"] if one not in known]
        faults += [f"norm.people: no participant {one!r}; found {some(sorted(known))}" for one in strangers]
        more, notes = _reference(cohort, wanted, index)
        faults += more
    return faults, notes


def _unused(cohort: Row) -> list[str]:
    if not cohort.get("reference_group"):
        return []
    return ["cohort.reference_group: models are trained on the reference alone; without norm.age there is no norm"]


def _names(cohort: Row, wanted: Row, models: Sequence[str]) -> list[str]:
    """Names of the section that are no scores, confounds or models."""
    tables = [item for item in cohort["confounds"] if item["from"] == "table"]
    types = {item["name"]: item["type"] for item in [*tables, *cohort["scores"]]}
    found = ", ".join(types) or "none"
    faults = []
    for key, allowed in (("age", NUMBERS), ("sex", ("categorical", "binary"))):
        name = wanted[key]
        if name and name not in types:
            faults.append(f"norm.{key}: {name!r} is no score or confound of your tables; there are {found}")
        elif name and types[name] not in allowed:
            faults.append(f"norm.{key}: {name!r} is of type {types[name]}; give one of type {' or '.join(allowed)}")
    unknown = [name for name in wanted["models"] if name not in models]
    return faults + [f"norm.models: no model {name!r}; there are {', '.join(models)}" for name in unknown]


def _reference(cohort: Row, wanted: Row, index: Index) -> tuple[list[str], list[str]]:
    """What the tables show of the ages and sites of the reference and of the others."""
    rule = cohort["reference_group"]
    if not rule:
        return [], []
    chosen = members(group_of(index, rule["column"]), rule["equals"])
    items = [*cohort["scores"], *cohort["confounds"]]
    column = source(next(item for item in items if item["name"] == wanted["age"]))
    ages = {scan.scan: [number(value) for value, _ in lookup(index.tables, column, scan.keys)] for scan in index.scans}
    known = {scan: found[0] for scan, found in ages.items() if found and found[0] is not None}
    person = {scan.scan: scan.person for scan in index.scans}
    own = [age for scan, age in known.items() if chosen[person[scan]]]
    if not own:
        return [f"norm.age: nobody of the reference has a value of {column}; correct the tables or the rule"], []
    low, high = min(own), max(own)
    beyond = {person[scan]: age for scan, age in known.items() if not low <= age <= high}
    notes = shared_sites([(scan.site, chosen[scan.person]) for scan in index.scans])
    if wanted["sex"] and wanted["deviation"]:
        sex = source(next(item for item in items if item["name"] == wanted["sex"]))
        notes += lone_levels(group_of(index, sex), chosen)
    if not beyond:
        return [], notes
    named = some([f"{one} ({age:g})" for one, age in sorted(beyond.items())])
    text = f"ages outside those of the reference, {low:g} to {high:g}: {named}"
    if wanted["outside_age"] == "refuse":
        return [f"norm.outside_age: {text}; leave them out, or set outside_age: mark"], notes
    return [], [*notes, f"norm: {text}; what is computed for them is extrapolated, marked, and in no test"]


def lone_levels(groups: dict[str, set[str]], chosen: dict[str, bool]) -> list[str]:
    """Say which sexes have too few people in the reference for a norm.

    groups: each person's values; chosen: whether each is of the reference.
    """
    counts = Counter({value: 0 for found in groups.values() for value in found})
    counts.update(value for person, found in groups.items() if chosen[person] for value in found)
    return [
        f"norm.sex: {count} people of the reference are {value!r}, {LEVEL} are needed: there is no norm for people of "
        "this sex; set norm.sex to null for one norm of all"
        for value, count in sorted(counts.items())
        if count < LEVEL
    ]


def shared_sites(pairs: Iterable[tuple[str, bool]]) -> list[str]:
    """Say that the reference and the others have no site in common, where both have sites and that is so.

    pairs: site of each scan, and whether its person is of the reference.
    """
    pairs = [(site, own) for site, own in pairs if site not in ("", "n/a")]
    own, others = ({site for site, of_reference in pairs if of_reference is kind} for kind in (True, False))
    if not own or not others or own & others:
        return []
    return [
        f"norm: the reference ({some(sorted(own))}) and the others ({some(sorted(others))}) share no site: a deviation "
        "may be that of the scanner and not of the person, and nothing in the data tells the two apart"
    ]
