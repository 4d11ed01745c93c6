"""Draw the figure of the preprocessing: the scans that resemble the template least."""

from pathlib import Path

from neurovae.cli import cli
from neurovae.report.figures import quality


def run(*, results: Path, suffix: str, voxel_mm: float, most: int) -> None:
    """Draw the scans with the lowest correlation to the template: report/quality.png.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun plot_preprocess

    Args:
        results: results folder of the cohort.
        suffix: BIDS suffix of the images.
        voxel_mm: voxel size of the grid.
        most: number of scans shown.
    """
    quality.draw(
        qc=results / "preprocess" / "qc.parquet",
        derivatives=results / "preprocess" / "derivatives",
        suffix=suffix,
        voxel_mm=voxel_mm,
        most=most,
        out=results / "report" / "quality.png",
    )


if __name__ == "__main__":
    cli(run)
