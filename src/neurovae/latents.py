"""Write the latents of every packed scan: the posterior mean, never a sample."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.images import read_image
from neurovae.io.parquet import write_table
from neurovae.io.progress import steps
from neurovae.io.volumes import SPLITS, chunks, data_hash, digests, keep, masked, read_mask
from neurovae.plan.user_tables import names_beside
from neurovae.train import inputs, weights
from neurovae.train.health.measures import ACTIVE
from neurovae.train.models import map_grid
from neurovae.train.side_by_side import SideBySide, input_sets, present

KEYS = ["scan", "person", "session", "acquisition", "run"]


def run(
    *,
    volumes: Path,
    rows: Path,
    mask: Path,
    model: Path,
    name: str,
    out: Path,
    index: Path,
    freeze: bool = False,
    table: str = "",
    missing: Json | None = None,
    atlas: str = "",
    blocks: Json | None = None,
) -> None:
    """Write `latents.parquet` (keys, posterior, error, hashes) and `latent_index.parquet` (a row per latent).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun latents

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        model: weights of the model.
        name: the model's name in the configuration.
        out: Parquet to write, a row per scan.
        index: Parquet to write, a row per latent; beside `out`.
        freeze: the volumes may hold people who are new to the model; they count as held out.
        table: file with latents that exist already (kinds table and pretrained), with a row per scan; empty: none.
        missing: `missing` and `not_missing` of the cohort section, for that file.
        atlas: label image on the grid of the mask; its table of region names has the same file name. For a map.
        blocks: folder of each block by name (kind fused and its linear twins); an empty one is that of the volumes.

    Raises:
        InputError: the weights were fitted on other packed data, or give latents that are not finite.
    """
    torch.set_num_threads(1)
    tensors, meta = weights.load_own(model)
    columns = meta["architecture"].get("columns")
    given = inputs.read(volumes, rows, table, columns, missing, several=blocks, mask=mask)
    array, scans = given.array, given.table
    if freeze:
        same_preprocessing(scans, given.volumes.shape[1:] if blocks else array.shape[1:], meta, name)
    elif meta["data_hash"] != data_hash(scans):
        source = Path(table).name or rows.name
        raise InputError(f"{model.name}: fitted on other values than {source} describes; rerun with --forcerun train")
    inside = read_mask(mask)
    if blocks:
        numbers, error, scans = embed_blocks(array, scans, inside, tensors, meta)
    else:
        numbers, error = embed(array, inside, tensors, meta, given.scans)
        scans = scans.assign(inputs=given.block or ("table" if meta["kind"] == "table" else "image"))
    if not np.isfinite(numbers[latent_table.MU]).all():
        raise InputError(f"{model.name}: the latents are not finite; look at health.json beside it")
    split_of = {person: split for split in SPLITS for person in meta["people"][split]}
    keys = scans[KEYS].assign(
        model=name,
        kind=meta["kind"],
        fold=meta["fold"],
        seed=meta["seed"],
        split=scans["person"].map(split_of).fillna("test"),
        track=meta.get("track", "unsupervised"),
        inputs=scans["inputs"],
    )
    stamps = {"model_hash": weights.model_hash(tensors, meta), "data_hash": meta["data_hash"]}
    stamps["logvar_calibrated"] = meta["architecture"]["kl"]  # without a KL in the loss the variance is not constrained
    ids = latent_table.ids(meta)
    tables = [pd.DataFrame(values, columns=[f"{prefix}{one}" for one in ids]) for prefix, values in numbers.items()]
    write_table(out, pd.concat([keys, *tables], axis=1).assign(error=error, **stamps))
    mu, logvar = numbers[latent_table.MU], numbers[latent_table.LOGVAR]
    active = ACTIVE if meta["architecture"]["kl"] else None
    names, split = list(tables[0].columns), keys["split"].to_numpy(str)
    kept = latent_table.of_most_blocks(keys)
    mu, logvar, split = mu[kept], logvar[kept], split[kept]
    units = prior_sd(meta)
    of_latents = latent_table.index_of(names, mu / units, logvar - 2 * np.log(units), split, SPLITS, active)
    if blocks:
        role, block = importlib.import_module(f"neurovae.train.models.{meta['kind']}").roles(meta["architecture"])
        of_latents = latent_table.with_places(of_latents, pd.DataFrame({"role": role, "block": block}))
    if targets := meta["architecture"].get("targets"):
        aligned = np.array([one is not None for one in targets])
        role = np.where(aligned, "aligned", "free")
        of_latents = of_latents.assign(role=role, target=targets, comparable_across_folds=aligned)
    if described := meta["architecture"].get("map"):
        of_latents = latent_table.with_places(of_latents, _places(mask, inside, described, atlas))
    if roles := meta["architecture"].get("roles"):
        of_latents = of_latents.assign(role=roles)
    if block_of := meta["architecture"].get("block_of"):
        of_latents = of_latents.assign(block=block_of)
    size = sizes(mu[split == "training"], inside, tensors, meta)
    write_table(index, of_latents.assign(kl_additive="rotation" not in tensors, size=size))
    print(f"{kept.sum()} scans, {len(ids)} latents of {name}", flush=True)


def sizes(mu: np.ndarray, mask: np.ndarray, tensors: weights.Tensors, meta: dict[str, Any]) -> np.ndarray:
    """Root mean square, over voxels, of the change of the decoded image by a standard deviation of each latent.

    mu: latents of the training scans (scans, latents). Without a decoder, the standard deviation itself: columns of a
    table that were standardised are of one size, others of their own.
    """
    mean, spread = mu.mean(axis=0), mu.std(axis=0)
    if not weights.has_decoder(meta):
        return np.asarray(spread)
    module = importlib.import_module(f"neurovae.train.models.{meta['kind']}")

    def decoded(z: np.ndarray) -> np.ndarray:
        return np.asarray(module.reconstruct(z.astype(np.float32), mask, tensors, meta["architecture"]), np.float64)

    found, base = np.empty(len(spread)), decoded(mean[None])
    for part in steps(chunks(len(spread)), "latents decoded", len(spread)):
        moved = mean + np.diag(spread)[part]
        found[part] = np.sqrt(np.square(decoded(moved) - base).mean(axis=1))
    return found


def _places(path: Path, inside: np.ndarray, described: dict[str, int], atlas: str) -> pd.DataFrame:
    """Role, point, place and region of each latent of a map; path: of the mask, `inside`."""
    found = map_grid.places(inside, read_image(path).affine, described)
    if not atlas:
        return found
    labels = np.asarray(read_image(Path(atlas)).dataobj).round().astype(int)
    regions = pd.read_csv(names_beside(Path(atlas)), sep="\t", keep_default_na=False).set_index("index")
    names = {int(k): (str(row["name"]), str(row["hemisphere"])) for k, row in regions.iterrows()}
    return found.assign(region=map_grid.regions(inside, labels, names, described))


def same_preprocessing(table: pd.DataFrame, shape: tuple[int, ...], meta: dict[str, Any], name: str) -> None:
    """Raise InputError unless the scans that the frozen model knows equal, bit for bit, those of its training.

    table: rows of the packed volumes; shape: of one volume. New people are preprocessed with the others in one run, so
    that equal old scans show equal preprocessing.
    """
    digests_then, digests_now = meta.get("scans", {}), digests(table)
    shared = digests_then.keys() & digests_now.keys()
    changed = sorted(scan for scan in shared if digests_then[scan] != digests_now[scan])
    known_under_other_id = sorted(
        scan for scan in digests_now.keys() - shared if digests_now[scan] in set(digests_then.values())
    )
    remedy = "restore the preprocessing it was trained with, or set cohort.freeze: false"
    if not shared:
        raise InputError(
            f"{name}: none of its {len(digests_then)} scans is among the volumes, so nothing shows that "
            "the new ones were preprocessed in the same way; "
            "keep some of its scans in the cohort, or set cohort.freeze: false"
        )
    if known_under_other_id:
        raise InputError(
            f"{name}: {', '.join(known_under_other_id[:3])} count as new, "
            "but are scans that it was trained with under another id; "
            "give them their old id, or set cohort.freeze: false"
        )
    if changed or list(shape) != meta["architecture"].get("shape", list(shape)):
        what = "values" if not weights.reads_scans(meta) else "voxels"
        problem = (
            f"the {what} of {len(changed)} of its {len(shared)} scans have changed since training "
            f"({', '.join(changed[:3])})"
        )
        raise InputError(f"{name}: frozen, but {problem}, on a grid of {list(shape)}; {remedy}")
    print(f"frozen: {len(shared)} scans as in training, {len(digests_now) - len(shared)} new ones", flush=True)


def embed(
    array: np.ndarray, mask: np.ndarray, tensors: weights.Tensors, meta: dict[str, Any], scans: Any = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Posterior means, log-variances and KL (scans, latents), by column prefix, and each scan's mean squared error (NaN
    where there is no decoder).

    array: what the model reads, a row per scan; scans: their volumes, None where these are what it reads.
    """
    volumes = array if scans is None else scans
    module = importlib.import_module(f"neurovae.train.models.{meta['kind']}")
    arrays: dict[str, np.ndarray] = {}
    for rows in steps(chunks(len(array)), "scans", len(array)):
        mu, logvar = module.embed(array[rows], mask, tensors, meta["architecture"])
        error = np.full(len(mu), np.nan)
        if weights.has_decoder(meta):
            x_hat = module.reconstruct(mu, mask, tensors, meta["architecture"])
            error = np.square(masked(volumes[rows], mask) - x_hat).mean(axis=1, dtype=np.float64)
        keep(arrays, {"mu": mu, "logvar": logvar, "error": error}, rows, len(array))
    means, variances = arrays["mu"].astype(np.float64), arrays["logvar"].astype(np.float64)
    units = prior_sd(meta)
    relative = variances - 2 * np.log(units)
    kl = ((means / units) ** 2 + np.exp(relative) - 1 - relative) / 2
    return {latent_table.MU: means, latent_table.LOGVAR: variances, latent_table.KL: kl}, arrays["error"]


