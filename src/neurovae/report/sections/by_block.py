"""Models of several blocks: what each block is explained from, beside linear models."""

import pandas as pd

from neurovae.io.latent_table import short
from neurovae.report.blocks import Block, figure, heading, picture, table, text
from neurovae.report.figures import block_maps, by_block, thumbnails
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
FEATURES = {"block": "block", "latent": "latent", "role": "role", "share": "mean squared change (SD²)",
            "features": "features that change most (SD)"}  # fmt: skip
FEATURES_CAPTION = (
    "The latents that change each block most, and the change of their leading features per standard deviation of the "
    "latent, in standard deviations of the feature. The table of results has all latents and features"
)
NAMED = 5  # features that are named of each latent


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
                       table(found, HEADS, path, CAPTION), *_maps(run, model)]  # fmt: skip
    return blocks


def _maps(run: Run, model: str) -> list[Block]:
    """A figure per block that is no image, and the features that its strongest latents change most."""
    path = f"interpret/{model}/{run.fit}/block_maps.parquet"
    found = read(run, path)
    if found is None:
        return []
    names = list(dict.fromkeys(found["block"]))
    figures = [picture(run, f"{model}_{run.fit}_{name}_blockmaps.png", f"{model}: latents in {name}") for name in names]
    rows = pd.concat([features(found[found["block"] == name]) for name in names])
    return [heading(f"{model}: latents in each block"), *figures, table(rows, FEATURES, path, FEATURES_CAPTION)]


def features(maps: pd.DataFrame) -> pd.DataFrame:
    """A row per strong latent of one block: its share of the variance, and the features that it changes most."""
    rows = []
    for name, value in block_maps.strongest(maps).items():
        one = maps[maps["latent"] == name]
        most = one.loc[one["change_sd"].abs().nlargest(NAMED).index]
        said = "; ".join(f"{row.name_} {row.change:+.2f}" for row in most[["name", "change_sd"]].set_axis(
            ["name_", "change"], axis=1).itertuples())  # fmt: skip
        rows.append({"block": one["block"].iloc[0], "latent": short(str(name)), "role": one["role"].iloc[0],
                     "share": value, "features": said})  # fmt: skip
    return pd.DataFrame(rows, columns=list(FEATURES))


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
