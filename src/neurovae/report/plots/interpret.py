"""Draw the figures of the maps: traversals, score maps, samples and counterfactuals."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import counterfactuals, maps, samples, traversals


def run(*, results: Path, models: list[str], decoded: list[str], fit: str) -> None:
    """Draw the figures of the maps, one fit of each model.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun plot_interpret

    Args:
        results: results folder of the cohort.
        models: names of the models with score maps.
        decoded: those of them with a decoder, which have traversals, samples and counterfactuals too.
        fit: fold and seed ("fold-0_seed-0").
    """
    mask, fold = results / "preprocess/mask.nii.gz", fit.split("_")[0]
    for name in models:
        folder = results / "interpret" / name / fit
        maps.draw(
            maps=folder / "maps",
            table=folder / "maps.parquet",
            regions=folder / "regions.parquet",
            jacobian=folder / "jacobian" if name in decoded else None,
            volumes=folder / "jacobian.tsv" if name in decoded else None,
            seeds=[results / "interpret" / name / fold / "seeds.parquet"],
            mask=mask,
            name=name,
            out=results / "report" / f"{name}_{fit}_maps.png",
        )
    for name in decoded:
        draw_decoded(results, name, fit)


def draw_decoded(results: Path, name: str, fit: str) -> None:
    """Draw the figures of one model that need a decoder: traversals, samples and counterfactuals."""
    packed, mask = results / "preprocess", results / "preprocess/mask.nii.gz"
    folder, stem = results / "interpret" / name / fit, results / "report" / f"{name}_{fit}"
    traversals.draw(
        table=folder / "traversals.parquet",
        maps=folder / "traversals",
        mask=mask,
        tests=[results / "associate" / name / fit / "permute.parquet"],
        name=name,
        out=Path(f"{stem}_traversals.png"),
    )
    samples.draw(
        model=results / "train" / name / fit / "weights.safetensors",
        latents=results / "latents" / name / fit / "latents.parquet",
        health=results / "train" / name / fit / "health.json",
        mask=mask,
        volumes=packed / "volumes.npy",
        rows=packed / "volumes.parquet",
        table=folder / "realism.parquet",
        maps=folder / "samples",
        name=name,
        out=Path(f"{stem}_samples.png"),
    )
    counterfactuals.draw(
        table=folder / "counterfactuals.parquet",
        maps=folder / "counterfactuals",
        mask=mask,
        name=name,
        out=Path(f"{stem}_counterfactuals.png"),
    )


if __name__ == "__main__":
    cli(run)
