"""Variance explained of each block by a fused model and its linear models, by what it was decoded from."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from neurovae.report.figures.drawing import PALETTE

SOURCES = {"own": "own block", "shared": "shared latents\nof all blocks", "other": "other blocks\nalone"}
LOWEST = -0.5  # of the axis; a point below it is drawn there as a triangle


def draw(table: pd.DataFrame) -> Figure:
    """A panel per block: points with 95 % intervals over participants, grouped by what the block is decoded from."""
    blocks, models = list(dict.fromkeys(table["block"])), list(dict.fromkeys(table["model"]))
    figure, axes = plt.subplots(1, len(blocks), figsize=(3.6 * len(blocks) + 1.4, 3.2), sharey=True, squeeze=False,
                                layout="constrained")  # fmt: skip
    for axis, block in zip(axes[0], blocks, strict=True):
        of_block = table[table["block"] == block]
        for k, model in enumerate(models):
            rows = of_block[of_block["model"] == model].set_index("decoded_from").reindex(list(SOURCES))
            places = [place + (k - (len(models) - 1) / 2) * 0.14 for place in range(len(SOURCES))]
            for place, row in zip(places, rows.itertuples(), strict=True):
                below = row.variance_explained < LOWEST
                value = max(row.variance_explained, LOWEST)
                axis.plot(place, value, "v" if below else "o", color=PALETTE[k], markersize=5,
                          label=model if place == places[0] else None)  # fmt: skip
                axis.plot([place, place], [max(row.low, LOWEST), max(row.high, LOWEST)], color=PALETTE[k], linewidth=1)
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.set_xticks(range(len(SOURCES)), list(SOURCES.values()))
        axis.set_title(f"{block} (n = {of_block['n'].max()})")
    axes[0][0].set_ylabel("variance explained, test set")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    return figure
