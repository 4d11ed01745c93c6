"""Effect of each latent on one score with its interval."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from neurovae.report.figures.drawing import BLUE, GREY, ORANGE
from neurovae.report.results import LEVEL, tested


def effects(rows: pd.DataFrame, most: int = 24) -> Figure:
    """Effect per SD of each latent with its 95 % interval, strongest first; filled: max-T p < .05; orange: flagged.

    A latent without an estimate is a cross at zero.
    """
    top = tested(rows).head(most)
    figure, axis = plt.subplots(figsize=(0.32 * max(len(top), 8) + 1.4, 2.3), layout="constrained")
    axis.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    for place, row in enumerate(top.to_dict("records")):
        colour = ORANGE if str(row["flagged"]) == "True" else BLUE
        face = colour if row["p_maxt"] < LEVEL else "white"
        axis.plot([place, place], [row["ci_low"], row["ci_high"]], color=colour, linewidth=1.3, zorder=1)
        lost = pd.isna(row["effect"])
        marker, height = ("X", 0) if lost else ("D" if colour == ORANGE else "o", row["effect"])
        axis.plot(place, height, marker, color=colour, markerfacecolor=face, markersize=5, zorder=2)
    axis.set_xticks(range(len(top)), list(top["latent"]), fontsize=7, rotation=90)
    axis.set(xlabel="latent, smallest max-T p first", ylabel="effect per SD", xlim=(-0.7, max(len(top), 1) - 0.3))
    return figure
