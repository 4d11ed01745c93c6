"""Blocks beside the scans: who has them, why others do not, quality measures, mean connectivity."""

import pandas as pd

from neurovae.report.blocks import Block, heading, picture, table, text
from neurovae.report.results import Run, read
from neurovae.report.text import count

HEADS = {"scan": "participant", "status": "status", "reason": "reason", "n_runs": "runs",
         "volumes": "volumes used", "kept": "fraction kept by scrubbing", "mean_fd": "mean framewise displacement (mm)",
         "tsnr": "temporal SNR", "n_constant": "constant parcels", "constant": "which"}  # fmt: skip


def blocks(run: Run) -> list[Block]:
    """A part per block of a table or of functional data; nothing of a cohort with scans alone."""
    parts: list[Block] = []
    for entry in run.config.get("cohort", {}).get("blocks", []):
        path = f"blocks/{entry['name']}/quality.tsv"
        quality = read(run, path)
        if quality is not None:
            parts += [heading(entry["name"]), text(_summary(run, entry["name"], quality))]
            if entry["type"] != "table":
                parts += [picture(run, f"{entry['name']}_block.png", f"{entry['name']}: mean connectivity and motion")]
            order = quality.assign(last=quality["status"] == "ok").sort_values(["last", "scan"], ignore_index=True)
            caption = f"Quality of {entry['name']}, those without it first"
            parts += [table(order.drop(columns="last"), HEADS, path, caption)]
    return parts


def _summary(run: Run, name: str, quality: pd.DataFrame) -> str:
    """How many have it, with how many features, and how many parcels are left out."""
    features = read(run, f"blocks/{name}/features.parquet")
    said = f"{(quality['status'] == 'ok').sum()} of {count(len(quality), 'participant')} have {name}"
    said += "" if features is None else f", with {count(len(features), 'feature')}"
    parcels = read(run, f"blocks/{name}/parcels.parquet")
    if parcels is None:
        return f"{said}."
    out = parcels.loc[~parcels["kept"], "name"]
    return f"{said}. {len(parcels) - len(out)} of {len(parcels)} parcels are used" + (
        f"; left out, since constant or missing in a participant: {', '.join(out.head(10))}"
        f"{f' and {len(out) - 10} more' if len(out) > 10 else ''}." if len(out) else "."
    )  # fmt: skip
