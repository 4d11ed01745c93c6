"""The one reader of tables: codes for missing, Unicode forms, quotes, files that are no tables; faults over all tables."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bids_tree import plant

from neurovae.cohort.check import check
from neurovae.io import levels, missing, tables
from neurovae.io.text import clean
from neurovae.plan import index, user_tables

PEOPLE = [f"sub-0{turn}" for turn in range(1, 6)]


def read(folder: Path, data: bytes | str, section: dict | None = None) -> tuple[tables.Table, list[str]]:
    """The table, and its problems."""
    (folder / "p.tsv").write_bytes(data.encode() if isinstance(data, str) else data)
    return tables.read(str(folder / "p.tsv"), file="p.tsv", rename={}, codes=missing.codes(section or {}))


@pytest.mark.parametrize(
    "cell",
    ["", " ", "n/a", "N/A", "NA", "nan", "NaN", "NULL", "null", "None", "-", "--", ".", "?", "#N/A", "#DIV/0!", "<NA>",
     "missing", "\u2013", "\u200b", "\xa0", "NaT"],
)  # fmt: skip
def test_missing_is_the_same_list_for_every_column(tmp_path, cell):
    """Numbers and texts alike."""
    table, problems = read(tmp_path, f"age\tsex\n{cell}\tF\n1\t{cell}\n")
    assert not problems and [row.cells for row in table.rows] == [{"age": None, "sex": "F"}, {"age": "1", "sex": None}]


@pytest.mark.parametrize("cell", ["0", "no", "unknown", "00", "Nana", "-1", "+", "n", "9999", "none given"])
def test_what_is_not_missing(tmp_path, cell):
    """Zero, minus one and words that merely contain a code are values."""
    assert read(tmp_path, f"a\n{cell}\n")[0].rows[0].cells["a"] == cell


def test_codes_of_the_configuration(tmp_path):
    """A list is for all columns but ids; a map by column; one spelling per number."""
    text = "participant_id\tage\tmmse\n-9\t-9.0\t999\n02\t999\tND\n"
    every = read(tmp_path, text, {"missing": [-9, "nd"]})[0].rows
    assert [row.cells["age"] for row in every] == [None, "999"] and [row.cells["mmse"] for row in every] == [
        "999",
        None,
    ]
    assert every[0].cells["participant_id"] == "-9"
    one = read(tmp_path, text, {"missing": {"age": [999.0], "*": [-9]}})[0].rows
    assert [row.cells["age"] for row in one] == [None, None] and [row.cells["mmse"] for row in one] == ["999", "ND"]


def test_a_code_can_be_kept(tmp_path):
    """Namibia is a country, minus is a result; an empty cell stays missing."""
    text = "a\tb\nNA\t-\nna\t\n"
    kept = read(tmp_path, text, {"not_missing": {"a": ["NA"]}})[0].rows
    assert [row.cells["a"] for row in kept] == ["NA", "na"] and [row.cells["b"] for row in kept] == [None, None]
    assert read(tmp_path, text, {"not_missing": ["-"]})[0].rows[0].cells == {"a": None, "b": "-"}


@pytest.mark.parametrize(
    "column, words",
    [
        (["DE", "FR", "NA", "NA"], {"NA": 2}),
        (["EMEA", "APAC", "NA"], {"NA": 1}),
        (["mild", "severe", "none"], {"none": 1}),
        (["+", "-", "+"], {"-": 1}),
        (["de", "fr", "na"], {"na": 1}),
        (["yes", "no", "na"], {}),
        (["F", "M", "NA"], {}),
        (["1", "2", "NA"], {}),
        (["DE", "FR", "n/a"], {}),
    ],
)
def test_words_that_could_be_labels_are_counted(tmp_path, column, words):
    """NA beside DE is named; NA beside F or numbers is missing without a word."""
    table = read(tmp_path, "id\tx\n" + "".join(f"{turn}\t{cell}\n" for turn, cell in enumerate(column)))[0]
    assert table.words.get("x", {}) == words


def test_one_form_of_a_label(tmp_path):
    """NFC and NFD, zero-width and no-break blanks print alike and are one label; a path stays as it is."""
    forms = ["Jos\u00e9", "Jose\u0301", "\ufeffJos\u00e9", "Jos\u00e9\u200b", " Jos\u00e9\xa0", "Jo\u00ads\u00e9"]
    assert {clean(form) for form in forms} == {"Jos\u00e9"} and clean("Site\xa0A") == "Site A"
    table = read(tmp_path, "Gro\u0308\u00dfe\tpath\n1\tJose\u0301.nii\n")[0]
    assert table.columns == ["Gr\u00f6\u00dfe", "path"] and table.rows[0].cells["path"] == "Jose\u0301.nii"


def test_one_spelling_per_number_and_levels_that_look_alike():
    """1.0 is 1; 01, capitals, blanks and look-alike letters are named."""
    assert [levels.level(text) for text in ("1.0", "1", "1.50", "01", "1E5", "a", "1.")] == [
        "1", "1", "1.5", "01", "1E5", "a", "1"]  # fmt: skip
    assert levels.similar(["M", "m", "F", "M "]) == [[("M", 1), ("M ", 1), ("m", 1)]]
    assert levels.similar(["Site A", "site_a", "B"]) == [[("Site A", 1), ("site_a", 1)]]
    assert levels.similar(["A1", "\u04101"]) == [[("A1", 1), ("\u04101", 1)]]
    assert levels.similar(["1", "01", "10"]) == [[("01", 1), ("1", 1)]] and levels.similar(["1", "-1", "a", "b"]) == []


@pytest.mark.parametrize(
    "data, where, what, remedy",
    [
        (b"PK\x03\x04....", "p.tsv", "an Excel or LibreOffice workbook (.xlsx, .ods)", "save it as text"),
        (b"\xd0\xcf\x11\xe0....", "p.tsv", "an Excel workbook (.xls)", "CSV UTF-8"),
        (b"\x1f\x8b....", "p.tsv", "compressed (gzip)", "save it as text"),
        (b"<!DOCTYPE html><html>", "p.tsv", "a web page", "save it as text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "p.tsv", "a pointer", "git lfs pull"),
        (b"../../.git/annex/objects/xx/yy/MD5E-s9--a.tsv", "p.tsv", "a pointer of git-annex", "datalad get"),
        (b"a\tb\n1\t2\n\0\0\0\0", "p.tsv, row 3", "holds NUL bytes", "save the table as UTF-8"),
        (b'a,b\n1,"x\n2,y"\n3,"z,w"\n', "p.tsv, row 2", "so the next rows become one cell", "remove the quote"),
        (b'a,b\n"1,2",x\n2,"y\n', "p.tsv, row 3", "quotes do not match", "double it"),
        (b"a b\n1 2\n", "p.tsv", "", ""),
    ],
)
def test_files_that_are_no_tables(tmp_path, data, where, what, remedy):
    """Each is named for what it is."""
    table, problems = read(tmp_path, data)
    if not what:
        assert "separate the cells by tab, semicolon or comma" in tables.no_column("x", table.columns)
        return
    assert len(problems) == 1 and problems[0].startswith(f"{where}: ") and what in problems[0] and remedy in problems[0]


def test_quotes_swallow_no_row(tmp_path):
    """A lone quote is part of its text wherever each line is complete by itself; a quoted line break is kept."""
    for mark in ",;\t":
        text = f'scan{mark}keep{mark}reason\na{mark}no{mark}"blurred\nb{mark}no{mark}5" coil\nc{mark}no{mark}"moved"\n'
        table, problems = read(tmp_path, text)
        assert not problems and [row.cells["scan"] for row in table.rows] == list("abc")
        assert table.rows[2].cells["reason"] == "moved"
    table, problems = read(tmp_path, 'a,b\n1,"two\nlines"\n2,"He said ""no"""\n')
    assert not problems and [row.cells["b"] for row in table.rows] == ["two\nlines", 'He said "no"']


