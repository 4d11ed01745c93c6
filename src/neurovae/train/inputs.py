"""What a model reads: an array with a row per scan.

The packed volumes, the columns of a user's table of latents, or the embeddings of a pretrained encoder.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io import embeddings
from neurovae.io.missing import BUILTIN, Codes, codes, is_missing
from neurovae.io.parquet import read_parquet
from neurovae.io.tables import Row, Table
from neurovae.io.volumes import read_volumes
from neurovae.plan.latent_tables import TEXT, Wanted, latents, text_table
from neurovae.plan.user_tables import renamed


class Inputs(NamedTuple):
    """Array (scans, ...), the table of its rows with a digest of each scan's values, and the names of its columns."""

    array: np.ndarray
    table: pd.DataFrame
    names: list[str]  # of the columns of a user's table; volumes have none
    volumes: np.ndarray  # all packed volumes (all scans, x, y, z)
    rows: np.ndarray  # (scans,) the row of each scan in them
    encoder: dict[str, Any] = {}  # description of a pretrained encoder

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
    volumes: Path, rows: Path, table: str = "", columns: Wanted = None, missing: dict[str, Any] | None = None
) -> Inputs:
    """The packed volumes, or the scans among them that a user's table of latents has, with their values.

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        table: of a user, with its latents, or of the rule `encode`; empty: the volumes themselves.
        columns: of that table; None: all columns of numbers.
        missing: `missing` and `not_missing` of the cohort section, which hold for that table, too.

    Raises:
        InputError: the table cannot be read; each problem with its row or column.
    """
    array, scans = read_volumes(volumes, rows)
    if not table:
        return Inputs(array, scans, [], array, np.arange(len(scans)))
    if encoder := embeddings.described(table):
        return _embedded(Path(table), array, scans, encoder)
    keys = [
        (scan, f"{person}_ses-{session}", person)
        for scan, person, session in scans[["scan", "person", "session"]].to_numpy()
    ]
    found = latents(*_table(table, codes(missing or {})), keys, columns)
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


def _table(path: str, missing: Codes) -> tuple[Table, list[str]]:
    """The user's file as rows of text, whatever its format."""
    if path.lower().endswith(TEXT):
        return text_table(path, missing)
    name = Path(path).name
    try:
        frame = _npz(Path(path)) if path.lower().endswith(".npz") else read_parquet(Path(path))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        return Table(name, [], [], []), [f"{name}: cannot be read ({error}); write it again"]
    if any(name is not None for name in frame.index.names):  # IDs as the index
        frame = frame.reset_index()
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    frame = frame.rename(columns=renamed(frame.columns))
    twice = sorted(set(frame.columns[frame.columns.duplicated()]))
    columns = list(frame.columns)
    cells = {
        column: [_text(column, value, missing) for value in frame[column]] for column in columns if column not in twice
    }
    by_row = zip(*cells.values(), strict=True) if cells else ()
    rows = [Row(name, k + 1, dict(zip(cells, one, strict=True))) for k, one in enumerate(by_row)]
    return Table(name, columns, columns, rows), [f"{name}: two columns are called '{one}'; keep one" for one in twice]


def _npz(path: Path) -> pd.DataFrame:
    """Arrays by name: of one dimension a column each, of two as many columns as they have (`latents_000` and on).

    Raises:
        InputError: arrays of other dimensions, or of unequal length.
    """
    with path.open("rb") as stream, np.load(stream) as file:  # np.load leaves a damaged file open
        arrays = {name: file[name] for name in file.files}
    wrong = [name for name, array in arrays.items() if array.ndim not in (1, 2)]
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if wrong or len(set(lengths.values())) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"{path.name}: arrays {shapes}; give one row per scan in each, of one or two dimensions")
    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array
            continue
        width = max(3, len(str(array.shape[1] - 1)))
        columns |= {f"{name}_{k:0{width}d}": array[:, k] for k in range(array.shape[1])}
    return pd.DataFrame(columns)


def _text(column: str, value: Any, missing: Codes = BUILTIN) -> str | None:
    """A cell as a text file would hold it, with every digit of a number; None where it is missing."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    number = repr(float(value)) if isinstance(value, float | np.floating) else ""
    text = number or (value.decode() if isinstance(value, bytes) else str(value))
    return None if is_missing(column, text, missing) else text
