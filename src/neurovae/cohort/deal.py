"""Assign people to folds, and to the sets of every fold's model; standard library only, for parse time."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from neurovae.errors import InputError


def assign(
    people: Iterable[tuple[str, str, str]], *, n: int, seed: int, stop: float, by: str = "person"
) -> list[dict[str, Any]]:
    """Assign each (person, site, stratum) to a fold and to a set in every fold's model; rows sorted by person.

    Fold sizes differ by at most one, overall and within each site and stratum. By "site", whole sites are assigned, and
    with as many folds as sites each fold leaves one site out. In split_k, fold k is the test set, a fraction `stop` of
    the others (at least one person) the validation set, the rest the training set.
    """
    all_people = sorted(set(people))
    fold = fold_of(all_people, n=n, seed=seed, by=by)
    stops = [_stops([person for person in sorted(fold) if fold[person] != k], k, seed, stop) for k in range(n)]
    rows: list[dict[str, Any]] = []
    for person, site, _ in all_people:
        splits = {
            f"split_{k}": "test" if fold[person] == k else "validation" if person in stops[k] else "training"
            for k in range(n)
        }
        rows.append({"person": person, "site": site, "fold": fold[person], **splits})
    return rows


def fold_of(people: Iterable[tuple[str, str, str]], *, n: int, seed: int, by: str = "person") -> dict[str, int]:
    """Return the fold of each (person, site, stratum).

    Raises:
        InputError: fewer people than folds, or fewer sites than folds where whole sites are assigned.
    """
    all_people = sorted(set(people))
    min_people = 4 if n == 2 else n  # training, validation and test sets need one person each
    if n < 2 or len({person for person, _, _ in all_people}) < min_people:
        raise InputError(
            f"cohort: {len(all_people)} people for {n} folds; give {min_people} or more people, or other folds.n"
        )
    ordered = sorted(
        all_people, key=lambda person_key: (person_key[1], person_key[2], _order(f"{seed}:{person_key[0]}"))
    )
    fold = {person: place % n for place, (person, _, _) in enumerate(ordered)}
    if by == "site":
        of_site = _sites(Counter(site for _, site, _ in all_people), n)
        fold = {person: of_site[site] for person, site, _ in all_people}
    return fold


def _sites(sizes: Counter[str], n: int) -> dict[str, int]:
    """Return the fold of each site: the largest first, each to the fold with the fewest people so far."""
    if len(sizes) < n:
        raise InputError(
            f"cohort: {len(sizes)} sites for {n} folds by site; set folds.n to {len(sizes)}, or by: person"
        )
    if len({site for site in sizes if site not in ("", "n/a")}) < len(sizes):
        raise InputError(
            "cohort: people without a site cannot be assigned by site; fill the column, or set folds.by: person"
        )
    people_in_fold, fold_of_site = [0] * n, {}
    for site, count in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0])):
        fold_of_site[site] = people_in_fold.index(min(people_in_fold))
        people_in_fold[fold_of_site[site]] += count
    return fold_of_site


def _stops(others: list[str], k: int, seed: int, stop: float) -> set[str]:
    """Choose the validation people among those who are not tested in fold k: at least one, never all."""
    count = min(max(1, round(stop * len(others))), len(others) - 1)
    return set(sorted(others, key=lambda person: _order(f"{seed}:stop:{k}:{person}"))[:count])


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