def test_separator_line_and_trailing_cells(tmp_path):
    """`sep=;` of Excel, UTF-16 of its "Unicode text", empty columns at the end; row numbers are those of the file."""
    table, problems = read(tmp_path, "sep=;\na;b\n1;x\n2\n")
    assert table.columns == ["a", "b"] and table.rows[0].number == 3 and problems[0].startswith("p.tsv, row 4: 1 cells")
    assert read(tmp_path, "a\tb\n1\tx\n".encode("utf-16"))[0].rows[0].cells == {"a": "1", "b": "x"}
    table, problems = read(tmp_path, "a;b;;\n1;x;;\n2;y;;;;\n")
    assert not problems and [row.cells for row in table.rows] == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]


def test_decimal_commas(tmp_path):
    """Read where semicolons separate and no number has a point, and said; never elsewhere."""
    table, _ = read(tmp_path, "a;b\n4,5;x\n-1,25;y\n3;z\n")
    assert [row.cells["a"] for row in table.rows] == ["4.5", "-1.25", "3"] and "(decimal comma)" in table.notes[0]
    assert read(tmp_path, "a;b\n4,5;x\n1.5;y\n")[0].rows[0].cells["a"] == "4,5"
    assert read(tmp_path, "a\tb\n4,5\tx\n")[0].rows[0].cells["a"] == "4,5"


