"""Deal people to folds, and each fold's people to weights, stop and report, from person id, site and stratum only."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.files import write_tsv
from neurovae.index import people, read


def run(*, cohort: Json, out: Path) -> None:
    """Write folds.tsv: person, site, fold, split_0 .. split_{n-1}.

    Args:
        cohort: the source, `name`, `rename`, `site` and `folds` of the config section; scores are not looked at.
        out: folds.tsv.
    """
    folds = cohort["folds"]
    rows = assign(people(read(cohort)), n=folds["n"], seed=folds["seed"], stop=folds["stop"])
    write_tsv(out, rows, ["person", "site", "fold", *(f"split_{fold}" for fold in range(folds["n"]))])


def assign(people: Iterable[tuple[str, str, str]], *, n: int, seed: int, stop: float) -> list[dict[str, Any]]:
    """Give each (person, site, stratum) a fold and its part in every fold's model; rows sorted by person.

    Fold sizes differ by at most one, overall and within each site and stratum. In split_k, fold k reports, a share
    `stop` of the others (one person at least) stops training, the rest sets the weights.
    """
    everyone = sorted(set(people))
    least = 4 if n == 2 else n  # every model needs one person at least for each of its three parts
    if n < 2 or len({person for person, _, _ in everyone}) < least:
        raise InputError(f"cohort: {len(everyone)} people for {n} folds; give {least} or more people, or other folds.n")
    dealt = sorted(everyone, key=lambda who: (who[1], who[2], _order(f"{seed}:{who[0]}")))
    fold = {person: turn % n for turn, (person, _, _) in enumerate(dealt)}
    stops = [_stops([person for person in sorted(fold) if fold[person] != k], k, seed, stop) for k in range(n)]
    rows: list[dict[str, Any]] = []
    for person, site, _ in everyone:
        splits = {
            f"split_{k}": "report" if fold[person] == k else "stop" if person in stops[k] else "weights"
            for k in range(n)
        }
        rows.append({"person": person, "site": site, "fold": fold[person], **splits})
    return rows


def _stops(others: list[str], k: int, seed: int, stop: float) -> set[str]:
    """The people, of those that fold k does not report, who stop its training: one at least, never all."""
    count = min(max(1, round(stop * len(others))), len(others) - 1)
    return set(sorted(others, key=lambda person: _order(f"{seed}:stop:{k}:{person}"))[:count])


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    cli(run)
