"""Draw what the latents of fused models change in tables and connectivity."""

from pathlib import Path

from neurovae.cli import Json, cli
from neurovae.io.parquet import read_parquet
from neurovae.report.figures import block_maps


def run(*, results: Path, models: Json, fit: str) -> None:
    """Draw the strongest latents of each fused model in each block that is no image.

    Example:
        snakemake --cores 2 --configfile config/abide.yaml --forcerun plot_block_maps

    Args:
        results: results folder of the cohort.
        models: names of the blocks of each fused model.
        fit: fold and seed ("fold-0_seed-0").
    """
    for name, blocks in models.items():
        maps = read_parquet(results / "interpret" / name / fit / "block_maps.parquet")
        for block in blocks:
            block_maps.draw(maps=maps[maps["block"] == block], folder=results / "blocks" / block,
                            out=results / "report" / f"{name}_{fit}_{block}_blockmaps.png")  # fmt: skip


if __name__ == "__main__":
    cli(run)
