"""Several blocks of the same scans as one array: a row per scan, features side by side, NaN where missing."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io import blocks as block_files
from neurovae.io.volumes import read_mask

STILL = 1e-6  # standard deviation, as a fraction of the largest value, below which a feature is constant
IMAGE = "volumes"  # type of the block that the packed volumes are


class Part(NamedTuple):
    """A block among others: name, type, features (count), values, and each scan's row in them (-1: it has none)."""

    name: str
    type: str
    size: int
    values: Any  # (rows, features), or packed volumes (rows, x, y, z)
    rows: np.ndarray
    mask: np.ndarray | None = None  # of packed volumes

    def take(self, scans: np.ndarray) -> np.ndarray:
        """Features (scans, features) in single precision, NaN where a scan does not have the block."""
        found = np.full((len(scans), self.size), np.nan, np.float32)
        rows = self.rows[scans]
        there = rows >= 0
        values = np.asarray(self.values[rows[there]])
        found[there] = values[:, self.mask] if self.mask is not None else values
        return found


class SideBySide:
    """The blocks of all scans, read where they are indexed; `len` and rows are those of the scans."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.shape = (len(parts[0].rows), sum(part.size for part in parts))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the array if all of it were in memory."""
        return 4 * self.shape[0] * self.shape[1]

    def __getitem__(self, scans: Any) -> np.ndarray:
        """Rows (scans, all features), by numbers, a slice or a bool array."""
        numbers = np.arange(len(self))[scans]
        return np.concatenate([part.take(numbers) for part in self.parts], axis=1)

    def described(self) -> list[dict[str, Any]]:
        """Name, type and number of features of each block, for the description of the weights."""
        return [{"name": part.name, "type": part.type, "size": part.size} for part in self.parts]


def slices(described: list[dict[str, Any]]) -> dict[str, slice]:
    """The columns of each block, by name."""
    ends = np.cumsum([0, *(part["size"] for part in described)])
    return {part["name"]: slice(int(a), int(b)) for part, a, b in zip(described, ends[:-1], ends[1:], strict=True)}


def present(values: np.ndarray, described: list[dict[str, Any]]) -> np.ndarray:
    """Which block each scan has, bool (blocks, scans): one with at least one feature."""
    return np.array([~np.isnan(values[:, where]).all(axis=1) for where in slices(described).values()])


def input_sets(there: np.ndarray, names: list[str]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Sets of blocks from which latents are inferred: name, scans, and the blocks used of each scan (blocks, scans).

    First all blocks of a scan, then each block alone where the scan has others. A name is that of its blocks, sorted
    and joined by `+`.

    Args:
        there: which block each scan has (blocks, scans).
        names: of the blocks.
    """
    found = []
    for pattern in np.unique(there, axis=1).T[::-1]:
        scans = np.flatnonzero((there == pattern[:, None]).all(axis=0))
        if pattern.any():
            found.append(("+".join(sorted(np.array(names)[pattern])), scans, there[:, scans]))
    several = there.sum(axis=0) > 1
    for m, name in enumerate(names):
        scans = np.flatnonzero(there[m] & several)
        alone = np.zeros((len(names), len(scans)), bool)
        alone[m] = True
        if len(scans):
            found.append((name, scans, alone))
    return found


def read(
    folders: dict[str, str], volumes: np.ndarray, scans: pd.DataFrame, mask: Path | None
) -> tuple[SideBySide, pd.DataFrame, np.ndarray]:
    """Blocks side by side of the scans that have at least one of them.

    Raises:
        InputError: a block without a row of these scans.
    """
    parts, digests = [], []
    for name, folder in folders.items():
        if not folder:
            inside = read_mask(mask or Path())
            parts.append(Part(name, IMAGE, int(inside.sum()), volumes, np.arange(len(scans)), inside))
            digests.append(scans["preproc_sha256"].to_numpy(object))
            continue
        block = block_files.read(folder)
        row_of = dict(zip(block.rows["scan"], range(len(block.rows)), strict=True))
        of_scan = np.array([row_of.get(scan, -1) for scan in scans["scan"]])
        if (of_scan < 0).all():
            raise InputError(
                f"{folder}: has no row of the {len(scans)} scans of the cohort; rerun with --forcerun block"
            )
        own = [hashlib.sha256(np.ascontiguousarray(block.values[row]).tobytes()).hexdigest() if row >= 0 else "none"
               for row in of_scan]  # fmt: skip
        parts.append(Part(name, "table", len(block.features), block.values, of_scan))
        digests.append(np.array(own, object))
    has_any = np.any([part.rows >= 0 for part in parts], axis=0)
    parts = [part._replace(rows=part.rows[has_any]) for part in parts]
    joined = ["+".join(one) for one in zip(*digests, strict=True)]
    stamped = scans.assign(preproc_sha256=[hashlib.sha256(one.encode()).hexdigest() for one in joined])
    known = stamped[has_any].reset_index(drop=True)
    return SideBySide(parts), known, np.flatnonzero(has_any)


def standardised(blocks: SideBySide, training: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Features of the training scans in standard deviations from their mean, NaN where missing; means; deviations.

    Voxels are centred and not scaled. A feature that is the same for all of them has an infinite deviation, and so no
    weight.
    """
    found = []
    for part in blocks.parts:
        x = part.take(training).astype(np.float64)
        there = ~np.isnan(x)
        count = there.sum(axis=0)
        mean = np.where(there, x, 0).sum(axis=0) / np.maximum(count, 1)
        spread = np.sqrt(np.where(there, np.square(x - mean), 0).sum(axis=0) / np.maximum(count - 1, 1))
        still = spread <= STILL * np.abs(np.where(there, x, 0)).max(axis=0)
        scale = np.ones_like(spread) if part.type == IMAGE else np.where(still, np.inf, spread)
        found.append(((x - mean) / scale, mean, scale))
    return found
