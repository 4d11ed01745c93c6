"""The maps of `interpret` that the report's viewer can show: their files, order, and the names of their frames."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd

from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.norm.words import IMAGE, MODEL
from neurovae.train.health.verdicts import FORWARD

ALPHA = 0.05
NORMAL = "N(0, I)"  # the prior, as the table of samples calls it
FIRST = {True: 6, False: 3}  # latents of the primary model, and of another, that come before all remaining maps
WANTED = {"maps": "score maps", "jacobian": "log-Jacobians", "traversals": "traversals", "samples": "samples"}
INTENSITY, PREDICTED, RATIO = (
    "decoded intensity (normalised)",
    "intensity predicted by the forward model (normalised)",
    "log ratio of volumes; above 0: larger at the 95th percentile of the score than at the 5th (binary: in the group "
    "coded 1)",
)
DEVIATION = "z, standard deviations of the reference at this age and sex"
ENDS = ("5th percentile (binary: 0)", "95th percentile (binary: 1)")
SCORE = [f"voxels with max-T p < {ALPHA:g}", "lower end of the 95 % CI", "upper end of the 95 % CI"]


@dataclass(frozen=True)
class Map:
    """One entry of the viewer, and the files it is made of.

    kind: "change" (files hold changes), "volume" (decoded volumes), "score" (map, p, low, high) or "ratio" (not in the
    units of the volume, so not added to it). A smaller tier goes into the page first.
    """

    model: str
    label: str
    kind: str
    files: list[Path]
    tier: int
    frames: list[str] = field(default_factory=list)
    unit: str = INTENSITY


def listed(cohort: Path, model: str, fit: str, primary: bool) -> tuple[list[Map], list[str]]:
    """Maps of a model that exist, and a line on each kind that does not."""
    folder = cohort / "interpret" / model / fit
    found = {
        "maps": list(_scores(folder, model, primary)),
        "jacobian": list(_jacobians(folder, model)),
        "traversals": list(_latents(folder, cohort / "associate" / model / fit / "permute.parquet", model, primary)),
        "samples": list(_decoded(folder, model)),
    }
    given = any(row.get("mapped_by") == FORWARD for row in _rows(folder / "maps.parquet"))  # it has score maps alone
    asked = [name for name in found if name == "maps" or not given]
    missing = [f"no {WANTED[name]} of {model}: {_why(folder, name)}" for name in asked if not found[name]]
    return [one for maps in found.values() for one in maps], missing


def centre(cohort: Path, model: str, fit: str) -> np.ndarray | None:
    """The volume (x, y, z) that the cohort's centre decodes to: any latent's traversal minus its change."""
    folder = cohort / "interpret" / model / fit / "traversals"
    for change in sorted(folder.glob("*_change.nii.gz")):
        whole = change.with_name(change.name.replace("_change", ""))
        if whole.is_file():
            return frames(whole)[0] - frames(change)[0]
    ends = [sorted(folder.parent.glob(f"maps/*_{end}.nii.gz")) for end in ("from", "to")]
    return (frames(ends[0][0])[0] + frames(ends[1][0])[0]) / 2 if all(ends) else None


def frames(path: Path) -> np.ndarray:
    """An image as (frames, x, y, z), single precision."""
    data = np.asarray(read_image(path).dataobj, np.float32)
    return np.moveaxis(data, 3, 0) if data.ndim == 4 else data[None]


def change(one: Map, middle: np.ndarray) -> np.ndarray:
    """The change that a map adds to the decoded centre (x, y, z): (frames, x, y, z)."""
    stacked = np.concatenate([frames(path) for path in one.files])
    if one.kind == "volume":
        return stacked - middle
    if one.kind == "score":
        value, p, low, high = stacked
        return np.stack([value, np.where(p < ALPHA, value, 0), low, high])
    return stacked


def _scores(folder: Path, model: str, primary: bool) -> Iterator[Map]:
    """Per score, the strongest first: its map, and the decoded volumes at its low and high end."""
    rank = _smallest(folder / "maps.parquet", "score", "smallest_p")
    paths = {unquote(path.name.removesuffix("_map.nii.gz")): path for path in sorted(folder.glob("maps/*_map.nii.gz"))}
    for score in sorted(paths, key=lambda name: rank.get(name, (2.0, {}))[0]):
        stem = paths[score].name.removesuffix("_map.nii.gz")
        parts = {name: paths[score].with_name(f"{stem}_{name}.nii.gz") for name in ("map", "p", "low", "high")}
        row = rank.get(score, (2.0, {}))[1]
        per, forward = row.get("unit", "+1 standard deviation of the score"), row.get("mapped_by") == FORWARD
        said, by = (PREDICTED, f" ({FORWARD})") if forward else (INTENSITY, "")
        verb = "predicted" if forward else "decoded"
        if all(part.is_file() for part in parts.values()):
            tier, words = 0 if primary else 1, [per, *SCORE]
            yield Map(model, f"{score}: pattern{by}", "score", list(parts.values()), tier, words, said)
        ends = [paths[score].with_name(f"{stem}_{name}.nii.gz") for name in ("from", "to")]
        if all(end.is_file() for end in ends):
            walk = [f"{verb} at the {end} of the score" for end in ENDS]
            yield Map(model, f"{score}: from low to high{by}", "volume", ends, 1 if primary else 2, walk, said)


def _jacobians(folder: Path, model: str) -> Iterator[Map]:
    for path in sorted(folder.glob("jacobian/*_logjacobian.nii.gz")):
        score = unquote(path.name.removesuffix("_logjacobian.nii.gz"))
        yield Map(
            model,
            f"{score}: log-Jacobian",
            "ratio",
            [path],
            1,
            ["5th to 95th percentile of the score (binary: 0 to 1)"],
            RATIO,
        )


def deviations(cohort: Path, model: str, people: Sequence[str]) -> Iterator[Map]:
    """Maps of z of participants who have a page of their own: of the model's residual, and of the scan itself."""
    folder = cohort / "norm" / model
    if not people or not (folder / "deviation.parquet").is_file():
        return
    table = read_parquet(folder / "deviation.parquet")
    for row in table[table["person"].isin(list(people))].itertuples():
        paths = [folder / "deviation_maps" / f"{row.scan}_{way}_z.nii.gz" for way in (MODEL, IMAGE)]
        if all(path.is_file() for path in paths):
            words = ["scan minus reconstruction", "smoothed scan, without a model"]
            yield Map(model, f"{row.person}: deviation (no diagnosis)", "ratio", paths, 1, words, DEVIATION)


