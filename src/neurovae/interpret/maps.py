"""Decode the pattern of the latents that is associated with a score: a map with its interval, and max-T across voxels.

The map is the pattern of the score and not the filter (Haufe et al. 2014; `scoremap`). The test asks of each voxel of
the people's decoded volumes what `associate.permute` asks of each latent, under the same permutations.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from nibabel.affines import apply_affine

from neurovae.associate.fitted import fitted
from neurovae.associate.permute import Ready, prepare, strata
from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.rows import stopped
from neurovae.design.tables import tidy, write_both
from neurovae.interpret.atlas import read_atlas
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import in_file, write_folder, write_maps
from neurovae.interpret.scoremap import ScoreMap, decode_people, region_means, score_map
from neurovae.interpret.shift import step
from neurovae.interpret.voxelwise import Voxels, permute
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.stats.maxt import at_once

INTERVAL = "over people, model fixed"
ALPHA = 0.05
SAME = {"score": "object", "type": "object", "model": "object", "fold": "Int64", "seed": "Int64"}
AFTER = {"status": "object", "reason": "object", "verdict": "object"}
COLUMNS = SAME | {"session": "object", "n": "Int64", "unit": "object", "step": "float64", "confounds": "object",
                  "test": "object", "voxels": "Int64", "voxels_below_05": "Int64", "smallest_p": "float64",
                  "peak_statistic": "float64", "peak_x": "float64", "peak_y": "float64", "peak_z": "float64",
                  "peak_region": "object", "permutations": "Int64", "resamples": "Int64",
                  "interval": "object", "exchangeability": "object",
                  "split_policy": "object", "mapped_by": "object",
                  "variance_explained_test": "float64"} | AFTER  # fmt: skip
REGIONS = SAME | {"index": "Int64", "region": "object", "hemisphere": "object", "voxels": "Int64", "map": "float64",
                  "low": "float64", "high": "float64", "interval": "object", "mean_abs_t": "float64",
                  "largest_t": "float64", "fraction_below_05": "float64", "rank": "Int64",
                  "mapped_by": "object"} | AFTER  # fmt: skip
Row = dict[str, Any]


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    model: Path,
    mask: Path,
    atlas: Path,
    scores: Json,
    confounds: Json,
    permutations: int,
    seed: int,
    out_folder: Path,
    out: Path,
    regions: Path,
    threads: int = 1,
) -> None:
    """Write per score `<score>_{map,low,high,t,p,from,to}.nii.gz`, a table of scores, and one of scores x regions.

    map: decoded change per step of the score (per standard deviation; binary: from class to class); low, high: its
    95 % percentile interval over people drawn anew, the model fixed; t: statistic of each decoded voxel (t, or the
    score test of a score that is not Gaussian); p: max-T across voxels; from, to: decoded at the score's 5 and 95 %
    quantile (binary: the classes), confounds at their means.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun maps

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        qc: qc.parquet.
        health: health.json of the model.
        model: weights.safetensors.
        mask: the fixed mask.
        atlas: regions on the grid of the mask (.nii.gz), the table beside it.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        permutations: number of permutations.
        seed: of permutations and resamples; that of associate gives associate's permutations.
        out_folder: folder of the maps.
        out: table to write, a row per score (.parquet, .tsv).
        regions: table to write, a row per score and region (.parquet, .tsv); mean_abs_t decides the rank, largest_t
            has its sign.
        threads: blocks of permutations at a time; changes nothing in the numbers.
    """
    torch.set_num_threads(1)
    decoder = read(model, latents, mask, health)
    table = join(read_parquet(cohort), decoder.latents, read_parquet(qc))
    labels, parts = read_atlas(atlas, mask)
    rows, places, unmapped = [], [], decoder.unmapped
    with write_folder(out_folder) as folder, tempfile.TemporaryFile(dir=folder) as file:
        ready_scores = [
            (of_voxels(ready), rows)
            for ready, rows in (
                prepare(table, fitted(table, score, confounds, survival=True)) for score in scores if not unmapped
            )
        ]
        people = np.unique([int(row) for ready, _ in ready_scores if ready is not None for row in ready.cases.rows])
        volumes = decode_people(decoder, table[decoder.names].to_numpy(float)[people.astype(int)], file)
        for ready, latent_rows in ready_scores:
            row = {name: value for name, value in latent_rows[0].items() if name in COLUMNS}
            row |= {"verdict": decoder.verdict} | decoder.mapped_by
            if ready is None:
                places.append({name: value for name, value in row.items() if name in REGIONS})
            else:
                at = np.searchsorted(people, ready.cases.rows)
                voxel_tests = tested_voxels(table, ready, volumes, at, permutations, seed, threads)
                score_map_found = mapped(decoder, table, ready, labels, parts, seed)
                row |= numbers(ready, voxel_tests, score_map_found, permutations) | peak(
                    voxel_tests, mask, labels, parts
                )
                places += in_regions(row, voxel_tests, score_map_found, labels, parts)
                write_score(folder, row["score"], voxel_tests, score_map_found, mask)
            rows.append(row)
            print(f"{row['score']}: {row['status']}, {row.get('voxels_below_05', 0)} voxels p < .05", flush=True)
    if unmapped:
        row = stopped(table, decoder.verdict, decoder.reason) | unmapped | decoder.mapped_by
        rows, places = ([{name: value for name, value in row.items() if name in kept}] for kept in (COLUMNS, REGIONS))
    write_both(out, tidy(rows, COLUMNS))
    write_both(regions, tidy(places, REGIONS))


def tested_voxels(
    table: pd.DataFrame,
    ready: Ready,
    volumes: np.ndarray,
    at: np.ndarray,
    permutations: int,
    seed: int,
    threads: int,
) -> Voxels:
    """Max-T across voxels of one score, under the draws of `associate.permute`; at: (n,) its rows of the volumes."""
    size, places = at_once(len(at), len(ready.latents)), strata(table, ready.cases)
    return permute(volumes, at, ready.cases.x, ready.null, places, size, permutations, seed, threads)


def mapped(
    decoder: Decoder, table: pd.DataFrame, ready: Ready, labels: np.ndarray, parts: pd.DataFrame, seed: int
) -> ScoreMap:
    """The map of one score; table: joined scans; labels: region of each voxel; parts: the regions."""
    z, cases = table[decoder.names].to_numpy(float)[ready.cases.rows], ready.cases
    means = region_means(labels, parts)
    return score_map(decoder, z, cases.x, outcome(ready), ready.score["type"], strata(table, cases), means, seed)


def outcome(ready: Ready) -> np.ndarray:
    """What the latents' pattern is of, (n,): the score; of a survival score the martingale residual of its null."""
    return ready.null.residual if ready.score["type"] == "survival" else ready.cases.y


