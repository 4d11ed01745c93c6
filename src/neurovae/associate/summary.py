"""Bring the tables of all models together: every test in one table, every prediction metric in another."""

from pathlib import Path

import pandas as pd

from neurovae.cli import cli
from neurovae.parquet import write_table

KEYS = ["score", "model", "fold", "seed", "latent"]
SPLINE = ["p_nonlinear", "q_nonlinear", "p_overall", "q_overall"]


def run(*, folder: Path, models: list[str], folds: list[int], seeds: list[int], out: Path, predictions: Path) -> None:
    """Write associations (GLM rows with their spline tests beside, smallest p first) and prediction metrics.

    Args:
        folder: the stage's results folder.
        models: names of the models.
        folds: folds that were trained.
        seeds: seeds that were trained.
        out: TSV to write.
        predictions: TSV to write.
    """
    fits = [folder / model / f"fold-{fold}_seed-{seed}" for model in models for fold in folds for seed in seeds]
    glm = pd.concat([pd.read_parquet(fit / "glm.parquet") for fit in fits], ignore_index=True)
    spline = pd.concat([pd.read_parquet(fit / "spline.parquet") for fit in fits], ignore_index=True)
    table = glm.merge(spline[KEYS + SPLINE], on=KEYS, how="left", validate="one_to_one")
    write_table(out, table.sort_values(["score", "p", "model", "latent"], ignore_index=True))
    runs = [folder / model / f"seed-{seed}" / "predict.parquet" for model in models for seed in seeds]
    write_table(predictions, pd.concat([pd.read_parquet(path) for path in runs], ignore_index=True))


if __name__ == "__main__":
    cli(run)