def _latents(folder: Path, tests: Path, model: str, primary: bool) -> Iterator[Map]:
    """Traversals, ranked by the smallest max-T p over the scores."""
    files = sorted(folder.glob("traversals/*_change.nii.gz"))
    paths = {path.name.removesuffix("_change.nii.gz"): path for path in files}
    best = _smallest(tests, "latent", "p_maxt")
    for rank, name in enumerate(sorted(paths, key=lambda name: best.get(name, (2.0, {}))[0])):
        p, row = best.get(name, (2.0, {}))
        ranked = f" (rank {rank + 1}: {row['score']}, max-T p {p:.2g})" if row else ""
        tier = 1 if rank < FIRST[primary] else 2 if primary else 3
        side = _sidecar(paths[name])
        pairs = zip(side.get("Quantiles", []), side.get("Values", []), strict=False)
        called = [
            f"{100 * quantile:g}th percentile, z = {value:.2f}".replace("-", "\u2212") for quantile, value in pairs
        ]
        yield Map(model, f"Latent {name}{ranked}", "change", [paths[name]], tier, called)


def _decoded(folder: Path, model: str) -> Iterator[Map]:
    """A path between two participants, and samples: of the prior, or of what takes its place in a model without one."""
    source = f"Samples from {_prior(folder)}"
    for name, label, tier in (("path", "Path between participants", 2), ("samples", source, 3)):
        path = folder / "samples" / f"{name}.nii.gz"
        if path.is_file():
            ends = " to ".join(str(scan) for scan in _sidecar(path).get("Scans", []))
            yield Map(model, f"{label}{f', {ends}' if ends else ''}", "volume", [path], tier)


def _prior(folder: Path) -> str:
    """Where samples were drawn from, in words."""
    table = folder / "realism.parquet"
    rows = read_parquet(table) if table.is_file() else pd.DataFrame()
    drawn = rows["prior"].dropna() if "prior" in rows else pd.Series(dtype=object)
    return "the prior" if drawn.empty or drawn.iloc[0] == NORMAL else str(drawn.iloc[0])


def _sidecar(path: Path) -> dict[str, Any]:
    """The JSON beside an image, or that of its whole volume."""
    side = path.with_name(path.name.replace(".nii.gz", ".json"))
    return json.loads(side.read_text(encoding="utf-8")) if side.is_file() else {}


def _rows(path: Path) -> list[dict[Any, Any]]:
    """Rows of a table; none where it does not exist."""
    return read_parquet(path).to_dict("records") if path.is_file() else []


def _smallest(path: Path, name: str, p: str) -> dict[str, tuple[float, dict[str, Any]]]:
    """By a table's column `name`: its smallest p, and the row that holds it; nothing where there is no such table."""
    rows = read_parquet(path) if path.is_file() else pd.DataFrame({name: [], p: []})
    best = rows.dropna(subset=[name, p]).sort_values(p, kind="stable").drop_duplicates(name)
    return {str(row[name]): (float(row[p]), {str(key): value for key, value in row.items()})
            for row in best.to_dict("records")}  # fmt: skip


def _why(folder: Path, name: str) -> str:
    """Why a model lacks a kind of map: its table's reason, or the empty folder."""
    table = folder / ("realism.parquet" if name == "samples" else f"{name}.parquet")
    rows = read_parquet(table) if table.is_file() else pd.DataFrame()
    if len(rows) and {"status", "reason"} <= set(rows.columns) and (rows["status"] != "ok").all():
        return f"{rows['status'].iloc[0]}: {rows['reason'].iloc[0]}"
    return f"interpret/{folder.parent.name}/{folder.name} has no {name}"
