"""Tables of people and sessions, read with the standard library and keyed by id; problems are listed, never raised."""

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

MISSING = frozenset({"", "n/a", "N/A", "na", "NA", "nan", "NaN"})
LABEL = re.compile(r"[A-Za-z0-9]+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Row(NamedTuple):
    """One line of a table: cells by (renamed) column, None where missing; the header is row 1."""

    file: str
    number: int
    cells: dict[str, str | None]

    @property
    def where(self) -> str:
        """File and row as they are named in messages."""
        return f"{self.file}, row {self.number}"


class Table(NamedTuple):
    """A table as it is read: its name in messages, the columns as written, the columns after renaming, the rows."""

    file: str
    header: list[str]
    columns: list[str]
    rows: list[Row]


class Keyed(NamedTuple):
    """A table whose rows are found by scan, by person and session, or by person: `sub-01_ses-1`, `sub-01`."""

    file: str
    header: list[str]
    columns: list[str]
    rows: dict[str, Row]


def read(path: str, *, file: str, rename: Mapping[str, str]) -> tuple[Table, list[str]]:
    """Read a table; `rename` maps a column, or `file.tsv:column` of one file, to its name here."""
    text, problems = _text(path, file)
    lines = _cells(text) if text.strip() else []
    if not lines:
        return Table(file, [], [], []), problems or [f"{file}: the file is empty; give a header and a row per person"]
    header = lines[0]
    columns = [rename.get(f"{short(file)}:{name}", rename.get(name, name)) for name in header]
    for name in sorted({name for name in columns if name and columns.count(name) > 1}):
        sources = ", ".join(repr(old) for old, new in zip(header, columns, strict=True) if new == name)
        problems.append(f"{file}, row 1: two columns are called '{name}' (from {sources}); keep one or rename one")
    rows, ragged = [], []
    for number, cells in enumerate(lines[1:], start=2):
        if cells and len(cells) != len(columns):
            ragged.append(
                f"{file}, row {number}: {len(cells)} cells, the header has {len(columns)}; write n/a in empty cells"
            )
        elif any(cells):
            rows.append(Row(file, number, _named(columns, cells)))
    named = [name for name in columns if name]
    return Table(file, [name for name in header if name], named, rows), problems + first(ragged)


def short(file: str) -> str:
    """A table's name in `cohort.rename`: without folder, and `sessions.tsv` for all of sub-01/sub-01_sessions.tsv."""
    name = file.rsplit("/", 1)[-1]
    return "sessions.tsv" if name.endswith("_sessions.tsv") else name


def _text(path: str, file: str) -> tuple[str, list[str]]:
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        return "", [f"{file}: table not found ({path}); give the table or correct the path"]
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8 (the file looks like Latin-1 or UTF-16)"
        return "", [f"{file}, row {row}: {found}; save the table as UTF-8"]
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""), []


def _cells(text: str) -> list[list[str]]:
    """Split into stripped cells; the header line says whether tab, semicolon or comma separates."""
    head = text.split("\n", 1)[0]
    mark = "\t" if "\t" in head else max(",;", key=head.count)
    if mark == "\t" or mark not in head:  # BIDS knows no quoting: a lone " must not swallow the lines that follow
        return [[cell.strip().strip('"') for cell in line.split("\t")] if line else [] for line in text.split("\n")]
    csv.field_size_limit(2**31 - 1)
    return [[cell.strip() for cell in cells] for cells in csv.reader(io.StringIO(text), delimiter=mark)]


def _named(columns: list[str], cells: list[str]) -> dict[str, str | None]:
    return {
        name: None if cell in MISSING else cell for name, cell in zip(columns, cells, strict=True) if name
    }  # a column without a name is an index that a spreadsheet left


def keyed(table: Table, *, person: str | None = None) -> tuple[Keyed, list[str]]:
    """Find rows by `participant_id` (or the given person) and, where there is one, `session_id`."""
    if person is None and "participant_id" not in table.columns:
        problem = (
            f"{table.file}, row 1: {no_column('participant_id', table.columns)}, or map one to it in cohort.rename"
        )
        return Keyed(table.file, table.header, table.columns, {}), [problem] if table.columns else []
    rows: dict[str, Row] = {}
    problems = []
    for row in table.rows:
        key = person or identifier(row.cells["participant_id"], "sub")
        session = row.cells.get("session_id")
        label = identifier(session, "ses")
        if key is None:
            problems.append(bad_id(row, "participant_id", "sub"))
        elif session is not None and label is None:
            problems.append(bad_id(row, "session_id", "ses"))
        else:
            key = f"{key}_{label}" if label else key
            if key in rows:
                problems.append(f"{row.where}: {key} was already given in row {rows[key].number}; keep one of the two")
            rows.setdefault(key, row)
    return Keyed(table.file, table.header, table.columns, rows), first(problems)


def identifier(text: str | None, prefix: str) -> str | None:
    """`01` and `sub-01` as `sub-01`; None for what is no BIDS label of letters and digits."""
    label = (text or "").removeprefix(f"{prefix}-")
    return f"{prefix}-{label}" if LABEL.fullmatch(label) else None


def bad_id(row: Row, column: str, prefix: str) -> str:
    """The message for an id that cannot name a file."""
    found = "empty" if row.cells[column] is None else repr(row.cells[column])
    return f"{row.where}: {column} is {found}; give {prefix}- and letters or digits, nothing else"


def lookup(tables: Iterable[Keyed], column: str, keys: Iterable[str]) -> list[tuple[str, Row]]:
    """All non-missing values of a column, the first key that a table knows deciding on its row.

    Where the most specific row of all (a session's) lacks the value, it is missing: a person's row does not fill it.
    """
    order, found = list(keys), []
    for table in tables:
        if column in table.columns:
            rank = next((rank for rank, key in enumerate(order) if key in table.rows), None)
            if rank is not None:
                row = table.rows[order[rank]]
                found.append((rank, row.cells.get(column), row))
    best = min((rank for rank, _, _ in found), default=0)
    if all(value is None for rank, value, _ in found if rank == best):
        return []
    return [(value, row) for _, value, row in found if value is not None]


def number(text: str) -> float | None:
    """A finite decimal number, or None."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def no_column(name: str, columns: Iterable[str]) -> str:
    """Say that a column is missing, which is closest, and which exist."""
    exist = sorted(set(columns))
    lower = {column.lower(): column for column in exist}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1)
    hint = f"did you mean '{lower[close[0]]}'? " if close else ""
    return f"no column '{name}'; {hint}there are {', '.join(exist) or 'none'}; correct the name"


def first(problems: list[str], most: int = 50) -> list[str]:
    """The first of many alike problems, and how many more there are."""
    rest = len(problems) - most
    return problems if rest <= 0 else [*problems[:most], f"{problems[0].split(',')[0]}: and {rest} more like the last"]
