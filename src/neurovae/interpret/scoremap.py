"""One score decoded: the map per step of the score, its interval over people, and the volumes it lies between.

map = decode(m + d) - decode(m), m the mean latents of the tested people and d of `shift`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neurovae.interpret import shift
from neurovae.interpret.decoder import Decoder
from neurovae.interpret.spread import Spread, spread
from neurovae.io.volumes import chunks

RESAMPLES = 200  # of people, as in associate.direction


@dataclass(frozen=True)
class ScoreMap:
    """Maps of one score, in voxels of the mask."""

    change: np.ndarray  # (voxels,)
    over_people: Spread  # of the change, people drawn anew, model and m fixed
    resamples: int  # that gave a slope
    ends: np.ndarray  # (2, voxels): decoded at the score's low and high end


def score_map(
    decoder: Decoder,
    z: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    kind: str,
    strata: np.ndarray,
    means: Callable[[np.ndarray], np.ndarray],
    seed: int,
) -> ScoreMap:
    """Decode the pattern of the score y (n,) given the columns of x, in latents z (n, latents).

    kind: the score's type; strata: (n,) people are resampled within; means: changes (rows, voxels) to (rows, regions).
    """
    size, per_unit, centre = shift.step(y, kind)[0], shift.slope(z, x, y), z.mean(axis=0)
    base, high = decoder.decode(np.stack([centre, centre + size * per_unit]))
    draws = size * shift.resampled(z, x, y, strata, RESAMPLES, seed)
    over_people = spread(lambda steps: decoder.decode(centre + steps) - base, draws, means)
    return ScoreMap(high - base, over_people, len(draws), decoder.decode(shift.ends(z, y, per_unit, kind)))


def region_means(labels: np.ndarray, parts: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
    """Function from values (rows, voxels) to means (rows, regions). labels: (voxels,); parts: regions, with index."""
    index = parts["index"].to_numpy(int)
    length = max([0, *index, *labels]) + 1
    counts = np.bincount(labels, minlength=length)[index]

    def means(values: np.ndarray) -> np.ndarray:
        sums = [np.bincount(labels, weights=row, minlength=length)[index] for row in values]
        return np.array(sums) / counts

    return means


def decode_people(decoder: Decoder, z: np.ndarray, file: Any) -> np.ndarray:
    """Volumes (people, voxels) decoded from latents z (people, latents), memory-mapped in an open file."""
    shape = (len(z), int(decoder.mask.sum()))
    volumes = np.memmap(file, np.float32, "w+", shape=shape) if len(z) else np.empty(shape, np.float32)
    for part in chunks(len(z)):
        volumes[part] = decoder.decode(z[part])
    return volumes
