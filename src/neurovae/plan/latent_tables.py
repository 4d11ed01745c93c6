"""Latents that a user has as a table (`kind: table`): which columns they are, and what is wrong with them.

Standard library only: text files are checked before the first job. Parquet and npz are read by the jobs, with the same
checks (`train.inputs`).
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from neurovae.cohort.columns import USUAL
from neurovae.io.missing import BUILTIN, Codes, codes
from neurovae.io.tables import Row, Table, first, read, some
from neurovae.io.text import split
from neurovae.plan import latent_notes
from neurovae.plan.index import Index
from neurovae.plan.user_tables import NOT_REGIONS, PARTS, Volumes, matched, with_keys

TEXT = (".tsv", ".csv", ".txt")  # read here
BINARY = (".parquet", ".npz")  # read by the jobs alone
LARGE = 5e6  # bytes of a text file from which on the jobs alone read it: ten thousand cells take about .1 s
HEADER = 2**20  # bytes of a header
LARGEST = 1e100  # of a value; squares of larger ones are infinite
IDS = {"id", "eid", "iid", "fid", "mrn", "patno", "ptid", "rid", "record_id", "subj", "subject", "subject_id",
       "subjectid", "subject_number", "participant", "src_subject_id"}  # of people, in lower case  # fmt: skip
REPEATED = 3  # columns from which on two people with the same values are an error
Scans = Sequence[Sequence[str]]
Wanted = list[str] | str | None


def entries(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of train.models that read a user's table; others of kind table read a block."""
    return [entry for entry in config["train"]["models"] if entry["kind"] == "table" and not entry.get("block")]


def problems(config: dict[str, Any], index: Index) -> tuple[list[str], list[str], dict[str, int]]:
    """Problems and notes of the tables of latents, and the number of columns of those that were read, by model."""
    faults: list[str] = []
    notes: list[str] = []
    sizes: dict[str, int] = {}
    scans, folds = [scan.keys for scan in index.scans], {"n": 5, **(config["cohort"].get("folds") or {})}
    for entry in entries(config):
        place, path = f"train.models {entry['name']!r}", entry["path"]
        if not path:
            faults.append(
                f"{place}: path is not given; give the file that holds the latents (.tsv, .csv, .parquet, .npz), "
                "or a block"
            )
        elif not Path(path).is_file():
            faults.append(f"{place}: file {path!r} not found; correct the path")
        elif not path.lower().endswith((*TEXT, *BINARY)):
            faults.append(
                f"{place}: {path!r} ends in none of {', '.join((*TEXT, *BINARY))}; save the table as one of these"
            )
        elif path.lower().endswith(BINARY) or Path(path).stat().st_size > LARGE:
            faults += _taken(Path(path).name, selected(named(path, declared(config["cohort"])), entry["columns"]))
            notes.append(f"{Path(path).name}: its columns and rows are checked by the first job that reads it")
        else:
            table, problems_of_file = text_table(path, codes(config["cohort"]))
            found = latents(table, problems_of_file, scans, entry["columns"], declared(config["cohort"]))
            faults += found.problems or too_many(place, entry["n_latent"], len(found.regions))
            if not found.problems and entry["n_latent"] is None:
                faults += nearly_constant(table.file, found, folds["n"])
            faults += [] if found.problems else too_few(table.file, found, scans, folds["n"])
            notes += found.notes
            sizes[entry["name"]] = len(found.regions)
    return faults, notes, sizes


def inputs(config: dict[str, Any], models: Iterable[str]) -> dict[str, list[str]]:
    """Each model's table of latents, an input of its rules, if it has one."""
    path_of = {entry["name"]: entry["path"] for entry in entries(config)}
    return {name: [path_of[name]] if path_of.get(name) else [] for name in models}


def declared(cohort: dict[str, Any]) -> list[str]:
    """Columns of scores, their items, confounds and sites, which are no latents."""
    items = [item for key in ("scores", "confounds") for item in cohort[key]]
    names = [name for item in items for name in (item["name"], item.get("column"), *(item.get("sum_of") or []))]
    names += [cohort.get("site"), cohort.get("family"), (cohort.get("folds") or {}).get("stratify")]
    return [name for name in dict.fromkeys(names) if name]


def text_table(path: str, missing: Codes = BUILTIN) -> tuple[Table, list[str]]:
    """Read a text file; `person` and `session` are names of keys, too."""
    table, faults = read(path, file=Path(path).name, rename={}, codes=missing)
    return with_keys(table), faults


