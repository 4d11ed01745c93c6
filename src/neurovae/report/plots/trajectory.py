"""Draw the figures of trajectories."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import trajectory, yearly


def run(*, results: Path, models: list[str], decoded: list[str], fit: str, seed: int) -> None:
    """Draw each model's trajectories and, of those with a decoder, the map of yearly change.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun plot_trajectory

    Args:
        results: results folder of the cohort.
        models: names of the models that are followed.
        decoded: those of them with a decoder.
        fit: fold and seed shown ("fold-0_seed-0").
        seed: of the prediction.
    """
    folder, report = results / "trajectory", results / "report"
    for model in models:
        trajectory.draw(
            folder=folder / model,
            fit=fit,
            seed=f"seed-{seed}",
            latents=results / "latents" / model / fit / "latents.parquet",
            times=folder / "times.parquet",
            name=model,
            out=report / f"{model}_{fit}_trajectory.png",
        )
    for model in decoded:
        yearly.draw(
            images=folder / model / fit / "yearly",
            regions=folder / model / fit / "regions.parquet",
            mask=results / "preprocess" / "mask.nii.gz",
            name=model,
            out=report / f"{model}_{fit}_yearly.png",
        )


if __name__ == "__main__":
    cli(run)
