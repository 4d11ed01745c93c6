"""Walk a BIDS folder with the standard library: two `scandir` per person, names only, no image is opened."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from neurovae.io.missing import BUILTIN, Codes
from neurovae.io.tables import Keyed, first, identifier, keyed, loose, read
from neurovae.plan import bidsignore
from neurovae.plan.pattern import DERIVED

ENTITIES = re.compile(r"sub-[A-Za-z0-9+]+(_[a-z]+-[A-Za-z0-9+]+)*")
ENDINGS = (".nii", ".nii.gz")  # in any case: .NII.GZ too
UNREAD = (".mgz", ".mgh", ".img", ".mnc", ".nrrd", ".dcm")  # images that BIDS does not have
Excluded = tuple[str | None, str, str]  # scan, person, reason


class Walk(NamedTuple):
    """Scans as key -> path, scans that are left out, tables per person as (person or person and session, path).

    misnamed: a file or folder of a person (`loose` ID) whose name BIDS does not have, but nearly: `Sub-01`, `_t1w`.
    """

    scans: dict[str, str]
    excluded: list[Excluded]
    sessions: list[tuple[str, str]]
    times: list[tuple[str, str]]
    problems: list[str]
    misnamed: dict[str, str]


def walk(root: str, suffix: str) -> Walk:
    """Find the scans of one suffix, and the problems of their names."""
    is_ignored, problems = bidsignore.reader(root)
    result = Walk({}, [], [], [], problems, {})
    other_suffixes: set[str] = set()
    for prefix, entry in _files(root, problems, result.misnamed):
        relative = entry.path[len(root) + 1 :].replace(os.sep, "/")
        key, _, ending = re.sub(r"(?i)\.nii(\.gz)?$", "", entry.name).rpartition("_")
        if entry.name == f"{prefix}_sessions.tsv" and not is_ignored(relative):
            result.sessions.append((prefix, entry.path))
        elif entry.name == f"{prefix}_scans.tsv" and not is_ignored(relative):
            result.times.append((prefix, entry.path))
        elif entry.name.lower().endswith(UNREAD):
            other_suffixes.add(f"{ending.partition('.')[0]}{os.path.splitext(entry.name)[1]}")
        elif not entry.name.lower().endswith(ENDINGS) or os.path.basename(os.path.dirname(relative)) in prefix.split(
            "_"
        ):
            continue
        elif ending != suffix:
            other_suffixes.add(ending)
            if suffix.lower() in entry.name.lower():
                result.misnamed.setdefault(loose(prefix.split("_")[0]), relative)
        else:
            _add(result, prefix, key, relative, entry, suffix, is_ignored)
    if not result.scans and not problems:
        hint = (
            f"images there end in {', '.join(sorted(other_suffixes))}" if other_suffixes else "there is no image at all"
        )
        hint += " (cohort.files reads .mgz)" if any(ending.endswith(".mgz") for ending in other_suffixes) else ""
        if result.excluded:
            hint = f"{len(result.excluded)} are left out ({result.excluded[0][2]})"
        form = f"sub-*/[ses-*/]*/*_{suffix}.nii[.gz]"
        problems.append(f"{root}: no scan found as {form}; {hint}; correct cohort.bids or cohort.suffix")
    return result._replace(problems=first(problems))


def _add(
    result: Walk,
    prefix: str,
    key: str,
    relative: str,
    entry: os.DirEntry[str],
    suffix: str,
    ignored: Callable[[str], bool],
) -> None:
    """Add one image of the suffix to the scans, to those left out, or to the problems."""
    person, part = prefix.split("_")[0], re.search(r"_part-([A-Za-z0-9]+)", key)
    if ignored(relative):
        result.excluded.append((key, person, f"{relative} is listed in .bidsignore"))
    elif re.search(f"_({DERIVED})-", key):
        result.problems.append(f"{relative!r}: not a raw scan but a derivative; choose such files with cohort.files")
    elif not ENTITIES.fullmatch(key) or not f"{key}_".startswith(f"{prefix}_"):
        form = f"{prefix}[_acq-<label>][_run-<label>]_{suffix}"
        result.problems.append(
            f"{relative!r}: not named {form}, labels of letters, digits and plus signs; rename the file"
        )
    elif part and part[1] != "mag":
        reason = f"{relative}: part-{part[1]} is not a magnitude image; only part-mag is read"
        result.excluded.append((key, person, reason))
    elif key in result.scans:
        other_path = result.scans[key][len(entry.path) - len(relative) :]
        result.problems.append(f"{relative!r}: {key} is also '{other_path}'; keep one of the two")
    elif entry.is_symlink() and not os.path.exists(entry.path):
        result.problems.append(
            f"{relative!r}: a link to a file that is not there; fetch it (datalad get) or remove the link"
        )
    else:
        result.scans[key] = entry.path


def _files(root: str, problems: list[str], misnamed: dict[str, str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield each file of sub-*/[ses-*/][<datatype>/] with its `sub-01[_ses-1]`; report folders without a BIDS label."""
    for subject in entries(root):
        if not subject.name.startswith("sub-") or not subject.is_dir():
            if subject.name.lower().startswith("sub") and subject.is_dir():
                misnamed[loose(f"sub-{subject.name[3:].lstrip('-_ ')}")] = f"{subject.name}/"
            continue
        if identifier(subject.name, "sub") is None:
            problems.append(f"{subject.name!r}: a person's folder is sub- and letters or digits; rename the folder")
            continue
        for entry in entries(subject.path):
            if not entry.is_dir():
                yield subject.name, entry
            elif not entry.name.startswith("ses-"):
                if entry.name.lower().startswith("ses"):
                    misnamed[loose(subject.name)] = f"{subject.name}/{entry.name}/"
                yield from ((subject.name, file) for file in entries(entry.path))
            elif identifier(entry.name, "ses") is None:
                place = f"{subject.name}/{entry.name}"
                problems.append(f"{place!r}: a session's folder is ses- and letters or digits; rename the folder")
            else:
                for inner in entries(entry.path):
                    files = entries(inner.path) if inner.is_dir() else [inner]
                    yield from ((f"{subject.name}_{entry.name}", file) for file in files)