def prior_sd(meta: dict[str, Any]) -> np.ndarray:
    """SD of the prior, (latents,) or (): 1, but for latents in units of a score."""
    return np.array(meta["architecture"].get("units", 1.0))


def embed_blocks(
    array: SideBySide, scans: pd.DataFrame, mask: np.ndarray, tensors: weights.Tensors, meta: dict[str, Any]
) -> tuple[dict[str, np.ndarray], np.ndarray, pd.DataFrame]:
    """As `embed`, of each scan from all its blocks and from each alone; with the table of the scans of these rows.

    The mean squared error is not given (NaN): blocks have different units.
    """
    module, described = importlib.import_module(f"neurovae.train.models.{meta['kind']}"), meta["architecture"]["blocks"]
    there = np.concatenate([present(array[rows], described) for rows in chunks(len(array))], axis=1)
    parts, tables = [], []
    for name, selected, use in input_sets(there, [one["name"] for one in described]):
        for rows in steps(chunks(len(selected)), f"scans from {name}", len(selected)):
            parts.append(module.embed(array[selected[rows]], mask, tensors, meta["architecture"], use[:, rows]))
        tables.append(scans.iloc[selected].assign(inputs=name))
    mu, logvar = (np.concatenate([part[k] for part in parts]).astype(np.float64) for k in (0, 1))
    kl = (mu**2 + np.exp(logvar) - 1 - logvar) / 2
    numbers = {latent_table.MU: mu, latent_table.LOGVAR: logvar, latent_table.KL: kl}
    return numbers, np.full(len(mu), np.nan), pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    cli(run)
