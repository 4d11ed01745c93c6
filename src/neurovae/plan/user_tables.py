"""Tables of a user beside the cohort's own: override of the quality control, regional volumes, names of an atlas.

All are read by `io.tables`, before the first job and again by the job that uses them; standard library only.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from neurovae.io.missing import BUILTIN, MISSING, Codes, codes
from neurovae.io.suspects import USUAL, suspects
from neurovae.io.tables import NEARLY, VISITS, Keyed, Row, Table, first, keyed, loose, no_column, number, read, some
from neurovae.plan.index import Index

NOT_REGIONS = ("participant_id", "session_id", "session", "scan", "acquisition", "run")
MAX_CODES = 5  # regions whose codes for missing are named
KEYS = {"person": "participant_id", "session": "session_id"}  # columns that may be called by the words of this project
PARTS = {*VISITS, "fold", "split", "seed"}  # columns that divide scans into parts
COUNTED = 5  # rows from which on 0, 1, 2, ... are numbers of rows
NAMES = Codes({}, {"name": MISSING - {"", "n/a"}})  # a region may be called NA or None


class Volumes(NamedTuple):
    """Regional volumes: scan -> region -> volume (None: missing), the regions, problems, notes, and each scan's row."""

    values: dict[str, dict[str, float | None]]
    regions: list[str]
    problems: list[str]
    notes: list[str]
    rows: dict[str, Row] = {}


def problems(config: dict[str, Any], index: Index) -> tuple[list[str], list[str]]:
    """Return problems and notes of those tables that exist, as far as cells and the list of scans show them."""
    scans = [scan.keys for scan in index.scans]
    path_of = {"override": config["preprocess"]["qc"]["override"], "volumes": config["audit"]["volumes"]}
    atlas = config["interpret"]["atlas"]
    path_of["names"] = names_beside(Path(atlas)) if atlas != "builtin" else None
    existing = {name: path for name, path in path_of.items() if path and Path(path).is_file()}
    all_problems = override(existing["override"], [keys[0] for keys in scans])[1] if "override" in existing else []
    all_problems += atlas_names(existing["names"])[1] if "names" in existing else []
    if "volumes" not in existing:
        return all_problems, []
    table = volumes(existing["volumes"], scans, codes(config["cohort"]))
    return all_problems + table.problems, table.notes


def override(path: str | Path, scans: Iterable[str]) -> tuple[dict[str, tuple[bool, str]], list[str]]:
    """Return scan -> (keep, reason) of the table of scans to keep or exclude by hand, and its problems."""
    table, faults = read(str(path), file=Path(path).name, rename={})
    faults += _columns(table, ("scan", "keep", "reason"))
    scan_keys = set(scans)
    twins = {loose(scan): scan for scan in scan_keys}
    verdicts: dict[str, tuple[bool, str]] = {}
    rows: dict[str, Row] = {}
    for row in table.rows if not faults else []:
        scan, keep = row.cells["scan"] or "", (row.cells["keep"] or "").lower()
        if scan not in scan_keys:
            twin = f"did you mean {twins[loose(scan)]!r}? " if loose(scan) in twins else ""
            faults.append(f"{row.where}: no scan {scan!r}; {twin}give a key as in preprocess/qc.tsv")
        elif scan in rows:
            faults.append(f"{row.where}: {scan} was already given in row {rows[scan].number}; keep one of the two")
        elif keep not in ("yes", "no"):
            faults.append(f"{row.where}: keep is {row.cells['keep']!r}; give yes or no")
        else:
            verdicts[scan] = (keep == "yes", row.cells["reason"] or "no reason given")
        rows.setdefault(scan, row)
    return verdicts, first(faults)


def volumes(path: str | Path, scans: Sequence[Sequence[str]], codes: Codes = BUILTIN) -> Volumes:
    """Read the regional volumes of the scans.

    Args:
        path: table with `scan`, or with `participant_id` and possibly `session_id`, and a column per region.
        scans: the keys of each scan, the scan's own first, as in `Scan.keys`.
        codes: codes for missing values.
    """
    table, faults = read(str(path), file=Path(path).name, rename={}, codes=codes)
    table = with_keys(table)
    found = matched(table, faults, scans)
    return found._replace(notes=found.notes + first(_usual_codes(table, found.regions), MAX_CODES))


