"""A block of functional data: each run is cleaned and streamed to disk, then each person's connectivity is taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.blocks import bold, clean, connectivity, courses, quality
from neurovae.blocks.regions import parcels_table
from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io import blocks
from neurovae.io.files import write_beside
from neurovae.io.parquet import write_table
from neurovae.io.progress import steps
from neurovae.io.tables import first, some
from neurovae.plan import block_files
from neurovae.plan.block_files import File
from neurovae.plan.index import Scan
from neurovae.plan.index import read as read_scans

RUNS = {"scan": "object", "person": "object", "session": "object", "source_path": "object", "start": "int64",
        "n_time": "int64", "n_volumes": "int64", "n_empty": "int64", "tr_s": "float64", "mean_fd": "float64",
        "tsnr": "float64"}  # fmt: skip


class Read(NamedTuple):
    """All runs, cleaned: a row each, parcels that are constant in it (runs, parcels), names of the parcels."""

    runs: pd.DataFrame
    still: np.ndarray
    names: list[str]


def run(*, cohort: Json, block: Json, out: Path) -> None:
    """Write a block of type timeseries or bold: features, cleaned series and quality.

    Example:
        snakemake --cores 2 --configfile config/abide.yaml --forcerun blocks_series

    Args:
        cohort: `participants` or the source of images, `name`, `rename`, `site`, `family` and `folds` of the section;
            scores are not read.
        block: the entry of `cohort.blocks`.
        out: folder to write: rows.parquet, features.parquet, values.npy; series.npy (volumes of all runs, parcels)
            with a row per run in series.parquet; parcels.parquet; quality.tsv.

    Raises:
        InputError: every file that cannot be used, with its row or column; or no participant remains.
    """
    scans = {scan.scan: scan for scan in read_scans(cohort)}
    files, problems = block_files.find(block)
    found, faults, notes = block_files.by_scan(files, [scan.keys for scan in scans.values()], block["name"])
    if problems or faults:
        raise InputError(problems + faults)
    out.mkdir(parents=True, exist_ok=True)
    with _scratch(out / ".runs.raw") as scratch:
        read = read_all({scans[key]: runs for key, runs in sorted(found.items())}, block, scratch)
        table = quality.table(list(scans.values()), read.runs, read.still, read.names, block)
        kept = quality.parcels(table, read.still, read.runs, read.names, block)
        _write(out, scratch, read, table, kept, block)
    write_table(out / "quality.tsv", table)
    used = table[table["status"] == "ok"]
    for note in notes:
        print(f"warning: {note}", flush=True)
    print(
        f"{len(used)} of {len(table)} have block {block['name']}; {int(kept.sum())} of {len(kept)} parcels", flush=True
    )


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A file that is deleted at the end."""
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def read_all(files: dict[Scan, list[File]], block: dict[str, Any], scratch: Path) -> Read:
    """Read and clean each run, and append it (float32) to the file `scratch`: memory does not grow with the runs.

    Raises:
        InputError: every run that cannot be used.
    """
    problems: list[str] = []
    rows: list[dict[str, Any]] = []
    still: list[np.ndarray] = []
    names: list[str] = []
    start = 0
    jobs = [(scan, file) for scan, runs in files.items() for file in runs]
    with scratch.open("wb") as stream:
        for scan, file in steps(jobs, "runs", len(jobs)):
            try:
                cleaned, quiet, own, more = one(file, block)
                _same_parcels(own, names, file)
            except InputError as error:
                problems += error.problems
                continue
            names = names or own
            stream.write(np.ascontiguousarray(cleaned.values, np.float32).tobytes())
            rows.append({"scan": scan.scan, "person": scan.person, "session": scan.session, "source_path": file.path,
                         "start": start, "n_time": len(cleaned.values), "n_volumes": cleaned.n_volumes,
                         "mean_fd": cleaned.mean_fd, "tsnr": cleaned.tsnr, **more})  # fmt: skip
            start += len(cleaned.values)
            still.append(quiet)
    if problems:
        raise InputError(first(problems))
    return Read(pd.DataFrame(rows, columns=list(RUNS)).astype(RUNS), np.array(still), names)


