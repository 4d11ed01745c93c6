"""A plain table with a row and a `path` per scan, for data that is no BIDS folder; standard library only."""

import os
from collections.abc import Mapping

from neurovae.io import tables
from neurovae.io.missing import BUILTIN, Codes
from neurovae.io.tables import LABEL, Keyed, Row, bad_id, first, identifier, no_column


def read(
    path: str, rename: Mapping[str, str], codes: Codes = BUILTIN
) -> tuple[dict[str, str], list[tuple[str | None, str, str]], Keyed, list[str]]:
    """Return scan key -> path, excluded rows as (scan, person, reason), the table by scan key, and problems."""
    file, folder = os.path.basename(path), os.path.dirname(path)
    table, problems = tables.read(path, file=file, rename=rename, codes=codes)
    missing = [name for name in ("path", "participant_id") if table.columns and name not in table.columns]
    problems += [f"{file}, row 1: {no_column(name, table.columns)}, or map it in cohort.rename" for name in missing]
    rows: dict[str, Row] = {}
    paths: dict[str, str] = {}
    owner: dict[str, str] = {}
    excluded: list[tuple[str | None, str, str]] = []
    row_problems: list[str] = []
    for row in table.rows if not missing else []:
        key, problem = _key(row)
        problem = problem or _fault(row, _place(row, folder), owner)
        if not problem and key in rows:
            problem = f"{row.where}: {key} was already given in row {rows[key].number}; keep one of the two"
        if problem:
            row_problems.append(problem)
        elif row.cells["path"] is None:
            excluded.append((key, key.split("_")[0], f"{row.where}: no path"))
        else:
            paths[key] = _place(row, folder)
            owner[paths[key]] = key
        rows.setdefault(key, row)
    if table.rows and not paths and not problems and not row_problems:
        row_problems.append(f"{file}: no row has a path; give a .nii, .nii.gz or .mgz file per scan")
    return (
        paths,
        excluded,
        Keyed(file, table.header, table.columns, rows, table.words, table.notes),
        problems + first(row_problems),
    )


def _key(row: Row) -> tuple[str, str]:
    """Return the scan's key and, where an id is no label, the problem."""
    key = identifier(row.cells["participant_id"], "sub")
    if key is None:
        return "", bad_id(row, "participant_id", "sub")
    session = row.cells.get("session") or row.cells.get("session_id")
    entities = (("ses", session), ("acq", row.cells.get("acquisition")), ("run", row.cells.get("run")))
    for entity, text in entities:
        label = (text or "").removeprefix(f"{entity}-")
        if label and not LABEL.fullmatch(label):
            return "", f"{row.where}: {entity} is {label!r}; give letters, digits and plus signs, nothing else"
        key += f"_{entity}-{label}" if label else ""
    return key, ""


def _place(row: Row, folder: str) -> str:
    return os.path.normpath(os.path.join(folder, row.cells["path"] or ""))


def _fault(row: Row, place: str, owner: Mapping[str, str]) -> str:
    path = row.cells["path"]
    if path is None:
        return ""
    if not path.lower().endswith((".nii", ".nii.gz", ".mgz", ".mgh")):
        return f"{row.where}: path is {path!r}; give a .nii, .nii.gz or .mgz file"
    if any(ord(letter) < 32 for letter in place):
        return (
            f"{row.where}: path is {path!r}; control characters such as tabs or line breaks are not allowed; rename it"
        )
    if not os.path.exists(place):
        return f"{row.where}: path is {path!r}, there is no such file; correct it, or n/a leaves the scan out"
    if place in owner:
        return f"{row.where}: path {path!r} is already that of {owner[place]}; give each scan its own file"
    return ""
