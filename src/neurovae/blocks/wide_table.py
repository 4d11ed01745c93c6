"""Read a user's wide table, a row per scan or participant: text, Parquet, or arrays in an .npz file."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.missing import BUILTIN, Codes, is_missing
from neurovae.io.parquet import read_parquet
from neurovae.io.tables import Row, Table
from neurovae.plan.latent_tables import TEXT, text_table
from neurovae.plan.user_tables import renamed


def read_table(path: str, missing: Codes = BUILTIN) -> tuple[Table, list[str]]:
    """The user's file as rows of text, whatever its format, and problems; missing: codes."""
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
