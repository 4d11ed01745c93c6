"""Read the packed volumes: one memory-mapped array, the table of its rows, the fixed mask and the splits.

A cohort without images has the rows alone. Its volumes and mask are then empty paths, read as volumes without voxels.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet

SPLITS = (
    "training",
    "validation",
    "test",
)  # fitted on; early stopping; reported numbers: three disjoint sets of people
NO_VOXELS = (0, 0, 0)  # shape of the grid in a cohort without images


def read_volumes(volumes: Path, rows: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the packed array (scans, x, y, z), memory-mapped, and its table, with a row per scan in the same order.

    Without images (an empty path), the array has the shape (scans, 0, 0, 0).
    """
    if not given(volumes):
        rows_alone = _open(rows, read_parquet)
        return np.empty((len(rows_alone), *NO_VOXELS), np.float16), rows_alone
    array = _open(volumes, partial(np.lib.format.open_memmap, mode="r"))  # .npy alone, without pickled objects
    table = _open(rows, read_parquet)
    if len(array) != len(table):
        raise InputError(f"{volumes.name} has {len(array)} scans, {rows.name} {len(table)}; rerun with --forcerun pack")
    return array, table


def _open(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name}: cannot be read ({error}); rerun with --forcerun pack") from error


def given(path: Path | None) -> bool:
    """Whether an option names a file; a rule without that file gives an empty path."""
    return path is not None and str(path) not in ("", ".")


def read_mask(path: Path) -> np.ndarray:
    """Read the fixed mask (bool, grid shape); without images, one without voxels."""
    if not given(path):
        return np.zeros(NO_VOXELS, bool)
    return np.asarray(read_image(path).dataobj) > 0


def splits(table: pd.DataFrame, folds: Path, fold: int) -> np.ndarray:
    """Return the split of each row for one fold: "training", "validation" or "test".

    Raises:
        InputError: a person without a fold, or a split without people.
    """
    people = pd.read_csv(folds, sep="\t", dtype=str, keep_default_na=False).set_index("person")
    missing = sorted(set(table["person"]) - set(people.index))
    if missing:
        raise InputError(f"{folds.name}: no fold for {', '.join(missing[:5])}; rerun with --forcerun folds")
    split = people.loc[table["person"], f"split_{fold}"].to_numpy()
    empty = [name for name in SPLITS if name not in split]
    if empty:
        raise InputError(
            f"fold {fold}: nobody left in {', '.join(empty)} after exclusions; use fewer folds or more people"
        )
    return split


def data_hash(table: pd.DataFrame) -> str:
    """Return a digest of the packed data: which scans with which voxels."""
    text = "\n".join(f"{scan} {digest}" for scan, digest in zip(table["scan"], table["preproc_sha256"], strict=True))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digests(table: pd.DataFrame) -> dict[str, str]:
    """Return a shortened digest of each packed scan's voxels, by scan key."""
    return {scan: digest[:16] for scan, digest in zip(table["scan"], table["preproc_sha256"], strict=True)}


def masked(volumes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return masked voxels (scans, voxels) of volumes (scans, x, y, z), in single precision."""
    return volumes[:, mask].astype(np.float32)


def chunks(count: int, size: int = 16) -> list[slice]:
    """Return slices of `size` scans, so that memory does not grow with the cohort."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def evenly(count: int, max_count: int) -> np.ndarray:
    """Return at most `max_count` of 0 to count - 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, max_count)).round().astype(int))


def keep(arrays: dict[str, np.ndarray], values: dict[str, np.ndarray], rows: slice, count: int) -> None:
    """Write values of some scans to their rows of preallocated arrays (count, ...), instead of a list of parts.

    Small arrays between large temporary ones fragment the heap, by 0.3 MB a scan.
    """
    for name, value in values.items():
        if name not in arrays:
            arrays[name] = np.empty((count, *value.shape[1:]), value.dtype)
        arrays[name][rows] = value
