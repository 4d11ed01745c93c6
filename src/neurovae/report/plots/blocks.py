"""Draw the figure of each functional block."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import functional


def run(*, results: Path, blocks: list[str]) -> None:
    """Draw mean connectivity, motion and volumes of each functional block.

    Example:
        snakemake --cores 2 --configfile config/abide.yaml --forcerun plot_blocks

    Args:
        results: results folder of the cohort.
        blocks: names of the functional blocks.
    """
    for name in blocks:
        functional.draw(folder=results / "blocks" / name, out=results / "report" / f"{name}_block.png")


if __name__ == "__main__":
    cli(run)
