"""Models of several blocks: what each block is explained from, beside linear models."""

import pandas as pd

from neurovae.report.blocks import Block, figure, heading, table, text
from neurovae.report.figures import by_block, thumbnails
from neurovae.report.results import Run, health, read
from neurovae.report.text import listed

HEADS = {"model": "model", "block": "block", "decoded_from": "decoded from", "n": "participants",
         "variance_explained": "variance explained, test", "low": "95 % interval, low", "high": "95 % interval, high",
         "gain": "gain of the fused model", "gain_low": "95 % interval, low",
         "gain_high": "95 % interval, high"}  # fmt: skip
CAPTION = (
    "Variance of each block explained in the test set, relative to the training mean, from its own latents (own), the "
    "shared latents of all blocks (shared), those of the other blocks alone (other), or everything (all). Features are "
    "standardised. Gain: what the fused model explains beyond the linear one; intervals are bootstraps over "
    "participants with the models held fixed. With few features, many latents also reproduce the noise of a block "
    "that they are given: compare shared and other"
)


def explained(run: Run) -> list[Block]:
    """A line, a figure and a table per fused model; nothing where there is none."""
    blocks: list[Block] = []
    for model in run.ordered():
        path = f"train/{model}/{run.fit}/blocks.parquet"
        if (health(run, model) or {}).get("kind") != "fused":
            continue
        found = read(run, path)
        if found is not None:
            image, title = thumbnails.drawn(by_block.draw(found)), f"{model}: variance explained by block"
            blocks += [heading(title), text(line(found, model)),
                       figure(image, "Test participants; 95 % intervals", path, title),
                       table(found, HEADS, path, CAPTION)]  # fmt: skip
    return blocks


def line(found: pd.DataFrame, model: str) -> str:
    """How well each block is predicted from the others, and what the fused model adds to the best linear model."""
    parts = []
    for block, rows in found[found["decoded_from"] == "other"].groupby("block", sort=False):
        own, twins = rows[rows["model"] == model].iloc[0], rows[rows["model"] != model]
        said = f"{block} {percent(own['variance_explained'])} [{percent(own['low'])}, {percent(own['high'])}]"
        if len(twins):
            best = twins.loc[twins["variance_explained"].idxmax()]
            gain = f"{percent(best['gain'])} [{percent(best['gain_low'])}, {percent(best['gain_high'])}]"
            value = percent(best["variance_explained"])
            said += f" (the best linear model, {best['model']}: {value}; difference {gain})"
        parts.append(said)
    return f"Variance in percent of each block that {model} explains from the other blocks alone: {listed(parts)}."


def percent(value: float) -> str:
    """A share as a number of percent, never -0.0."""
    return f"{round(100 * value, 1) + 0.0:.1f}"
