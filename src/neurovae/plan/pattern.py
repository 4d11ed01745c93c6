"""Find files by a path pattern with named fields; names only, nothing opened; standard library only.

`*` and `?` stand for letters of one name, `**` for any number of folders. `{bids}` is the beginning of a BIDS name
(`sub-01_ses-1_run-2`, without entities of derivatives), `{person}`, `{session}`, `{acquisition}` and `{run}` are parts
of other names. A field that stands twice has the same text in both places.
"""

import difflib
import os
import re
from collections.abc import Iterator

LABEL = "[A-Za-z0-9+]+"
DERIVED = "space|res|den|label|desc|from|to|mode|hemi|atlas|seg|scale|stat|cohort"  # entities of BIDS derivatives
BIDS = rf"sub-{LABEL}(?:_(?!(?:{DERIVED})-)[a-z]+-{LABEL})*"
FIELDS = {"bids": BIDS, "person": "[^/]+?", "session": "[^/]+?", "acquisition": "[^/]+?", "run": "[^/]+?"}
FIELD = re.compile(r"\{(\w*)\}")
PIECE = re.compile(r"(\{\w*\}|\*\*/|\*|\?)")


def fields(pattern: str) -> list[str]:
    """Return the names in braces, in their order."""
    return FIELD.findall(pattern)


def find(pattern: str) -> dict[str, dict[str, str]]:
    """Return path of every file that the pattern matches -> the text of each field, in the order of paths."""
    expression = re.compile(_expression(pattern))
    matches = {path: expression.fullmatch(path) for path in sorted(set(_walk(*_start(pattern))))}
    return {path: match.groupdict() for path, match in matches.items() if match}


def neighbours(pattern: str, limit: int = 3) -> list[str]:
    """Return a few files where the pattern looks, the most similar name first, for the message that none matches."""
    folder, _, name = pattern.rpartition("/")
    names = {
        os.path.basename(path) for path in _walk(*_start(f"{folder}/*" if folder else "*")) if os.path.isfile(path)
    }
    return difflib.get_close_matches(FIELD.sub("sub-01", name), sorted(names), n=limit, cutoff=0.0)


def _expression(pattern: str) -> str:
    """Translate the pattern into a regular expression; a repeated field refers to its first occurrence."""
    used_names: set[str] = set()
    parts = []
    for piece in PIECE.split(os.path.normpath(pattern)):
        name = piece[1:-1] if FIELD.fullmatch(piece) else ""
        parts.append(f"(?P={name})" if name in used_names else f"(?P<{name}>{FIELDS[name]})" if name else _loose(piece))
        used_names |= {name} if name else set()
    return "".join(parts)


def _loose(text: str) -> str:
    """Translate the pattern without names for the fields, to match one part of a path."""
    wildcards = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    pieces = PIECE.split(text)
    return "".join(
        wildcards.get(piece) or (FIELDS[piece[1:-1]] if FIELD.fullmatch(piece) else re.escape(piece))
        for piece in pieces
    )


def _start(pattern: str) -> tuple[str, list[str]]:
    """Return the folder before the first part with a wildcard or field, and the remaining parts."""
    parts = os.path.normpath(pattern).split("/")
    n_fixed = next((number for number, part in enumerate(parts) if PIECE.search(f"{part}/")), len(parts) - 1)
    return "/".join(parts[:n_fixed]) or ("/" if pattern.startswith("/") else ""), parts[n_fixed:]


def _walk(folder: str, parts: list[str]) -> Iterator[str]:
    """Yield paths below a folder whose parts match, without hidden names."""
    part, remaining = parts[0], parts[1:]
    if part == "**":
        yield from _walk(folder, remaining or ["*"])
    for entry in _entries(folder):
        path = f"{folder.rstrip('/')}/{entry.name}" if folder else entry.name
        if part == "**":
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(path, parts)
        elif re.fullmatch(_loose(part), entry.name):
            if not remaining:
                yield path
            elif entry.is_dir():
                yield from _walk(path, remaining)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    if not os.path.isdir(folder or "."):
        return []
    with os.scandir(folder or ".") as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]
