"""Realism of decoded volumes: nearest-real against real-to-real distances, and copies of training people.

A distance is the root mean square difference over the mask. A decoded volume is smooth and a scan is not, so that its
distance to scans looks small beside those between scans; distances to *reconstructions* compare like with like, and
held-out reconstructions to training scans are given as the fair measure of distances to scans.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from neurovae.io.volumes import chunks


class Nearest(NamedTuple):
    """Distance of each row to its nearest of the others, and which that is."""

    distance: np.ndarray  # (rows,)
    which: np.ndarray  # (rows,)


class Real(NamedTuple):
    """Training people, decoded and as scanned (people, voxels), and held-out people's distances to them."""

    names: list[str]  # scan keys of the training people
    reconstructions: np.ndarray
    scans: np.ndarray
    decoded: Nearest  # held-out reconstructions to training reconstructions
    scanned: Nearest  # held-out scans to training scans
    mixed: Nearest  # held-out reconstructions to training scans
    closest: float  # reconstructions of two real people, one of whom trained the model


def spool(path: Path, blocks: Iterable[np.ndarray], count: int, voxels: int) -> np.ndarray:
    """Rows (count, voxels) kept in a file, given a few at a time (`chunks`), so that memory does not grow."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, voxels))
    for part, block in zip(chunks(count), blocks, strict=True):
        rows[part] = block
    return rows


def nearest(a: np.ndarray, b: np.ndarray, same_rows: bool = False) -> Nearest:
    """Return the nearest row of b (rows, voxels) for each row of a; `same_rows`: b is a, and a row is not its own."""
    distance, which = np.full(len(a), np.inf), np.zeros(len(a), np.int64)
    for one in chunks(len(a)):
        for two in chunks(len(b)):
            distances = cdist(a[one], b[two]) / np.sqrt(a.shape[1])
            if same_rows and one == two:
                np.fill_diagonal(distances, np.inf)
            least = distances.argmin(axis=1)
            value = distances[np.arange(len(distances)), least]
            better = value < distance[one]
            distance[one] = np.where(better, value, distance[one])
            which[one] = np.where(better, two.start + least, which[one])
    return Nearest(distance, which)


def real_distances(
    names: list[str],
    reconstructions: np.ndarray,
    scans: np.ndarray,
    held_reconstructions: np.ndarray,
    held_scans: np.ndarray,
) -> Real:
    """Real-to-real distances. Training people's reconstructions and scans; held-out people's (held, seen)."""
    pairs = nearest(reconstructions, reconstructions, same_rows=True)
    ways = (
        nearest(held_reconstructions, reconstructions),
        nearest(held_scans, scans),
        nearest(held_reconstructions, scans),
    )
    return Real(names, reconstructions, scans, *ways, float(min(pairs.distance.min(), ways[0].distance.min())))


def compare_decoded(volumes: np.ndarray, reference: Real) -> list[dict[str, Any]]:
    """A row per decoded volume (volumes, voxels): nearest training person, distance, ratio to the median of held-out
    people, percentile among them, and copy: nearer to a training person than any real person is, all decoded.

    Training people alone would give too high a bar: the model spreads them wider than people it has not seen, so that
    a held-out person's reconstruction is often nearer to a training person's than any two of those are.
    """  # fmt: skip
    to_reconstructions, to_scans = nearest(volumes, reference.reconstructions), nearest(volumes, reference.scans)
    return [
        _against(reference, "reconstruction", reference.decoded, a, i)
        | _against(reference, "scan", reference.scanned, b, j)
        | {"scan_ratio_decoded": ratio(b, reference.mixed.distance)}
        | {"duplicate": bool(a < reference.closest), "duplicate_below": reference.closest}
        for a, i, b, j in zip(*to_reconstructions, *to_scans, strict=True)
    ]


def people(reference: Real, scans: list[str]) -> list[dict[str, Any]]:
    """Rows of the held-out people, reconstructed and as scanned, in the same measures. scans: their keys."""
    rows = []
    for k, scan in enumerate(scans):
        reconstruction_row: dict[str, Any] = {"kind": "held-out reconstruction", "scan": scan}
        reconstruction_row |= _against(
            reference, "reconstruction", reference.decoded, reference.decoded.distance[k], reference.decoded.which[k]
        )
        reconstruction_row |= _against(
            reference, "scan", reference.scanned, reference.mixed.distance[k], reference.mixed.which[k]
        )
        reconstruction_row |= {"scan_ratio_decoded": ratio(reference.mixed.distance[k], reference.mixed.distance)}
        scan_row: dict[str, Any] = {"kind": "held-out scan", "scan": scan}
        scan_row |= _against(
            reference, "scan", reference.scanned, reference.scanned.distance[k], reference.scanned.which[k]
        )
        rows += [reconstruction_row, scan_row]
    return rows


def ratio(distance: float, reference: np.ndarray) -> float:
    """Distance over the median of real ones."""
    return float(distance / np.median(reference))


def _against(real_people: Real, kind: str, reference: Nearest, distance: float, which: int) -> dict[str, Any]:
    share = float(np.mean(reference.distance <= distance))
    return {
        f"nearest_{kind}": real_people.names[which],
        f"{kind}_distance": float(distance),
        f"{kind}_ratio": ratio(distance, reference.distance),
        f"{kind}_percentile": 100 * share,
    }
