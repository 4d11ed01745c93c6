"""Agreement of seeds: similarity of their latent spaces, matched latents, and directions of the scores."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save

SAME = "same latents"  # status of a pair of seeds with identical latents, whose agreement is trivial


def draw(*, stability: Path, matches: Path, name: str, out: Path) -> None:
    """Draw the agreement of the seeds of one model and fold; seeds with identical latents are named, not drawn.

    Args:
        stability: stability.parquet of the model and fold.
        matches: matches.parquet of the same.
        name: the model, for the title.
        out: PNG to write.
    """
    table, pairs = read_parquet(stability), read_parquet(matches)
    whole = table[table["kind"] != "direction"]
    space = whole[(whole["kind"] == "space") & (whole["status"] != SAME)]
    if space.empty:
        figure, axis = plt.subplots(figsize=(7, 0.6 + 0.3 * len(whole)))
        axis.set_axis_off()
        lines = [f"{name}, {_who(row)}: {row['status']}; {row['reason']}" for row in whole.to_dict("records")]
        axis.text(0, 0.5, "\n".join(lines), va="center")
        save(figure, out)
        return
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), constrained_layout=True, width_ratios=[1, 1.2, 1.3])
    _spaces(axes[0], space)
    _matched(axes[1], pairs[pairs["status"] != SAME])
    _directions(axes[2], table[(table["kind"] == "direction") & (table["status"] != SAME)])
    title = [f"{name}: {len(_seeds(space))} seeds, {space['n'].iloc[0]} participants in the test set of every seed"]
    for status in ("not tested", SAME):
        left = whole[whole["status"] == status].to_dict("records")
        title += [f"{status}: {', '.join(map(_who, left))}"] if left else []
    figure.suptitle("\n".join(title), fontsize=10)
    save(figure, out)


def _who(row: dict[Any, Any]) -> str:
    return f"seed {row['seed']}" if pd.isna(row["other_seed"]) else f"seeds {row['seed']} and {row['other_seed']}"


def _seeds(space: pd.DataFrame) -> list[int]:
    return sorted({*space["seed"], *space["other_seed"]})


def _spaces(axis: Axes, space: pd.DataFrame) -> None:
    """Debiased CKA above the diagonal, Procrustes R2 below."""
    seeds = _seeds(space)
    grid = np.full((len(seeds), len(seeds)), np.nan)
    for row in space.itertuples():
        a, b = sorted((seeds.index(row.seed), seeds.index(row.other_seed)))
        grid[a, b], grid[b, a] = row.cka, row.procrustes_r2
    axis.imshow(grid, vmin=0, vmax=1, cmap="Blues")
    for a, b in np.argwhere(np.isfinite(grid)):
        axis.text(b, a, f"{grid[a, b]:.2f}", ha="center", va="center", color="white" if grid[a, b] > 0.6 else "black")
    axis.set_xticks(range(len(seeds)), [str(seed) for seed in seeds])
    axis.set_yticks(range(len(seeds)), [str(seed) for seed in seeds])
    axis.set(xlabel="seed", ylabel="seed")
    chance = space["procrustes_chance"].mean()
    axis.set_title(f"above: debiased CKA (chance 0)\nbelow: Procrustes R² (chance {chance:.2f})", fontsize=8)


def _matched(axis: Axes, pairs: pd.DataFrame) -> None:
    """|r| of every latent of the first seed with its counterparts, largest first."""
    first = pairs[(pairs["seed"] == pairs["seed"].min()) & pairs["latent"].notna()]
    for _, part in first.groupby("other_seed"):
        r = part.assign(size=part["r"].abs()).sort_values("size", ascending=False, kind="stable")
        ok = (r["status"] == "ok").to_numpy()
        at = np.arange(1, len(r) + 1)
        axis.scatter(at[ok], r["size"].to_numpy(float)[ok], s=10, color=BLUE, linewidths=0)
        axis.scatter(at[~ok], r["size"].to_numpy(float)[~ok], s=10, color=GREY, marker="x", linewidths=0.8)
    axis.axhline(0.7, color=ORANGE, linewidth=1)
    counts = first.groupby("other_seed")["status"].apply(lambda found: int((found == "ok").sum()))
    each = ", ".join(map(str, counts))
    axis.set(
        ylim=(0, 1.03), xlabel=f"latents of seed {first['seed'].iloc[0]}, best first", ylabel="|r|, test participants"
    )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    few = set(first["status"]) == {"too few people"}
    text = "too few participants to match latents" if few else f"matched latents: {each} of {first['latent'].nunique()}"
    axis.set_title(f"{text}\n(crosses: no counterpart)", fontsize=8)


def _directions(axis: Axes, ways: pd.DataFrame) -> None:
    """Correlation of each score's direction between seeds: over test participants, and of the decoded maps."""
    if ways.empty:
        axis.set_axis_off()
        axis.text(0, 0.5, "no score has a direction")
        return
    scores = list(dict.fromkeys(ways["score"]))
    for k, score in enumerate(scores):
        part = ways[ways["score"] == score]
        axis.scatter(part["r_people"].astype(float), np.full(len(part), k - 0.12), s=22, color=BLUE, linewidths=0)
        axis.scatter(
            part["r_map"].astype(float), np.full(len(part), k + 0.12), s=22, color=ORANGE, marker="s", linewidths=0
        )
        p = [*part["p"], *part["p_other"]]
        text = f"p {np.nanmin(p):.2g} to {np.nanmax(p):.2g}" if np.isfinite(p).any() else str(part["status"].iloc[0])
        axis.text(1.07, k, text, va="center", fontsize=7, clip_on=False)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set(xlim=(-1.05, 1.05), ylim=(len(scores) - 0.5, -0.5), xlabel="correlation between seeds")
    axis.set_yticks(range(len(scores)), scores)
    axis.set_title("direction of each score: test participants (●), map (■)\nright: omnibus p of the seeds", fontsize=8)
