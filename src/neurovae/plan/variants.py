"""Several scans of one session: which of them cross-sectional tests use, and notes on it; standard library only.

Scans without contrast agent (`ce-`) come before those with it; then acquisition, run and the remaining entities decide
by their labels. Labels say nothing about quality, so that a note names what is used.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from neurovae.io.tables import some

CONTRAST = re.compile(r"_ce-([A-Za-z0-9+]+)")
MAX_NAMES = 3


def enhanced(scan: str) -> bool:
    """Whether the key of a scan says that it was taken with a contrast agent."""
    return CONTRAST.search(scan) is not None


def natural(text: str) -> str:
    """Return a key by which run-2 comes before run-10."""
    return re.sub(r"\d+", lambda match: match.group().zfill(9), text)


def notes(scans: Sequence[Any], order: Mapping[str, int | None]) -> list[str]:
    """Return notes on people with several scans in their first session, and on contrast agent in some people only.

    Args:
        scans: of the index.
        order: place of each scan's session within the person.
    """
    firsts: dict[str, list[Any]] = defaultdict(list)
    for scan in scans:
        if order.get(scan.scan, 1) == 1:
            firsts[scan.person].append(scan)
    ranked = {person: sorted(members, key=_rank) for person, members in firsts.items()}
    return _several(ranked) + _contrast(ranked)


def _rank(scan: Any) -> tuple[bool, str, str, str]:
    return enhanced(scan.scan), natural(scan.acquisition), natural(scan.run), natural(scan.scan)


def _several(ranked: Mapping[str, list[Any]]) -> list[str]:
    people = [person for person, members in ranked.items() if len(members) > 1]
    if not people:
        return []
    used = Counter(_variant(ranked[person][0]) for person in people)
    others = Counter(_variant(scan) for person in people for scan in ranked[person][1:])
    have = "people have" if len(people) > 1 else "person has"
    return [
        f"{len(people)} {have} several scans in one session ({some(people)}): cross-sectional tests use the first "
        f"usable one by its labels, {_counted(used)}, before {_counted(others)}; if that is not the one you want, "
        "exclude it (.bidsignore, or keep: no in the table of preprocess.qc.override)"
    ]


def _contrast(ranked: Mapping[str, list[Any]]) -> list[str]:
    people = [person for person, members in ranked.items() if enhanced(members[0].scan)]
    if not people or len(people) == len(ranked):
        return []
    return [
        f"{len(people)} of {len(ranked)} people have scans with contrast agent (ce-) only ({some(people)}): it changes "
        "intensities; exclude them, or give a column for it as a confound"
    ]


def _variant(scan: Any) -> str:
    """The entities of a scan apart from person and session."""
    entities = [part for part in scan.scan.split("_") if not part.startswith(("sub-", "ses-"))]
    return "_".join(entities) or "the one without further entities"


def _counted(variants: Counter[str]) -> str:
    texts = [f"{name} of {count}" for name, count in variants.most_common(MAX_NAMES)]
    more = len(variants) - MAX_NAMES
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
