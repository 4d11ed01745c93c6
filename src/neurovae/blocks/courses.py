"""Read time series of parcels, time x parcels, and name what is wrong with them."""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.tables import some
from neurovae.plan.block_files import FD, File, columns

MISSING = ["n/a", "NA", "NaN", "nan", "N/A", ""]
STILL = 1e-6  # standard deviation, as a fraction of the largest value, below which a parcel is constant


class Series(NamedTuple):
    """One run: values (time, parcels), NaN in parcels without data; how many volumes at its start were empty."""

    values: np.ndarray
    names: list[str]
    n_empty: int


def read(file: File) -> Series:
    """Read a run's time series: .tsv, .tsv.gz (n/a or NaN for missing), .1D, or .npy (time x parcels).

    Rows at the start in which every parcel is missing are left out, as XCP-D and fMRIPrep leave them.

    Raises:
        InputError: the file cannot be read, a cell is no number, or values are missing in the midst of a parcel.
    """
    path = Path(file.path)
    values, names, first_row = _array(path) if path.suffix == ".npy" else _text(path)
    if values.ndim != 2 or not values.size:
        raise InputError(f"{path.name}: holds an array {values.shape}; give time x parcels")
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise InputError(f"{path.name}, row {row + first_row}: {names[column]} is infinite; give a number or n/a")
    empty = np.isnan(values).all(axis=1)
    n_empty = int(np.argmin(empty)) if not empty.all() else len(values)
    if n_empty == len(values):
        raise InputError(f"{path.name}: no value in any row; write it again, or remove it")
    values = values[n_empty:]
    gaps = np.isnan(values) & ~np.isnan(values).all(axis=0)
    if gaps.any():
        row, column = np.argwhere(gaps)[0]
        raise InputError(
            f"{path.name}, row {row + n_empty + first_row}: no value in {names[column]} ({int(gaps.sum())} such "
            "cells); a parcel is either there in all volumes or in none: give the numbers, or leave the file out"
        )
    return Series(values, names, n_empty)


def constant(values: np.ndarray) -> np.ndarray:
    """Which parcels (parcels,) of a run (time, parcels) are missing, or do not vary."""
    largest = np.abs(values).max(axis=0)
    return np.asarray(np.isnan(largest) | (values.std(axis=0) <= STILL * largest))


def displacement(file: File) -> np.ndarray | None:
    """Framewise displacement (time,) in mm from the table of confounds or motion, 0 in the first row; or None."""
    if not file.motion:
        return None
    table = pd.read_csv(file.motion, sep="\t", na_values=MISSING)
    name = next((one for one in FD if one in table.columns), None)
    return None if name is None else pd.to_numeric(table[name]).fillna(0).to_numpy(float)


def _array(path: Path) -> tuple[np.ndarray, list[str], int]:
    try:
        values = np.load(path).astype(np.float64)
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name}: cannot be read ({error}); write it again with numpy.save") from error
    return values, [f"{k + 1:03d}" for k in range(values.shape[-1] if values.ndim else 0)], 0


def _text(path: Path) -> tuple[np.ndarray, list[str], int]:
    """Values, names of the columns and the number of the first row of numbers, counted from 1."""
    names = columns(str(path)) or []
    tabbed = not path.name.endswith(".1D")
    skipped = 1 if tabbed else _commented(path)
    try:
        table = pd.read_csv(path, sep="\t" if tabbed else r"\s+", skiprows=skipped, header=None, dtype=str,
                            na_values=MISSING, keep_default_na=False)  # fmt: skip
    except (ValueError, OSError, EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path.name}: cannot be read ({error}); write it again, or remove it") from error
    if table.shape[1] != len(names):
        raise InputError(
            f"{path.name}: {table.shape[1]} columns below {len(names)} names ({some(names)}); write it again"
        )
    numbers = table.apply(pd.to_numeric, errors="coerce")
    wrong = (numbers.isna() & table.notna()).to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{path.name}, row {row + skipped + 1}: {names[column]} is {table.iat[row, column]!r} ({int(wrong.sum())} "
            "such cells); give a number or n/a"
        )
    return numbers.to_numpy(np.float64), names, skipped + 1


def _commented(path: Path) -> int:
    with path.open(encoding="utf-8", errors="replace") as file:
        return sum(1 for _ in iter(lambda: file.readline().startswith("#"), False))
