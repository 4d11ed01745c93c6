"""Bring the metrics of every model and of the voxel-wise baseline together."""

from pathlib import Path

import pandas as pd

from neurovae.cli import cli
from neurovae.io.parquet import read_parquet, write_table


def run(*, folder: Path, models: list[str], seeds: list[int], out: Path) -> None:
    """Write one table of all prediction metrics.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun predictions

    Args:
        folder: the stage's results folder.
        models: names of the models.
        seeds: seeds that were trained.
        out: TSV to write.
    """
    paths = [folder / model / f"seed-{seed}" / "predict.parquet" for model in models for seed in seeds]
    tables = [read_parquet(path) for path in [*paths, folder / "voxels" / "predict.parquet"]]
    write_table(out, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    cli(run)
