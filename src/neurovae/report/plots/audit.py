"""Draw the figures of the sensitivity checks: confounds and stability of each model, and the dimension of the data."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import confounds, dimension, stability


def run(*, results: Path, models: list[str], fit: str) -> None:
    """Draw the figures of the sensitivity checks, one fit of each model.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun plot_audit

    Args:
        results: results folder of the cohort.
        models: names of the models.
        fit: fold and seed ("fold-0_seed-0").
    """
    folder, out = results / "audit", results / "report"
    fold = fit.split("_")[0]
    for name in models:
        seeds = folder / name / fold
        confounds.draw(
            audit=folder / name / fit / "confounds.parquet", name=name, out=out / f"{name}_{fit}_confounds.png"
        )
        stability.draw(
            stability=seeds / "stability.parquet",
            matches=seeds / "matches.parquet",
            name=name,
            out=out / f"{name}_{fold}_stability.png",
        )
    dimension.draw(table=folder / "dimension.tsv", out=out / "dimension.png")


if __name__ == "__main__":
    cli(run)
