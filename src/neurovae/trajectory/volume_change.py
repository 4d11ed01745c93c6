"""Change of local volume in a year: the decoded brain after the longest follow-up registered to that at first visits.

The change in one year is smaller than the registration's error (see `interpret.jacobian`, whose registration this is),
so the whole follow-up is registered, and its log-Jacobian divided by the years. There is no interval: a registration
takes seconds to minutes, and one per resample would be needed.
"""

import json
from pathlib import Path

import numpy as np

from neurovae.cli import cli
from neurovae.interpret import jacobian
from neurovae.interpret.images import read_maps, write_folder, write_image
from neurovae.io.files import plain_tempdir, write_tsv
from neurovae.io.images import read_image

SHARED = ("model", "fold", "seed", "n")
COLUMNS = [*SHARED, "index", "region", "hemisphere", "voxels", "log_jacobian", "percent", "fraction_larger", "rank",
           "years", "status", "reason", "verdict"]  # fmt: skip
TEXT = "Log of local volume after a year over that before (ratio of volumes: exp), from the mean change within people"


def run(*, yearly: Path, regions: Path, mask: Path, atlas: Path, images: Path, out: Path, seed: int = 1) -> None:
    """Write logjacobian.nii.gz (per year; positive: grows) and a table of regions, with the years registered.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun volume_change

    Args:
        yearly: folder of `yearly`, with first.nii.gz and later.nii.gz.
        regions: regions.tsv of the same model.
        mask: the fixed mask.
        atlas: regions on the grid of the mask (.nii.gz), with their table beside it (.tsv).
        images: folder to write.
        out: table to write (.tsv).
        seed: of the registration, which runs in one thread.
    """
    plain_tempdir()
    jacobian.ants.config.set_ants_deterministic(True, seed_value=seed)
    row = jacobian.read_rows(regions)[0]
    shared = {name: row[name] for name in (*SHARED, "status", "reason", "verdict")}
    rows = [shared]
    with write_folder(images) as folder:
        if row["status"] == "ok":
            inside = jacobian.read_mask(mask)
            per_year, years = log_per_year(yearly, inside)
            write_image(folder / "logjacobian.nii.gz", per_year, mask, TEXT, Units="log of a ratio", Years=years)
            places = jacobian.in_regions(per_year, read_maps(atlas, inside).astype(int), jacobian.read_names(atlas))
            rows = [shared | {"years": years} | place for place in places]
            top = min(places, key=lambda place: place["rank"])
            print(f"most in {top['hemisphere']} {top['region']}, {top['percent']:+.2f} % a year", flush=True)
    write_tsv(out, rows, COLUMNS)


def log_per_year(yearly: Path, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Log of local volume per year, voxels of the mask (voxels,), and the years that were registered."""
    first, later = (read_image(yearly / f"{name}.nii.gz") for name in ("first", "later"))
    for image in (first, later):
        image.header.set_xyzt_units("mm", "sec")  # else ANTs warns
    years = float(json.loads((yearly / "later.json").read_text(encoding="utf-8"))["Years"])
    return jacobian.log_jacobian(first, later, inside) / years, years


if __name__ == "__main__":
    cli(run)
