"""The methods text of blocks: tables and functional data beside the scans."""

from typing import Any

from neurovae.report.results import Run, read
from neurovae.report.text import count

CONNECTIVITY = {
    "correlation": "Functional connectivity of each pair of parcels was their correlation",
    "partial": "Functional connectivity of each pair of parcels was their partial correlation",
    "tangent": "Covariance matrices were projected into the tangent space at the geometric mean of the training set "
               "[tangent]",
}  # fmt: skip
CONSTANT = {
    "drop_parcel": "Parcels that were constant or missing in a participant were left out for all participants",
    "mask": "Connections of parcels that were constant or missing in a participant were replaced by the mean of the "
            "training set",
    "drop_person": "Participants with a constant or missing parcel were excluded from this block",
}  # fmt: skip


def blocks(run: Run) -> str:
    """What the blocks are, how functional data were cleaned, and how many participants have them."""
    said = []
    for entry in run.config.get("cohort", {}).get("blocks", []):
        quality = read(run, f"blocks/{entry['name']}/quality.tsv")
        if quality is not None:
            said += [*_described(run, entry), _people(entry, quality)]
    return " ".join(["Blocks.", *said]) if said else ""


def _people(entry: dict[str, Any], quality: Any) -> str:
    have, out = (quality["status"] == "ok").sum(), (quality["status"] == "excluded").sum()
    excluded = f"; {out} were excluded by its quality criteria" if out else ""
    return f"{have} of {count(len(quality), 'participant')} had {entry['name']}{excluded}."


def _described(run: Run, entry: dict[str, Any]) -> list[str]:
    features = read(run, f"blocks/{entry['name']}/features.parquet")
    n = 0 if features is None else len(features)
    if entry["type"] == "table":
        return [f"The block {entry['name']} consisted of {count(n, 'column')} of a table."]
    parcels = read(run, f"blocks/{entry['name']}/parcels.parquet")
    kept, every = (0, 0) if parcels is None else (int(parcels["kept"].sum()), len(parcels))
    units = "voxels" if entry.get("mask") else "parcels"
    said = [f"The block {entry['name']} was computed from BOLD time series of {kept} of {every} {units}, which were "
            f"{_cleaning(entry)} with nilearn [nilearn].", CONSTANT[entry["constant"]] + "."]  # fmt: skip
    if entry["scrub_mm"]:
        said += [f"Volumes with a framewise displacement [fd] above {entry['scrub_mm']:g} mm were censored."]
    if entry["connectivity"] in CONNECTIVITY:
        shrunk = ", from covariances shrunk by the Ledoit-Wolf estimator [ledoit]"
        fisher = ", Fisher-transformed" if entry["fisher_z"] and entry["connectivity"] != "tangent" else ""
        said += [f"{CONNECTIVITY[entry['connectivity']]}{shrunk}{fisher} ({n} features)."]
    return said


def _cleaning(entry: dict[str, Any]) -> str:
    """What was done to each run, in words."""
    steps = ["detrended"] if entry["detrend"] else []
    low, high = entry["high_pass_hz"], entry["low_pass_hz"]
    if low and high:
        steps.append(f"band-pass filtered ({low:g}-{high:g} Hz)")
    elif low or high:
        steps.append(f"high-pass filtered ({low:g} Hz)" if low else f"low-pass filtered ({high:g} Hz)")
    if entry.get("confounds"):
        steps.append(f"cleared of confounds by regression ({', '.join(entry['confounds'])}; motion: {entry['motion']})")
    steps += ["standardised within each run"] if entry["zscore"] else []
    return f"{', '.join(steps[:-1])} and {steps[-1]}" if len(steps) > 1 else "".join(steps) or "read"
