"""Draw the figures of the supervised models."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.io.volumes import read_mask, read_volumes
from neurovae.report.figures import brains, supervised


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
    background = brains.mean_image(volumes, brain)
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
