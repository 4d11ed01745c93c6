"""Run one step over the scans of a batch. Failures are recorded with their cause; finished work is kept.

A scan's results are kept while its key is unchanged. The key is a digest of the source's bytes, the step's arguments,
and the stamp of code and environment. Key, columns and image digests are stored in the scan's BIDS sidecar.
"""

import csv
import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurovae.errors import InputError
from neurovae.io.files import sha256, write_json, write_tsv

Row = dict[str, Any]
SOURCE = ("scan", "source", "volume", "mask")  # columns of the list of scans; the manifest has the first only
MIN_FAILED = 3  # failures below which a batch is not judged as a whole


@dataclass
class Work:
    """The results of a step: the images it wrote, columns for the manifest, parameters for the sidecar."""

    images: list[Path]
    columns: Row
    parameters: Row = field(default_factory=dict)


class Clock:
    """Seconds spent per named call, so that the time of library calls can be separated from the rest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the block's wall seconds to `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def digest(*parts: Any) -> str:
    """Return a short digest of JSON-serialisable values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_list(path: Path) -> list[Row]:
    """Read the batch's list of scans: key, path and, where there are any, volume of a 4-D file and path of the mask."""
    lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    cells = [dict(zip(SOURCE, line.split("\t"), strict=False)) for line in lines]
    return [{**dict.fromkeys(SOURCE, ""), **row, "status": "ok", "cause": ""} for row in cells]


def read_manifest(path: Path, scans: Path | None = None) -> list[Row]:
    """Read a manifest, every cell as text; with the batch's list, each row also gets its source file."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows: list[Row] = list(csv.DictReader(file, delimiter="\t"))
    sources = {row["scan"]: {key: row[key] for key in SOURCE} for row in read_list(scans)} if scans else {}
    return [row | sources.get(row["scan"], {}) for row in rows]


def run(
    rows: list[Row],
    step: Callable[[Row, Clock], Work],
    *,
    sidecar: Callable[[Row], Path],
    key: Callable[[Row], str],
    manifest: Path,
    max_failed: float,
    seconds: Path,
) -> None:
    """Run `step` on every row and write the manifest; raise InputError if too many scans of the batch have failed."""
    results, clocks, start = [], [], time.perf_counter()
    for number, row in enumerate(rows, 1):
        clock = Clock()
        result = _one(row, step, sidecar=sidecar, key=key, clock=clock)
        results.append(result)
        clocks += [{"scan": row["scan"], "call": call, "seconds": round(s, 4)} for call, s in clock.seconds.items()]
        seconds_left = (time.perf_counter() - start) / number * (len(rows) - number)
        print(
            f"{number}/{len(rows)} {row['scan']}: {result['status']} {result['cause']} (left {seconds_left:.0f} s)",
            flush=True,
        )
    columns = list(dict.fromkeys(name for row in results for name in row))
    write_tsv(seconds, clocks, ["scan", "call", "seconds"])
    _check_failures(results, max_failed)
    write_tsv(manifest, results, columns)


def _one(
    row: Row,
    step: Callable[[Row, Clock], Work],
    *,
    sidecar: Callable[[Row], Path],
    key: Callable[[Row], str],
    clock: Clock,
) -> Row:
    base = {"scan": row["scan"], "status": row["status"], "cause": row["cause"]}
    other_columns = {name: value for name, value in row.items() if name not in (*base, *SOURCE)}
    if row["status"] != "ok":
        return base
    try:
        with clock("all"):
            wanted_key = key(row)
            record = _kept_record(sidecar(row), wanted_key) or _compute(row, step, sidecar(row), wanted_key, clock)
    except Exception as error:  # any failure is recorded with its cause, and the other scans are still processed
        return {**base, "status": "failed", "cause": _cause(error)}
    return {**base, **other_columns, **dict(sorted(record["Columns"].items()))}  # the order of a kept scan


def _cause(error: Exception) -> str:
    """Return the message for the manifest; an unexpected error also prints its stack trace to the log."""
    if isinstance(error, InputError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def _kept_record(sidecar: Path, key: str) -> Row | None:
    if not sidecar.exists():
        return None
    try:
        record: Row = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError:  # half-written, for example after a power cut
        print(f"{sidecar.name}: cannot be read; its scan is computed again", flush=True)
        return None
    images = record.get("Images", {})
    intact = all((sidecar.parent / name).exists() and sha256(sidecar.parent / name) == d for name, d in images.items())
    return record if record.get("Key") == key and intact else None


def _compute(row: Row, step: Callable[[Row, Clock], Work], sidecar: Path, key: str, clock: Clock) -> Row:
    work = step(row, clock)
    images = {path.name: sha256(path) for path in work.images}
    record = {**work.parameters, "Key": key, "Columns": work.columns, "Images": images}
    write_json(sidecar, record)
    return record


def _check_failures(rows: list[Row], max_failed: float) -> None:
    failed = [row for row in rows if row["status"] != "ok"]
    if len(failed) >= MIN_FAILED and (len(failed) == len(rows) or len(failed) > max_failed * len(rows)):
        summary = f"{len(failed)} of {len(rows)} scans of this batch failed (preprocess.max_failed is {max_failed:g}):"
        raise InputError([summary, *(f"  {row['scan']}: {row['cause']}" for row in failed)])
