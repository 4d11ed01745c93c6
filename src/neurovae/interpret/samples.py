"""Volumes decoded from the prior, and a path from one person to another, held against real people (see `realism`)."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret import realism
from neurovae.interpret.counterfactual import known_scans
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import write_folder, write_image
from neurovae.interpret.traverse import AFTER, SAME, people, provenance
from neurovae.io.volumes import SPLITS, chunks, evenly, masked, read_volumes

STEPS = 7  # of a path, its two ends among them
FURTHEST = 2000  # held-out people, evenly spaced, among whom the two ends are sought
NORMAL, FITTED = "N(0, I)", "a Gaussian fitted to the latents of the training participants"
COLUMNS = SAME | {
    "kind": "object", "number": "Int64", "scan": "object", "prior": "object", "nearest_reconstruction": "object",
    "reconstruction_distance": "float64", "reconstruction_ratio": "float64", "reconstruction_percentile": "float64",
    "nearest_scan": "object", "scan_distance": "float64", "scan_ratio": "float64", "scan_percentile": "float64",
    "scan_ratio_decoded": "float64", "duplicate": "boolean", "duplicate_below": "float64", "training_people": "Int64",
    "held_out_people": "Int64",
} | AFTER  # fmt: skip


def run(
    *,
    model: Path,
    latents: Path,
    mask: Path,
    health: Path,
    volumes: Path,
    rows: Path,
    samples: int,
    path: list[str],
    max_people: int,
    seed: int,
    maps: Path,
    out: Path,
) -> None:
    """Write `samples.nii.gz`, `path.nii.gz` (a frame each, JSON beside them) and the table of their realism.

    Prior: N(0, I) where a KL or MMD drew the latents to it, else a Gaussian fitted to the training people. Path: seven
    steps, straight in latent space. Rows are of kind sample, path, held-out reconstruction and held-out scan; ratios
    are over the median of held-out people: reconstruction_ratio of reconstructions to reconstructions (like with
    like), scan_ratio of scans to scans, which is too favourable since decoded volumes are smooth, scan_ratio_decoded of
    reconstructions to scans. copy: nearer to a training person's reconstruction than that of any other real person,
    training or held out (duplicate_below).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun samples

    Args:
        model: weights.safetensors.
        latents: latents.parquet.
        mask: the fixed mask.
        health: health.json.
        volumes: packed volumes.
        rows: table of their rows.
        samples: number of prior samples.
        path: two scan keys; none: the two held-out people farthest apart in latent space.
        max_people: people of either kind who are compared, drawn at random in a larger cohort.
        seed: of samples and people.
        maps: folder to write.
        out: Parquet to write, TSV beside it.

    Raises:
        InputError: not two scan keys, or one that is not there.
    """
    torch.set_num_threads(1)
    decoder = read(model, latents, mask, health)
    provenance_columns = provenance(decoder)
    if decoder.absent:
        with write_folder(maps):
            write_both(out, tidy([provenance_columns | decoder.absent], COLUMNS))
        print(f"{provenance_columns['model']}: {decoder.verdict}, no samples", flush=True)
        return
    first = people(decoder.latents)
    z, prior = draw(decoder, first, samples, np.random.default_rng([seed, 0]))
    ends, steps = between(decoder, path)
    with write_folder(maps) as folder:
        volumes_by_kind = {"sample": decoder.decode(z), "path": decoder.decode(steps)}
        description = f"Volumes decoded from latents of the prior, {prior}"
        write_image(
            folder / "samples.nii.gz", volumes_by_kind["sample"], mask, description, Frame="a sample", Seed=seed
        )
        description = f"Volumes decoded along a straight path in latent space from {ends[0]} to {ends[1]}"
        write_image(folder / "path.nii.gz", volumes_by_kind["path"], mask, description, Frame="a step", Scans=ends)
        comparison = compare_with_people(decoder, first, volumes_by_kind, read_volumes(volumes, rows), max_people, seed)
        by_kind = {"sample": {"prior": prior}, "path": {"scan": " to ".join(ends)}}
        finished_rows = [
            provenance_columns | by_kind.get(row["kind"], {}) | row | {"status": "ok", "reason": ""}
            for row in comparison
        ]
        write_both(out, tidy(finished_rows, COLUMNS))
    ratios = [row["reconstruction_ratio"] for row in comparison if row["kind"] == "sample"]
    copies = sum(row["duplicate"] for row in comparison if row["kind"] == "sample")
    note = f", nearest person at {np.median(ratios):.2f} of the usual distance" if ratios else ""
    print(
        f"{provenance_columns['model']}: {samples} samples from {prior}{note}, {copies} duplicates of training scans",
        flush=True,
    )


def draw(decoder: Decoder, first: pd.DataFrame, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Latents (samples, latents) from the prior, and which prior. first: a scan per person.

    The fitted Gaussian is drawn as random combinations of people, which has their covariance without inverting it.
    """
    options = decoder.meta.get("options", {})
    if decoder.meta["architecture"]["kl"] or options.get("divergence") == "mmd":
        return rng.normal(size=(samples, len(decoder.names))), NORMAL
    mu = first.loc[first["split"] == SPLITS[0], decoder.names].to_numpy(np.float64)
    centre = mu.mean(axis=0)
    return centre + rng.normal(size=(samples, len(mu))) @ (mu - centre) / np.sqrt(len(mu) - 1), FITTED


