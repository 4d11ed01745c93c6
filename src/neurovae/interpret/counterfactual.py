"""A person's scan changed along a score: scan + decode(mu + shift) - decode(mu).

Details of the scan that the model does not encode are kept, since only the difference is decoded.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from nibabel.affines import apply_affine

from neurovae.cli import Json, cli
from neurovae.design.design import design, join
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret import shift
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import in_file, write_folder, write_image
from neurovae.interpret.traverse import AFTER, SAME, provenance
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import masked, read_volumes

HEIGHTS = (0.1, 0.5, 0.9)  # quantiles of the score whose nearest people are shown where none are named
POSSIBLE = {"count": (0.0, np.inf), "gamma": (0.0, np.inf)}  # values of scores that have an end by their type
COLUMNS = {"score": "object", "type": "object"} | SAME | {
    "scan": "object", "value": "float64", "step": "float64", "unit": "object", "target": "float64", "beyond": "object",
    "file": "object", "rms": "float64",
    "largest": "float64", "x": "float64", "y": "float64", "z": "float64", "n": "Int64",
} | AFTER  # fmt: skip


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    model: Path,
    mask: Path,
    volumes: Path,
    rows: Path,
    scores: Json,
    confounds: Json,
    people: list[str],
    steps: list[float],
    maps: Path,
    out: Path,
) -> None:
    """Write `<scan>_<score>.nii.gz` per person and score, a frame per step (0: the scan, in the mask), and a table.

    A step of 1 is the change of the latents that is associated with +1 SD of the score given the confounds (`unit`;
    binary: with the other class, and that step alone). It is an association in the group, no forecast for one person.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun counterfactual

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet.
        qc: qc.parquet.
        health: health.json.
        model: weights.safetensors.
        mask: the fixed mask.
        volumes: packed volumes.
        rows: table of their rows.
        scores: of the configuration.
        confounds: of the configuration.
        people: scan keys; none: per score the three tested people nearest to its 10, 50 and 90 %.
        steps: of the score, beside 0; not of a binary one.
        maps: folder to write.
        out: Parquet to write, TSV beside it: rms and largest change (signed, with its MNI position in mm) per step;
            target: value + step in units of the score; beyond: whether the score's range or the cohort's ends before
                it.

    Raises:
        InputError: a scan that has no latents.
    """
    torch.set_num_threads(1)
    decoder = read(model, latents, mask, health)
    scans_shown, provenance_columns = known_scans(people, decoder.latents["scan"]), provenance(decoder)
    if decoder.absent:
        with write_folder(maps):
            write_both(out, tidy([provenance_columns | decoder.absent], COLUMNS))
        print(f"{provenance_columns['model']}: {decoder.verdict}, no counterfactuals", flush=True)
        return
    table = join(read_parquet(cohort), decoder.latents, read_parquet(qc))
    packed = read_volumes(volumes, rows)
    with write_folder(maps) as folder:
        results = []
        for score in scores:
            cases = design(table, score, confounds)
            entry = {"score": score["name"], "type": score["type"], "n": len(cases.y)}
            if cases.status != "ok":
                results.append(entry | {"status": cases.status, "reason": cases.reason})
                continue
            tested_people = table.iloc[cases.rows]
            size, unit = shift.step(cases.y, score["type"], score.get("positive"))
            change = size * shift.slope(tested_people[decoder.names].to_numpy(np.float64), cases.x, cases.y)
            low, high = score["bounds"] if score["type"] == "bounded" else (0.0, 1.0)
            values = pd.Series(low + (high - low) * cases.y, index=tested_people["scan"])
            for scan in scans_shown or spread(values):
                entry |= {"scan": scan, "value": values.get(scan, np.nan), "unit": unit, "status": "ok", "reason": ""}
                entry |= {"file": f"{scan}_{in_file(score['name'])}.nii.gz"}
                for row in write_person(folder, decoder, packed, mask, entry, change, ladder(steps, entry)):
                    target = entry["value"] + row["step"] * size * (high - low)
                    outside = beyond(target, score, values) if row["step"] else ""
                    results.append(entry | row | {"target": target, "beyond": outside})
        write_both(out, tidy([provenance_columns | row for row in results], COLUMNS))
    print(
        f"{provenance_columns['model']}: {len({row.get('file') for row in results} - {None})} counterfactuals",
        flush=True,
    )


def ladder(steps: list[float], row: dict[str, Any]) -> list[float]:
    """The steps shown, ascending, with 0; for a binary score those to the other class (either, where a person has
    none).
    """
    if row["type"] != "binary":
        return sorted({0.0, *map(float, steps)})
    return {0.0: [0.0, 1.0], 1.0: [-1.0, 0.0]}.get(row["value"], [-1.0, 0.0, 1.0])


def beyond(target: float, score: dict[str, Any], values: pd.Series) -> str:
    """Say why a value is impossible for the score or outside the cohort's range; empty where it is neither."""
    possible_range = score["bounds"] if score["type"] == "bounded" else POSSIBLE.get(score["type"], (-np.inf, np.inf))
    if target < possible_range[0]:
        return f"below the minimum score, {possible_range[0]:g}"
    if target > possible_range[1]:
        return f"above the maximum score, {possible_range[1]:g}"
    if target < values.min():
        return f"below the cohort's minimum, {values.min():g}"
    return f"above the cohort's maximum, {values.max():g}" if target > values.max() else ""


