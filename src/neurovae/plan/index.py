"""The scans of a cohort, listed when the Snakefile is read: from BIDS, other tools, a plain table or the demo."""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from neurovae.errors import InputError
from neurovae.io import missing
from neurovae.io.levels import level
from neurovae.io.tables import Keyed, Row, keyed, lookup, loose
from neurovae.io.tables import read as read_table
from neurovae.plan import bids, derivatives, matches, plain_table, sessions, totals, visits

SOURCES = ("bids", "files", "table", "simulate")


class Scan(NamedTuple):
    """One scan; `session`, `acquisition` and `run` are labels without prefix, empty where there is none.

    `volume` is its volume in a 4-D file (from 0) and `mask` the file of its brain mask, empty where there is none.
    """

    scan: str
    person: str
    session: str
    acquisition: str
    run: str
    path: str
    site: str
    stratum: str
    volume: str = ""
    mask: str = ""
    family: str = "n/a"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of table rows that hold for this scan, the most specific first."""
        return (self.scan, f"{self.person}_ses-{self.session}", self.person)


class Index(NamedTuple):
    """Scans, what is left out as (scan, person, reason), the tables and their paths, and every problem.

    notes: what a dry run should warn of. order: place of each scan's session within the person, see `sessions`.
    times: acq_time by scan from the scans tables. visit_rows: the row of each visit table that each scan was given.
    """

    scans: list[Scan]
    excluded: list[tuple[str | None, str, str]]
    tables: list[Keyed]
    files: list[str]
    problems: list[str]
    notes: list[str] = []
    order: sessions.Order = {}
    times: dict[str, str] = {}
    visit_rows: list[visits.Match] = []


def read(cohort: dict[str, Any]) -> list[Scan]:
    """List the scans of the `cohort` section, sorted by key; raises InputError with every problem of ids and files."""
    found = look(cohort)
    if found.problems:
        raise InputError(found.problems)
    return found.scans


def inputs(cohort: dict[str, Any]) -> list[str]:
    """The paths of the tables that the cohort rule reads."""
    return look(cohort).files


def look(cohort: dict[str, Any]) -> Index:
    """Read the folder and the tables once; nothing is raised, problems are listed."""
    sources = [name for name in SOURCES if cohort.get(name)]
    if len(sources) != 1:
        given = " and ".join(sources) or "none"
        return Index([], [], [], [], [f"cohort: found {given} of {', '.join(SOURCES)}; give exactly one"])
    reader = {"bids": _bids, "files": _files, "table": _plain, "simulate": _simulated}[sources[0]]
    found = reader(cohort)
    stray = [key for key in ("participants", "masks", "volumes", "space") if cohort.get(key) and sources != ["files"]]
    faults = [f"cohort.{key}: belongs to cohort.files; leave it out with cohort.{sources[0]}" for key in stray]
    return _joined(cohort, found._replace(problems=[*faults, *found.problems]))


def data_root(cohort: dict[str, Any]) -> dict[str, str]:
    """The source of the section's data: one of SOURCES, with its path."""
    given = [key for key in SOURCES if cohort.get(key)]
    return {key: "" if key == "simulate" else os.path.normpath(cohort[key]) for key in given}


def written(cohort: dict[str, Any]) -> dict[str, Any]:
    """The same section once the simulated cohort has been written as a BIDS folder."""
    if not cohort.get("simulate"):
        return cohort
    return {**cohort, "simulate": None, "suffix": "T1w", "bids": f"results/{cohort['name']}/cohort/bids"}


def people(scans: Iterable[Scan]) -> list[tuple[str, str, str]]:
    """(person, site, stratum) once per person; a person scanned at two sites has the site `A+B`."""
    sites: dict[str, set[str]] = {}
    strata: dict[str, set[str]] = {}
    for scan in scans:
        sites.setdefault(scan.person, set()).add(scan.site)
        strata.setdefault(scan.person, set()).add(scan.stratum)
    return [(person, "+".join(sorted(sites[person])), "+".join(sorted(strata[person]))) for person in sorted(sites)]


def digest(scans: Iterable[Scan]) -> str:
    """A short hash of everything that determines the folds: people, sites, strata, families."""
    scans = list(scans)
    related = sorted({(scan.person, scan.family) for scan in scans if scan.family != "n/a"})
    return hashlib.sha256(json.dumps([people(scans), related] if related else people(scans)).encode()).hexdigest()[:16]


def listing(found: Index) -> str:
    """A short hash of the scans, the scans left out and the order of sessions: what the cohort's table lists."""
    rows = [[scan.scan for scan in found.scans], found.excluded, found.order]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def batches(scans: Iterable[Scan], n: int) -> dict[str, list[Scan]]:
    """Scans by sha256(person) mod `n`, so that new people move nobody; InputError above 400 scans in one batch."""
    filled: dict[str, list[Scan]] = {}
    for scan in sorted(scans):
        filled.setdefault(f"{int(hashlib.sha256(scan.person.encode()).hexdigest(), 16) % n:04d}", []).append(scan)
    name, most = max(filled.items(), key=lambda item: len(item[1]), default=("", []))
    if len(most) > 400:
        wanted = math.ceil(sum(map(len, filled.values())) / 50)
        raise InputError(
            f"preprocess.batches is {n}: batch {name} would hold {len(most)} scans, at most 400 are allowed;"
            f" set preprocess.batches to {wanted}"
        )
    return dict(sorted(filled.items()))


