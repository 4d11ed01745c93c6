"""Keep relatives together: one fold and one set for all members of a family; standard library only, for parse time."""

from collections.abc import Iterable
from typing import Any

from neurovae.plan.index import Scan

Person = tuple[str, str, str]  # id, site, stratum


def families(scans: Iterable[Scan]) -> dict[str, str]:
    """Return the family of each person; people without one form a family of their own, named by their id."""
    given_family = {scan.person: scan.family for scan in scans if scan.family != "n/a"}
    return {scan.person: given_family.get(scan.person, scan.person) for scan in scans}


def units(people: Iterable[Person], family: dict[str, str]) -> list[Person]:
    """Return one entry per family, under its first person, to be assigned like a person; balanced by family size."""
    members: dict[str, list[Person]] = {}
    for person in sorted(people):
        members.setdefault(family[person[0]], []).append(person)
    return [
        (first, site, stratum if len(group) == 1 else f"{stratum} family of {len(group)}")
        for group in members.values()
        for first, site, stratum in group[:1]
    ]


def expanded(rows: Iterable[dict[str, Any]], people: Iterable[Person], family: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows of the units for every member of their families; rows sorted by person."""
    of_family = {family[row["person"]]: row for row in rows}
    return [of_family[family[person]] | {"person": person, "site": site} for person, site, _ in sorted(people)]


def join_families(new_folds: dict[str, int], known_folds: dict[str, int], family: dict[str, str]) -> dict[str, int]:
    """Return folds of new people: the fold of their family, or of its first new member."""
    of_family = {family[person]: fold for person, fold in known_folds.items() if person in family}
    for person in sorted(new_folds):
        of_family.setdefault(family[person], new_folds[person])
    return {person: of_family[family[person]] for person in new_folds}


def problems(scans: Iterable[Scan], by: str) -> list[str]:
    """List people of two families, and families of two sites where whole sites are assigned to folds."""
    scans = list(scans)
    families_of: dict[str, set[str]] = {}
    for scan in scans:
        families_of.setdefault(scan.person, set()).update({scan.family} - {"n/a"})
    listed_problems = [
        f"cohort.family: {person} has several, {', '.join(sorted(names))}; give each person one"
        for person, names in sorted(families_of.items())
        if len(names) > 1
    ]
    sites: dict[str, set[str]] = {}
    for scan in scans if by == "site" else ():
        sites.setdefault(scan.family, set()).add(scan.site)
    return listed_problems + [
        f"cohort.family: family {name} has people at sites {', '.join(sorted(sites_of_family))}, "
        "which folds.by: site would separate; set folds.by: person"
        for name, sites_of_family in sorted(sites.items())
        if len(sites_of_family) > 1 and name != "n/a"
    ]
