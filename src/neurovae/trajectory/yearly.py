"""What changes in the brain in a year: the mean change of the latents, decoded, with its interval over people.

map = decode(z0 + b_W) - decode(z0): z0 the mean latents of first visits, b_W the change per year within people of each
latent's growth model. The interval redraws people, relatives together, with the variances of the growth models and
the decoder fixed.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.tables import tidy, write_both
from neurovae.interpret.atlas import read_atlas
from neurovae.interpret.decoder import read
from neurovae.interpret.images import write_folder, write_image
from neurovae.interpret.scoremap import region_means
from neurovae.io.parquet import read_parquet
from neurovae.stats import growth
from neurovae.trajectory.frame import YEARS, Frame, confounds_of, frame, timed
from neurovae.trajectory.growth_rows import fit_all, redrawn, usable

DRAWS = 200  # resamples that are decoded, at most
REGIONS = {"model": "object", "fold": "Int64", "seed": "Int64", "index": "Int64", "region": "object",
           "hemisphere": "object", "voxels": "Int64", "change": "float64", "low": "float64", "high": "float64",
           "n": "Int64", "resamples": "Int64", "status": "object", "reason": "object",
           "verdict": "object"}  # fmt: skip


def run(
    *,
    cohort: Path,
    qc: Path,
    times: Path,
    latents: Path,
    health: Path,
    model: Path,
    mask: Path,
    atlas: Path,
    confounds: Json,
    age: str | None = None,
    bootstraps: int,
    seed: int,
    images: Path,
    out: Path,
) -> None:
    """Write {change,low,high}.nii.gz (normalised intensity per year), {first,later}.nii.gz and a table of regions.

    first and later: decoded mean latents of first visits, and these after the longest follow-up of a participant.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun yearly

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        times: times.parquet.
        latents: latents.parquet of one model.
        health: health.json of the model.
        model: weights.safetensors.
        mask: the fixed mask.
        atlas: regions on the grid of the mask, the table beside it.
        confounds: the confounds of the configuration.
        age: column of the age, whose confound is left out.
        bootstraps: resamples of people; at most 200 are decoded.
        seed: of the resamples.
        images: folder to write.
        out: table of regions to write (.parquet, .tsv).
    """
    torch.set_num_threads(1)
    decoder = read(model, latents, mask, health)
    table = timed(join(read_parquet(cohort), decoder.latents, read_parquet(qc)), read_parquet(times))
    base = {"model": decoder.meta["model"] if "model" in decoder.meta else table["latents_model"].iloc[0],
            "fold": int(table["latents_fold"].iloc[0]), "seed": int(table["latents_seed"].iloc[0]),
            "verdict": decoder.verdict}  # fmt: skip
    design = frame(table, confounds_of(table, confounds, age, with_split=True))
    absent = decoder.absent
    if not absent and (reason := usable(design)):
        absent = {"status": "too few people", "reason": reason}
    with write_folder(images) as folder:
        if absent:
            write_both(out, tidy([base | absent], REGIONS))
            return
        start, per_year = changes(
            design, table[decoder.names].to_numpy(float)[design.rows], min(bootstraps, DRAWS), seed
        )
        years = float(design.t.max())
        before, after = decoder.decode(np.stack([start, start + years * per_year[0]]))
        maps = np.concatenate([decoder.decode(start + per_year[part : part + 16]) - before[None]
                               for part in range(0, len(per_year), 16)])  # fmt: skip
        low, high = np.quantile(maps[1:], [0.025, 0.975], axis=0)
        words = "of the mean change in a year within people"
        for name, values, text in (("change", maps[0], "Map"), ("low", low, "Lower 95 % limit"),
                                   ("high", high, "Upper 95 % limit")):  # fmt: skip
            write_image(folder / f"{name}.nii.gz", values, mask, f"{text} {words}", People=design.people)
        write_image(folder / "first.nii.gz", before, mask, "Decoded mean latents of first visits")
        write_image(folder / "later.nii.gz", after, mask, "The same after the mean change of some years", Years=years)
    labels, parts = read_atlas(atlas, mask)
    of_regions = region_means(labels, parts)(maps)
    low, high = np.quantile(of_regions[1:], [0.025, 0.975], axis=0)
    regions = pd.DataFrame({"index": parts["index"], "region": parts["name"], "hemisphere": parts["hemisphere"],
                            "voxels": np.bincount(labels, minlength=parts["index"].max() + 1)[parts["index"]],
                            "change": of_regions[0], "low": low, "high": high}).sort_values(
        "change", key=lambda column: -column.abs())  # fmt: skip
    shared = base | {"n": design.people, "resamples": len(maps) - 1, "status": "ok", "reason": ""}
    write_both(out, tidy([shared | row for row in regions.to_dict("records")], REGIONS))


def changes(design: Frame, z: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean latents of first visits (latents,), and change per year (1 + draws, latents): the estimate, then redrawn.

    z: (visits of the design, latents).
    """
    fits, years = fit_all(design, z), design.names.index(YEARS)
    weights = redrawn(np.arange(design.people) if design.family is None else design.family, draws, seed)
    per_year = [
        np.zeros(draws + 1) if found is None else growth.redrawn(fits.visits, found, y, weights)[:, years]
        for found, y in zip(fits.found, z.T, strict=True)
    ]
    return z[design.first].mean(axis=0), np.column_stack(per_year)


if __name__ == "__main__":
    cli(run)