def one(file: File, block: dict[str, Any]) -> tuple[clean.Cleaned, np.ndarray, list[str], dict[str, Any]]:
    """One cleaned run, its constant parcels (parcels,), names of the parcels, and `tr_s` and `n_empty`."""
    tr_s = block["tr_s"] or block_files.tr_of(file)[0]
    confounds = sample = None
    if block["type"] == "bold":
        image = bold.read(file, block)
        values, names, confounds, sample, n_empty = image.values, image.names, image.confounds, image.sample, 0
        tr_s = tr_s or image.tr_s or None
    else:
        values, names, n_empty = courses.read(file)
    name = Path(file.path).name
    fd = courses.displacement(file)
    if n_empty and fd is not None and len(fd) == len(values) + n_empty:
        fd = fd[n_empty:]
    if tr_s is None and (block["high_pass_hz"] or block["low_pass_hz"]):
        raise InputError(f"{name}: a filter needs the repetition time; give tr_s")
    dropped = values[block["drop_first"] :]
    quiet = courses.constant(dropped) if len(dropped) else np.zeros(values.shape[1], bool)
    cleaned = clean.run(values, quiet, fd, confounds, sample, tr_s, block, name)
    return cleaned, cleaned.still, names, {"tr_s": np.nan if tr_s is None else tr_s, "n_empty": n_empty}


def _same_parcels(own: list[str], names: list[str], file: File) -> None:
    """Raise InputError where a run has other parcels than the first one."""
    if names and own != names:
        extra, lacking = sorted(set(own) - set(names)), sorted(set(names) - set(own))
        what = ", ".join(filter(None, [f"has {some(extra)}" * bool(extra), f"lacks {some(lacking)}" * bool(lacking)]))
        raise InputError(f"{Path(file.path).name}: {len(own)} parcels, not those of the first file ({len(names)}): "
                         f"{what or 'another order'}; use one parcellation, or leave the file out")  # fmt: skip


def _write(out: Path, scratch: Path, read: Read, table: pd.DataFrame, kept: np.ndarray, block: dict[str, Any]) -> None:
    """Write series, features and rows of those who have the block; kept: parcels that are used (parcels,)."""
    used = table.loc[table["status"] == "ok", "scan"]
    runs = read.runs[read.runs["scan"].isin(used)].copy()
    with_diagonal, kind = block["connectivity"] == "tangent", block["connectivity"]
    n_kept = int(kept.sum())
    pairs = connectivity.pairs(n_kept, with_diagonal) if kind != "none" else (np.array([], int), np.array([], int))
    values = np.empty((len(used), len(pairs[0])), np.float32)
    header = {"descr": "<f4", "fortran_order": False, "shape": (int(runs["n_time"].sum()), n_kept)}
    with scratch.open("rb") as source, write_beside(out / "series.npy") as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for k, (_, own) in enumerate(steps(list(runs.groupby("scan")), "connectivity", len(used))):
            parts = [_again(source, one.start, one.n_time, kept) for one in own.itertuples()]
            stream.write(b"".join(part.tobytes() for part in parts))
            if kind != "none":
                values[k] = connectivity.vector(np.concatenate(parts).astype(np.float64), kind, block["fisher_z"])
    runs["start"] = np.concatenate([[0], runs["n_time"].to_numpy().cumsum()[:-1]])
    write_table(out / "series.parquet", runs.reset_index(drop=True))
    parcels = parcels_table(read.names, read.still, kept, block.get("regions"))
    write_table(out / "parcels.parquet", parcels)
    first_run = runs.groupby("scan", sort=False).agg(
        person=("person", "first"), session=("session", "first"), source_path=("source_path", "first"),
        n_time=("n_time", "sum"), tr_s=("tr_s", "first"),
    ).loc[list(used)].reset_index()  # fmt: skip
    rows = first_run.assign(
        block=block["name"], source_volume=pd.array([None] * len(used), "Int64"), row=range(len(used))
    )
    blocks.write(out, blocks.Block(rows, features(parcels[parcels["kept"]], pairs), values))


def _again(source: Any, start: int, n_time: int, kept: np.ndarray) -> np.ndarray:
    """A run's courses (volumes, parcels that are used) from the scratch file; a memory map would grow with the runs."""
    source.seek(start * len(kept) * 4)
    whole = np.fromfile(source, np.float32, n_time * len(kept)).reshape(n_time, len(kept))
    return np.ascontiguousarray(whole[:, kept])


def features(parcels: pd.DataFrame, pairs: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """A row per connection: its two parcels, their names and networks; it has no single place."""
    at = parcels.reset_index(drop=True)
    first_of, second_of = at.iloc[pairs[0]].reset_index(drop=True), at.iloc[pairs[1]].reset_index(drop=True)
    networks = [None if a is None or b is None else " - ".join(sorted((a, b)))
                for a, b in zip(first_of["network"], second_of["network"], strict=True)]  # fmt: skip
    return pd.DataFrame(
        {
            "feature": second_of["parcel"].astype(str) + "-" + first_of["parcel"].astype(str),
            "name": second_of["name"].astype(str) + " - " + first_of["name"].astype(str),
            "network": pd.Series(networks, dtype=object),
            "x_mm": np.nan, "y_mm": np.nan, "z_mm": np.nan,
            "first": second_of["parcel"].astype(str), "second": first_of["parcel"].astype(str),
        }
    )  # fmt: skip


if __name__ == "__main__":
    cli(run)
