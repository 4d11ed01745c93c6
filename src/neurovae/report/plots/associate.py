"""Draw the figures of the associations: each score against its strongest latents, and its direction."""

from pathlib import Path

from neurovae.cli import Json, cli
from neurovae.report.figures import directions, places
from neurovae.report.figures import scores as scatter


def run(
    *,
    results: Path,
    models: list[str],
    fit: str,
    scores: Json,
    confounds: Json,
    most: int,
    mapped: list[str] | None = None,
) -> None:
    """Draw the figures of the associations, one fit of each model.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun plot_associate

    Args:
        results: results folder of the cohort.
        models: names of the models.
        fit: fold and seed ("fold-0_seed-0").
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        most: latents per score.
        mapped: names of the models whose latents are a map.
    """
    for name in models:
        tests, stem = results / "associate" / name / fit, results / "report" / f"{name}_{fit}"
        scatter.draw(
            cohort=results / "cohort" / "cohort.parquet",
            latents=results / "latents" / name / fit / "latents.parquet",
            qc=results / "preprocess" / "qc.parquet",
            glm=tests / "glm.parquet",
            permute=tests / "permute.parquet",
            curves=tests / "curves.parquet",
            scores=scores,
            confounds=confounds,
            most=most,
            name=name,
            out=Path(f"{stem}_scores.png"),
        )
        directions.draw(
            omnibus=tests / "omnibus.parquet",
            directions=tests / "directions.parquet",
            name=name,
            out=Path(f"{stem}_directions.png"),
        )
    for name in mapped or []:
        places.draw(
            index=results / "latents" / name / fit / "latent_index.parquet",
            tests=results / "associate" / name / fit / "permute.parquet",
            mask=results / "preprocess" / "mask.nii.gz",
            volumes=results / "preprocess" / "volumes.npy",
            rows=results / "preprocess" / "volumes.parquet",
            name=name,
            out=results / "report" / f"{name}_{fit}_places.png",
        )


if __name__ == "__main__":
    cli(run)
