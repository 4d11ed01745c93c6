"""Deal people to folds, and each fold's people to weights, stop and report, from person id, site and stratum only."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurovae.cli import Json, cli
from neurovae.cohort.family import expanded, families, units
from neurovae.errors import InputError
from neurovae.io.files import write_tsv
from neurovae.plan.index import people, read


def run(*, cohort: Json, out: Path) -> None:
    """Write folds.tsv: person, site, fold, split_0 .. split_{n-1}.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun folds

    Args:
        cohort: source, `name`, `rename`, `site`, `family` and `folds` of the config section; scores are not read.
        out: folds.tsv.
    """
    folds, scans = cohort["folds"], read(cohort)
    everyone, family = people(scans), families(scans)
    dealt = {"n": folds["n"], "seed": folds["seed"], "stop": folds["validation"], "by": folds["by"]}
    rows = expanded(assign(units(everyone, family), **dealt), everyone, family)
    write_tsv(out, rows, ["person", "site", "fold", *(f"split_{fold}" for fold in range(folds["n"]))])


def assign(
    people: Iterable[tuple[str, str, str]], *, n: int, seed: int, stop: float, by: str = "person"
) -> list[dict[str, Any]]:
    """Give each (person, site, stratum) a fold and its part in every fold's model; rows sorted by person.

    Fold sizes differ by at most one, overall and within each site and stratum; by "site", whole sites are dealt, and
    as many folds as sites leave one site out each. In split_k, fold k reports, a share `stop` of the others (one person
    at least) stops training, the rest sets the weights.
    """
    everyone = sorted(set(people))
    least = 4 if n == 2 else n  # every model needs one person at least for each of its three parts
    if n < 2 or len({person for person, _, _ in everyone}) < least:
        raise InputError(f"cohort: {len(everyone)} people for {n} folds; give {least} or more people, or other folds.n")
    dealt = sorted(everyone, key=lambda who: (who[1], who[2], _order(f"{seed}:{who[0]}")))
    fold = {person: turn % n for turn, (person, _, _) in enumerate(dealt)}
    if by == "site":
        of_site = _sites(Counter(site for _, site, _ in everyone), n)
        fold = {person: of_site[site] for person, site, _ in everyone}
    stops = [_stops([person for person in sorted(fold) if fold[person] != k], k, seed, stop) for k in range(n)]
    rows: list[dict[str, Any]] = []
    for person, site, _ in everyone:
        splits = {
            f"split_{k}": "test" if fold[person] == k else "validation" if person in stops[k] else "training"
            for k in range(n)
        }
        rows.append({"person": person, "site": site, "fold": fold[person], **splits})
    return rows


def _sites(sizes: Counter[str], n: int) -> dict[str, int]:
    """The fold of each site: the largest first, each to the fold with the fewest people so far."""
    if len(sizes) < n:
        raise InputError(
            f"cohort: {len(sizes)} sites for {n} folds by site; set folds.n to {len(sizes)}, or by: person"
        )
    if len({site for site in sizes if site not in ("", "n/a")}) < len(sizes):
        raise InputError(
            "cohort: people without a site cannot be dealt by site; fill the column, or set folds.by: person"
        )
    filled, found = [0] * n, {}
    for site, count in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0])):
        found[site] = filled.index(min(filled))
        filled[found[site]] += count
    return found


def _stops(others: list[str], k: int, seed: int, stop: float) -> set[str]:
    """The people, of those that fold k does not report, who stop its training: one at least, never all."""
    count = min(max(1, round(stop * len(others))), len(others) - 1)
    return set(sorted(others, key=lambda person: _order(f"{seed}:stop:{k}:{person}"))[:count])


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    cli(run)
