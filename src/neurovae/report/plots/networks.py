"""Draw the figure of each model of functional networks."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import networks


def run(*, results: Path, models: list[str], fit: str) -> None:
    """Draw the networks of each model of kind networks.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun plot_networks

    Args:
        results: results folder of the cohort.
        models: names of the models.
        fit: fold and seed ("fold-0_seed-0").
    """
    for name in models:
        networks.draw(folder=results / "interpret" / name / fit, out=results / "report" / f"{name}_{fit}_networks.png")


if __name__ == "__main__":
    cli(run)
