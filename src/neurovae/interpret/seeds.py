"""Score maps over seeds: how much they vary between trainings of the same model.

Latent k of one seed is not latent k of another; maps are compared where they lie, voxel by voxel.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret.images import in_file, read_maps, write_folder, write_maps
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask

COLUMNS = {"score": "object", "model": "object", "fold": "Int64", "kind": "object", "seed": "Int64",
           "other_seed": "Int64", "seeds": "Int64", "voxels": "Int64", "r": "float64", "one_sign": "float64",
           "status": "object", "reason": "object", "verdict": "object"}  # fmt: skip
SAME = {"status": "same maps", "reason": "equal bit for bit: the seed changed nothing that is decoded"}
ONE = {"status": "one seed", "reason": "nothing to compare with; add seeds to train.seeds"}
Row = dict[str, Any]


def run(*, maps: list[Path], tables: list[Path], mask: Path, out_folder: Path, out: Path) -> None:
    """Write per score `<score>_{mean,sd}.nii.gz` over the seeds of one model and fold, and the similarity of its maps.

    Rows of kind pair: correlation r of two seeds' maps over the mask and the share of voxels with one sign; of kind
    all: mean r of the pairs, and the share of voxels with one sign in all seeds. Maps that are equal bit for bit
    (networks that left their common start as it was) are no second opinion: their pair has status `same maps`, and
    they count once in all that is over seeds; where there is no other map there is no mean and no deviation.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun seeds

    Args:
        maps: folders of score maps, one per seed.
        tables: their maps.parquet, in the same order.
        mask: the fixed mask.
        out_folder: folder of the mean and the standard deviation (n - 1) of each score's maps.
        out: table to write (.parquet, .tsv).

    Raises:
        InputError: lists of unequal length, several models or folds, or a seed twice.
    """
    tables_by_seed, in_mask = read_tables(maps, tables), read_mask(mask)
    all_rows = pd.concat(tables_by_seed.values()).reset_index(drop=True)
    rows: list[Row] = []
    with write_folder(out_folder) as folder:
        for score in [*dict.fromkeys(all_rows["score"].dropna())]:
            tested_rows = all_rows[(all_rows["score"] == score) & (all_rows["status"] == "ok")]
            common = {"score": score, **provenance(all_rows)}
            if len(tested_rows) < 2:
                rows += [common | alone(all_rows[all_rows["score"] == score], len(tables_by_seed))]
                continue
            values = {
                int(row.seed): read_maps(Path(row.folder) / f"{in_file(score)}_map.nii.gz", in_mask).astype(np.float64)
                for row in tested_rows.itertuples()
            }
            stack = np.stack([*distinct(values).values()])  # (seeds, voxels)
            if len(stack) > 1:
                write_maps(folder / f"{in_file(score)}_mean.nii.gz", stack.mean(axis=0), mask)
                write_maps(folder / f"{in_file(score)}_sd.nii.gz", stack.std(axis=0, ddof=1), mask)
            rows += [
                common | {"verdict": "; ".join(dict.fromkeys(tested_rows["verdict"]))} | row for row in compare(values)
            ]
    if not rows:  # every seed was stopped
        rows = [provenance(all_rows) | {name: all_rows[name].iloc[0] for name in ("status", "reason", "verdict")}]
    write_both(out, tidy(rows, COLUMNS))


def read_tables(maps: list[Path], tables: list[Path]) -> dict[int, pd.DataFrame]:
    """Rows of each seed's maps with the folder of its images, by seed."""
    if len(maps) != len(tables) or not maps:
        raise InputError(f"interpret seeds: {len(maps)} folders and {len(tables)} tables; give one of each per seed")
    all_tables = [read_parquet(table).assign(folder=str(folder)) for folder, table in zip(maps, tables, strict=True)]
    kinds = sorted({(row.model, int(row.fold)) for table in all_tables for row in table.itertuples()})
    if len(kinds) != 1:
        raise InputError(f"interpret seeds: maps of several models or folds, {kinds}; give the seeds of one")
    seeds = [int(table["seed"].iloc[0]) for table in all_tables]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"interpret seeds: seeds {seeds}; give each seed once")
    return dict(zip(seeds, all_tables, strict=True))


def provenance(all_rows: pd.DataFrame) -> Row:
    """Return model and fold."""
    return {"model": str(all_rows["model"].iloc[0]), "fold": int(all_rows["fold"].iloc[0])}


def alone(rows: pd.DataFrame, seeds: int) -> Row:
    """The row of a score that fewer than two seeds have a map of."""
    first, ok = rows.iloc[0], rows[rows["status"] == "ok"]
    if len(ok) == 1:
        status = {"status": "one seed", "reason": f"only seed {ok['seed'].iloc[0]} of {seeds} has a map"}
        return (ONE if seeds == 1 else status) | {"seeds": 1, "verdict": ok["verdict"].iloc[0]}
    return {name: first[name] for name in ("status", "reason", "verdict")} | {"seeds": 0}


def distinct(values: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The first of each set of maps (voxels,) that are equal bit for bit, by seed."""
    different: dict[int, np.ndarray] = {}
    for seed, one in values.items():
        different |= {} if any(np.array_equal(one, earlier) for earlier in different.values()) else {seed: one}
    return different


def compare(values: dict[int, np.ndarray]) -> list[Row]:
    """A row per pair of seeds, then one for all; values: maps (voxels,) by seed."""
    different, ok = distinct(values), {"status": "ok", "reason": ""}
    rows: list[Row] = []
    for a, b in combinations(values, 2):
        alike = {"r": correlation(values[a], values[b]), "one_sign": one_sign(np.stack([values[a], values[b]]))}
        identical = np.array_equal(values[a], values[b])
        rows.append({"kind": "pair", "seed": a, "other_seed": b} | alike | (SAME if identical else ok))
    overall: Row = {"kind": "all"} | SAME
    if len(different) > 1:
        r = [row["r"] for row in rows if {row["seed"], row["other_seed"]} <= set(different)]
        overall |= {"r": float(np.mean(r)), "one_sign": one_sign(np.stack([*different.values()]))} | ok
        overall["reason"] = f"of {len(values)}, those with the same map count once" * (len(different) < len(values))
    size = {"seeds": len(different), "voxels": len(next(iter(values.values())))}
    return [row | size for row in [*rows, overall]]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of two maps; NaN where one is the same everywhere."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan


def one_sign(stack: np.ndarray) -> float:
    """Return the fraction of voxels at which all maps (maps, voxels) have one sign."""
    signs = np.sign(stack)
    return float(np.mean((signs == signs[0]).all(axis=0) & (signs[0] != 0)))


if __name__ == "__main__":
    cli(run)
