"""Clean the courses of one run through nilearn: volumes left out, confounds, band, scrubbing, standardisation."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from nilearn.signal import clean

from neurovae.blocks.courses import constant
from neurovae.errors import InputError

SHORTEST = 2  # volumes that a run must have left


class Cleaned(NamedTuple):
    """A cleaned run (volumes kept, parcels), NaN in parcels without data, and its quality.

    still: parcels (parcels,) that are constant or without data, also in the volumes kept alone.
    n_volumes: before scrubbing, without those dropped at the start. mean_fd: mm, before scrubbing; NaN: not known.
    tsnr: median over parcels of mean / SD before cleaning; NaN where the series have no mean.
    """

    values: np.ndarray
    still: np.ndarray
    n_volumes: int
    mean_fd: float
    tsnr: float


def run(
    values: np.ndarray,
    still: np.ndarray,
    fd: np.ndarray | None,
    confounds: np.ndarray | None,
    sample: np.ndarray | None,
    tr_s: float | None,
    entry: dict[str, Any],
    name: str,
) -> Cleaned:
    """Clean one run.

    Args:
        values: courses (volumes, parcels); NaN in parcels without data.
        still: parcels that are constant or without data (parcels,); they become NaN.
        fd: framewise displacement (volumes,), mm; None: not known.
        confounds: to regress out (volumes, confounds); None: none.
        sample: volumes after those in which the magnetisation was not steady (positions); None: all.
        tr_s: repetition time, s; None: not known, and no filter is used.
        entry: `drop_first`, `detrend`, `high_pass_hz`, `low_pass_hz`, `scrub_mm` and `zscore` of the block.
        name: of the file, in messages.

    Raises:
        InputError: too few volumes are left, or the table of motion has another number of rows.
    """
    for other, what in ((fd, "framewise displacement"), (confounds, "confounds")):
        if other is not None and len(other) != len(values):
            raise InputError(f"{name}: {len(values)} volumes, but {len(other)} rows of {what}; use those of this run")
    start = entry["drop_first"]
    values, fd = values[start:], None if fd is None else fd[start:]
    confounds = None if confounds is None else confounds[start:]
    kept = np.arange(len(values)) if sample is None else sample[sample >= start] - start
    if entry["scrub_mm"] and fd is not None:
        kept = kept[fd[kept] <= entry["scrub_mm"]]
    if len(kept) < SHORTEST:
        raise InputError(f"{name}: {len(kept)} of {len(values)} volumes are left after drop_first and scrubbing; raise "
                         "scrub_mm, or leave the run out")  # fmt: skip
    still = still | constant(values[kept])  # volumes that scrubbing takes may be the only ones that differ
    out = np.full((len(kept), values.shape[1]), np.nan)
    if not still.all():
        out[:, ~still] = _cleaned(values[:, ~still], confounds, kept, tr_s, entry)
    mean_fd = float("nan") if fd is None else float(fd.mean())
    return Cleaned(out, still, len(values), mean_fd, tsnr(values[:, ~still]))


def _cleaned(
    values: np.ndarray, confounds: np.ndarray | None, kept: np.ndarray, tr_s: float | None, entry: dict[str, Any]
) -> np.ndarray:
    """Courses (volumes kept, parcels) without confounds and what lies outside the band."""
    with warnings.catch_warnings():  # of how nilearn 0.14 will standardise confounds, which changes no residual
        warnings.filterwarnings("ignore", "From release 0.14.0, confounds will be standardized", DeprecationWarning)
        return np.asarray(
            clean(
                values,
                detrend=entry["detrend"],
                standardize="zscore_sample" if entry["zscore"] else False,
                confounds=confounds,
                sample_mask=None if len(kept) == len(values) else kept,
                high_pass=entry["high_pass_hz"],
                low_pass=entry["low_pass_hz"],
                filter="butterworth" if entry["high_pass_hz"] or entry["low_pass_hz"] else False,
                t_r=tr_s,
            )
        )


def tsnr(values: np.ndarray) -> float:
    """Median over parcels of mean over standard deviation of courses (volumes, parcels); NaN where they are centred."""
    if not values.size:
        return float("nan")
    mean, spread = np.abs(values.mean(axis=0)), values.std(axis=0, ddof=1)
    ratio = float(np.median(mean / spread))
    return ratio if ratio > 1 else float("nan")  # parcels that vary more than their mean have none: series are centred
