"""What is allowed in a table of latents but should be looked at: shared rows, rows of zeros, columns given twice."""

from collections.abc import Sequence

from neurovae.io.tables import first, some
from neurovae.plan.user_tables import Volumes

FEWEST = 3  # columns from which on a row of zeros is noted
LISTED = 5  # rows of zeros that are named


def notes(file: str, found: Volumes, scans: Sequence[Sequence[str]]) -> list[str]:
    """Notes on a table without problems.

    Args:
        file: the table.
        found: its latents by scan.
        scans: the keys of each scan: its own, its session's, its person's.
    """
    return [*_shared(file, found, scans), *_zeros(found), *_twice(file, found)]


def _shared(file: str, found: Volumes, scans: Sequence[Sequence[str]]) -> list[str]:
    """Note that a row holds for several sessions of its person, whose latents are then the same."""
    sessions: dict[str, set[str]] = {}
    for scan, session, person in scans:
        cells = found.rows[scan].cells if scan in found.rows else {"scan": scan}
        if cells.get("session_id") is None and "scan" not in cells:
            sessions.setdefault(person, set()).add(session)
    several = [person for person, labels in sessions.items() if len(labels) > 1]
    if not several:
        return []
    return [
        f"{file}: a row without a session holds for all sessions of its person, so that the latents of {len(several)} "
        f"people ({some(several)}) do not change over time"
    ]


def _zeros(found: Volumes) -> list[str]:
    """Note rows of which most values are 0 in columns that are seldom 0: perhaps a segmentation that has failed."""
    rows = {row.number: (row, found.values[scan]) for scan, row in found.rows.items() if scan in found.values}
    seldom = [name for name in found.regions if 2 * sum(not values[name] for _, values in rows.values()) < len(rows)]
    zeros = {row.where: sum(not values[name] for name in seldom) for row, values in rows.values()}
    return first(
        [
            f"{where}: {count} of {len(seldom)} values are 0; if the segmentation has failed, leave the row out"
            for where, count in zeros.items()
            if 2 * count > len(seldom) >= FEWEST
        ],
        LISTED,
    )


def _twice(file: str, found: Volumes) -> list[str]:
    """Note columns that are equal in every row: they count as two latents."""
    owner: dict[tuple[float | None, ...], str] = {}
    pairs = []
    for name in found.regions:
        other = owner.setdefault(tuple(values[name] for values in found.values.values()), name)
        pairs += [f"'{name}' and '{other}'"] if other != name else []
    return [f"{file}: columns {some(pairs)} hold the same numbers; leave one of the two out (columns)"] if pairs else []
