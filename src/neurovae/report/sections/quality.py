"""Quality control: slices of the worst scans, every quality measure, and scans that are duplicates or similar."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.io.images import read_image
from neurovae.preprocess.names import ON_GRID, in_space
from neurovae.preprocess.placement import offset_warnings
from neurovae.report.blocks import Block, heading, missing, note, table, text
from neurovae.report.figures import thumbnails
from neurovae.report.results import DUPLICATES, QUALITY, Row, Run, read
from neurovae.report.text import count, limit, shown

MAX_EXCLUDED = 60  # excluded scans that are drawn, besides the worst ones
MEASURES = {"template_r": "correlation with the template", "mask_dice": "Dice with the template's mask",
            "misalignment_mm": "residual misalignment with the template after registration (mm)",
            "mask_ml": "brain volume (ml)", "noise": "image noise (SD relative to white-matter intensity)",
            "sharpness": "image sharpness (intensity gradient at tissue boundaries, relative to that after smoothing)",
            "snr": "SNR", "clipped": "fraction of brain voxels with saturated (clipped) intensity",
            "outside_fov": "fraction of the brain outside the field of view",
            "orientation_lead": "advantage of the header's orientation over the best alternative (difference in R² "
                                "with the template)",
            "head_size": "head size (template: 1)"}  # fmt: skip
SIMILAR = {"scan_a": "scan", "scan_b": "other scan", "r": "r in MNI space", "r_source": "r of the files",
           "same_voxels": "identical voxels", "kind": "kind", "duplicate": "duplicate"}  # fmt: skip


def quality(run: Run) -> list[Block]:
    """Slices of the worst and of the excluded scans, and all measures of every scan, worst first."""
    checks = read(run, QUALITY)
    if checks is None:
        return [missing(QUALITY, "the stage preprocess has not written it")]
    order = ["excluded", "template_r"]
    checks = checks.sort_values(order, ascending=[False, True], na_position="first", ignore_index=True)
    out = int(checks["excluded"].astype(bool).sum())
    thresholds = run.config.get("preprocess", {}).get("qc", {}).get("thresholds", {})
    said = "; ".join(f"{MEASURES.get(name, name)} {limit(pair)}"
                     for name, pair in thresholds.items() if pair != [None, None])  # fmt: skip
    heads = {"scan": "scan", "excluded": "excluded", "reason": "reason", "cause": "failure", **MEASURES}
    caption = "Quality measures of every scan, excluded scans first, then by correlation with the template"
    return [
        text(
            f"{len(checks) - out} of {count(len(checks), 'scan')} passed quality control. Thresholds: {said or 'none'}."
        ),
        *(note(line) for line in offset_warnings(checks)),
        _gallery(run, checks),
        table(checks, heads, QUALITY, caption),
        heading("Duplicates"),
        *duplicates(run),
    ]


def _gallery(run: Run, checks: pd.DataFrame) -> Block:
    most = int(run.config.get("report", {}).get("scans", 24))
    bad = checks["excluded"].astype(bool)
    chosen = pd.concat([checks[bad].head(MAX_EXCLUDED), checks[~bad].head(most)])
    cards = [_card(run, row) for row in chosen.to_dict("records")]
    drawn, out, best = min(int(bad.sum()), MAX_EXCLUDED), int(bad.sum()), min(most, int((~bad).sum()))
    caption = f"{drawn} of {count(out, 'excluded scan')} and the" if out else "The"
    caption += (
        f" {best} included scans that correlate least with the template, in MNI space, with the outline of their "
    )
    caption += "brain masks. Left is left."
    return {"kind": "gallery", "cards": cards, "caption": caption,
            "source": "preprocess/derivatives"}  # fmt: skip


def _card(run: Run, row: Row) -> dict[str, Any]:
    settings, suffix = run.config.get("preprocess", {}), run.config.get("cohort", {}).get("suffix", "T1w")
    folder, size = run.cohort / "preprocess" / "derivatives", float(settings.get("voxel_mm", 2))
    brain, mask = (in_space(folder, str(row["scan"]), size, end) for end in (f"desc-brain_{suffix}.nii.gz", ON_GRID))
    src = ""
    if brain.exists() and mask.exists():
        inside = np.asarray(read_image(mask).dataobj) >= 0.5
        src = thumbnails.scan(np.asarray(read_image(brain).dataobj, dtype=np.float32), inside)
    reasons = [str(row.get(key)) for key in ("reason", "cause") if row.get(key) and not pd.isna(row.get(key))]
    line = f"r {shown(row.get('template_r'))}, Dice {shown(row.get('mask_dice'))}"
    return {"title": str(row["scan"]), "src": src, "excluded": bool(row["excluded"]), "reason": "; ".join(reasons),
            "lines": [line]}  # fmt: skip


def duplicates(run: Run) -> list[Block]:
    """Pairs of scans that are duplicates or similar enough to be of one participant under two IDs."""
    pairs = read(run, DUPLICATES)
    if pairs is None:
        return [missing(DUPLICATES, "the check for duplicates has not run")]
    if pairs.empty:
        return [text("No two scans are similar enough to be duplicates.")]
    same = int(pairs["duplicate"].astype(bool).sum()) if "duplicate" in pairs else 0
    notes = [note(f"{count(same, 'pair')} of scans are duplicates of one image.")] if same else []
    return [*notes, table(pairs, SIMILAR, DUPLICATES, f"{count(len(pairs), 'pair')} of similar scans")]