def named(path: str, names: Iterable[str]) -> list[str]:
    """Which of these names a file has as columns, in any case, without reading its rows."""
    data = Path(path)
    if path.lower().endswith(".npz"):
        try:
            with ZipFile(data) as file:
                columns = {name.removesuffix(".npy").casefold() for name in file.namelist()}
        except (BadZipFile, OSError):  # which the job names
            return []
        return [name for name in names if name.casefold() in columns]
    with data.open("rb") as file:
        if not path.lower().endswith(".parquet"):
            lines = split(file.readline(HEADER).decode("utf-8-sig", "replace"), data.name)[0]
            columns = {cell.strip().casefold() for _, cells in lines[:1] for cell in cells}
            return [name for name in names if name.casefold() in columns]
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        file.seek(max(size - 8 - int.from_bytes(file.read(4), "little"), 0))  # the schema is at the end
        footer = file.read().lower()
    texts = {name: name.lower().encode() for name in names}  # each name of a column follows its length
    return [name for name, text in texts.items() if len(text) < 128 and bytes([len(text)]) + text in footer]


def selected(names: Iterable[str], wanted: Wanted) -> list[str]:
    """Those of some names that `columns` selects."""
    patterns, left_out = parts(wanted)
    return [
        name
        for name in names
        if (patterns is None or any(_suits(name, one) for one in patterns))
        and not any(_suits(name, one) for one in left_out)
    ]


def parts(wanted: Wanted) -> tuple[list[str] | None, list[str]]:
    """The names or beginnings that `columns` gives (None: all columns of numbers), and those after a `!`, left out."""
    given = [wanted] if isinstance(wanted, str) else wanted or []
    left_out = [one[1:] for one in given if one.startswith("!")]
    return [one for one in given if not one.startswith("!")] or None, left_out


def _suits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def latents(table: Table, faults: list[str], scans: Scans, wanted: Wanted, taken: Iterable[str] = ()) -> Volumes:
    """The latents by scan, all of them finite numbers, with problems and notes.

    Args:
        table: with `scan`, or with `participant_id` and possibly `session_id`.
        faults: of reading it.
        scans: the keys of each scan: its own, its session's, its person's.
        wanted: names of columns, or beginnings of names that end in `*`; None: all columns of numbers.
        taken: names of scores and confounds.
    """
    part, unknown = chosen(table, wanted)
    wanted = parts(wanted)[0]
    if faults or unknown:
        return Volumes({}, [], faults + unknown, [])
    names_taken = {name.casefold() for name in taken}
    found = matched(part, [], scans, "latent", () if wanted else PARTS.union(USUAL, IDS) - names_taken)
    if found.problems:
        return found
    texts = [name for name in part.columns if wanted and name not in (*NOT_REGIONS, *found.regions)]
    more = [
        f"{table.file}: column '{name}' holds {_holds(table, name)}, no numbers; leave it out of columns"
        for name in texts
    ]
    more += _taken(table.file, [name for name in found.regions if name.casefold() in names_taken])
    more += _missing(found) + _constant(table.file, found) + _repeated(found, scans) + _large(found)
    notes = [] if more else latent_notes.notes(table.file, found, scans)
    return found._replace(problems=first(more), notes=found.notes + notes)


def _taken(file: str, names: Iterable[str]) -> list[str]:
    """Columns that are no latents, since the cohort uses them."""
    return [
        f"{file}: column '{name}' is a score or confound of the cohort, too; name the latents alone in columns"
        for name in names
    ]


def chosen(table: Table, wanted: Wanted) -> tuple[Table, list[str]]:
    """The table with its keys and the wanted columns alone, in the order in which they are named; unknown columns."""
    patterns, left_out = parts(wanted)
    columns = [name for name in table.columns if name not in NOT_REGIONS]
    kept = [name for name in table.columns if name in NOT_REGIONS or not any(_suits(name, one) for one in left_out)]
    faults = [
        f"{table.file}, row 1: no column to leave out is or begins with '{one.rstrip('*')}'; correct columns"
        for one in left_out
        if not any(_suits(name, one) for name in columns)
    ]
    if patterns is None:
        return table._replace(columns=kept), faults
    names: list[str] = []
    for one in patterns:
        of_pattern = [name for name in columns if name.startswith(one[:-1])] if one.endswith("*") else []
        names += of_pattern or ([one] if one in columns else [])
        if not of_pattern and one not in columns:
            close = difflib.get_close_matches(one, columns, n=1)
            what = f"no column begins with '{one[:-1]}'" if one.endswith("*") else f"no column '{one}'"
            hint = f"did you mean '{close[0]}'? " if close else ""
            faults.append(f"{table.file}, row 1: {what}; {hint}there are {some(columns, 5) or 'none'}; correct columns")
    keys = [name for name in table.columns if name in NOT_REGIONS]
    return table._replace(columns=[name for name in dict.fromkeys([*keys, *names]) if name in kept]), faults


