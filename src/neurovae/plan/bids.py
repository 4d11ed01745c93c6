"""Walk a BIDS folder with the standard library: two `scandir` a person, names only, nothing opened."""

import os
import re
from collections.abc import Iterator, Mapping

from neurovae.io.tables import Keyed, first, identifier, keyed, read

ENTITIES = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*")
ENDINGS = (".nii", ".nii.gz")


def walk(root: str, suffix: str) -> tuple[dict[str, str], list[tuple[str, str]], list[str]]:
    """Find scans as key -> path, per-person sessions tables as (person, path), and what is wrong with either."""
    scans: dict[str, str] = {}
    sessions: list[tuple[str, str]] = []
    problems: list[str] = []
    others: set[str] = set()
    for prefix, entry in _files(root, problems):
        place = entry.path[len(root) + 1 :]
        if entry.name == f"{prefix}_sessions.tsv":
            sessions.append((prefix, entry.path))
        if not entry.name.endswith(ENDINGS) or place.count(os.sep) < 2:
            continue
        key, _, ending = entry.name.removesuffix(".gz").removesuffix(".nii").rpartition("_")
        if ending != suffix:
            others.add(ending)
        elif not ENTITIES.fullmatch(key) or not f"{key}_".startswith(f"{prefix}_"):
            form = f"{prefix}[_acq-<label>][_run-<label>]_{suffix}"
            problems.append(f"{place!r}: not named {form}, labels of letters and digits; rename the file")
        elif key in scans:
            problems.append(f"{place!r}: {key} is also '{scans[key][len(root) + 1 :]}'; keep one of the two")
        elif entry.is_symlink() and not os.path.exists(entry.path):
            problems.append(f"{place!r}: a link to a file that is not there; fetch it (datalad get) or remove the link")
        else:
            scans[key] = entry.path
    if not scans and not problems:
        hint = f"images there end in {', '.join(sorted(others))}" if others else "there is no image at all"
        form = f"sub-*/[ses-*/]*/*_{suffix}.nii[.gz]"
        problems.append(f"{root}: no scan found as {form}; {hint}; correct cohort.bids or cohort.suffix")
    return scans, sessions, first(problems)


def _files(root: str, problems: list[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walk sub-*/[ses-*/]<datatype>/ and give each file with its `sub-01[_ses-1]`; refuse ids that are no labels."""
    for subject in entries(root):
        if not subject.name.startswith("sub-") or not subject.is_dir():
            continue
        if identifier(subject.name, "sub") is None:
            problems.append(f"{subject.name!r}: a person's folder is sub- and letters or digits; rename the folder")
            continue
        for entry in entries(subject.path):
            if not entry.is_dir():
                yield subject.name, entry
            elif not entry.name.startswith("ses-"):
                yield from ((subject.name, file) for file in entries(entry.path))
            elif identifier(entry.name, "ses") is None:
                place = f"{subject.name}/{entry.name}"
                problems.append(f"{place!r}: a session's folder is ses- and letters or digits; rename the folder")
            else:
                for kind in (inner for inner in entries(entry.path) if inner.is_dir()):
                    yield from ((f"{subject.name}_{entry.name}", file) for file in entries(kind.path))


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder, sorted, without what is hidden."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def tables(
    root: str, sessions: list[tuple[str, str]], rename: Mapping[str, str], columns: set[str]
) -> tuple[list[Keyed], list[str], list[str]]:
    """Read participants.tsv (first), sessions.tsv, phenotype/*.tsv and the per-person sessions tables (as one).

    A questionnaire that holds none of the used `columns` may have rows or ids of any kind.
    """
    names = ["participants.tsv", *(["sessions.tsv"] if os.path.exists(f"{root}/sessions.tsv") else [])]
    folder = f"{root}/phenotype"
    names += [f"phenotype/{file.name}" for file in (entries(folder) if os.path.isdir(folder) else [])]
    names = [name for name in names if name.endswith(".tsv")]
    found: list[Keyed] = []
    problems: list[str] = []
    for name in names:
        table, unread = read(f"{root}/{name}", file=name, rename=rename)
        with_keys, unkeyed = keyed(table)
        found.append(with_keys)
        needed = not name.startswith("phenotype/") or columns & set(table.columns)
        problems += unread + (unkeyed if needed else [])
    merged = Keyed("sub-*/sub-*_sessions.tsv", [], [], {})
    for person, path in sessions:
        table, unread = read(path, file=path[len(root) + 1 :], rename=rename)
        with_keys, unkeyed = keyed(table, person=person)
        merged.header.extend(set(table.header) - set(merged.header))
        merged.columns.extend(set(table.columns) - set(merged.columns))
        merged.rows.update(with_keys.rows)
        problems += unread + unkeyed
    files = [f"{root}/{name}" for name in names] + [path for _, path in sessions]
    return [*found, *([merged] if sessions else [])], files, problems
