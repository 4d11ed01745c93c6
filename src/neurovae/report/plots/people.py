"""Draw the deviation of each participant who has a page of their own."""

from pathlib import Path

import numpy as np

from neurovae.cli import cli
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask, read_volumes
from neurovae.report.figures import person as figure


def run(*, results: Path, models: list[str], people: list[str]) -> None:
    """Draw a figure per model and participant.

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun plot_people

    Args:
        results: results folder of the cohort.
        models: models with deviations.
        people: participants.
    """
    folder = results / "preprocess"
    brain, affine = read_mask(folder / "mask.nii.gz"), read_image(folder / "mask.nii.gz").affine
    volumes, rows = read_volumes(folder / "volumes.npy", folder / "volumes.parquet")
    for model in models:
        own = results / "norm" / model
        table, regions = (read_parquet(own / f"deviation{name}.parquet") for name in ("", "_regions"))
        for person in people:
            out = results / "report" / f"{model}_{person}_person.png"
            if reason := figure.absent(table, person):
                figure.refused(reason, out)
                continue
            row = table[table["person"] == person].iloc[0]
            maps = {way: figure.read_map(own / "deviation_maps", row["scan"], way) for way in figure.TITLES}
            scan = np.asarray(volumes[rows.index[rows["scan"] == row["scan"]][0]], np.float32)
            parts = regions[regions["scan"] == row["scan"]]
            figure.draw(figure.Person(row, parts, scan, maps, brain, affine), out)


if __name__ == "__main__":
    cli(run)
