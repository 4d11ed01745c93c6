"""How much of each block a fused model and its linear models explain in new people, and from what."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurovae.cli import Json, cli
from neurovae.design.tables import tidy, write_both
from neurovae.io.volumes import SPLITS, read_mask
from neurovae.train import inputs, weights
from neurovae.train.health import by_block
from neurovae.train.health.examine import Model
from neurovae.train.side_by_side import IMAGE

RESAMPLED = 2000  # bootstrap draws of people
COLUMNS = {
    "model": "string", "kind": "string", "fold": "int64", "seed": "int64", "block": "string", "decoded_from": "string",
    "n": "Int64", "variance_explained": "float64", "low": "float64", "high": "float64",
    "gain": "float64", "gain_low": "float64", "gain_high": "float64", "features": "Int64", "image": "boolean",
}  # fmt: skip


def run(
    *, volumes: Path, rows: Path, mask: Path, models: list[Path], names: list[str], out: Path, seed: int,
    blocks: Json | None = None,
) -> None:  # fmt: skip
    """Write `blocks.parquet` and `blocks.tsv`, a row per model, block and what it is decoded from.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun explain_blocks

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        models: weights of the fused model, then of its linear models.
        names: of these models.
        out: Parquet to write.
        seed: of the bootstrap over people.
        blocks: folder of each block by name; an empty one is that of the volumes.
    """
    torch.set_num_threads(1)
    given, inside = inputs.read(volumes, rows, several=blocks, mask=mask), read_mask(mask)
    fitted = [(name, weights.load_own(path)) for name, path in zip(names, models, strict=True)]
    meta = fitted[0][1][1]
    split_of = {person: split for split in SPLITS for person in meta["people"][split]}
    person = given.table["person"].to_numpy(str)
    split = np.array([split_of.get(one, "") for one in person])
    units = by_block.reference(given.array, np.flatnonzero(split == "training"))
    test = np.flatnonzero(split == "test")
    found = {}
    for name, (tensors, of_model) in fitted:
        module = importlib.import_module(f"neurovae.train.models.{of_model['kind']}")
        model = Model(module=module, tensors=tensors, meta=of_model, mask=inside)
        found[name] = by_block.errors(model, given.array, test, units)
    kinds = {name: of_model["options"].get("method", of_model["kind"]) for name, (_, of_model) in fitted}
    keys = {"fold": meta["fold"], "seed": meta["seed"]}
    table = [{"model": name, "kind": kinds[name], **keys, **row}
             for name in names for row in _rows(found[name], found[names[0]] if name != names[0] else None,
                                                meta["architecture"]["blocks"], person[test], seed)]  # fmt: skip
    write_both(out, tidy(table, COLUMNS))
    print(f"{len(test)} test scans, {len(names)} models, {len(units['mean'])} features", flush=True)


def _rows(
    own: by_block.Errors, fused: by_block.Errors | None, described: list[dict[str, Any]], person: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    """Rows of one model; gain: what the fused model explains beyond it."""
    rows = []
    for m, one in enumerate(described):
        for source in by_block.INPUTS:
            error, total = own[source][:, m], own["total"][:, m]
            known = ~np.isnan(error)
            if not known.any():
                continue
            value, low, high = share(total[known] - error[known], total[known], person[known], seed)
            row = {"block": one["name"], "decoded_from": source, "n": len(set(person[known])),
                   "variance_explained": value, "low": low, "high": high,
                   "features": one["size"], "image": one["type"] == IMAGE}  # fmt: skip
            if fused is not None:
                better = error[known] - fused[source][known, m]
                row |= dict(zip(("gain", "gain_low", "gain_high"), share(better, total[known], person[known], seed),
                                strict=True))  # fmt: skip
            rows.append(row)
    return rows


def share(part: np.ndarray, total: np.ndarray, person: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Sum of part over sum of total, with its 95 % bootstrap interval over people, the models held fixed."""
    _, index = np.unique(person, return_inverse=True)
    parts, totals = np.bincount(index, part), np.bincount(index, total)
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(totals), size=(RESAMPLED, len(totals)))
    low, high = np.percentile(parts[picks].sum(axis=1) / totals[picks].sum(axis=1), [2.5, 97.5])
    return float(parts.sum() / totals.sum()), float(low), float(high)


if __name__ == "__main__":
    cli(run)