def used(cohort: dict[str, Any]) -> list[tuple[str, str]]:
    """(purpose, column) of every table column that the section names."""
    named = [(f"score '{score['name']}'", score.get("column") or score["name"]) for score in cohort.get("scores") or []]
    named += [
        (f"confound '{confound['name']}'", confound.get("column") or confound["name"])
        for confound in cohort.get("confounds") or []
        if confound.get("from", "table") == "table"
    ]
    stratify = (cohort.get("folds") or {}).get("stratify")
    keys = (("cohort.site", cohort.get("site")), ("cohort.family", cohort.get("family")), ("stratify", stratify))
    return named + [(key, name) for key, name in keys if name]


def _simulated(cohort: dict[str, Any]) -> Index:
    folder = f"results/{cohort['name']}/cohort/bids"
    scans = []
    for number in range(1, int(cohort["simulate"]["people"]) + 1):
        person, site = f"sub-{number:03d}", ("B", "A")[number % 2] if cohort.get("site") else "n/a"
        scans.append(Scan(person, person, "", "", "", f"{folder}/{person}/anat/{person}_T1w.nii.gz", site, "n/a"))
    stratify = (cohort.get("folds") or {}).get("stratify")
    refused = f"stratify: '{stratify}' is not known before the cohort has been simulated; set folds.stratify to null"
    problems = [refused] if stratify else []
    problems += ["cohort.family: the simulated people are not related; set it to null"] if cohort.get("family") else []
    return Index(sorted(scans), [], [], [f"{folder}/participants.tsv"], problems)


def _joined(cohort: dict[str, Any], found: Index) -> Index:
    """Add the visit tables with a row per scan, and the totals of items."""
    base = {column for table in found.tables for column in table.columns}
    joined = visits.join(cohort, found.scans, found.tables, found.times)
    keys = {key for scan in found.scans for key in scan.keys}
    items = [*(cohort.get("scores") or []), *(cohort.get("confounds") or [])]
    tables, faults, notes = totals.add(items, [*found.tables, *joined.tables], keys)
    visiting = {column for table in joined.tables for column in table.columns} - base
    faults += [
        f"{what}: '{name}' is a column of a visit table; folds are made from the participants table alone: put it there"
        for what, name in used(cohort)
        if what in ("cohort.site", "cohort.family", "stratify") and name in visiting
    ]
    return found._replace(
        tables=tables,
        files=[*found.files, *visits.files(cohort)],
        problems=found.problems + joined.problems + faults,
        notes=found.notes + joined.warnings + notes,
        visit_rows=joined.matches,
    )


def _bids(cohort: dict[str, Any]) -> Index:
    root, suffix = os.path.normpath(cohort["bids"]), cohort.get("suffix") or "T1w"
    if not os.path.isdir(root):
        return Index([], [], [], [], [f"cohort.bids: folder '{cohort['bids']}' not found; correct the path"])
    found = bids.walk(root, suffix)
    scans = [_named(key, path) for key, path in sorted(found.scans.items())]
    return _with_folder(cohort, root, found, Index(scans, found.excluded, [], [], found.problems))


def _files(cohort: dict[str, Any]) -> Index:
    """The scans of another tool's files, with the tables of their BIDS folder or the participants table."""
    sources, problems = derivatives.find(cohort)
    scans = [
        _named(key, source.path)._replace(volume=source.volume, mask=source.mask)
        for key, source in sorted(sources.items())
    ]
    problems += derivatives.space(cohort, [scan.path for scan in scans])[1]
    first, place = Index(scans, [], [], [], problems), cohort.get("participants")
    if not place:
        needed = [f"{what}: column '{name}' has no table; give cohort.participants" for what, name in used(cohort)]
        return first._replace(problems=problems + (needed if not cohort.get("visits") else []))
    if os.path.isdir(place):
        root = os.path.normpath(place)
        return _with_folder(cohort, root, bids.walk(root, "T1w"), first)
    table, unread = read_table(
        place, file=os.path.basename(place), rename=cohort.get("rename") or {}, codes=missing.codes(cohort)
    )
    rows, unkeyed = keyed(table)
    return _with_rows(cohort, first._replace(tables=[rows], files=[place], problems=problems + unread + unkeyed), {})


