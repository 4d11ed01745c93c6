"""Decode the pattern of the latents that is associated with a score: a map with its interval, and max-T over voxels.

The map is the pattern of the score and not the filter (Haufe et al. 2014; `scoremap`). The test asks of each voxel of
the people's decoded volumes what `associate.permute` asks of each latent, under the same permutations.
"""

import tempfile
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
                  "split_policy": "object"} | AFTER  # fmt: skip
REGIONS = SAME | {"index": "Int64", "region": "object", "hemisphere": "object", "voxels": "Int64", "map": "float64",
                  "low": "float64", "high": "float64", "interval": "object", "mean_abs_t": "float64",
                  "largest_t": "float64", "fraction_below_05": "float64", "rank": "Int64"} | AFTER  # fmt: skip
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
    score test of a score that is not Gaussian); p: max-T over voxels; from, to: decoded at the score's 5 and 95 %
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
    rows, places = [], []
    with write_folder(out_folder) as folder, tempfile.TemporaryFile(dir=folder) as file:
        prepared = [prepare(table, fitted(table, score, confounds)) for score in scores if not decoder.stopped]
        people = np.unique([int(row) for ready, _ in prepared if ready is not None for row in ready.cases.rows])
        volumes = decode_people(decoder, table[decoder.names].to_numpy(float)[people.astype(int)], file)
        for ready, described in prepared:
            row = {name: value for name, value in described[0].items() if name in COLUMNS}
            row |= {"verdict": decoder.verdict}
            if ready is None:
                places.append({name: value for name, value in row.items() if name in REGIONS})
            else:
                at = np.searchsorted(people, ready.cases.rows)
                tested = tested_voxels(table, ready, volumes, at, permutations, seed, threads)
                found = mapped(decoder, table, ready, labels, parts, seed)
                row |= numbers(ready, tested, found, permutations) | peak(tested, mask, labels, parts)
                places += in_regions(row, tested, found, labels, parts)
                write_score(folder, row["score"], tested, found, mask)
            rows.append(row)
            print(f"{row['score']}: {row['status']}, {row.get('voxels_below_05', 0)} voxels p < .05", flush=True)
    if decoder.stopped:
        rows, places = ([stopped(table, decoder.verdict, decoder.reason)] for _ in range(2))
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
    """Max-T over voxels of one score, under the draws of `associate.permute`; at: (n,) its rows of the volumes."""
    size, places = at_once(len(at), len(ready.latents)), strata(table, ready.cases)
    return permute(volumes, at, ready.cases.x, ready.null, places, size, permutations, seed, threads)


def mapped(
    decoder: Decoder, table: pd.DataFrame, ready: Ready, labels: np.ndarray, parts: pd.DataFrame, seed: int
) -> ScoreMap:
    """The map of one score; table: joined scans; labels: region of each voxel; parts: the regions."""
    z, cases = table[decoder.names].to_numpy(float)[ready.cases.rows], ready.cases
    means = region_means(labels, parts)
    return score_map(decoder, z, cases.x, cases.y, ready.score["type"], strata(table, cases), means, seed)


def numbers(ready: Ready, tested: Voxels, found: ScoreMap, permutations: int) -> Row:
    """What a tested score's row says beside what it shares with one that is not."""
    size, unit = step(ready.cases.y, ready.score["type"], ready.score.get("positive"))
    said = {"status": "ok", "reason": ready.cases.reason, "unit": unit, "step": size, "test": ready.null.test}
    counts = {"voxels": len(tested.p), "voxels_below_05": int((tested.p < ALPHA).sum())}
    draws = {"permutations": permutations, "resamples": found.resamples, "interval": INTERVAL}
    return said | counts | draws


def peak(tested: Voxels, mask: Path, labels: np.ndarray, parts: pd.DataFrame) -> Row:
    """Smallest p and where the statistic is largest: MNI mm and region."""
    k = int(np.abs(tested.statistic).argmax())
    place = apply_affine(read_image(mask).affine, np.argwhere(read_mask(mask))[k])
    named = parts.set_index("index").reindex([labels[k]]).iloc[0]
    region = "none" if pd.isna(named["name"]) else full_name(named["name"], named["hemisphere"])
    numbers = {"smallest_p": float(tested.p.min()), "peak_statistic": float(tested.statistic[k])}
    return numbers | dict(zip(("peak_x", "peak_y", "peak_z"), map(float, place), strict=True)) | {"peak_region": region}


def full_name(name: str, hemisphere: str) -> str:
    """A region's name with its side."""
    return f"{hemisphere} {name}" if hemisphere in ("left", "right") else name


def in_regions(row: Row, tested: Voxels, found: ScoreMap, labels: np.ndarray, parts: pd.DataFrame) -> list[Row]:
    """A row per region, ranked by the mean |t|; row: that of the score."""
    means = region_means(labels, parts)
    table = pd.DataFrame(
        {
            "index": parts["index"],
            "region": parts["name"],
            "hemisphere": parts["hemisphere"],
            "voxels": np.bincount(labels, minlength=parts["index"].max() + 1)[parts["index"]],
            "map": means(found.change[None])[0],
            "low": found.over_people.region_low,
            "high": found.over_people.region_high,
            "mean_abs_t": means(np.abs(tested.statistic)[None])[0],
            "largest_t": [max(tested.statistic[labels == index], key=abs) for index in parts["index"]],
            "fraction_below_05": means((tested.p < ALPHA)[None].astype(float))[0],
        }
    )
    table["rank"] = table["mean_abs_t"].rank(ascending=False, method="first").astype(int)
    shared = {name: row[name] for name in [*SAME, *AFTER]} | {"interval": INTERVAL}
    return [shared | {str(name): value for name, value in one.items()} for one in table.to_dict("records")]


def write_score(folder: Path, score: str, tested: Voxels, found: ScoreMap, mask: Path) -> None:
    """Write the seven images of one score."""
    names = ("map", "low", "high", "t", "p", "from", "to")
    images = (found.change, found.over_people.low, found.over_people.high, tested.statistic, tested.p, *found.ends)
    for name, values in zip(names, images, strict=True):
        write_maps(folder / f"{in_file(score)}_{name}.nii.gz", values, mask, outside=float(name == "p"))


if __name__ == "__main__":
    cli(run)