def entries(folder: str) -> list[os.DirEntry[str]]:
    """List the files and folders of a folder, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def tables(
    root: str,
    sessions: list[tuple[str, str]],
    rename: Mapping[str, str],
    columns: set[str],
    codes: Codes = BUILTIN,
) -> tuple[list[Keyed], list[str], list[str]]:
    """Read participants.tsv (first), sessions.tsv, phenotype/*.tsv and the per-person sessions tables (as one).

    A questionnaire that holds none of the used `columns` may have rows or ids of any kind.
    """
    ignored, _ = bidsignore.reader(root)
    names = ["participants.tsv", *(["sessions.tsv"] if os.path.exists(f"{root}/sessions.tsv") else [])]
    folder = f"{root}/phenotype"
    names += [f"phenotype/{file.name}" for file in (entries(folder) if os.path.isdir(folder) else [])]
    other_formats = [name for name in names if name.lower().endswith((".csv", ".xlsx", ".xls", ".ods", ".txt"))]
    names = [name for name in names if name.endswith(".tsv") and (name == names[0] or not ignored(name))]
    result: list[Keyed] = []
    problems: list[str] = []
    for name in names:
        table, table_problems = read(f"{root}/{name}", file=name, rename=rename, codes=codes)
        keyed_table, key_problems = keyed(table)
        result.append(keyed_table)
        is_used = not name.startswith("phenotype/") or columns & set(table.columns)
        problems += table_problems + (key_problems if is_used else [])
    all_sessions = Keyed("sub-*/sub-*_sessions.tsv", [], [], {}, {}, [])
    for person, path in sessions:
        table, table_problems = read(path, file=path[len(root) + 1 :], rename=rename, codes=codes)
        keyed_table, key_problems = keyed(table, person=person)
        all_sessions.header.extend(set(table.header) - set(all_sessions.header))
        all_sessions.columns.extend(set(table.columns) - set(all_sessions.columns))
        all_sessions.rows.update(keyed_table.rows)
        all_sessions.notes.extend(table.notes)
        for column, words in table.words.items():
            all_sessions.words.setdefault(column, Counter()).update(words)
        problems += table_problems + key_problems
    if other_formats:
        result[0].notes.append(f"{', '.join(other_formats)}: not read, since tables of a BIDS folder end in .tsv")
    files = [f"{root}/{name}" for name in names] + [path for _, path in sessions]
    return [*result, *([all_sessions] if sessions else [])], files, problems
