"""A plain table with a row and a `path` per scan, for data that is no BIDS folder; standard library only.

`source_volume` names the volume (from 0) where one 4-D file holds several scans, `mask` the file of a brain mask.
"""

import os
from collections.abc import Mapping

from neurovae.io import tables
from neurovae.io.missing import BUILTIN, Codes
from neurovae.io.tables import LABEL, Keyed, Row, bad_id, first, identifier, no_column, number
from neurovae.plan import nifti
from neurovae.plan.derivatives import Source


def read(
    path: str, rename: Mapping[str, str], codes: Codes = BUILTIN
) -> tuple[dict[str, Source], list[tuple[str | None, str, str]], Keyed, list[str]]:
    """Return scan key -> source, excluded rows as (scan, person, reason), the table by scan key, and problems."""
    file, folder = os.path.basename(path), os.path.dirname(path)
    table, problems = tables.read(path, file=file, rename=rename, codes=codes)
    missing = [name for name in ("path", "participant_id") if table.columns and name not in table.columns]
    problems += [f"{file}, row 1: {no_column(name, table.columns)}, or map it in cohort.rename" for name in missing]
    rows: dict[str, Row] = {}
    sources: dict[str, Source] = {}
    owner: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    excluded: list[tuple[str | None, str, str]] = []
    row_problems: list[str] = []
    for row in table.rows if not missing else []:
        key, problem = _key(row)
        source = Source(_place(row, folder), _volume(row), _place(row, folder, "mask"))
        problem = problem or _fault(row, source, owner, counts)
        if not problem and key in rows:
            problem = f"{row.where}: {key} was already given in row {rows[key].number}; keep one of the two"
        if problem:
            row_problems.append(problem)
        elif row.cells["path"] is None:
            excluded.append((key, key.split("_")[0], f"{row.where}: no path"))
        else:
            sources[key] = source
            owner[source.path, source.volume] = key
        rows.setdefault(key, row)
    if table.rows and not sources and not problems and not row_problems:
        row_problems.append(f"{file}: no row has a path; give a .nii, .nii.gz or .mgz file per scan")
    return (
        sources,
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


def _place(row: Row, folder: str, column: str = "path") -> str:
    text = row.cells.get(column)
    return os.path.normpath(os.path.join(folder, text)) if text else ""


def _volume(row: Row) -> str:
    """The volume as a whole number; what is none stays as it is."""
    text = row.cells.get("source_volume") or ""
    parsed = number(text)
    return text if parsed is None or not parsed.is_integer() else str(int(parsed))


def _fault(row: Row, source: Source, owner: Mapping[tuple[str, str], str], counts: dict[str, int]) -> str:
    path, place = row.cells["path"], source.path
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
    if source.mask and not os.path.exists(source.mask):
        return f"{row.where}: mask is {row.cells['mask']!r}, there is no such file; correct it, or leave the column out"
    if (place, source.volume) in owner:
        other = owner[place, source.volume]
        if source.volume:
            return f"{row.where}: volume {source.volume} of {path!r} is already that of {other}; give each scan its own"
        return f"{row.where}: path {path!r} is already that of {other}; give each scan its own file, or source_volume"
    return _volume_fault(row, source, counts) if source.volume else ""


def _volume_fault(row: Row, source: Source, counts: dict[str, int]) -> str:
    """A volume that the file does not have; counts: volumes of the files that were looked at before."""
    if source.path not in counts:
        try:
            counts[source.path] = (*nifti.shape(source.path), 1, 1, 1)[3]
        except ValueError:  # which the job names
            return ""
    count = counts[source.path]
    if source.volume.isdigit() and int(source.volume) < count:
        return ""
    return (
        f"{row.where}: source_volume is {source.volume!r}, the file has {count} volume{'s' * (count > 1)}; give a "
        f"number from 0 to {count - 1}"
    )
