"""Whether the pattern of an aligned latent is where the unsupervised score map, and the tests of voxels, are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.interpret.images import in_file, read_maps
from neurovae.io.volumes import read_mask

KINDS = {"map": "agreement_map", "t": "agreement_t"}  # of the maps of a score: its pattern, and max-T over voxels
REASON = "agreement_reason"


def agreements(tests: pd.DataFrame, patterns: Path, mask: Path, maps: str, primary: str) -> pd.DataFrame:
    """Correlation over voxels of each score's mean pattern with the maps of the primary model; a row per row of tests.

    Args:
        tests: of one model, a row per score.
        patterns: its mean patterns, a volume per score in the same order.
        mask: the fixed mask.
        maps: folder of the maps of the primary model; empty: it has none.
        primary: its name.
    """
    brain = read_mask(mask)
    of_scores = np.atleast_2d(read_maps(patterns, brain))
    rows = [
        _one(pattern, score, brain, maps, primary) for pattern, score in zip(of_scores, tests["score"], strict=True)
    ]
    return pd.DataFrame(rows, index=tests.index, columns=[*KINDS.values(), REASON])


def _one(pattern: np.ndarray, score: str, brain: np.ndarray, maps: str, primary: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(KINDS.values(), np.nan) | {REASON: None}
    if not maps:
        return row | {REASON: f"the primary model {primary} is not decoded to maps (interpret.models)"}
    problems = []
    for kind, column in KINDS.items():
        path = Path(maps) / f"{in_file(score)}_{kind}.nii.gz"
        if not path.is_file():
            problems.append(f"{primary} has no {path.name} (see its maps.tsv)")
            continue
        other = read_maps(path, brain)
        if min(pattern.std(), other.std()) > 0:
            row[column] = float(np.corrcoef(pattern, other)[0, 1])
        else:
            problems.append(f"{path.name} or the pattern is the same in every voxel")
    return row | {REASON: "; ".join(problems) or None}
