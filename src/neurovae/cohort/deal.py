"""The fold of each person, and their set in every fold's model; standard library only, for parse time."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from neurovae.errors import InputError


def assign(
    people: Iterable[tuple[str, str, str]], *, n: int, seed: int, stop: float, by: str = "person"
) -> list[dict[str, Any]]:
    """Assign each (person, site, stratum) to a fold and to a set in every fold's model; rows sorted by person.

    Fold sizes differ by at most one, overall and within each site and stratum; by "site", whole sites are assigned,
    and as many folds as sites leave one site out each. In split_k, fold k is the test set, a share `stop` of the
    others (one person at least) the validation set, the rest the training set.
    """
    everyone = sorted(set(people))
    fold = fold_of(everyone, n=n, seed=seed, by=by)
    stops = [_stops([person for person in sorted(fold) if fold[person] != k], k, seed, stop) for k in range(n)]
    rows: list[dict[str, Any]] = []
    for person, site, _ in everyone:
        splits = {
            f"split_{k}": "test" if fold[person] == k else "validation" if person in stops[k] else "training"
            for k in range(n)
        }
        rows.append({"person": person, "site": site, "fold": fold[person], **splits})
    return rows


def fold_of(people: Iterable[tuple[str, str, str]], *, n: int, seed: int, by: str = "person") -> dict[str, int]:
    """The fold of each (person, site, stratum).

    Raises:
        InputError: fewer people than folds, or fewer sites than folds where whole sites are assigned.
    """
    everyone = sorted(set(people))
    least = 4 if n == 2 else n  # training, validation and test sets need one person each
    if n < 2 or len({person for person, _, _ in everyone}) < least:
        raise InputError(f"cohort: {len(everyone)} people for {n} folds; give {least} or more people, or other folds.n")
    dealt = sorted(everyone, key=lambda who: (who[1], who[2], _order(f"{seed}:{who[0]}")))
    fold = {person: turn % n for turn, (person, _, _) in enumerate(dealt)}
    if by == "site":
        of_site = _sites(Counter(site for _, site, _ in everyone), n)
        fold = {person: of_site[site] for person, site, _ in everyone}
    return fold


def _sites(sizes: Counter[str], n: int) -> dict[str, int]:
    """The fold of each site: the largest first, each to the fold with the fewest people so far."""
    if len(sizes) < n:
        raise InputError(
            f"cohort: {len(sizes)} sites for {n} folds by site; set folds.n to {len(sizes)}, or by: person"
        )
    if len({site for site in sizes if site not in ("", "n/a")}) < len(sizes):
        raise InputError(
            "cohort: people without a site cannot be assigned by site; fill the column, or set folds.by: person"
        )
    filled, found = [0] * n, {}
    for site, count in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0])):
        found[site] = filled.index(min(filled))
        filled[found[site]] += count
    return found


def _stops(others: list[str], k: int, seed: int, stop: float) -> set[str]:
    """The validation people among those who are not tested in fold k: one at least, never all."""
    count = min(max(1, round(stop * len(others))), len(others) - 1)
    return set(sorted(others, key=lambda person: _order(f"{seed}:stop:{k}:{person}"))[:count])


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
