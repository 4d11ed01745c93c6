"""Write the latents of every packed scan: the posterior mean, never a sample."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.io.progress import steps
from neurovae.io.volumes import SPLITS, chunks, data_hash, digests, keep, masked, read_mask, read_volumes
from neurovae.train import weights

KEYS = ["scan", "person", "session", "acquisition", "run"]


def run(*, volumes: Path, rows: Path, mask: Path, model: Path, name: str, out: Path, freeze: bool = False) -> None:
    """Write `latents.parquet`: keys, split, mu, logvar, KL per dimension, reconstruction error, hashes.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun latents

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        model: weights of the model.
        name: the model's name in the configuration.
        out: Parquet to write, a row per scan.
        freeze: the volumes may hold people who are new to the model; they count as held out.

    Raises:
        InputError: the weights were fitted on other packed data, or give latents that are not finite.
    """
    torch.set_num_threads(1)
    array, table = read_volumes(volumes, rows)
    tensors, meta = weights.load_own(model)
    if freeze:
        same_preprocessing(table, array.shape[1:], meta, name)
    elif meta["data_hash"] != data_hash(table):
        raise InputError(
            f"{model.name}: fitted on other volumes than {rows.name} describes; rerun with --forcerun train"
        )
    numbers = embed(array, read_mask(mask), tensors, meta)
    if not np.isfinite(numbers["mu_000"]).all():
        raise InputError(f"{model.name}: the latents are not finite; look at health.json beside it")
    known = {person: split for split in SPLITS for person in meta["people"][split]}
    keys = table[KEYS].assign(
        model=name, fold=meta["fold"], seed=meta["seed"], split=table["person"].map(known).fillna("test")
    )
    stamps = {"model_hash": weights.model_hash(tensors, meta), "data_hash": meta["data_hash"]}
    stamps["logvar_calibrated"] = meta["architecture"]["kl"]  # without a KL in the loss nothing holds the variance
    write_table(out, pd.concat([keys, pd.DataFrame(numbers)], axis=1).assign(**stamps))
    print(f"{len(table)} scans, {sum(key.startswith('mu_') for key in numbers)} latents of {name}", flush=True)


def same_preprocessing(table: pd.DataFrame, shape: tuple[int, ...], meta: dict[str, Any], name: str) -> None:
    """Raise InputError unless the scans that the frozen model knows are, bit for bit, those it was trained with.

    table: rows of the packed volumes; shape: of one volume. New people are preprocessed with the others in one run, so
    that equal old scans show equal preprocessing.
    """
    known, now = meta.get("scans", {}), digests(table)
    both = known.keys() & now.keys()
    other = sorted(scan for scan in both if known[scan] != now[scan])
    renamed = sorted(scan for scan in now.keys() - both if now[scan] in set(known.values()))
    anew = "restore the preprocessing it was trained with, or set cohort.freeze: false"
    if not both:
        raise InputError(
            f"{name}: none of its {len(known)} scans is among the volumes, so nothing shows that the new ones were "
            "preprocessed alike; keep some of its scans in the cohort, or set cohort.freeze: false"
        )
    if renamed:
        raise InputError(
            f"{name}: {', '.join(renamed[:3])} count as new, but hold scans that it was trained with under another id; "
            "give them their old id, or set cohort.freeze: false"
        )
    if other or list(shape) != meta["architecture"]["shape"]:
        found = f"{len(other)} of {len(both)} scans that it knows have other voxels now ({', '.join(other[:3])})"
        raise InputError(f"{name}: frozen, but {found}, on a grid of {list(shape)}; {anew}")
    print(f"frozen: {len(both)} scans as in training, {len(now) - len(both)} new ones", flush=True)


def embed(array: np.ndarray, mask: np.ndarray, tensors: weights.Tensors, meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """Columns mu_k, logvar_k, kl_k and error (mean squared over the mask), a value per scan; a few scans at a time."""
    module = importlib.import_module(f"neurovae.train.models.{meta['kind']}")
    found: dict[str, np.ndarray] = {}
    for part in steps(chunks(len(array)), "scans", len(array)):
        mu, logvar = module.embed(array[part], mask, tensors, meta["architecture"])
        x_hat = module.reconstruct(mu, mask, tensors, meta["architecture"])
        error = np.square(masked(array[part], mask) - x_hat).mean(axis=1, dtype=np.float64)
        keep(found, {"mu": mu, "logvar": logvar, "error": error}, part, len(array))
    means, variances = found["mu"].astype(np.float64), found["logvar"].astype(np.float64)
    kl = (means**2 + np.exp(variances) - 1 - variances) / 2
    columns = {"mu": means, "logvar": variances, "kl": kl}
    named = {f"{name}_{k:03d}": values[:, k] for name, values in columns.items() for k in range(means.shape[1])}
    return {**named, "error": found["error"]}


if __name__ == "__main__":
    cli(run)