def _usual_codes(table: Table, regions: list[str]) -> list[str]:
    """Name volumes that are a usual code for missing values, with their rows."""
    notes = []
    for name in regions:
        cells = [(value, row) for row in table.rows if (value := number(row.cells[name] or "")) is not None]
        odd = suspects([value for value, _ in cells])
        for code in sorted(value for value, reason in odd.items() if reason == USUAL):
            rows = [str(row.number) for value, row in cells if value == code]
            notes.append(
                f"{table.file}, row{'s' * (len(rows) > 1)} {some(rows, 8)}: {name} is {code:g}, {USUAL}; if it is a "
                f"code, set cohort.missing: {{{name}: [{code:g}]}}"
            )
    return notes


def renamed(columns: Iterable[str]) -> dict[str, str]:
    """The key columns of a table that have another name here; a table with scans needs no other key."""
    names = set(columns)
    return {} if "scan" in names else {old: new for old, new in KEYS.items() if old in names and new not in names}


def with_keys(table: Table) -> Table:
    """The table with `person` and `session` as participant_id and session_id."""
    names = renamed(table.columns)
    rows = [row._replace(cells={names.get(name, name): cell for name, cell in row.cells.items()}) for row in table.rows]
    return table._replace(columns=[names.get(name, name) for name in table.columns], rows=rows) if names else table


def matched(
    table: Table,
    faults: list[str],
    scans: Sequence[Sequence[str]],
    what: str = "region",
    leave_out: Iterable[str] = (),
) -> Volumes:
    """The numbers of a table by scan.

    Args:
        table: with `scan`, or with `participant_id` and possibly `session_id`; its other columns are numbers.
        faults: of reading it.
        scans: the keys of each scan, the scan's own first.
        what: a column of it stands for, in messages.
        leave_out: names of columns, in lower case, that are none of these; with any, row numbers are left out too.
    """
    if table.columns and "scan" not in table.columns and "participant_id" not in table.columns:
        faults.append(f"{table.file}, row 1: {no_column('participant_id', table.columns)}, or give a column 'scan'")
    if faults or not table.rows:
        return Volumes({}, [], faults or [f"{table.file}: no row below the header; give a row per person"], [])
    by_key, key_problems = _by_scan(table) if "scan" in table.columns else keyed(table)
    regions, texts, notes = _regions(table, what, set(leave_out))
    faults += key_problems + texts
    row_of = {keys[0]: next((by_key.rows[key] for key in keys if key in by_key.rows), None) for keys in scans}
    faults += _unmatched(by_key, scans, row_of) if not faults and scans else []
    values = {
        scan: {name: None if (text := row.cells[name]) is None else number(text) for name in regions}
        for scan, row in row_of.items()
        if row is not None and not faults
    }
    all_keys = {key for keys in scans for key in keys}
    without_scan, without_row = (
        [key for key in by_key.rows if key not in all_keys],
        [scan for scan in row_of if row_of[scan] is None],
    )
    notes += (
        [f"{table.file}: {len(without_scan)} of {len(by_key.rows)} rows belong to no scan ({some(without_scan)})"]
        if without_scan
        else []
    )
    notes += (
        [f"{table.file}: {len(without_row)} of {len(row_of)} scans have no row ({some(without_row)})"]
        if without_row
        else []
    )
    rows = {scan: row for scan, row in row_of.items() if row is not None}
    return Volumes(values, regions, faults, table.notes + notes, rows)


def _by_scan(table: Table) -> tuple[Keyed, list[str]]:
    rows: dict[str, Row] = {}
    faults = []
    for row in table.rows:
        scan = row.cells["scan"]
        if scan is None:
            faults.append(f"{row.where}: scan is empty; give a key as in preprocess/qc.tsv")
        elif scan in rows:
            faults.append(f"{row.where}: {scan} was already given in row {rows[scan].number}; keep one of the two")
        rows.setdefault(scan or "", row)
    return Keyed(table.file, table.header, table.columns, rows), first(faults)


