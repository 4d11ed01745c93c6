"""Traversals: volumes decoded along each latent over the range of the cohort, in MNI space, with regions ranked.

The other latents stay at the cohort's centre, the mean of the people's posterior means; no value lies beyond the data.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret.atlas import read_atlas
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import write_folder, write_image
from neurovae.interpret.scoremap import region_means
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import chunks

LEVELS = (0.025, 0.975)
INTERVAL = "posterior interval, given this decoder"
SAME = {"model": "object", "fold": "Int64", "seed": "Int64"}
AFTER = {"status": "object", "reason": "object", "verdict": "object"}
COLUMNS = SAME | {
    "latent": "object", "order": "Int64", "quantiles": "object", "values": "object", "rms_latent": "float64",
    "fraction_of_change": "float64", "index": "Int64", "region": "object", "hemisphere": "object", "change": "float64",
    "rms": "float64", "rank": "Int64", "posterior_low": "float64", "posterior_high": "float64", "interval": "object",
} | AFTER  # fmt: skip


def run(
    *,
    model: Path,
    latents: Path,
    mask: Path,
    health: Path,
    atlas: Path,
    quantiles: list[float],
    draws: int,
    seed: int,
    maps: Path,
    out: Path,
    images: int = 32,
    tests: str = "",
) -> None:
    """Write `<latent>.nii.gz` and `<latent>_change.nii.gz` of latents, `posterior.nii.gz`, and latent x region.

    A frame per quantile; `_change` is minus what the centre decodes to. The posterior (only where the loss holds the
    log-variance) has two frames, the 2.5 and 97.5 % voxel by voxel of volumes decoded from N(centre, median posterior
    variance): an interval given this decoder, silent about other decoders and other people. Each has a JSON beside it.

    Table: rms_latent and fraction_of_change (of the sum of squares over latents), from the lowest to the highest
    quantile over the mask, give `order`; change (mean) and rms of a region give `rank` within the latent;
    posterior_low and _high are of the region's mean around the centre.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun traverse

    Args:
        model: weights.safetensors.
        latents: latents.parquet.
        mask: the fixed mask.
        health: health.json.
        atlas: atlas.nii.gz, its table beside it.
        quantiles: of the people's posterior means, ascending, from 0 to 1.
        draws: of the posterior.
        seed: of the draws.
        maps: folder to write.
        out: Parquet to write, TSV beside it.
        images: largest number of latents with images: the smallest max-T p of any score first, then the largest change.
        tests: permute.parquet; empty: images by the size of the change alone.
    """
    torch.set_num_threads(1)
    if len(quantiles) < 2 or not np.all(np.diff([-1e-12, *quantiles, 1 + 1e-12]) > 0):
        raise InputError(f"quantiles: found {quantiles}; give two or more ascending numbers from 0 to 1")
    decoder = read(model, latents, mask, health)
    provenance_columns = provenance(decoder)
    if decoder.absent:
        with write_folder(maps):
            write_both(out, tidy([provenance_columns | decoder.absent], COLUMNS))
        print(f"{provenance_columns['model']}: {decoder.verdict}, no traversals", flush=True)
        return
    labels, region_table = read_atlas(atlas, mask)
    with write_folder(maps) as folder:
        interval = posterior(folder, decoder, mask, labels, region_table, draws, seed)
        found = read_parquet(Path(tests)) if tests else None
        rows = traversals(folder, decoder, mask, labels, region_table, quantiles, images, found)
        table = tidy(
            [provenance_columns | interval[row["index"]] | row | {"status": "ok", "reason": ""} for row in rows],
            COLUMNS,
        )
        write_both(out, table)
    print(f"{provenance_columns['model']}: {len(decoder.names)} latents, {len(region_table)} regions", flush=True)


def provenance(decoder: Decoder) -> dict[str, Any]:
    """Return model, fold, seed and verdict: columns that all rows share."""
    first = decoder.latents.iloc[0]
    return {name: first[name] for name in SAME} | {"verdict": decoder.verdict}


def people(latents: pd.DataFrame) -> pd.DataFrame:
    """The first scan of every person, sorted by scan key."""
    return latents.sort_values("scan").drop_duplicates("person").reset_index(drop=True)


def traversals(
    folder: Path,
    decoder: Decoder,
    mask: Path,
    labels: np.ndarray,
    regions: pd.DataFrame,
    quantiles: list[float],
    images: int,
    tests: pd.DataFrame | None,
) -> list[dict[str, Any]]:
    """Write the images of some latents; rows latent x region, of all. labels: (voxels,)."""
    mu = people(decoder.latents)[decoder.names].to_numpy(np.float64)
    centre, values = mu.mean(axis=0), np.quantile(mu, quantiles, axis=0)  # (latents,), (quantiles, latents)
    centre_volume = decoder.decode(centre[None])[0]

    def decoded(k: int) -> np.ndarray:
        """Volumes (quantiles, voxels) of latent k at the quantiles, the others at the centre."""
        z = np.tile(centre, (len(quantiles), 1))
        z[:, k] = values[:, k]
        return decoder.decode(z)

    changes = []
    for k, name in enumerate(decoder.names):
        volumes = decoded(k)
        texts = {
            "quantiles": " ".join(f"{q:g}" for q in quantiles),
            "values": " ".join(f"{v:.4g}" for v in values[:, k]),
        }
        changes.append((name, texts, volumes[-1] - volumes[0]))
        if k % 16 == 15 or k + 1 == len(decoder.names):
            print(f"traversed {k + 1}/{len(decoder.names)} latents", flush=True)
    for k in shown(changes, images, tests):
        _write(folder, decoder.names[k], decoded(k), centre_volume, mask, quantiles, values[:, k])
    return summarise(changes, labels, regions)


def shown(changes: list[tuple[str, dict[str, str], np.ndarray]], images: int, tests: pd.DataFrame | None) -> list[int]:
    """Which latents have images: all, or those with the smallest max-T p of any score, then with the largest change."""
    names = [name for name, *_ in changes]
    size = np.array([np.square(change, dtype=np.float64).mean() for *_, change in changes])
    p = pd.Series(1.0, index=names)
    if tests is not None and (tests["status"] == "ok").any():
        p.update(tests[tests["status"] == "ok"].groupby("latent")["p_maxt"].min())
    return sorted(np.lexsort([-size, p.to_numpy()])[:images].tolist())


def _write(
    folder: Path,
    name: str,
    volumes: np.ndarray,
    centre_volume: np.ndarray,
    mask: Path,
    quantiles: list[float],
    values: np.ndarray,
) -> None:
    """Write the frames of one latent, and their differences from the centre."""
    description = f"{name} at the cohort's quantiles, other latents at the cohort's centre"
    sidecar = {"Latent": name, "Quantiles": list(quantiles), "Values": values.tolist(), "Frame": "a quantile"}
    write_image(folder / f"{name}.nii.gz", volumes, mask, f"Decoded: {description}", **sidecar)
    changed = volumes - centre_volume
    write_image(folder / f"{name}_change.nii.gz", changed, mask, f"Minus the centre: {description}", **sidecar)


def summarise(
    changes: list[tuple[str, dict[str, str], np.ndarray]], labels: np.ndarray, regions: pd.DataFrame
) -> list[dict[str, Any]]:
    """Rows latent x region of changes (voxels,), latents ordered and regions ranked by root mean square."""
    size = np.array([np.sqrt(np.square(change, dtype=np.float64).mean()) for *_, change in changes])
    fraction = np.square(size) / max(np.sum(size**2), np.finfo(float).tiny)
    place = pd.Series(-size).rank(method="first").astype(int)
    rows, means = [], region_means(labels, regions)
    for k, (name, texts, change) in enumerate(changes):
        of_latent = {
            "latent": name,
            "order": place[k],
            "rms_latent": size[k],
            "fraction_of_change": fraction[k],
        } | texts
        mean, square = means(np.stack([change, np.square(change)]).astype(np.float64))
        rms = np.sqrt(square)
        ranks = pd.Series(-rms).rank(method="first")
        for j, region in enumerate(regions.to_dict("records")):
            region_columns = {"index": region["index"], "region": region["name"], "hemisphere": region["hemisphere"]}
            rows.append(of_latent | region_columns | {"change": mean[j], "rms": rms[j], "rank": int(ranks[j])})
    return rows


def posterior(
    folder: Path, decoder: Decoder, mask: Path, labels: np.ndarray, regions: pd.DataFrame, draws: int, seed: int
) -> dict[int, dict[str, Any]]:
    """Write `posterior.nii.gz` where there is one; by region index the interval of its mean around the centre."""
    if not decoder.latents["logvar_calibrated"].iloc[0]:
        none = {"interval": "none: nothing in the loss holds this model's log-variance"}
        return {int(index): none for index in regions["index"]}
    table = people(decoder.latents)
    centre = table[decoder.names].to_numpy(np.float64).mean(axis=0)
    logvar = table[latent_table.logvar(decoder.names)].median().to_numpy()
    z = centre + np.exp(logvar / 2) * np.random.default_rng(seed).normal(size=(draws, len(centre)))
    volumes, centre_volume = np.empty((draws, len(labels)), np.float32), decoder.decode(centre[None])[0]
    for part in chunks(draws):
        volumes[part] = decoder.decode(z[part])
    of_regions, means = region_means(labels, regions), np.empty((draws, len(regions)))
    for part in chunks(draws):
        means[part] = of_regions(volumes[part] - centre_volume)
    low, high = np.quantile(means, LEVELS, axis=0)
    description = f"{INTERVAL}: {draws} volumes decoded from N(cohort's centre, median posterior variance)"
    sidecar = {"Quantiles": list(LEVELS), "Frame": "a quantile", "Draws": draws, "Seed": seed}
    ends = np.quantile(volumes, LEVELS, axis=0, overwrite_input=True)
    write_image(folder / "posterior.nii.gz", ends, mask, description, **sidecar)
    bounds = pd.DataFrame({"posterior_low": low, "posterior_high": high, "interval": INTERVAL}, index=regions["index"])
    return {int(str(index)): row for index, row in bounds.to_dict("index").items()}


if __name__ == "__main__":
    cli(run)