def too_many(place: str, n_latent: int | None, columns: int) -> list[str]:
    """The problem of more components than columns."""
    if n_latent is None or n_latent <= columns:
        return []
    return [
        f"{place}: n_latent is {n_latent}, but the table has {columns} columns of latents; lower it, or set it to null"
    ]


def too_few(file: str, found: Volumes, scans: Scans, n_folds: int) -> list[str]:
    """The problem of a table in which so few people have a row that the splits of a fold may be empty."""
    people, everyone = {keys[-1] for keys in scans if keys[0] in found.values}, {keys[-1] for keys in scans}
    if len(people) >= min(4 * n_folds, len(everyone) // 2):
        return []
    return [
        f"{file}: {len(people)} of {len(everyone)} people have a row, too few for {n_folds} folds (folds.n); "
        "give more rows"
    ]


def nearly_constant(file: str, found: Volumes, n_folds: int) -> list[str]:
    """Columns that are the same for all but a few people, and so perhaps for all training people of a fold."""
    rows = {row.number: found.values[scan] for scan, row in found.rows.items() if scan in found.values}
    faults = []
    for name in found.regions:
        value, count = Counter(values[name] for values in rows.values()).most_common(1)[0]
        if 0 < len(rows) - count < n_folds <= count:
            few = f"column '{name}' is {value:g} for all but {len(rows) - count} of {len(rows)} rows"
            faults.append(
                f"{file}: {few}, and so may be for all training people of a fold; leave it out (columns: '!{name}'), "
                "or take components (n_latent)"
            )
    return first(faults)


def _holds(table: Table, name: str) -> str:
    return "text" if any(row.cells[name] is not None for row in table.rows) else "no value"


def _missing(found: Volumes) -> list[str]:
    """Rows of scans in which a latent is missing."""
    rows: dict[int, tuple[Row, list[str]]] = {}
    for scan, row in found.rows.items():
        empty = [name for name in found.regions if found.values[scan][name] is None]
        if empty:
            rows[row.number] = (row, empty)
    remedy = "give numbers, or leave the row or the column out"
    return [f"{row.where}: no value in {some(empty)}; {remedy}" for row, empty in rows.values()]


def _large(found: Volumes) -> list[str]:
    """Numbers whose squares are infinite."""
    faults = [
        f"{found.rows[scan].where}: {name} is {value:g}; latents are numbers of at most {LARGEST:g}: correct it"
        for scan, values in found.values.items()
        for name, value in values.items()
        if value is not None and abs(value) > LARGEST
    ]
    return list(dict.fromkeys(faults))  # a row may hold for several scans


def _constant(file: str, found: Volumes) -> list[str]:
    """Columns that do not differ between the scans."""
    if len({row.number for row in found.rows.values()}) < 2:
        return []
    by_column = {name: {values[name] for values in found.values.values()} for name in found.regions}
    return [
        f"{file}: column '{name}' is {next(iter(values)):g} for every scan; leave it out (columns)"
        for name, values in by_column.items()
        if len(values) == 1 and None not in values
    ]


def _repeated(found: Volumes, scans: Scans) -> list[str]:
    """Rows whose values are exactly those of another person."""
    owner: dict[tuple[float | None, ...], tuple[str, Row]] = {}
    faults = []
    for scan, *_, person in scans:
        if scan not in found.rows or len(found.regions) < REPEATED:
            continue
        values, row = tuple(found.values[scan][name] for name in found.regions), found.rows[scan]
        other, other_row = owner.setdefault(values, (person, row))
        if other != person:
            same = f"all {len(values)} values are those of {other} in row {other_row.number}"
            faults.append(f"{row.where}: {same}; give each participant their own")
    return faults
