"""Read every table that a user gives: standard library only; problems are listed, never raised.

Every table is read by `read`: participants, sessions, phenotype, plain table, override, regional volumes, atlas names.
Decoding and splitting are in `io.text`, codes for missing values in `io.missing`.
"""

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from neurovae.io.missing import BUILTIN, IDS, Codes, is_missing, label_like
from neurovae.io.text import clean, decode, split

LABEL = re.compile(r"[A-Za-z0-9+]+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)  # 1,234 or 1.234: perhaps a separator of thousands
DIGITS = r"((\d{1,3}([.,' ]\d{3})+|\d+)([.,]\d+)?|[.,]\d+)(e[+-]?\d+)?"
UNITS = "%|mm3|mm\\^3|mm\u00b3|ml|cm3|cc"
NEARLY = re.compile(rf"[+-]?({DIGITS}\s?({UNITS})?|inf(inity)?)", re.ASCII | re.IGNORECASE)  # or in another spelling
INDEX = re.compile(r"Unnamed: \d+(_level_\d+)?")  # the name that pandas gives to a column without one
VISITS = ("session", "ses", "visit", "viscode", "event_id", "timepoint", "time_point", "wave")
RAW = ("path",)  # columns whose text names a file and must stay as it is


class Row(NamedTuple):
    """One line of a table: cells by (renamed) column, None where missing; the header is row 1."""

    file: str
    number: int
    cells: dict[str, str | None]

    @property
    def where(self) -> str:
        """File and row, as messages name them."""
        return f"{self.file}, row {self.number}"


class Table(NamedTuple):
    """A table as read.

    header: column names as written. columns: column names after renaming. words: by text column, how often a word such
    as `NA` was read as missing. notes: what was interpreted while reading, for the dry run.
    """

    file: str
    header: list[str]
    columns: list[str]
    rows: list[Row]
    words: dict[str, Counter[str]] = {}
    notes: list[str] = []


class Keyed(NamedTuple):
    """A table whose rows are found by scan, by person and session, or by person: `sub-01_ses-1`, `sub-01`."""

    file: str
    header: list[str]
    columns: list[str]
    rows: dict[str, Row]
    words: dict[str, Counter[str]] = {}
    notes: list[str] = []


def read(path: str, *, file: str, rename: Mapping[str, str], codes: Codes = BUILTIN) -> tuple[Table, list[str]]:
    """Read a table.

    Args:
        path: of the table.
        file: its name in messages.
        rename: column in the file, or `file.tsv:column` for one file only, to its name here.
        codes: additional codes for missing values, and built-in codes that are values.
    """
    text, problems = decode(path, file)
    lines, separator, split_problems = split(text, file)
    problems += split_problems
    if not lines:
        return Table(file, [], [], [], {}, []), problems or [
            f"{file}: the file is empty; give a header and a row per person"
        ]
    (_, head), *body = lines
    header = ["" if INDEX.fullmatch(clean(cell)) else clean(cell) for cell in head]
    columns = [rename.get(f"{short(file)}:{name}", rename.get(name, name)) for name in header]
    for name in sorted({name for name in columns if name and columns.count(name) > 1}):
        sources = ", ".join(repr(written) for written, renamed in zip(header, columns, strict=True) if renamed == name)
        problems.append(f"{file}, row 1: two columns are called '{name}' (from {sources}); keep one or rename one")
    numbers, kept_rows, ragged = [], [], []
    for number, cells in body:
        while len(cells) > len(columns) and not clean(cells[-1]):
            cells = cells[:-1]  # a spreadsheet wrote empty columns at the end
        if cells and len(cells) != len(columns):
            ragged.append(
                f"{file}, row {number}: {len(cells)} cells, the header has {len(columns)}; write n/a in empty cells"
            )
        elif any(map(clean, cells)):
            numbers.append(number)
            kept_rows.append(cells)
    texts = _cleaned(columns, kept_rows)
    notes = _decimal_commas(file, texts) if separator == ";" else []
    values = {name: _values(name, cells, codes) for name, cells in texts.items()}
    by_row = zip(*values.values(), strict=True) if values else [()] * len(numbers)
    rows = [
        Row(file, place, dict(zip(values, cells, strict=True))) for place, cells in zip(numbers, by_row, strict=True)
    ]
    words = {name: _words(cells, values[name]) for name, cells in texts.items() if name not in IDS}
    words_found = {name: counts for name, counts in words.items() if counts}
    named_columns = [name for name in columns if name]
    return Table(file, [name for name in header if name], named_columns, rows, words_found, notes), problems + first(
        ragged
    )


def short(file: str) -> str:
    """Return a table's name in `cohort.rename`: without folder; `sessions.tsv` for all sub-01/sub-01_sessions.tsv."""
    name = clean(file.rsplit("/", 1)[-1])
    return "sessions.tsv" if name.endswith("_sessions.tsv") else name


def _cleaned(columns: list[str], rows: list[list[str]]) -> dict[str, list[str]]:
    """Cells by column; a column without a name is the index that a spreadsheet left."""
    changed_cells: dict[str, list[str]] = {}
    for name, cells in zip(columns, zip(*rows, strict=True) if rows else [()] * len(columns), strict=True):
        if name:
            once = {cell: cell.strip() if name in RAW else clean(cell) for cell in set(cells)}
            changed_cells[name] = [once[cell] for cell in cells]
    return changed_cells


def _values(column: str, cells: list[str], codes: Codes) -> list[str | None]:
    once = {cell: None if is_missing(column, cell, codes) else cell for cell in set(cells)}
    return [once[cell] for cell in cells]


def _decimal_commas(file: str, texts: dict[str, list[str]]) -> list[str]:
    """Turn `4,5` into `4.5` where semicolons separate and no number has a decimal point; return a note on it.

    Columns that mix `1,234` with whole numbers stay, unless other columns show that commas are decimal.
    """
    numbers = {name: cells for name, cells in texts.items() if name not in (*IDS, *RAW)}
    with_comma = [cell for cells in numbers.values() for cell in cells if COMMA.fullmatch(cell)]
    if not with_comma or any("." in cell and number(cell) is not None for cells in numbers.values() for cell in cells):
        return []
    if all(GROUPED.fullmatch(cell) for cell in with_comma):
        numbers = {name: cells for name, cells in numbers.items() if not thousands(cells)}
        with_comma = [cell for cells in numbers.values() for cell in cells if COMMA.fullmatch(cell)]
    for name, cells in numbers.items():
        texts[name] = [cell.replace(",", ".") if COMMA.fullmatch(cell) else cell for cell in cells]
    return [f"{file}: semicolons separate the columns, so {len(with_comma)} numbers such as "
            f"'{with_comma[0]}' were read as "
            f"'{with_comma[0].replace(',', '.')}' (decimal comma)"] if with_comma else []  # fmt: skip


def thousands(cells: Iterable[str]) -> list[str]:
    """Cells such as `1,234` or `1.234` that mean 1234, as the whole numbers beside them (950) show; else none.

    All other numbers are whole and below 1000, and the largest of them is at least a fourth of the smallest thousand.
    """
    distinct = set(cells)
    grouped = sorted(cell for cell in distinct if GROUPED.fullmatch(cell))
    others = [
        number(cell) for cell in distinct.difference(grouped) if number(cell) is not None or COMMA.fullmatch(cell)
    ]
    whole = [abs(value) for value in others if value is not None and value.is_integer() and abs(value) < 1000]
    smallest = min((abs(float(cell.replace(",", "").replace(".", ""))) for cell in grouped), default=0.0)
    return grouped if whole and len(whole) == len(others) and smallest <= 4 * max(whole) else []


def _words(cells: list[str], values: list[str | None]) -> Counter[str]:
    """Count words of a text column that were read as missing although they look like one of its labels."""
    missing_words = Counter(cell for cell, value in zip(cells, values, strict=True) if value is None)
    labels = {value for value in set(values) if value is not None and number(value) is None} if missing_words else set()
    return Counter({word: count for word, count in missing_words.items() if labels and label_like(word, labels)})


def keyed(table: Table, *, person: str | None = None) -> tuple[Keyed, list[str]]:
    """Index rows by `participant_id` (or the given person) and, where there is one, `session_id`."""
    empty = Keyed(table.file, table.header, table.columns, {}, table.words, table.notes)
    if person is None and "participant_id" not in table.columns:
        problem = (
            f"{table.file}, row 1: {no_column('participant_id', table.columns)}, or map one to it in cohort.rename"
        )
        return empty, [problem] if table.columns else []
    if person is not None and table.columns and "session_id" not in table.columns:
        problem = f"{table.file}, row 1: {no_column('session_id', table.columns)}, or map one to it in cohort.rename"
        return empty, [problem]
    visits = [name for name in table.columns if name.lower() in VISITS and "session_id" not in table.columns]
    hint = f" ('{visits[0]}' holds sessions? map it to session_id in cohort.rename)" if visits else ""
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
                where = f"row {rows[key].number}"
                problems.append(f"{row.where}: {key} was already given in {where}; keep one of the two{hint}")
            rows.setdefault(key, row)
    return empty._replace(rows=rows), first(problems)


def identifier(text: str | None, prefix: str) -> str | None:
    """Return `sub-01` for `01` and `sub-01`; None where the text is no BIDS label (letters, digits, plus signs)."""
    label = re.sub(r"(?<=\d)\.0+$", "", (text or "").removeprefix(f"{prefix}-"))  # 3001.0, as spreadsheets write 3001
    return f"{prefix}-{label}" if LABEL.fullmatch(label) else None


def bad_id(row: Row, column: str, prefix: str) -> str:
    """Return the message for an id that cannot name a file."""
    cell = "empty, or a code for missing" if row.cells[column] is None else repr(row.cells[column])
    return f"{row.where}: {column} is {cell}; give {prefix}- and letters or digits, nothing else"


def loose(key: str) -> str:
    """Return the same text for ids that differ only in capitals or leading zeros: `sub-1`, `sub-01`, `SUB-001`."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", key.lower())


def lookup(tables: Iterable[Keyed], column: str, keys: Iterable[str]) -> list[tuple[str, Row]]:
    """Return all non-missing values of a column; in each table the first key with a row decides.

    Where the most specific row of all (a session's) lacks the value, it is missing: a person's row does not fill it.
    """
    order, candidates = list(keys), []
    for table in tables:
        if column in table.columns:
            rank = next((rank for rank, key in enumerate(order) if key in table.rows), None)
            if rank is not None:
                row = table.rows[order[rank]]
                candidates.append((rank, row.cells.get(column), row))
    best = min((rank for rank, _, _ in candidates), default=0)
    if all(value is None for rank, value, _ in candidates if rank == best):
        return []
    return [(value, row) for _, value, row in candidates if value is not None]


def number(text: str) -> float | None:
    """Parse a finite decimal number, else None; a Unicode minus counts as a minus."""
    text = text.replace("\u2212", "-")
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def no_column(name: str, columns: Iterable[str]) -> str:
    """Say that a column is missing, which name is closest, and which columns exist."""
    exist = sorted(set(columns))
    lower = {column.lower(): column for column in exist}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1)
    hint = f"did you mean '{lower[close[0]]}'? " if close else ""
    if len(exist) == 1 and re.search(r"\S[ |]+\S", exist[0]):
        hint = "there is one column only: separate the cells by tab, semicolon or comma. "
    return f"no column '{name}'; {hint}there are {', '.join(exist) or 'none'}; correct the name"


def first(problems: list[str], limit: int = 50) -> list[str]:
    """Return the first of many similar problems, and how many more there are."""
    n_more = len(problems) - limit
    return (
        problems if n_more <= 0 else [*problems[:limit], f"{problems[0].split(',')[0]}: and {n_more} more of this kind"]
    )


def some(names: Iterable[str], limit: int = 3) -> str:
    """Join the first of many names: `sub-01, sub-02, sub-03 and 9 more`."""
    all_names = list(names)
    n_more = len(all_names) - limit
    return ", ".join(all_names[:limit]) + (f" and {n_more} more" if n_more > 0 else "")