def of_voxels(ready: Ready | None) -> Ready | None:
    """The test as it is made for voxels: of a survival score without the means of its risk sets in the variance.

    These are a column per event, which every voxel and permutation would need; the same statistic is permuted.
    """
    if ready is None or ready.score["type"] != "survival":
        return ready
    events = int(ready.cases.y[:, 2].sum())
    test = f"{ready.null.test}, variance without the means of the risk sets"
    return replace(ready, null=replace(ready.null, factor=ready.null.factor[:, events:], test=test))


def numbers(ready: Ready, voxel_tests: Voxels, maps: ScoreMap, permutations: int) -> Row:
    """Return the columns of a tested score's row, beyond those that all rows have."""
    size, unit = step(outcome(ready), ready.score["type"], ready.score.get("positive"))
    row = {"status": "ok", "reason": ready.cases.reason, "unit": unit, "step": size, "test": ready.null.test}
    counts = {"voxels": len(voxel_tests.p), "voxels_below_05": int((voxel_tests.p < ALPHA).sum())}
    draws = {"permutations": permutations, "resamples": maps.resamples, "interval": INTERVAL}
    return row | counts | draws


def peak(voxel_tests: Voxels, mask: Path, labels: np.ndarray, parts: pd.DataFrame) -> Row:
    """Return the smallest p and the place of the largest statistic: MNI mm and region."""
    k = int(np.abs(voxel_tests.statistic).argmax())
    place = apply_affine(read_image(mask).affine, np.argwhere(read_mask(mask))[k])
    region_row = parts.set_index("index").reindex([labels[k]]).iloc[0]
    region = "none" if pd.isna(region_row["name"]) else full_name(region_row["name"], region_row["hemisphere"])
    numbers = {"smallest_p": float(voxel_tests.p.min()), "peak_statistic": float(voxel_tests.statistic[k])}
    return numbers | dict(zip(("peak_x", "peak_y", "peak_z"), map(float, place), strict=True)) | {"peak_region": region}


def full_name(name: str, hemisphere: str) -> str:
    """A region's name with its side."""
    return f"{hemisphere} {name}" if hemisphere in ("left", "right") else name


def in_regions(row: Row, voxel_tests: Voxels, maps: ScoreMap, labels: np.ndarray, parts: pd.DataFrame) -> list[Row]:
    """Return a row per region, ranked by the mean |statistic|; row: that of the score."""
    means = region_means(labels, parts)
    table = pd.DataFrame(
        {
            "index": parts["index"],
            "region": parts["name"],
            "hemisphere": parts["hemisphere"],
            "voxels": np.bincount(labels, minlength=parts["index"].max() + 1)[parts["index"]],
            "map": means(maps.change[None])[0],
            "low": maps.over_people.region_low,
            "high": maps.over_people.region_high,
            "mean_abs_t": means(np.abs(voxel_tests.statistic)[None])[0],
            "largest_t": [max(voxel_tests.statistic[labels == index], key=abs) for index in parts["index"]],
            "fraction_below_05": means((voxel_tests.p < ALPHA)[None].astype(float))[0],
        }
    )
    table["rank"] = table["mean_abs_t"].rank(ascending=False, method="first").astype(int)
    shared = {name: row[name] for name in [*SAME, *AFTER, "mapped_by"]} | {"interval": INTERVAL}
    return [shared | {str(name): value for name, value in one.items()} for one in table.to_dict("records")]


def write_score(folder: Path, score: str, voxel_tests: Voxels, maps: ScoreMap, mask: Path) -> None:
    """Write the seven images of one score."""
    names = ("map", "low", "high", "t", "p", "from", "to")
    images = (
        maps.change,
        maps.over_people.low,
        maps.over_people.high,
        voxel_tests.statistic,
        voxel_tests.p,
        *maps.ends,
    )
    for name, values in zip(names, images, strict=True):
        write_maps(folder / f"{in_file(score)}_{name}.nii.gz", values, mask, outside=float(name == "p"))


if __name__ == "__main__":
    cli(run)
