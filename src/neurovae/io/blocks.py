"""Read and write a block: a named set of features per person, `results/<cohort>/blocks/<block>/`.

Three files: `rows.parquet` (a row per scan), `features.parquet` (a row per feature), `values.npy` (rows x features).
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.files import write_beside
from neurovae.io.parquet import read_parquet, write_table

ROWS = ("block", "scan", "person", "session", "source_path", "source_volume", "row", "n_time", "tr_s")
FEATURES = ("feature", "name", "network", "x_mm", "y_mm", "z_mm")
FILES = ("rows.parquet", "features.parquet", "values.npy")


class Block(NamedTuple):
    """A block of features.

    rows: columns `ROWS`, one row per scan that has the block; scans without it have no row.
    features: columns `FEATURES`, one row per feature, unique by `feature`. Connections have `first` and `second` too:
        their parcels, as `parcels.parquet` beside it names them.
    values: float32 (rows, features), NaN where a value is missing; memory-mapped where it was read from a file.
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    values: np.ndarray


def read(folder: Path | str) -> Block:
    """Read a block, its values memory-mapped.

    Raises:
        InputError: a file is missing or cannot be read, or the three do not agree.
    """
    folder = Path(folder)
    readers: tuple[Any, ...] = (read_parquet, read_parquet, partial(np.lib.format.open_memmap, mode="r"))
    parts = []
    for name, reader in zip(FILES, readers, strict=True):
        try:
            parts.append(reader(folder / name))
        except (ValueError, OSError) as error:
            raise InputError(f"{folder / name}: cannot be read ({error}); delete the folder and run again") from error
    block = Block(*parts)
    _check(block, str(folder))
    return block


def write(folder: Path | str, block: Block) -> None:
    """Write a block.

    Raises:
        InputError: rows, features and values do not agree.
    """
    folder = Path(folder)
    _check(block, str(folder))
    write_table(folder / "rows.parquet", block.rows[list(ROWS)])
    write_table(folder / "features.parquet", block.features[[*FEATURES, *block.features.columns.difference(FEATURES)]])
    with write_beside(folder / "values.npy") as temporary:
        np.save(temporary, block.values)


def _check(block: Block, place: str) -> None:
    """Raise InputError where rows, features and values do not agree."""
    for table, wanted, file in ((block.rows, ROWS, FILES[0]), (block.features, FEATURES, FILES[1])):
        missing = [name for name in wanted if name not in table.columns]
        if missing:
            raise InputError(f"{place}/{file}: no column {', '.join(missing)}; delete the folder and run again")
    shape = (len(block.rows), len(block.features))
    if block.values.shape != shape or block.values.dtype != np.float32:
        raise InputError(
            f"{place}: values are {block.values.dtype} {block.values.shape}, rows and features ask for float32 "
            f"{shape}; delete the folder and run again"
        )
    for table, key, file in ((block.rows, "scan", FILES[0]), (block.features, "feature", FILES[1])):
        twice = table[key][table[key].duplicated()]
        if len(twice):
            raise InputError(f"{place}/{file}: {key} {twice.iloc[0]!r} is there twice; delete the folder and run again")
