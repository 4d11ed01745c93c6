"""Keep the template and its masks on the grids of a cohort, so that not every job resamples them (a second each)."""

from pathlib import Path

import numpy as np

from neurovae.cli import cli
from neurovae.io.files import write_beside
from neurovae.preprocess import grid
from neurovae.preprocess.orientation import TEMPLATE_MM


def run(*, voxel_mm: float, template_mm: float, out: Path) -> None:
    """Write the template and its masks at the voxel sizes that preprocessing uses.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun grids

    Args:
        voxel_mm: voxel size of the output grid.
        template_mm: voxel size of the template used for the registration.
        out: `.npz` to write, which `grid.use` reads.
    """
    arrays = {f"white_{voxel_mm:g}": grid.white_matter(voxel_mm)}
    for size in {voxel_mm, template_mm, TEMPLATE_MM}:
        arrays[f"template_{size:g}"] = grid.template(size).get_fdata(dtype=np.float32)
        arrays[f"brain_{size:g}"] = grid.brain_mask(size)
    with write_beside(out) as temporary:
        np.savez(temporary, **dict(sorted(arrays.items())))  # type: ignore[arg-type]


if __name__ == "__main__":
    cli(run)
