"""Bring the metrics of every model and of the voxel-wise baseline together."""

from pathlib import Path

import pandas as pd

from neurovae.cli import cli
from neurovae.design.delays import usable, with_delay
from neurovae.io.parquet import read_parquet, write_table


def run(
    *,
    folder: Path,
    models: list[str],
    seeds: list[int],
    cohort: Path,
    qc: Path,
    out: Path,
    caveat_days: float | None = None,
    images: bool = True,
) -> None:
    """Write one table of all prediction metrics.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun predictions

    Args:
        folder: the stage's results folder.
        models: names of the models.
        seeds: seeds that were trained.
        cohort: cohort.parquet.
        qc: qc.parquet.
        out: TSV to write.
        caveat_days: days between scan and score beyond which a score has a caveat; null: none.
        images: has the cohort images, so that there is a voxel-wise baseline?
    """
    paths = [folder / model / f"seed-{seed}" / "predict.parquet" for model in models for seed in seeds]
    voxels = [folder / "voxels" / "predict.parquet"] if images else []
    tables = [read_parquet(path) for path in [*paths, *voxels]]
    people = usable(read_parquet(cohort), read_parquet(qc))
    write_table(out, with_delay(pd.concat(tables, ignore_index=True), people, caveat_days))


if __name__ == "__main__":
    cli(run)
