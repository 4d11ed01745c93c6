"""The scans of a cohort, listed when the Snakefile is read: from BIDS, other tools, a plain table or the demo.

A cohort without images has a participants table alone, whose rows take the place of the scans.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from neurovae.errors import InputError
from neurovae.io import missing
from neurovae.io.levels import level
from neurovae.io.tables import Keyed, Row, keyed, lookup, loose
from neurovae.io.tables import read as read_table
from neurovae.plan import (
    bids,
    courses,
    derivatives,
    matches,
    plain_table,
    sessions,
    totals,
    variants,
    visits,
    without_images,
)

SOURCES = ("bids", "files", "table", "simulate")  # of images


class Scan(NamedTuple):
    """One scan; `session`, `acquisition` and `run` are labels without prefix, empty where there is none.

    `volume` is its volume in a 4-D file (from 0) and `mask` the file of its brain mask, empty where there is none. In a
    cohort without images, `path` is empty.
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
        """Keys of the table rows that are valid for this scan, the most specific first."""
        return (self.scan, f"{self.person}_ses-{self.session}", self.person)


class Index(NamedTuple):
    """Scans, what is left out as (scan, person, reason), the tables and their paths, and all problems.

    notes: warnings of a dry run. order: place of each scan's session within the person, see `sessions`. times: acq_time
    by scan from the scans tables. visit_rows: the row of each visit table that was assigned to each scan.
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
    index = look(cohort)
    if index.problems:
        raise InputError(index.problems)
    return index.scans


def inputs(cohort: dict[str, Any]) -> list[str]:
    """List the paths of the tables that the cohort rule reads."""
    return look(cohort).files


def look(cohort: dict[str, Any]) -> Index:
    """Read the folder and the tables once; problems are listed, not raised."""
    sources = [name for name in SOURCES if cohort.get(name)]
    if not sources and cohort.get("participants"):
        return _with_visits(cohort, _without_images(cohort))
    if len(sources) != 1:
        found_sources = " and ".join(sources) or "none"
        also = "" if sources else ", or cohort.participants alone for a cohort without images"
        return Index([], [], [], [], [f"cohort: found {found_sources} of {', '.join(SOURCES)}; give exactly one{also}"])
    reader = {"bids": _bids, "files": _files, "table": _plain, "simulate": _simulated}[sources[0]]
    index = reader(cohort)
    unused = [key for key in ("participants", "masks", "volumes", "space") if cohort.get(key) and sources != ["files"]]
    problems = [f"cohort.{key}: belongs to cohort.files; leave it out with cohort.{sources[0]}" for key in unused]
    return _with_visits(cohort, index._replace(problems=[*problems, *index.problems]))


def has_images(cohort: dict[str, Any]) -> bool:
    """Whether the section names a source of images; without one, the participants table alone is the cohort."""
    return any(cohort.get(name) for name in SOURCES) or not cohort.get("participants")


def data_root(cohort: dict[str, Any]) -> dict[str, str]:
    """Return the source of the section's data: one of SOURCES, or the participants table, with its path."""
    sources = [key for key in SOURCES if cohort.get(key)] if has_images(cohort) else ["participants"]
    return {key: "" if key == "simulate" else os.path.normpath(cohort[key]) for key in sources}


def written(cohort: dict[str, Any]) -> dict[str, Any]:
    """Return the section with the simulated cohort as the BIDS folder that has been written."""
    if not cohort.get("simulate"):
        return cohort
    return {**cohort, "simulate": None, "suffix": "T1w", "bids": f"results/{cohort['name']}/cohort/bids"}


def people(scans: Iterable[Scan]) -> list[tuple[str, str, str]]:
    """Return (person, site, stratum) once per person; a person scanned at two sites has the site `A+B`."""
    sites: dict[str, set[str]] = {}
    strata: dict[str, set[str]] = {}
    for scan in scans:
        sites.setdefault(scan.person, set()).add(scan.site)
        strata.setdefault(scan.person, set()).add(scan.stratum)
    return [(person, "+".join(sorted(sites[person])), "+".join(sorted(strata[person]))) for person in sorted(sites)]


def digest(scans: Iterable[Scan]) -> str:
    """Return a short hash of everything that determines the folds: people, sites, strata, families."""
    scans = list(scans)
    families = sorted({(scan.person, scan.family) for scan in scans if scan.family != "n/a"})
    return hashlib.sha256(json.dumps([people(scans), families] if families else people(scans)).encode()).hexdigest()[
        :16
    ]


