"""Who has a functional block: quality of each participant's runs, thresholds, and constant parcels."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.tables import some
from neurovae.plan.index import Scan

MEASURES = ("volumes", "kept", "mean_fd", "tsnr")
UNITS = {"volumes": "volumes are used", "kept": "of the volumes are kept", "mean_fd": "mm mean framewise displacement",
         "tsnr": "temporal signal-to-noise ratio"}  # fmt: skip


def table(
    scans: list[Scan], runs: pd.DataFrame, still: np.ndarray, names: list[str], block: dict[str, Any]
) -> pd.DataFrame:
    """A row per scan: status (ok, excluded, no file), reason, and measures over all its runs.

    Columns: n_runs; volumes, those used; kept, their fraction before scrubbing; mean_fd, mm, and tsnr, means weighted
    by volumes; n_constant, parcels without variance in some run, and their names.

    Args:
        scans: of the cohort.
        runs: of those that have files (`series.RUNS`).
        still: constant parcels of each run (runs, parcels).
        names: of the parcels.
        block: its `constant` and `thresholds`.

    Raises:
        InputError: no participant remains.
    """
    rows = []
    for scan in sorted(scans):
        own = (runs["scan"] == scan.scan).to_numpy()
        base = {"scan": scan.scan, "person": scan.person, "session": scan.session}
        if not own.any():
            rows.append(base | {"status": "no file", "reason": "no file of this block", "n_runs": 0})
            continue
        one, constant = runs[own], np.flatnonzero(still[own].any(axis=0))
        weights = one["n_volumes"].to_numpy(float)
        measures = {"volumes": int(one["n_time"].sum()), "kept": one["n_time"].sum() / weights.sum()}
        measures |= {name: _mean(one[name].to_numpy(float), weights) for name in ("mean_fd", "tsnr")}
        reasons = _beyond(measures, block["thresholds"])
        if block["constant"] == "drop_person" and len(constant):
            reasons.append(f"{len(constant)} constant parcels ({some([names[k] for k in constant])})")
        elif block["constant"] == "mask" and len(names) - len(constant) < 2:
            reasons.append(f"{len(constant)} of {len(names)} parcels are constant: no pair is left")
        status = {"status": "excluded" if reasons else "ok", "reason": "; ".join(reasons)}
        listed = {"n_constant": len(constant), "constant": ", ".join(names[k] for k in constant)}
        rows.append(base | status | {"n_runs": int(own.sum())} | measures | listed)
    found = pd.DataFrame(rows)
    if not (found["status"] == "ok").any():
        raise InputError(f"block {block['name']!r}: nobody of {len(found)} is left ({found['reason'].iloc[0]}, and so "
                         "on); lower thresholds, or see quality.tsv")  # fmt: skip
    return found.astype({name: "Int64" for name in ("n_runs", "volumes", "n_constant")})


def parcels(
    found: pd.DataFrame, still: np.ndarray, runs: pd.DataFrame, names: list[str], block: dict[str, Any]
) -> np.ndarray:
    """Which parcels (parcels,) are used: with `constant: drop_parcel`, those that vary in everybody who has the block.

    Raises:
        InputError: fewer than two are left.
    """
    used = runs["scan"].isin(found.loc[found["status"] == "ok", "scan"]).to_numpy()
    constant = still[used]
    kept = ~constant.all(axis=0) if block["constant"] == "mask" else ~constant.any(axis=0)
    dropped = [names[k] for k in np.flatnonzero(~kept)]
    if dropped:
        print(f"{len(dropped)} of {len(names)} parcels are left out for everybody: {some(dropped, 10)}", flush=True)
    if kept.sum() < 2:
        raise InputError(f"block {block['name']!r}: {int(kept.sum())} of {len(names)} parcels vary in everybody; set "
                         "constant to mask or drop_person")  # fmt: skip
    return np.asarray(kept)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")


def _beyond(measures: dict[str, float], thresholds: dict[str, list[float | None]]) -> list[str]:
    """Reasons for exclusion: a measure beyond its threshold, or one that is not known and has a threshold."""
    reasons = []
    for name in MEASURES:
        low, high = thresholds[name]
        value = measures[name]
        if low is not None and value < low:
            reasons.append(f"{value:.4g} {UNITS[name]}, at least {low:g}")
        if high is not None and value > high:
            reasons.append(f"{value:.4g} {UNITS[name]}, at most {high:g}")
        if (low is not None or high is not None) and not np.isfinite(value):
            reasons.append(f"{name} is not known, and thresholds.{name} is set")
    return reasons
