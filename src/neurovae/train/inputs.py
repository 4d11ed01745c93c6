"""What a model reads: an array with a row per scan.

The packed volumes, the columns of a user's table of latents, the features of a block, the embeddings of a pretrained
encoder, or several blocks side by side.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.blocks.wide_table import read_table
from neurovae.errors import InputError
from neurovae.io import blocks, embeddings
from neurovae.io.missing import codes
from neurovae.io.parquet import read_parquet
from neurovae.io.tables import some
from neurovae.io.volumes import read_volumes
from neurovae.plan.latent_tables import Wanted, latents
from neurovae.train import side_by_side


class Inputs(NamedTuple):
    """Array (scans, ...), the table of its rows with a digest of each scan's values, and the names of its columns."""

    array: Any  # a numpy array, or blocks side by side
    table: pd.DataFrame
    names: list[str]  # of the columns of a user's table; volumes have none
    volumes: np.ndarray  # all packed volumes (all scans, x, y, z)
    rows: np.ndarray  # (scans,) the row of each scan in them
    encoder: dict[str, Any] = {}  # description of a pretrained encoder
    block: str = ""  # name of the block that is read

    @property
    def scans(self) -> Any:
        """The volumes of these scans (scans, x, y, z), read where they are indexed."""
        return self.volumes if len(self.rows) == len(self.volumes) else _Selected(self.volumes, self.rows)


class _Selected:
    """Some rows of packed volumes, as an array that is read where it is indexed."""

    def __init__(self, volumes: np.ndarray, rows: np.ndarray) -> None:
        self.volumes, self.rows, self.shape = volumes, rows, (len(rows), *volumes.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: Any) -> np.ndarray:
        return self.volumes[self.rows[part]]


def read(
    volumes: Path,
    rows: Path,
    table: str = "",
    columns: Wanted = None,
    missing: dict[str, Any] | None = None,
    *,
    several: dict[str, str] | None = None,
    mask: Path | None = None,
) -> Inputs:
    """The packed volumes, or the scans among them that a user's table of latents has, with their values.

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        table: of a user, with its latents, or of the rule `encode`, or the values of a block; empty: the volumes
            themselves.
        columns: of that table; None: all columns of numbers.
        missing: `missing` and `not_missing` of the cohort section, which hold for that table, too.
        several: folder of each block by name, in place of a table; an empty one is that of the packed volumes.
        mask: the fixed mask, of packed volumes among the blocks.

    Raises:
        InputError: the table cannot be read; each problem with its row or column.
    """
    array, scans = read_volumes(volumes, rows)
    if several:
        joined, known, has_any = side_by_side.read(several, array, scans, mask)
        return Inputs(joined, known, [], array, has_any)
    if not table:
        return Inputs(array, scans, [], array, np.arange(len(scans)))
    if encoder := embeddings.described(table):
        return _embedded(Path(table), array, scans, encoder)
    if Path(table).name == "series.npy":
        return _series(Path(table).parent, array, scans)
    if Path(table).name == blocks.FILES[-1]:
        return _block(Path(table).parent, array, scans, columns)
    keys = [
        (scan, f"{person}_ses-{session}", person)
        for scan, person, session in scans[["scan", "person", "session"]].to_numpy()
    ]
    found = latents(*read_table(table, codes(missing or {})), keys, columns)
    if found.problems:
        raise InputError(found.problems)
    for note in found.notes:
        print(f"warning: {note}", flush=True)
    has_row = scans["scan"].isin(list(found.values)).to_numpy()
    known = scans[has_row].reset_index(drop=True)
    values = np.array([[found.values[scan][name] for name in found.regions] for scan in known["scan"]], np.float64)
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in values]
    table_rows = known.assign(preproc_sha256=digests)
    return Inputs(values, table_rows, found.regions, array, np.flatnonzero(has_row))


