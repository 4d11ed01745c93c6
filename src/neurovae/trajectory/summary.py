"""Put the tables of all models that are followed over time together, the primary model first."""

from pathlib import Path

import pandas as pd

from neurovae.cli import cli
from neurovae.io.parquet import read_parquet, write_table


def run(*, folder: Path, models: list[str], primary: str, fits: list[str], seeds: list[int]) -> None:
    """Write effects.tsv, change.tsv and forecast.tsv into the folder.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun trajectories

    Args:
        folder: results folder of the stage.
        models: names of the models.
        primary: the model that was named beforehand.
        fits: folds and seeds of inference ("fold-0_seed-0").
        seeds: of the predictions.
    """
    ordered = sorted(models, key=lambda name: name != primary)
    of_fits = {name: [folder / model / fit / f"{name}.parquet" for model in ordered for fit in fits]
               for name in ("effects", "change")}  # fmt: skip
    of_seeds = {"forecast": [folder / model / f"seed-{seed}" / "forecast.parquet" for model in ordered
                             for seed in seeds]}  # fmt: skip
    for name, paths in (of_fits | of_seeds).items():
        tables = [read_parquet(path) for path in paths]
        types = tables[0].dtypes  # a table without any value of a column keeps its type
        whole = pd.concat([table.astype(object) for table in tables], ignore_index=True).astype(types)
        whole.insert(0, "primary", whole["model"] == primary)
        write_table(folder / f"{name}.tsv", whole)


if __name__ == "__main__":
    cli(run)