def between(decoder: Decoder, path: list[str]) -> tuple[list[str], np.ndarray]:
    """Scan keys of the two ends, and latents (steps, latents) on the line between them."""
    if path:
        if len(path) != 2:
            raise InputError(f"path: {len(path)} scans, {', '.join(path)}; give the two that it runs between, or none")
        ends = known_scans(path, decoder.latents["scan"])
    else:
        first = people(decoder.latents)
        held_out = first[first["split"] == SPLITS[2]]
        held_out = held_out if len(held_out) > 1 else first
        held_out = held_out.iloc[evenly(len(held_out), FURTHEST)]
        apart = cdist(*[held_out[decoder.names].to_numpy(np.float64)] * 2)
        ends = [held_out["scan"].iloc[k] for k in np.unravel_index(apart.argmax(), apart.shape)]
    mu = decoder.latents.set_index("scan").loc[ends, decoder.names].to_numpy(np.float64)
    return ends, np.linspace(mu[0], mu[1], STEPS)


def compare_with_people(
    decoder: Decoder,
    first: pd.DataFrame,
    volumes_by_kind: dict[str, np.ndarray],
    packed: tuple[np.ndarray, pd.DataFrame],
    max_people: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of the decoded volumes by kind, and of the held-out people. first: a scan per person; packed: with rows."""
    array, table = packed
    training, held_out = (chosen(first[first["split"] == split], max_people, seed) for split in (SPLITS[0], SPLITS[2]))
    place = pd.Series(np.arange(len(table)), index=table["scan"])
    size = int(decoder.mask.sum())
    with tempfile.TemporaryDirectory(prefix="neurovae-") as folder:
        files = []
        for k, part in enumerate((training, held_out)):
            mu, rows_in_volumes = part[decoder.names].to_numpy(np.float64), place.loc[part["scan"]].to_numpy()
            reconstructions = (decoder.decode(mu[part_rows]) for part_rows in chunks(len(part)))
            scans = (masked(array[rows_in_volumes[part_rows]], decoder.mask) for part_rows in chunks(len(part)))
            for name, blocks in (("decoded", reconstructions), ("scans", scans)):
                files.append(realism.spool(Path(folder, f"{k}_{name}.npy"), blocks, len(part), size))
        reference = realism.real_distances(list(training["scan"]), *files)
        rows = [
            {"kind": kind, "number": number} | row
            for kind, values in volumes_by_kind.items()
            for number, row in enumerate(realism.compare_decoded(values, reference))
        ]
        rows += realism.people(reference, list(held_out["scan"]))
    counts = {"training_people": len(training), "held_out_people": len(held_out)}
    return [row | counts for row in rows]


def chosen(people: pd.DataFrame, max_people: int, seed: int) -> pd.DataFrame:
    """At most so many people, drawn at random, in their order."""
    return people if len(people) <= max_people else people.sample(max_people, random_state=seed).sort_index()


if __name__ == "__main__":
    cli(run)
