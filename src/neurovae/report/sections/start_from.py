"""Models that start from a larger cohort's: which variant explains most variance in the same test participants."""

from typing import Any

import pandas as pd

from neurovae.report.blocks import Block, table, text
from neurovae.report.results import Run, of_fit, read
from neurovae.report.text import count, listed

PATH = "train/start_from.tsv"
HEADS = {"start_from": "entry", "variant": "variant", "model": "model", "kind": "kind", "n_latent": "latents",
         "source_people": "training participants of the source", "training_people": "training participants here",
         "source_weight": "weight of the source", "variance_explained_test": "variance explained, test",
         "difference": "difference from the best", "difference_low": "95 % interval, low",
         "difference_high": "95 % interval, high"}  # fmt: skip
CAPTION = (
    "The source as it is (frozen), the model that starts from it (pooled or fine-tuned), and the same entry without it "
    "(scratch), in the same test participants; intervals are bootstraps over participants with the models held fixed"
)


def started(run: Run) -> list[Block]:
    """A line per entry with a source, and the table; nothing where there is none."""
    found = read(run, PATH)
    if found is None:
        return []
    rows = of_fit(found, run.fit)
    lines = [text(line(part)) for _, part in rows.groupby("start_from", sort=False)]
    return [*lines, table(rows, HEADS, PATH, CAPTION)]


def line(rows: pd.DataFrame) -> str:
    """Which variant was best, by how much, and on how many participants each was trained."""
    best = rows[rows["best"]].iloc[0]
    others = [
        f"{row['model']} ({trained(row)}) by {-100 * row['difference']:.1f} "
        f"[{-100 * row['difference_high']:.1f}, {-100 * row['difference_low']:.1f}]"
        for _, row in rows[~rows["best"].astype(bool)].iterrows()
    ]
    return (
        f"Of the variants of {best['start_from']}, {best['model']} ({trained(best)}) explains most variance in the "
        f"{count(int(best['held_out_people']), 'test participant')}: {100 * best['variance_explained_test']:.1f} %. "
        f"It exceeds, in percentage points with 95 % intervals, {listed(others)}."
    )


def trained(row: Any) -> str:
    """Whose scans a variant was trained on."""
    here = f"{row['training_people']} training participants here"
    if row["variant"] == "scratch":
        return f"from scratch, {here}"
    source = f"{int(row['source_people'])} of the source"
    return f"frozen, {source}" if row["variant"] == "frozen" else f"{row['variant']}, {source} and {here}"
