"""What the latents of a fused model change in its tables and connectivity: a number per latent and feature.

Each latent is moved by one standard deviation in both directions from the mean of the training participants, and
decoded (central difference); images have traversals instead (`interpret.traverse`).
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.design.tables import write_both
from neurovae.errors import InputError
from neurovae.io import blocks as block_files
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask
from neurovae.train import weights

COLUMNS = {"model": "string", "fold": "int64", "seed": "int64", "latent": "string", "role": "string", "block": "string",
           "feature": "string", "name": "string", "network": "string", "first": "string", "second": "string",
           "change": "float64", "change_sd": "float64"}  # fmt: skip


def run(*, model: Path, name: str, latents: Path, mask: Path, blocks: Json, out: Path) -> None:
    """Write a row per latent and feature of each block that is no image (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/abide.yaml --forcerun block_maps

    Args:
        model: weights of a fused model.
        name: the model's name in the configuration.
        latents: latents.parquet of these weights; latent_index.parquet is in the same folder.
        mask: the fixed mask, or empty without images.
        blocks: folder of each block by name; an empty one is that of the scans.
        out: Parquet to write.

    Raises:
        InputError: the latents were computed with other weights.
    """
    torch.set_num_threads(1)
    tensors, meta = weights.load_own(model)
    table, index = latent_table.read(latents), read_parquet(latents.parent / latent_table.INDEX)
    if (table["model_hash"] != weights.model_hash(tensors, meta)).any():
        raise InputError(f"{latents}: given by other weights than {model} holds; rerun with --forcerun latents")
    training = table[table["split"] == "training"]
    index = index.sort_values("position").reset_index(drop=True)
    changes = decoded_changes(training, index, read_mask(mask), tensors, meta)
    keys = {"model": name, "fold": meta["fold"], "seed": meta["seed"]}
    parts = [_rows(changes[block], block_files.read(folder), training["scan"], index).assign(block=block, **keys)
             for block, folder in blocks.items() if folder]  # fmt: skip
    found = pd.concat(parts)[list(COLUMNS)].astype(COLUMNS)
    write_both(out, found)
    print(f"{found['latent'].nunique()} latents, {len(parts)} blocks, {len(found)} rows", flush=True)


def decoded_changes(
    training: pd.DataFrame, index: pd.DataFrame, mask: np.ndarray, tensors: weights.Tensors, meta: dict[str, Any]
) -> dict[str, pd.DataFrame]:
    """Change of each block's features (features, latents) per SD of each shared and own private latent.

    Args:
        training: latents of the training scans. Mean and SD of a private latent are those of scans with its block.
        index: a row per latent, in their order; latents that are the same for all scans are left out.
        mask: the fixed mask.
        tensors, meta: of the model.
    """
    z = training[index["latent"]].to_numpy(np.float64)
    has = {block: training["inputs"].str.split("+").map(lambda names, one=block: one in names).to_numpy(bool)
           for block in index["block"].dropna().unique()}  # fmt: skip
    known = [has.get(block, np.ones(len(z), bool)) for block in index["block"]]
    centre = np.array([z[rows, k].mean() for k, rows in enumerate(known)])
    spread = np.array([z[rows, k].std(ddof=1) for k, rows in enumerate(known)])
    used = np.flatnonzero(spread > 0)
    steps = np.diag(spread)[used]
    module: Any = importlib.import_module(f"neurovae.train.models.{meta['kind']}")
    decoded = module.decoded(np.concatenate([centre + steps, centre - steps]), mask, tensors, meta["architecture"])
    own = {block["name"]: index["block"][used].isna() | (index["block"][used] == block["name"])
           for block in meta["architecture"]["blocks"]}  # fmt: skip
    names = index["latent"][used]
    return {block: pd.DataFrame((up - down).T / 2, columns=names).loc[:, own[block].to_numpy()]
            for block, (up, down) in ((block, np.split(values, 2)) for block, values in decoded.items())}  # fmt: skip


def _rows(changes: pd.DataFrame, block: block_files.Block, scans: pd.Series, index: pd.DataFrame) -> pd.DataFrame:
    """A row per latent and feature of one block; a feature that is constant in the training scans changes by 0 SD."""
    values = block.values[np.flatnonzero(block.rows["scan"].isin(set(scans)))].astype(np.float64)
    count = np.maximum((~np.isnan(values)).sum(axis=0), 2)
    mean = np.nansum(values, axis=0) / count
    spread = np.sqrt(np.nansum(np.square(values - mean), axis=0) / (count - 1))
    per_sd = changes.to_numpy() * np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)[:, None]
    described = block.features.reindex(columns=["feature", "name", "network", "first", "second"])
    role = index.set_index("latent")["role"]
    return pd.concat([described.assign(latent=name, role=role[name], change=changes[name].to_numpy(),
                                       change_sd=per_sd[:, k])
                      for k, name in enumerate(changes.columns)])  # fmt: skip


if __name__ == "__main__":
    cli(run)
