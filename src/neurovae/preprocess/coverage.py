"""How much of the brain lies outside a scan's field of view?"""

import numpy as np


def recorded(data: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """True where the scan has data, on its own voxels: everywhere, except in slabs of one value at the edges of a head.

    Where the top of a head was cut off and filled up with one value, the filling is outside the field of view. A
    skull-stripped image is filled all around its brain, so there the whole array counts as recorded.
    """
    found = np.ones(data.shape, bool)
    stripped = brain.all() or np.ptp(data[~brain]) <= 1e-3 * np.ptp(data)
    for axis in range(3) if not stripped else ():
        others = tuple(other for other in range(3) if other != axis)
        whole = np.flatnonzero(data.max(axis=others) > data.min(axis=others))
        found[(slice(None),) * axis + (slice(0, whole[0]),)] = False
        found[(slice(None),) * axis + (slice(whole[-1] + 1, None),)] = False
    return found


def outside_share(seen: np.ndarray, mask: np.ndarray) -> float:
    """Share of the fixed mask where the scan has no data; `seen` is `recorded` brought to the grid."""
    return float(np.mean(seen[mask] < 0.5))
