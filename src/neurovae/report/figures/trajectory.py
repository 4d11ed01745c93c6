"""Trajectories: the latent that changes most, scores associated with change, and the prediction of a hidden visit."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.report.figures.drawing import BLUE, GREY, ORANGE, save, sentence
from neurovae.report.results import LEVEL, titled
from neurovae.report.text import plain
from neurovae.trajectory.growth_rows import TERMS

MAX_ROWS = 12  # scores and alternatives that are drawn
MAX_LINES = 150  # people drawn, evenly chosen


def draw(*, folder: Path, fit: str, seed: str, latents: Path, times: Path, name: str, out: Path) -> None:
    """Draw the three panels of one model.

    Args:
        folder: of the model's trajectory tables.
        fit: fold and seed shown.
        seed: "seed-0", of the prediction.
        latents: latents.parquet of the same fit.
        times: times.parquet.
        name: the model, for the title.
        out: PNG to write.
    """
    effects, change = (read_parquet(folder / fit / f"{what}.parquet") for what in ("effects", "change"))
    tested = effects[(effects["status"] == "ok") & (effects["term"] == TERMS["years"])]
    if tested.empty:
        save(sentence(f"{name}: {effects['status'].iloc[0]}, {effects['reason'].iloc[0]}"), out)
        return
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained", width_ratios=[1.1, 1, 1])
    _courses(axes[0], tested, read_parquet(latents), read_parquet(times))
    _scores(axes[1], change)
    _ratios(axes[2], read_parquet(folder / seed / "forecast.parquet"))
    first = tested.iloc[0]
    figure.suptitle(f"{titled(name, first['verdict'])}: trajectories of {first['n_repeated']} people with two or more "
                    f"visits ({first['n_scans']} visits of {first['n']} people in all)", fontsize=10)  # fmt: skip
    save(figure, out)


def _courses(axis: Axes, tested: pd.DataFrame, latents: pd.DataFrame, times: pd.DataFrame) -> None:
    """Visits of each person of the latent with the largest |t| of yearly change."""
    row = tested.loc[(tested["effect"] / tested["se"]).abs().idxmax()]
    table = latents[["scan", "person", row["latent"]]].merge(times[["scan", "years", "age_first"]], on="scan")
    aged = table["age_first"].notna().any()
    x = table["years"] + (table["age_first"] if aged else 0)
    people = sorted(table["person"].unique())
    chosen = set(people[:: max(len(people) // MAX_LINES, 1)])
    for person, part in table.assign(x=x).sort_values("x").groupby("person"):
        if person in chosen:
            axis.plot(part["x"], part[row["latent"]], color=BLUE, linewidth=0.6, alpha=0.5, marker=".", markersize=3)
    centre = np.array([x.mean(), table[row["latent"]].mean()])
    span = np.array([-1, 1]) * float(np.ptp(x)) / 6
    axis.plot(centre[0] + span, centre[1] + row["effect"] * span, color=ORANGE, linewidth=2, label="mean within people")
    name = f"latent {latent_table.short(row['latent'])}"
    axis.set(xlabel="age, years" if aged else "years since the first visit", ylabel=name)
    axis.legend(fontsize=7)
    text = f"largest |t| of yearly change: {name}\n{row['effect_sd']:+.2f} SD a year, q = {row['q']:.2g}"
    axis.set_title(text, fontsize=8, loc="left")


def _scores(axis: Axes, change: pd.DataFrame) -> None:
    """Of each score the latent with the smallest max-T p: difference in yearly change, 95 % CI."""
    ok = change[(change["status"] == "ok") & change["p_maxt"].notna()]
    if ok.empty:
        _empty(axis, f"no score was tested against change: {change['reason'].iloc[0]}")
        return
    best = ok.sort_values(["p_maxt", "p"]).drop_duplicates("score").head(MAX_ROWS)
    at = np.arange(len(best))
    low, high = best["ci_low"].to_numpy(float), best["ci_high"].to_numpy(float)
    colours = np.where(best["p_maxt"] < LEVEL, BLUE, GREY)
    axis.hlines(at, low, high, color=colours, linewidth=1.5)
    axis.scatter(best["effect"], at, color=colours, s=22, zorder=3)
    axis.axvline(0, color=GREY, linewidth=0.8)
    names = [f"{plain(row.score)}\nlatent {latent_table.short(row.latent)}, max-T p = {row.p_maxt:.2g}"
             for row in best.itertuples()]  # fmt: skip
    axis.set_yticks(at, names, fontsize=7)
    axis.set_ylim(len(best) - 0.4, -0.6)
    axis.set_xlabel("difference in yearly change, SD of the latent\nper SD of the score (binary: between groups)")
    axis.set_title("time x score, the latent with the smallest max-T p", fontsize=8, loc="left")


def _ratios(axis: Axes, forecast: pd.DataFrame) -> None:
    """Squared error of the predicted hidden visit over that of each alternative."""
    rows = forecast[(forecast["measure"] == "error ratio") & (forecast["status"] == "ok")]
    if rows.empty:
        _empty(axis, f"no hidden visit was predicted: {forecast['reason'].iloc[0]}")
        return
    at = np.arange(len(rows))
    low, high = rows["ci_low"].to_numpy(float), rows["ci_high"].to_numpy(float)
    colours = np.where(high < 1, BLUE, np.where(low > 1, ORANGE, GREY))
    axis.hlines(at, low, high, color=colours, linewidth=1.5)
    axis.scatter(rows["value"], at, color=colours, s=22, zorder=3)
    axis.axvline(1, color=GREY, linewidth=0.8, linestyle="--")
    axis.set_yticks(at, [f"{row.space}: {row.against}" for row in rows.itertuples()], fontsize=7)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel("squared error of the model over\nthat of the alternative")
    first = rows.iloc[0]
    coverage = forecast[forecast["measure"].str.startswith("coverage", na=False)]
    text = f"; 90 % intervals hold {100 * coverage['value'].iloc[0]:.0f} % of latents" if len(coverage) else ""
    axis.set_title(f"hidden last visit of {first['n']} unseen people, {first['years']:.1f} years after\nthe one before"
                   f"{text}", fontsize=8, loc="left")  # fmt: skip


def _empty(axis: Axes, words: str) -> None:
    axis.set_axis_off()
    axis.text(0, 0.5, words, fontsize=8, wrap=True)