def _regions(table: Table, what: str, leave_out: set[str]) -> tuple[list[str], list[str], list[str]]:
    """Columns of numbers, cells of these that are no numbers, and notes on columns of text, which are left out."""
    regions, faults, notes = [], [], []
    for name in [name for name in table.columns if name not in NOT_REGIONS]:
        cells = [(row, text) for row in table.rows if (text := row.cells[name]) is not None]
        not_numbers = [(row, text) for row, text in cells if number(text) is None]
        words = [text for _, text in not_numbers if not NEARLY.fullmatch(text)]
        if leave_out and (name.lower() in leave_out or _counts(cells)):
            kind = "row numbers" if name.lower() not in leave_out else f"by its name no {what}"
            notes.append(f"{table.file}: column '{name}' is left out: {kind}")
            continue
        if not cells or 2 * len(words) > len(cells):
            notes.append(f"{table.file}: column '{name}' is left out: {'text' if cells else 'no value'}, not numbers")
            continue
        regions.append(name)
        hint = " (with a decimal point)"
        faults += [
            f"{r.where}: {name} is '{t}'; give a number{hint if ',' in t else ''} or n/a" for r, t in not_numbers
        ]
    no_region = [f"{table.file}: no column of numbers; give a column per {what}"] if not regions else []
    return regions, no_region + first(faults), notes


def _counts(cells: list[tuple[Row, str]]) -> bool:
    """Whether a column numbers the rows from 0 or 1."""
    values = [number(text) for _, text in cells]
    start = values[0] if values else None
    return len(values) >= COUNTED and start in (0, 1) and values == [start + k for k in range(len(values))]


def _unmatched(table: Keyed, scans: Sequence[Sequence[str]], row_of: dict[str, Row | None]) -> list[str]:
    """Report ids that nearly match a scan without a row, and a table in which no row matches."""
    if sessions := _sessions_of_none(table, scans):
        return [sessions]
    twins = {loose(key): keys[0] for keys in scans for key in keys if row_of[keys[0]] is None}
    all_keys = {key for keys in scans for key in keys}
    nearly_matching = [
        f"{row.where}: no scan is of {key}, but {twins[loose(key)]} has no row here; write both in the same way"
        for key, row in table.rows.items()
        if key not in all_keys and loose(key) in twins
    ]
    if nearly_matching or any(row is not None for row in row_of.values()):
        return first(nearly_matching)
    return [
        f"{table.file}: no row is of a scan: rows are of {some(table.rows)}, scans are {some(row_of)}; use the same IDs"
    ]


def _sessions_of_none(table: Keyed, scans: Sequence[Sequence[str]]) -> str:
    """The problem of rows that name a session of a person whose scans have none; they would match nobody."""
    people = {keys[-1] for keys in scans if keys[1].endswith("_ses-")}
    rows = [key for key in table.rows if key.partition("_ses-")[0] in people and "_ses-" in key]
    if not rows:
        return ""
    return (
        f"{table.file}: {len(rows)} of {len(table.rows)} rows name a session ({some(rows)}), and the cohort has no "
        "sessions of these people; leave session_id out, or give the sessions in the cohort"
    )


def atlas_names(path: str | Path) -> tuple[list[dict[str, str | None]], list[str]]:
    """Return rows (index, name and further columns) of the table beside an atlas, and its problems."""
    table, faults = read(str(path), file=Path(path).name, rename={}, codes=NAMES)
    faults += _columns(table, ("index", "name"))
    row_of_index: dict[float, Row] = {}
    for row in table.rows if not faults else []:
        index = number(row.cells["index"] or "")
        if index is None or not index.is_integer() or index < 0:
            faults.append(f"{row.where}: index is {row.cells['index']!r}; give a whole number of 0 or more")
        elif index in row_of_index:
            faults.append(
                f"{row.where}: index {index:g} was already given in row {row_of_index[index].number}; keep one"
            )
        elif row.cells["name"] is None:
            faults.append(f"{row.where}: index {index:g} has no name; give one")
        else:
            row_of_index[index] = row
    if table.columns and not table.rows and not faults:
        faults.append(f"{table.file}: no row below the header; give a row per label")
    return [row.cells for row in table.rows], first(faults)


def names_beside(image: Path) -> Path:
    """Return the path of the table that belongs to an atlas image: `atlas.tsv` beside `atlas.nii.gz`."""
    return image.with_name(f"{image.name.removesuffix('.gz').removesuffix('.nii')}.tsv")


def _columns(table: Table, required: Iterable[str]) -> list[str]:
    missing = [name for name in required if table.columns and name not in table.columns]
    return [f"{table.file}, row 1: {no_column(name, table.columns)}" for name in missing]