def spread(values: pd.Series) -> list[str]:
    """Scans of people at about 10, 50 and 90 % of the score, all different; ties by scan key. values: by scan."""
    remaining, selected = values.sort_index(), []
    for height in np.quantile(values, HEIGHTS):
        selected.append(str((remaining - height).abs().idxmin()))
        remaining = remaining.drop(selected[-1])
    return selected


def write_person(
    folder: Path,
    decoder: Decoder,
    packed: tuple[np.ndarray, pd.DataFrame],
    mask: Path,
    entry: dict[str, Any],
    change: np.ndarray,
    steps: list[float],
) -> list[dict[str, Any]]:
    """Write one person's image for one score; a row per step.

    entry: score, scan, unit, file; change: of the latents per step, (latents,).
    """
    array, rows = packed
    scan = masked(array[rows.index[rows["scan"] == entry["scan"]]], decoder.mask)  # (1, voxels)
    mu = decoder.mu[(decoder.latents["scan"] == entry["scan"]).to_numpy()]  # (1, latents)
    volumes = decoder.decode(mu + np.array(steps)[:, None] * change)
    difference = volumes - volumes[steps.index(0.0)]  # (steps, voxels); exactly 0 at step 0
    description = f"Scan plus the decoded difference associated with {entry['score']}, given the confounds"
    fields = {"Scan": entry["scan"], "Score": entry["score"], "Steps": steps, "Unit": entry["unit"], "Frame": "a step"}
    write_image(folder / entry["file"], scan + difference, mask, description, **fields)
    affine, places = read_image(mask).affine, np.argwhere(decoder.mask)
    results = []
    for step, values in zip(steps, difference, strict=True):
        voxel = int(np.abs(values).argmax())
        at = apply_affine(affine, places[voxel]) if step else [None] * 3
        rms = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
        results.append({"step": step, "rms": rms, "largest": float(values[voxel])} | dict(zip("xyz", at, strict=True)))
    return results


def known_scans(requested: list[str], scans: pd.Series) -> list[str]:
    """Return the requested scans.

    Raises:
        InputError: one is not among `scans`; the message names those with a similar spelling.
    """
    all_scans, problems = set(scans), []
    for scan in requested:
        if scan not in all_scans:
            close = get_close_matches(scan, sorted(all_scans), 3, 0.6) or sorted(all_scans)[:3]
            problems.append(f"scan {scan!r}: no such scan has latents; did you mean {', '.join(close)}?")
    if problems:
        raise InputError(problems)
    return list(requested)


if __name__ == "__main__":
    cli(run)