def _block(folder: Path, volumes: np.ndarray, scans: pd.DataFrame, columns: Wanted) -> Inputs:
    """Features of those of the scans that have the block; missing ones are NaN.

    columns: of a model that exists already, in its order; None: all.

    Raises:
        InputError: nobody has the block, or it lacks features of the model.
    """
    block = blocks.read(folder)
    row_of = pd.Series(np.arange(len(block.rows)), index=block.rows["scan"])
    has_row = scans["scan"].isin(row_of.index).to_numpy()
    if not has_row.any():
        raise InputError(f"{folder}: none of the {len(scans)} scans has this block; see its quality.tsv")
    known = scans[has_row].reset_index(drop=True)
    names = block.features["feature"].astype(str).tolist()
    wanted = names if columns is None else list(columns)
    place = {name: k for k, name in enumerate(names)}
    if lacking := [name for name in wanted if name not in place]:
        raise InputError(
            f"{folder.name}: {len(lacking)} features of the model are not in this block ({some(lacking)}); set "
            "constant: mask, so that a parcel without data in one participant is not left out for everybody"
        )
    chosen = np.asarray(block.values[row_of[known["scan"]].to_numpy()][:, [place[name] for name in wanted]], np.float64)
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in chosen]
    table = known.assign(preproc_sha256=digests)
    return Inputs(chosen, table, wanted, volumes, np.flatnonzero(has_row), block=folder.name)


class Series:
    """The cleaned series of each scan, read where they are indexed: a list of (volumes, parcels), all runs joined."""

    def __init__(self, values: np.ndarray, runs: list[list[tuple[int, int]]]) -> None:
        self.values, self.runs, self.shape = values, runs, (len(runs), values.shape[1])

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, part: Any) -> list[np.ndarray]:
        chosen = np.arange(len(self))[part]
        return [np.concatenate([self.values[start : start + n] for start, n in self.runs[k]]) for k in chosen]


def _series(folder: Path, volumes: np.ndarray, scans: pd.DataFrame) -> Inputs:
    """Cleaned series of those of the scans that have the block; names are its parcels.

    Raises:
        InputError: nobody has the block, or a parcel is missing in somebody.
    """
    values = np.load(folder / "series.npy", mmap_mode="r")
    runs, parcels = read_parquet(folder / "series.parquet"), read_parquet(folder / "parcels.parquet")
    has_row = scans["scan"].isin(runs["scan"]).to_numpy()
    if not has_row.any():
        raise InputError(f"{folder}: none of the {len(scans)} scans has this block; see its quality.tsv")
    known = scans[has_row].reset_index(drop=True)
    places = {scan: list(zip(own["start"], own["n_time"], strict=True)) for scan, own in runs.groupby("scan")}
    series = Series(values, [places[scan] for scan in known["scan"]])
    one_by_one = (series[[k]][0] for k in range(len(known)))
    digests = [hashlib.sha256(run.tobytes()).hexdigest() for run in one_by_one]
    names = parcels.loc[parcels["kept"], "parcel"].astype(str).tolist()
    table = known.assign(preproc_sha256=digests)
    return Inputs(series, table, names, volumes, np.flatnonzero(has_row), block=folder.name)  # type: ignore[arg-type]


def _embedded(path: Path, volumes: np.ndarray, scans: pd.DataFrame, encoder: dict[str, Any]) -> Inputs:
    """What the rule `encode` has written, in the order of the packed scans.

    Raises:
        InputError: embeddings of other scans.
    """
    found = read_parquet(path)
    if set(found["scan"]) != set(scans["scan"]) or len(found) != len(scans):
        raise InputError(f"{path}: holds other scans than the packed volumes; rerun with --forcerun encode")
    ordered = found.set_index("scan").loc[scans["scan"]]
    names = [name for name in found.columns if name not in embeddings.KEYS]
    table = scans.assign(preproc_sha256=ordered["preproc_sha256"].to_numpy())
    return Inputs(ordered[names].to_numpy(np.float64), table, names, volumes, np.arange(len(scans)), encoder)
