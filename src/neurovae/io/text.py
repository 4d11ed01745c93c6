"""Turn the bytes of a table into rows of cells: encoding, line ends, separator, quotes; standard library only."""

import csv
import io
import os
import re
import unicodedata

Line = tuple[int, list[str]]  # row number, the header being row 1 unless a `sep=` line stands before it; cells
INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF])
BLANKS = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
FORMATS = {
    b"PK\x03\x04": "an Excel or LibreOffice workbook (.xlsx, .ods)",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls)",
    b"\x1f\x8b": "compressed (gzip)",
    b"%PDF": "a PDF",
    b"PAR1": "Parquet",
    b"$FL2": "SPSS data (.sav)",
    b"$FL3": "SPSS data (.zsav)",
    b"<!DOCTYPE": "a web page, not a table",
    b"<html": "a web page, not a table",
    b"{\\rtf": "a word-processor document",
}
HEAD = 50  # lines that show which character separates the cells
POINTERS = (b"version https://git-lfs.github.com/spec", b"/annex/objects/", b"../.git/annex/")


def clean(text: str) -> str:
    """Normalise a label: Unicode NFC, no zero-width characters, plain blanks, none at either end."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFC", text.translate(INVISIBLE).translate(BLANKS)).strip()


def decode(path: str, file: str) -> tuple[str, list[str]]:
    """Return the text of a table with \\n as line end, and the problems of the file."""
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        if os.path.islink(path):
            return "", [f"{file}: a link to a file that is not there; fetch it (datalad get) or correct the path"]
        return "", [f"{file}: table not found ({path});{_beside(path)} give the table or correct the path"]
    except OSError as error:
        return "", [f"{file}: cannot be read ({error.strerror}); give a text file that you may read"]
    if file_format := next((name for start, name in FORMATS.items() if data.startswith(start)), None):
        return "", [f"{file}: the file is {file_format}; save it as text: tab-separated, or CSV UTF-8"]
    if len(data) < 1000 and any(mark in data[:300] for mark in POINTERS):
        return "", [f"{file}: a pointer of git-annex or Git LFS, not the table; fetch it (datalad get, git lfs pull)"]
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8 (the file looks like Latin-1 or UTF-16)"
        return "", [f"{file}, row {row}: {problem}; save the table as UTF-8"]
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        return "", [f"{file}, row {row}: holds NUL bytes: damaged, or UTF-16 without a mark; save the table as UTF-8"]
    return text.replace("\r\n", "\n").replace("\r", "\n"), []


def _beside(path: str) -> str:
    """Name a file of the same name with another ending, which was probably meant."""
    folder, name = os.path.split(path)
    stem = name.rpartition(".")[0].lower()
    names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    twin = next(
        (name_there for name_there in names if name_there.rpartition(".")[0].lower() == stem and name_there != name),
        None,
    )
    return f" {twin} is there: save it as {name};" if twin else ""


def split(text: str, file: str) -> tuple[list[Line], str, list[str]]:
    """Split the text: rows of cells with their numbers, the separator, and problems of quotes.

    The separator is that of a first line `sep=;`, else that of the header: tab, else semicolon or comma, whichever
    occurs equally often in more of the first lines, then more often.
    """
    lines = text.split("\n") if text.strip() else []
    declared = re.fullmatch(r'"?sep=(.)"?', lines[0].strip(" ")) if lines else None
    start = 2 if declared else 1
    while len(lines) >= start and not lines[start - 1].strip():
        start += 1
    lines = lines[start - 1 :]
    if not lines:
        return [], "", []
    separator = declared[1] if declared else "\t" if "\t" in lines[0] else _separator(lines[:HEAD])
    if (
        separator == "\t" or separator not in lines[0]
    ):  # BIDS knows no quoting: a lone " must not swallow the lines that follow
        cells = [[_bare(cell) for cell in line.split(separator)] if line else [] for line in lines]
        return list(enumerate(cells, start)), separator, []
    rows, problem = _quoted("\n".join(lines), separator)
    unquoted_rows = (
        [[_bare(cell) for cell in line.split(separator)] if line else [] for line in lines] if problem else []
    )
    if problem and all(len(cells) == len(unquoted_rows[0]) for cells in unquoted_rows if cells):
        rows, problem = unquoted_rows, ""  # every line is complete by itself: the quote belongs to the text
    return list(enumerate(rows, start)), separator, [f"{file}, row {start + len(rows)}: {problem}"] if problem else []


def _separator(lines: list[str]) -> str:
    """Comma or semicolon: a comma in the name of a column ("age, in years") does not separate."""
    counts = {mark: [_unquoted(line).count(mark) for line in lines if line.strip()] for mark in ",;"}
    return max(counts, key=lambda mark: (counts[mark][0] and counts[mark].count(counts[mark][0]), counts[mark][0]))


def _bare(cell: str) -> str:
    """Return a cell without the quotes around it; a quote on one side only is dropped too."""
    return cell.strip().strip('"').replace('""', '"')


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)


def _quoted(text: str, mark: str) -> tuple[list[list[str]], str]:
    """Split by the rules of CSV, up to a quote that is not closed or that spans whole rows."""
    csv.field_size_limit(2**31 - 1)
    rows: list[list[str]] = []
    remedy = "remove the quote, or double it inside quoted text"
    try:
        reader, line = csv.reader(io.StringIO(text), delimiter=mark, strict=True, skipinitialspace=True), 0
        for cells in reader:
            width = len(rows[0]) if rows else len(cells)
            inner = [part for cell in cells for part in cell.split("\n")[1:]] if reader.line_num > line + 1 else []
            if any(part.count(mark) >= width - 1 for part in inner if width > 1):
                return (
                    rows,
                    f"a quote opens here and is not closed in its row, so the next rows become one cell; {remedy}",
                )
            rows.append(cells)
            line = reader.line_num
    except csv.Error as error:
        return rows, f"quotes do not match ({error}); {remedy}"
    return rows, ""
