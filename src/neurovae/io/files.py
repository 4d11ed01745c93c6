"""Files are written beside their final name and renamed, so that nothing half-written is left under it."""

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

OLD = 86400.0  # seconds after which nobody writes any more
BLANK = str.maketrans("\t\n\r", "   ")  # what would end a cell or a line


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """Give a temporary name with the same ending in the same folder; rename it to `path` when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    for left in path.parent.iterdir():  # what jobs that were killed have written of it
        found = re.fullmatch(rf"\.(\d+)\.{re.escape(path.name)}", left.name)
        if found and time.time() - left.stat().st_mtime > OLD:
            left.unlink(missing_ok=True)
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
    """Let temporary files of this process lie in a folder whose path ANTs can read: `[`, `]` and `,` are its syntax.

    Raises:
        InputError: there is no such folder.
    """
    tried = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    usable = [folder for folder in tried if not set("[](),;' ") & set(folder) and os.access(folder, os.W_OK | os.X_OK)]
    if not usable:
        raise InputError(
            f"TMPDIR: ANTs cannot read the brackets, commas or blanks in {tried[0]}, and cannot write to any of "
            f"{', '.join(tried[1:])}; set TMPDIR to a folder without them"
        )
    tempfile.tempdir = usable[0]


def sha256(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