CLEAN = {
    "participants": "participant_id\tage\tsite\n" + "".join(f"{p}\t{20 + k}\tA\n" for k, p in enumerate(PEOPLE)),
    "sessions": "participant_id\tsession_id\tage\n" + "".join(f"{p}\t1\t{20 + k}\n" for k, p in enumerate(PEOPLE)),
    "phenotype": "participant_id\tage\tnote\n" + "".join(f"{p}\t{20 + k}\tx\n" for k, p in enumerate(PEOPLE)),
    "plain": "participant_id\tpath\tage\n" + "".join(f"{p}\t{p}.nii\t{20 + k}\n" for k, p in enumerate(PEOPLE)),
    "override": "scan\tkeep\treason\n" + "".join(f"{p}\tno\tblurred\n" for p in PEOPLE),
    "volumes": "participant_id\tage\tthalamus\n" + "".join(f"{p}\t{20 + k}\t5\n" for k, p in enumerate(PEOPLE)),
    "atlas": "index\tname\tside\n" + "".join(f"{k}\tregion {k}\tleft\n" for k in range(1, 6)),
}
Fault = Callable[[list[list[str]]], bytes]


def joined(rows: list[list[str]], mark: str = "\t", end: str = "\n") -> bytes:
    """A table as text."""
    return "".join(mark.join(row) + end for row in rows).encode()


def changed(rows: list[list[str]], row: int, column: int, text: str) -> list[list[str]]:
    """The rows with one cell exchanged."""
    return [[text if (i, j) == (row, column) else cell for j, cell in enumerate(line)] for i, line in enumerate(rows)]


HARMLESS: dict[str, Fault] = {
    "byte order mark": lambda rows: b"\xef\xbb\xbf" + joined(rows),
    "UTF-16": lambda rows: joined(rows).decode().encode("utf-16"),
    "Windows line ends": lambda rows: joined(rows, end="\r\n"),
    "old Mac line ends": lambda rows: joined(rows, end="\r"),
    "semicolons": lambda rows: joined(rows, ";"),
    "commas": lambda rows: joined(rows, ","),
    "commas and quotes": lambda rows: joined([[f'"{cell}"' for cell in row] for row in rows], ","),
    "sep= line": lambda rows: b"sep=;\n" + joined(rows, ";"),
    "blank lines": lambda rows: b"\n" + joined(rows) + b"\n\t\t\n",
    "empty columns": lambda rows: joined([[*row, ""] for row in rows]),
    "blanks around cells": lambda rows: joined([[f" {cell}\xa0" for cell in row] for row in rows]),
    "zero-width blanks": lambda rows: joined([[f"{cell}\u200b" if j != 1 else cell for j, cell in enumerate(row)] for row in rows]),
    "another order of rows": lambda rows: joined([rows[0], *rows[:0:-1]]),
}  # fmt: skip
REFUSED: dict[str, tuple[Fault, str]] = {
    "Latin-1": (lambda rows: joined(rows) + "é\t\t\n".encode("latin-1"), "row 7: byte 0xe9 is not UTF-8"),
    "workbook": (lambda rows: b"PK\x03\x04", "an Excel or LibreOffice workbook"),
    "pointer": (lambda rows: b"/annex/objects/MD5E-s1--x", "a pointer of git-annex"),
    "empty file": (lambda rows: b"", "the file is empty"),
    "NUL bytes": (lambda rows: joined(rows) + b"\0\0", "holds NUL bytes"),
    "a row too short": (lambda rows: joined([*rows[:3], rows[3][:2], *rows[4:]]), "row 4: 2 cells, the header has 3"),
    "a row too long": (lambda rows: joined([*rows[:3], [*rows[3], "x"], *rows[4:]]), "row 4: 4 cells, the header"),
    "a column twice": (lambda rows: joined([[*row, row[1]] for row in rows]), "row 1: two columns are called"),
    "no id column": (lambda rows: joined(changed(rows, 0, 0, "wrong")), "row 1: no column"),
    "an id twice": (lambda rows: joined([*rows, rows[2]]), "row 7: "),
    "no id in a row": (lambda rows: joined(changed(rows, 4, 0, "NA")), "row 5: "),
    "an open quote": (lambda rows: joined(changed([*rows, ['"a,b"', "1", "x"]], 3, 0, '"x'), ","), "quote"),
}  # fmt: skip


