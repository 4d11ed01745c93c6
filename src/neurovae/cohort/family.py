"""Relatives stay together: one fold and one part in a model for a family; standard library only, for parse time."""

from collections.abc import Iterable
from typing import Any

from neurovae.plan.index import Scan

Person = tuple[str, str, str]  # id, site, stratum


def families(scans: Iterable[Scan]) -> dict[str, str]:
    """The family of each person; people without one are a family of their own, by their id."""
    known = {scan.person: scan.family for scan in scans if scan.family != "n/a"}
    return {scan.person: known.get(scan.person, scan.person) for scan in scans}


def units(people: Iterable[Person], family: dict[str, str]) -> list[Person]:
    """One entry per family, under its first person, to be dealt like a person; families of a size are dealt evenly."""
    members: dict[str, list[Person]] = {}
    for person in sorted(people):
        members.setdefault(family[person[0]], []).append(person)
    return [
        (first, site, stratum if len(group) == 1 else f"{stratum} family of {len(group)}")
        for group in members.values()
        for first, site, stratum in group[:1]
    ]


def expanded(rows: Iterable[dict[str, Any]], people: Iterable[Person], family: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of the units, given to every member of their families; rows sorted by person."""
    of_family = {family[row["person"]]: row for row in rows}
    return [of_family[family[person]] | {"person": person, "site": site} for person, site, _ in sorted(people)]


def joined(new: dict[str, int], known: dict[str, int], family: dict[str, str]) -> dict[str, int]:
    """Folds of new people, those of the families that are known or of the first new relative where there are such."""
    of_family = {family[person]: fold for person, fold in known.items() if person in family}
    for person in sorted(new):
        of_family.setdefault(family[person], new[person])
    return {person: of_family[family[person]] for person in new}


def problems(scans: Iterable[Scan], by: str) -> list[str]:
    """People of two families, and families of two sites where whole sites are dealt to folds."""
    scans = list(scans)
    named: dict[str, set[str]] = {}
    for scan in scans:
        named.setdefault(scan.person, set()).update({scan.family} - {"n/a"})
    found = [
        f"cohort.family: {person} has several, {', '.join(sorted(names))}; give each person one"
        for person, names in sorted(named.items())
        if len(names) > 1
    ]
    sites: dict[str, set[str]] = {}
    for scan in scans if by == "site" else ():
        sites.setdefault(scan.family, set()).add(scan.site)
    return found + [
        f"cohort.family: family {name} has people at sites {', '.join(sorted(at))}, which folds.by: site would part;"
        " set folds.by: person"
        for name, at in sorted(sites.items())
        if len(at) > 1 and name != "n/a"
    ]
