"""Draw the figure of the external validation."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import external


def run(*, results: Path) -> None:
    """Draw observed against predicted by another cohort's model, and the effects of both cohorts.

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun plot_external

    Args:
        results: results folder of the cohort.
    """
    folder = results / "external"
    files = {name: folder / f"{name}.parquet" for name in ("replication", "transfer", "predictions")}
    external.draw(**files, out=results / "report" / "external.png")


if __name__ == "__main__":
    cli(run)
