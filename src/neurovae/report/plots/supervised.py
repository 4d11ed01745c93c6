"""Draw the figures of the supervised models."""

from pathlib import Path

import numpy as np

from neurovae.cli import cli
from neurovae.io.volumes import evenly, read_mask, read_volumes
from neurovae.report.figures import supervised

MAX_SCANS = 100  # of the background


def run(*, results: Path, models: list[str], seed: int) -> None:
    """Draw a figure per supervised model: its latents in left-out participants, and their patterns.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun plot_supervised

    Args:
        results: results folder of the cohort.
        models: names of the models.
        seed: of the models.
    """
    packed = results / "preprocess"
    volumes, _ = read_volumes(packed / "volumes.npy", packed / "volumes.parquet")
    brain = read_mask(packed / "mask.nii.gz")
    background = np.where(brain, volumes[evenly(len(volumes), MAX_SCANS)].astype(np.float32).mean(axis=0), 0)
    for name in models:
        supervised.draw(
            folder=results / "supervised" / name / f"seed-{seed}",
            mask=packed / "mask.nii.gz",
            background=background,
            name=name,
            out=results / "report" / f"{name}_seed-{seed}_supervised.png",
        )


if __name__ == "__main__":
    cli(run)