def listing(index: Index) -> str:
    """Return a short hash of the content of the cohort's table: scans, excluded scans and the order of sessions."""
    rows = [[scan.scan for scan in index.scans], index.excluded, index.order]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def batches(scans: Iterable[Scan], n: int) -> dict[str, list[Scan]]:
    """Group scans by sha256(person) mod `n`, so that new people move nobody.

    Raises InputError above 400 scans in one batch.
    """
    batch_of: dict[str, list[Scan]] = {}
    for scan in sorted(scans):
        batch_of.setdefault(f"{int(hashlib.sha256(scan.person.encode()).hexdigest(), 16) % n:04d}", []).append(scan)
    name, largest = max(batch_of.items(), key=lambda item: len(item[1]), default=("", []))
    if len(largest) > 400:
        suggested = math.ceil(sum(map(len, batch_of.values())) / 50)
        raise InputError(
            f"preprocess.batches is {n}: batch {name} would hold {len(largest)} scans, at most 400 are allowed;"
            f" set preprocess.batches to {suggested}"
        )
    return dict(sorted(batch_of.items()))


def used(cohort: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (purpose, column) of every table column that the section names."""
    columns = [
        (f"score '{score['name']}'", column)
        for score in cohort.get("scores") or []
        for column in (
            score.get("time") or score.get("column") or score["name"],
            *filter(None, (score.get("event"), score.get("entry"))),
        )
    ]
    columns += [
        (f"confound '{confound['name']}'", confound.get("column") or confound["name"])
        for confound in cohort.get("confounds") or []
        if confound.get("from", "table") == "table"
    ]
    stratify = (cohort.get("folds") or {}).get("stratify")
    keys = (("cohort.site", cohort.get("site")), ("cohort.family", cohort.get("family")), ("stratify", stratify))
    return columns + [(key, name) for key, name in keys if name]


def _simulated(cohort: dict[str, Any]) -> Index:
    folder, visits = f"results/{cohort['name']}/cohort/bids", cohort["simulate"].get("visits")
    scans, files = [], [f"{folder}/participants.tsv"]
    for number in range(1, int(cohort["simulate"]["people"]) + 1):
        person, site = f"sub-{number:03d}", ("B", "A")[number % 2] if cohort.get("site") else "n/a"
        if visits:
            one = courses.course(number, seed=cohort["simulate"]["seed"], visits=visits)
            for k, place in enumerate(one.sites, 1):
                key, of_visit = f"{person}_ses-{k}", place if cohort.get("site") else "n/a"
                path = f"{folder}/{person}/ses-{k}/anat/{key}_T1w.nii.gz"
                scans.append(Scan(key, person, str(k), "", "", path, of_visit, "n/a"))
            files.append(f"{folder}/{person}/{person}_sessions.tsv")
            continue
        scans.append(Scan(person, person, "", "", "", f"{folder}/{person}/anat/{person}_T1w.nii.gz", site, "n/a"))
    stratify = (cohort.get("folds") or {}).get("stratify")
    problem = f"stratify: '{stratify}' is not known before the cohort has been simulated; set folds.stratify to null"
    problems = [problem] if stratify else []
    problems += ["cohort.family: the simulated people are not related; set it to null"] if cohort.get("family") else []
    return Index(sorted(scans), [], [], files, problems, order={scan.scan: int(scan.session or 1) for scan in scans})


def _with_visits(cohort: dict[str, Any], index: Index) -> Index:
    """Add the visit tables with a row per scan, and the totals of items."""
    base = {column for table in index.tables for column in table.columns}
    visit_tables = visits.join(cohort, index.scans, index.tables, index.times)
    keys = {key for scan in index.scans for key in scan.keys}
    items = [*(cohort.get("scores") or []), *(cohort.get("confounds") or [])]
    tables, more_problems, notes = totals.add(items, [*index.tables, *visit_tables.tables], keys)
    visit_columns = {column for table in visit_tables.tables for column in table.columns} - base
    more_problems += [
        f"{purpose}: '{name}' is a column of a visit table; "
        "folds are made from the participants table alone: put it there"
        for purpose, name in used(cohort)
        if purpose in ("cohort.site", "cohort.family", "stratify") and name in visit_columns
    ]
    return index._replace(
        tables=tables,
        files=[*index.files, *visits.files(cohort)],
        problems=index.problems + visit_tables.problems + more_problems,
        notes=index.notes + visit_tables.warnings + notes,
        visit_rows=visit_tables.matches,
    )


def _bids(cohort: dict[str, Any]) -> Index:
    root, suffix = os.path.normpath(cohort["bids"]), cohort.get("suffix") or "T1w"
    if not os.path.isdir(root):
        return Index([], [], [], [], [f"cohort.bids: folder '{cohort['bids']}' not found; correct the path"])
    walk = bids.walk(root, suffix)
    scans = [_scan_of(key, path) for key, path in sorted(walk.scans.items())]
    return _with_folder(cohort, root, walk, Index(scans, walk.excluded, [], [], walk.problems))


def _files(cohort: dict[str, Any]) -> Index:
    """The scans of another tool's files, with the tables of their BIDS folder or the participants table."""
    sources, problems = derivatives.find(cohort)
    scans = [
        _scan_of(key, source.path)._replace(volume=source.volume, mask=source.mask)
        for key, source in sorted(sources.items())
    ]
    problems += derivatives.space(cohort, [scan.path for scan in scans])[1]
    first, place = Index(scans, [], [], [], problems), cohort.get("participants")
    if not place:
        no_table = [
            f"{purpose}: column '{name}' has no table; give cohort.participants" for purpose, name in used(cohort)
        ]
        return first._replace(problems=problems + (no_table if not cohort.get("visits") else []))
    if os.path.isdir(place):
        root = os.path.normpath(place)
        return _with_folder(cohort, root, bids.walk(root, "T1w"), first)
    table, table_problems = read_table(
        place, file=os.path.basename(place), rename=cohort.get("rename") or {}, codes=missing.codes(cohort)
    )
    rows, key_problems = keyed(table)
    return _with_rows(
        cohort, first._replace(tables=[rows], files=[place], problems=problems + table_problems + key_problems), {}
    )


def _without_images(cohort: dict[str, Any]) -> Index:
    """The rows of the participants table, or of the tables of a BIDS folder, in place of scans."""
    place, codes = os.path.normpath(cohort["participants"]), missing.codes(cohort)
    columns, rename = {column for _, column in used(cohort)}, cohort.get("rename") or {}
    unused = [key for key in ("masks", "volumes", "space", "preset") if cohort.get(key)]
    problems = [f"cohort.{key}: belongs to cohort.files; leave it out of a cohort without images" for key in unused]
    if os.path.isdir(place):
        of_people = bids.walk(place, "T1w").sessions
        tables, files, faults = bids.tables(place, of_people, rename, columns, codes)
    else:
        table, faults = read_table(place, file=os.path.basename(place), rename=rename, codes=codes)
        rows, key_faults = keyed(table)
        tables, files, faults = [rows], [place], faults + key_faults
    found = without_images.rows(tables)
    problems += faults + found.problems
    if not found.keys and not problems:
        problems.append(f"{tables[0].file}: no row below the header; give a row per person")
    scans = [_scan_of(key, "") for key in sorted(found.keys)]
    in_order = {tables[0].file, *without_images.SESSIONS}
    return _finish(Index(scans, found.excluded, tables, files, problems), cohort, {}, in_order)


def _with_folder(cohort: dict[str, Any], root: str, walk: bids.Walk, first: Index) -> Index:
    """Add the tables of a BIDS folder to the scans; dates of all scans are read where visit tables need them."""
    columns, codes = {column for _, column in used(cohort)}, missing.codes(cohort)
    tables, files, problems = bids.tables(root, walk.sessions, cohort.get("rename") or {}, columns, codes)
    needs_dates = any(entry.get("date") for entry in cohort.get("visits") or [])
    times, read_files, time_problems = sessions.scan_times(walk.times, first.scans, root, codes, all_people=needs_dates)
    problems = first.problems + problems + time_problems
    first = first._replace(tables=tables, files=files + read_files, problems=problems)
    return _with_rows(cohort, first, times, {} if cohort.get("files") else walk.misnamed)


def _with_rows(
    cohort: dict[str, Any], first: Index, times: dict[str, str], misnamed: Mapping[str, str] = MappingProxyType({})
) -> Index:
    """Keep the scans whose person has a row in the first of the tables."""
    table, scans, problems = first.tables[0], first.scans, list(first.problems)
    rows: dict[str, Row] = {}
    for key, row in table.rows.items():
        rows.setdefault(key.split("_")[0], row)
    with_row, excluded = _match_rows(scans, rows, table.file, cohort.get("suffix") or "T1w", misnamed)
    if scans and not rows and not problems:
        problems.append(f"{table.file}: no row below the header; give a row per person")
    if scans and rows and not with_row:
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
    first = first._replace(scans=with_row, excluded=first.excluded + excluded, problems=problems)
    return _finish(first, cohort, times, {"sessions.tsv", "sub-*/sub-*_sessions.tsv"})


def _finish(index: Index, cohort: dict[str, Any], times: dict[str, str], ordered_tables: set[str]) -> Index:
    """Add sites and strata, the order of sessions, and notes on unclear ids of the tables."""
    scans = _with_columns(index.scans, index.tables, cohort)
    sequence = sessions.sequence(scans, index.tables, times, cohort, ordered_tables)
    unmatched_problems, unmatched_notes = matches.unmatched(index.tables, scans, {column for _, column in used(cohort)})
    notes = [note for table in index.tables for note in table.notes] + matches.twins(index.tables[:1], scans)
    notes += matches.left_out(index.excluded) + unmatched_notes + sequence.notes
    notes += variants.notes(scans, sequence.order)
    problems = index.problems + sequence.problems + ([] if index.problems else unmatched_problems)
    return index._replace(scans=scans, problems=problems, notes=notes, order=sequence.order, times=times)


def _scan_of(key: str, path: str) -> Scan:
    person, *entities = key.split("_")
    part = dict(entity.split("-", 1) for entity in entities)
    labels = (part.get("ses", ""), part.get("acq", ""), part.get("run", ""))
    return Scan(key, person, *labels, path, "n/a", "n/a")


def _with_columns(scans: list[Scan], tables: list[Keyed], cohort: dict[str, Any]) -> list[Scan]:
    """Add site, stratum and family from their columns."""
    columns = {"site": cohort.get("site"), "stratum": (cohort.get("folds") or {}).get("stratify")}
    columns["family"] = cohort.get("family")

    def value(scan: Scan, column: str | None) -> str:
        cells = lookup(tables, column, scan.keys) if column else []
        return level(cells[0][0]) if cells else "n/a"

    return [scan._replace(**{field: value(scan, column) for field, column in columns.items()}) for scan in scans]


def _match_rows(
    scans: list[Scan], rows: dict[str, Row], file: str, suffix: str, misnamed: Mapping[str, str]
) -> tuple[list[Scan], list[tuple[str | None, str, str]]]:
    """Scans whose person has a row, and those left out on either side, with look-alike ids (`sub-1`, `sub-01`)."""
    of_rows, of_scans = {loose(person): person for person in rows}, {loose(scan.person): scan.person for scan in scans}
    excluded: list[tuple[str | None, str, str]] = []
    for scan in scans:
        if scan.person not in rows:
            twin = of_rows.get(loose(scan.person))
            hint = f"; row {rows[twin].number} is of {twin}: use the same participant ID in both" if twin else ""
            excluded.append((scan.scan, scan.person, f"no row in {file}{hint}"))
    with_scan = {scan.person for scan in scans}
    for person, row in rows.items():
        if person not in with_scan:
            twin = of_scans.get(loose(person))
            hint = f"; there is one of {twin}: use the same participant ID in both" if twin else ""
            if not twin and loose(person) in misnamed:
                form = f"sub-*/[ses-*/]*/*_{suffix}.nii[.gz]"
                hint = f"; '{misnamed[loose(person)]}' is not named as {form}: rename it"
            excluded.append((None, person, f"{row.where}: no {suffix} scan{hint}"))
    return [scan for scan in scans if scan.person in rows], excluded


def _plain(cohort: dict[str, Any]) -> Index:
    codes, path = missing.codes(cohort), cohort["table"]
    sources, excluded, table, problems = plain_table.read(path, cohort.get("rename") or {}, codes)
    scans = [
        _scan_of(key, source.path)._replace(volume=source.volume, mask=source.mask)
        for key, source in sorted(sources.items())
    ]
    return _finish(Index(scans, excluded, [table], [path], problems), cohort, {}, {table.file})
