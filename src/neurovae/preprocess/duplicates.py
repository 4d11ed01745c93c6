"""Find the same scan under another id or session, before anything is trained, and refuse it.

Two scans are duplicates if their voxels in the mask correlate above .999. They are also duplicates if they correlate
above .95 there and their source images correlate above .999 on canonical axes. The second comparison is needed because
masks, N4 and registration depend on intensities: copies of four `ixi` heads with noise of +-1 correlated at .9970 to
.9999 (affine) and .990 (SyN), rescaled copies at .987 to 1, one with a constant added at .973. No two different people
exceeded .844. Source images are read for such pairs only.

Candidate pairs are found from means over blocks of voxels. Averaging is a projection and never increases a distance:
z-scored scans with r > .95 differ by less than sqrt(.1), and so do their block means, so that no pair is missed. Cost
for n scans of v voxels in b blocks: n v to read, n n b / 2 products (5,000 scans, 4,000 blocks: 5e10, seconds; 50,000:
5e12, minutes), v per remaining pair; memory 4 n b bytes and a few scans.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.io.progress import steps
from neurovae.io.volumes import chunks, masked, read_mask, read_volumes
from neurovae.preprocess.batch import read_list
from neurovae.preprocess.scan import read_canonical

SAME = 0.999  # correlation above which two scans are duplicates
NEAR = 0.95  # correlation of the packed voxels above which the sources are compared
BLOCKS = 20  # along the first axis
BLIND = 0.99  # the same limit where the sources cannot be compared (padded, cropped, resampled)
COLUMNS = ["scan_a", "scan_b", "person_a", "person_b", "r", "r_source", "same_voxels", "kind", "duplicate"]


def run(
    *,
    volumes: Path,
    rows: Path,
    mask: Path,
    lists: Path,
    batches: list[str],
    nonfinite: Literal["fail", "zero"],
    out: Path,
) -> None:
    """Write the pairs of similar scans; raise InputError naming every pair of duplicates.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun duplicates

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        lists: folder of the batches' lists (a scan key and a path per line).
        batches: the batches' names.
        nonfinite: what to do with NaN and Inf voxels of the sources.
        out: TSV to write.
    """
    array, table = read_volumes(volumes, rows)
    batch_rows = [row for name in batches for row in read_list(lists / f"{name}.list")]
    sources = {row["scan"]: (Path(row["source"]), row["volume"]) for row in batch_rows}
    pairs = duplicates(array, table, read_mask(mask), sources, nonfinite)
    write_table(out, pairs)
    duplicate_pairs = pairs[pairs["duplicate"].astype(bool)]
    print(
        f"{len(table)} scans, {len(duplicate_pairs)} pairs of duplicates, "
        f"{len(pairs) - len(duplicate_pairs)} pairs of similar scans",
        flush=True,
    )
    if len(duplicate_pairs):
        raise InputError([problem(row) for row in duplicate_pairs.to_dict("records")])


def duplicates(
    volumes: np.ndarray,
    table: pd.DataFrame,
    mask: np.ndarray,
    sources: dict[str, tuple[Path, str]],
    nonfinite: str = "fail",
) -> pd.DataFrame:
    """Pairs of similar scans (above NEAR), in the order of the table; column `duplicate` says which are duplicates.

    Args:
        volumes: (scans, x, y, z), memory-mapped or not.
        table: scan, person, session of each.
        mask: bool (x, y, z).
        sources: file of each scan, and its volume in a 4-D file (empty otherwise).
        nonfinite: what is done with NaN and Inf voxels of the sources.
    """
    pairs = []
    for a, b in steps(candidates(block_means(volumes, mask)), "pairs of scans"):
        r = correlation(*masked(volumes[[a, b]], mask))
        if r <= NEAR:
            continue
        first, second = table.iloc[a], table.iloc[b]
        r_source, same_voxels = compare_sources(
            *(read_source(*sources[scan], nonfinite) for scan in (first["scan"], second["scan"]))
        )
        is_duplicate = r > SAME or r_source > SAME or (r > BLIND and np.isnan(r_source))
        names = [first["scan"], second["scan"], first["person"], second["person"]]
        pairs.append([*names, round(r, 7), round(r_source, 7), same_voxels, _kind(first, second), is_duplicate])
    return pd.DataFrame(pairs, columns=COLUMNS)


def block_means(volumes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Project z-scored scans (unit length in the mask) on blocks of voxels: (scans, blocks), float32.

    A block's mean is weighted by the square root of its voxels, so that lengths are those of the projection.
    """
    side = max(2, round(mask.shape[0] / BLOCKS))
    place = np.ravel_multi_index(tuple((np.argwhere(mask) // side).T), tuple(n // side + 1 for n in mask.shape))
    order = np.argsort(place, kind="stable")
    starts = np.unique(place[order], return_index=True)[1]
    sizes = np.diff([*starts, len(place)])
    projected = np.empty((len(volumes), len(starts)), np.float32)
    for part in steps(chunks(len(volumes)), "scans read", len(volumes)):
        x = masked(volumes[part], mask).astype(np.float64)
        x -= x.mean(axis=1, keepdims=True)
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        projected[part] = np.add.reduceat(x[:, order], starts, axis=1) / np.sqrt(sizes)
    return projected


def candidates(means: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (a < b) whose block means are close enough for r > .95; all others are farther apart in the mask too."""
    limit = 2 * (1 - NEAR) + 1e-5  # squared distance, with room for round-off
    length = np.square(means).sum(axis=1)
    pairs = []
    for part in steps(chunks(len(means), 1024), "scans compared", len(means)):
        squares = length[part, None] + length[None, part.start :] - 2 * means[part] @ means[part.start :].T
        rows, columns = np.nonzero(np.triu(squares <= limit, k=1))
        pairs += [(int(a) + part.start, int(b) + part.start) for a, b in zip(rows, columns, strict=True)]
    return pairs


def read_source(path: Path, volume: str, nonfinite: str) -> np.ndarray:
    """Read voxels of the source on canonical axes: header, compression and order of storage do not matter."""
    return read_canonical(path, nonfinite=nonfinite, volume=volume).get_fdata(dtype=np.float32)


def compare_sources(first: np.ndarray, second: np.ndarray) -> tuple[float, bool]:
    """Return the correlation of two sources (NaN if their shapes differ), and whether all voxels are equal."""
    if first.shape != second.shape:
        return float("nan"), False
    return correlation(first.ravel(), second.ravel()), bool(np.array_equal(first, second))


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's r, in double precision."""
    a, b = x.astype(np.float64), y.astype(np.float64)
    a -= a.mean()
    b -= b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def problem(pair: dict[Any, Any]) -> str:
    """Format one pair of duplicates as a line of the error message."""
    evidence = "all voxels equal" if pair["same_voxels"] else f"r {pair['r']:.5f}, sources {pair['r_source']:.5f}"
    statement = f"{pair['scan_a']} and {pair['scan_b']}: the same scan ({evidence}), {pair['kind']}"
    return f"{statement}; correct the id, or exclude one in the table of preprocess.qc.override (keep: no)"


def _kind(first: pd.Series, second: pd.Series) -> str:
    if first["person"] != second["person"]:
        return "other person"
    return "other session" if first["session"] != second["session"] else "other run"


if __name__ == "__main__":
    cli(run)