def problems_of(kind: str, data: bytes, folder: Path) -> tuple[list[str], object]:
    """Put the table where its kind belongs, among clean others; its problems, and what was read."""
    cohort = {**plant(folder, PEOPLE), "scores": [{"name": "age", "type": "continuous"}]}
    if kind in ("override", "volumes", "atlas"):
        (folder / "t.tsv").write_bytes(data)
        keys = [(person, f"{person}_ses-", person) for person in PEOPLE]
        if kind == "override":
            found, problems = user_tables.override(folder / "t.tsv", PEOPLE)
            return problems, sorted(found.items())
        if kind == "atlas":
            names, problems = user_tables.atlas_names(folder / "t.tsv")
            return problems, sorted(str(row) for row in names)
        volumes = user_tables.volumes(folder / "t.tsv", keys)
        return volumes.problems, (volumes.values, volumes.regions)
    place = {"participants": "participants.tsv", "sessions": "sessions.tsv", "phenotype": "phenotype/t.tsv"}
    if kind == "plain":
        for person in PEOPLE:
            (folder / f"{person}.nii").touch()
        cohort = {**cohort, "bids": None, "table": str(folder / "t.tsv")}
    elif kind != "participants":
        (folder / "participants.tsv").write_text("participant_id\n" + "\n".join(PEOPLE) + "\n")
    for person in PEOPLE if kind == "sessions" else []:
        (folder / person / "anat").rename(folder / person / "ses-1")
        (folder / person / "anat").mkdir()
        (folder / person / "ses-1" / "anat").mkdir()
        (folder / person / "ses-1" / "anat" / f"{person}_ses-1_T1w.nii").touch()
        (folder / person / "ses-1" / f"{person}_T1w.nii.gz").unlink()
    path = folder / place.get(kind, "t.tsv")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    found = index.look(cohort)
    values = {scan.scan: tables.lookup(found.tables, "age", scan.keys) for scan in found.scans}
    return check(cohort, found), {scan: [value for value, _ in cells] for scan, cells in values.items()}


@pytest.mark.parametrize("kind", CLEAN)
def test_faults_over_every_table(tmp_path, kind):
    """25 faults of tables, over all seven tables: those that spreadsheets make are read, the others named with row."""
    rows = [line.split("\t") for line in CLEAN[kind].splitlines()]
    good = problems_of(kind, joined(rows), tmp_path / "clean")
    assert good[0] == [] and good[1]
    for name, make in HARMLESS.items():
        found = problems_of(kind, make(rows), tmp_path / name)
        assert found == good, (kind, name, found)
    for name, (make, expected) in REFUSED.items():
        found = problems_of(kind, make(rows), tmp_path / name)[0]
        assert any(expected in line for line in found), (kind, name, found)
        assert all(": " in line for line in found)
