"""Write files under a temporary name and rename them, so that no half-written file has a final name."""

import csv
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurovae.errors import InputError

OLD = 86400.0  # seconds after which a temporary file is taken to be abandoned
BLANK = str.maketrans("\t\n\r", "   ")  # what would end a cell or a line


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder, with the same ending; rename it to `path` when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    for leftover in path.parent.iterdir():  # of jobs that were killed
        match = re.fullmatch(rf"\.(\d+)\.{re.escape(path.name)}", leftover.name)
        if match and time.time() - leftover.stat().st_mtime > OLD:
            leftover.unlink(missing_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with sorted keys."""
    with write_beside(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tsv(path: Path, rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
    """Write rows as tab-separated text (BIDS: `n/a` where a value is None); standard library only."""
    with write_beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, delimiter="\t", lineterminator="\n")  # a cell with a quote is quoted, as pandas has it
        for row in [dict(zip(columns, columns, strict=True)), *rows]:
            cells = ("n/a" if row.get(name) is None else str(row[name]) for name in columns)
            lines.writerow([cell.translate(BLANK) for cell in cells])


def plain_tempdir() -> None:
    """Choose a temporary folder whose path ANTs can read: `[`, `]` and `,` are part of its syntax.

    Raises:
        InputError: there is no such folder.
    """
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    usable = [
        folder for folder in candidates if not set("[](),;' ") & set(folder) and os.access(folder, os.W_OK | os.X_OK)
    ]
    if not usable:
        raise InputError(
            f"TMPDIR: ANTs cannot read the brackets, commas or blanks in {candidates[0]}, and cannot write to any of "
            f"{', '.join(candidates[1:])}; set TMPDIR to a folder without them"
        )
    tempfile.tempdir = usable[0]


def sha256(path: Path) -> str:
    """Return the digest of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