def _with_folder(cohort: dict[str, Any], root: str, found: bids.Walk, first: Index) -> Index:
    """The scans with the tables of a BIDS folder; dates of all scans are read where visit tables need them."""
    columns, codes = {column for _, column in used(cohort)}, missing.codes(cohort)
    tables, files, problems = bids.tables(root, found.sessions, cohort.get("rename") or {}, columns, codes)
    dated = any(entry.get("date") for entry in cohort.get("visits") or [])
    times, read_files, unread = sessions.scan_times(found.times, first.scans, root, codes, everyone=dated)
    problems = first.problems + problems + unread
    return _with_rows(cohort, first._replace(tables=tables, files=files + read_files, problems=problems), times)


def _with_rows(cohort: dict[str, Any], first: Index, times: dict[str, str]) -> Index:
    """Keep the scans whose person has a row in the first of the tables."""
    table, scans, problems = first.tables[0], first.scans, list(first.problems)
    rows: dict[str, Row] = {}
    for key, row in table.rows.items():
        rows.setdefault(key.split("_")[0], row)
    kept, excluded = _matched(scans, rows, table.file, cohort.get("suffix") or "T1w")
    if scans and not rows and not problems:
        problems.append(f"{table.file}: no row below the header; give a row per person")
    if scans and rows and not kept:
        same = {loose(person): person for person in rows}
        person, other = next(
            ((scan.person, same[loose(scan.person)]) for scan in scans if loose(scan.person) in same),
            (scans[0].person, next(iter(rows))),
        )
        zeros = ", which differ in leading zeros or capitals only" if loose(person) == loose(other) else ""
        problems.append(
            f"{table.file}: none of the {len(scans)} scans has a row; scans are of {person} ...,"
            f" rows of {other} ...{zeros}; use the same participant IDs in both"
        )
    first = first._replace(scans=kept, excluded=first.excluded + excluded, problems=problems)
    return _finished(first, cohort, times, {"sessions.tsv", "sub-*/sub-*_sessions.tsv"})


def _finished(found: Index, cohort: dict[str, Any], times: dict[str, str], ordered: set[str]) -> Index:
    """Fill in sites and strata, the order of sessions, and what the tables' ids leave unclear."""
    scans = _placed(found.scans, found.tables, cohort)
    placed = sessions.sequence(scans, found.tables, times, cohort, ordered)
    unmatched, lost = matches.unmatched(found.tables, scans, {column for _, column in used(cohort)})
    notes = [note for table in found.tables for note in table.notes] + matches.twins(found.tables[:1], scans)
    notes += matches.left_out(found.excluded) + lost + placed.notes
    problems = found.problems + placed.problems + ([] if found.problems else unmatched)
    return found._replace(scans=scans, problems=problems, notes=notes, order=placed.order, times=times)


def _named(key: str, path: str) -> Scan:
    person, *entities = key.split("_")
    part = dict(entity.split("-", 1) for entity in entities)
    labels = (part.get("ses", ""), part.get("acq", ""), part.get("run", ""))
    return Scan(key, person, *labels, path, "n/a", "n/a")


def _placed(scans: list[Scan], tables: list[Keyed], cohort: dict[str, Any]) -> list[Scan]:
    """Fill in site and stratum from their columns."""
    columns = {"site": cohort.get("site"), "stratum": (cohort.get("folds") or {}).get("stratify")}
    columns["family"] = cohort.get("family")

    def value(scan: Scan, column: str | None) -> str:
        found = lookup(tables, column, scan.keys) if column else []
        return level(found[0][0]) if found else "n/a"

    return [scan._replace(**{field: value(scan, column) for field, column in columns.items()}) for scan in scans]


def _matched(
    scans: list[Scan], rows: dict[str, Row], file: str, suffix: str
) -> tuple[list[Scan], list[tuple[str | None, str, str]]]:
    """Scans whose person has a row, and those left out on either side, with look-alike ids (`sub-1`, `sub-01`)."""
    of_rows, of_scans = {loose(person): person for person in rows}, {loose(scan.person): scan.person for scan in scans}
    excluded: list[tuple[str | None, str, str]] = []
    for scan in scans:
        if scan.person not in rows:
            twin = of_rows.get(loose(scan.person))
            hint = f"; row {rows[twin].number} is of {twin}: use the same participant ID in both" if twin else ""
            excluded.append((scan.scan, scan.person, f"no row in {file}{hint}"))
    seen = {scan.person for scan in scans}
    for person, row in rows.items():
        if person not in seen:
            twin = of_scans.get(loose(person))
            hint = f"; there is one of {twin}: use the same participant ID in both" if twin else ""
            excluded.append((None, person, f"{row.where}: no {suffix} scan{hint}"))
    return [scan for scan in scans if scan.person in rows], excluded


def _plain(cohort: dict[str, Any]) -> Index:
    codes, path = missing.codes(cohort), cohort["table"]
    paths, excluded, table, problems = plain_table.read(path, cohort.get("rename") or {}, codes)
    scans = [_named(key, path) for key, path in sorted(paths.items())]
    return _finished(Index(scans, excluded, [table], [path], problems), cohort, {}, {table.file})
