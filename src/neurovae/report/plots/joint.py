"""Draw the figures of joint models."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.io.volumes import read_mask, read_volumes
from neurovae.report.figures import brains, joint


def run(*, results: Path, models: list[str], fold: int, seed: int) -> None:
    """Draw three figures per joint model: predicted scores, shared latents of one fold, decoded changes.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun plot_joint

    Args:
        results: results folder of the cohort.
        models: names of the models.
        fold: the fold whose test people are drawn against their shared latents.
        seed: of the models.
    """
    packed = results / "preprocess"
    volumes, _ = read_volumes(packed / "volumes.npy", packed / "volumes.parquet")
    brain = read_mask(packed / "mask.nii.gz")
    background = brains.mean_image(volumes, brain)
    for name in models:
        folder, stem = results / "supervised" / name / f"seed-{seed}", f"{name}_seed-{seed}"
        latents = results / "latents" / name / f"fold-{fold}_seed-{seed}" / "latents.parquet"
        joint.predicted(folder, name, results / "report" / f"{stem}_joint.png")
        joint.shared(folder, latents, name, results / "report" / f"{stem}_shared.png")
        joint.change(folder, packed / "mask.nii.gz", background, name, results / "report" / f"{stem}_decoded.png")


if __name__ == "__main__":
    cli(run)
