"""Proof of the collapse verdict on tiny models that were made healthy, collapsed or diverged; about two minutes.

`python tests/proof/collapse.py` prints a line per check and writes tables and pictures to results/proof. The thresholds
(neurovae.train.health.judge) were fixed before any model of `HELD_BACK` was trained; what is written here was tried on
people of seeds 11 and 29 first.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import collapse_capacity
import collapse_models
import collapse_pictures
import numpy as np
import pandas as pd
import torch

from neurovae.io.volumes import masked
from neurovae.train.health import judge
from neurovae.train.health.verdicts import STOPPING

HELD_BACK = 31  # seed of the people
BETAS = [0.1, 1, 10, 30, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]
SEEDS = (0, 1)  # of each decoder capacity
OUT = Path("results/proof")
Job = tuple[str, Any, int]
Row = dict[str, Any]


def line(text: str, value: str, bar: str, passed: bool, n: int) -> bool:
    """Print one check."""
    print(f"{'ok' if passed else 'FAILED':<7} {text:<64} {value:>14}   {bar}, n {n}", flush=True)
    return passed


def done(job: Job) -> Any:
    """One training in its own process."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    torch.set_num_threads(1)
    what, value, seed = job
    if what == "capacity":
        return collapse_capacity.capacity(collapse_models.people(seed=HELD_BACK, noise=0.1), value, seed)
    volumes = collapse_models.noise(HELD_BACK) if what == "noise" else collapse_models.people(seed=HELD_BACK)
    if what == "beta":
        trained = collapse_models.train("vae", {**collapse_models.VAE, "beta": value}, volumes, seed)
    else:
        trained = collapse_models.train(value[0], value[1], volumes, seed)
    return trained, collapse_models.judged(trained, volumes)


def models(pool: ProcessPoolExecutor) -> pd.DataFrame:
    """A row per model: how it was made, and what was found."""
    wells, ills, noises = collapse_models.healthy(), collapse_models.collapsed(), collapse_models.of_noise()
    jobs = [("model", value, 0) for value in [*wells.values(), *ills.values()]]
    jobs += [("noise", value, 0) for value in noises.values()]
    made = {**dict.fromkeys(wells, "healthy"), **dict.fromkeys(ills, "collapsed"), **dict.fromkeys(noises, "noise")}
    trained, found = zip(*pool.map(done, jobs), strict=True)
    known = dict(zip(made, trained, strict=True))
    rows = [_row(name, made[name], measures) for name, measures in zip(made, found, strict=True)]
    volumes = collapse_models.people(seed=HELD_BACK)
    for name, (source, ruin) in collapse_models.ruined().items():
        kind, options, tensors, architecture, history = known[source]
        changed = (kind, options, ruin(tensors), architecture, history)
        rows.append(_row(name, "ruined", collapse_models.judged(changed, volumes)))
    for name in collapse_models.SHUFFLED:
        judged = collapse_models.judged(known[name], volumes, shuffled=True)
        rows.append(_row(f"{name}, another's scan", "ruined", judged))
    return pd.DataFrame(rows)


def _row(name: str, made: str, found: Row) -> Row:
    rate = found.get("identification_accuracy_training", {}).get("rate", np.nan)
    kept = {
        key: found.get(key)
        for key in (
            "kind",
            "verdict",
            "variance_explained_training",
            "variance_explained_test",
            "active_units",
            "reason",
        )
    }
    return {
        "model": name,
        "made": made,
        **kept,
        "identification_accuracy_training": rate,
        "stops": found["verdict"] in STOPPING,
    }


def proved(table: pd.DataFrame) -> list[bool]:
    """All that was ruined is caught, nothing healthy is stopped."""
    ill, well = table[table["made"].isin(["collapsed", "ruined"])], table[table["made"] == "healthy"]
    noise = table[table["made"] == "noise"]
    fine = noise["verdict"] == "healthy"
    kinds = table["kind"].nunique()
    missed, flagged = ill.loc[~ill["stops"], "model"], well.loc[well["stops"], "model"]
    for name in [*missed, *flagged]:
        print("        wrong:", name, "-", table.set_index("model").loc[name, "reason"])
    return [
        line("models held back", str(len(table)), "at least 20", len(table) >= 20, len(table)),
        line("kinds among them", str(kinds), "at least 4", kinds >= 4, len(table)),
        line("collapsed, untrained or diverged: caught", f"{ill['stops'].sum()}", "all", missed.empty, len(ill)),
        line("trained on noise: called healthy", str(fine.sum()), "none", not fine.any(), len(noise)),
        line("healthy: stopped", f"{len(flagged)}", "none", flagged.empty, len(well)),
        line(
            "caught although units are active (share, identification)",
            str(((ill["active_units"] > 0) & ill["stops"]).sum()), "at least 1",
            bool(((ill["active_units"] > 0) & ill["stops"]).any()), len(ill),
        ),
    ]  # fmt: skip


def swept(pool: ProcessPoolExecutor) -> list[bool]:
    """The border over beta, beside the largest beta at which a linear VAE keeps a latent (Lucas 2019)."""
    found = [measures for _, measures in pool.map(done, [("beta", beta, 0) for beta in BETAS])]
    table = pd.DataFrame([{"beta": beta, **_row("vae", "", one)} for beta, one in zip(BETAS, found, strict=True)])
    table["identification_accuracy_test"] = [one["identification_accuracy_test"]["rate"] for one in found]
    table["rate"] = [one["rate"] for one in found]
    x = masked(collapse_models.people(seed=HELD_BACK)[collapse_models.SPLIT == "training"], collapse_models.MASK)
    edge = float(np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[0] ** 2 / (len(x) - 1))  # sigma is 1
    _write("beta", table)
    collapse_pictures.betas(table, edge, OUT / "beta.png")
    stops, gone = table["stops"].to_numpy(), (table["variance_explained_training"] < judge.COLLAPSED).to_numpy()
    low, high = stops[table["beta"] <= edge / 20], stops[table["beta"] >= 2 * edge]
    rises = bool((np.diff(stops * 1) >= 0).all())
    verdict, explained = (_border(table["beta"].to_numpy(), found) for found in (stops, gone))
    return [
        line("beta below a twentieth of theory's border: stopped", f"{low.sum()}", "none", not low.any(), len(low)),
        line("beta above twice theory's border: caught", f"{high.sum()}", "all", bool(high.all()), len(high)),
        line("once stopped, stopped at every larger beta", str(rises), "True", rises, len(BETAS)),
        line("border of the verdict, beta", f"{verdict:.0f}", f"up to theory's {edge:.0f}", verdict <= edge, len(BETAS)),
        line("border of a share of .05, beta", f"{explained:.0f}", f"within 8 times of {edge:.0f}",
             edge / 8 <= explained <= 8 * edge, len(BETAS)),
    ]  # fmt: skip


def _border(beta: np.ndarray, found: np.ndarray) -> float:
    """Geometric mean of the last beta before and the first at which it is found."""
    first = int(found.argmax())
    return float(np.sqrt(beta[first - 1] * beta[first])) if found.any() and first else np.inf


def abandoned(pool: ProcessPoolExecutor) -> list[bool]:
    """The latent is abandoned as the decoder sees more of the scan, and the reconstruction stays."""
    jobs = [("capacity", count, seed) for count in collapse_capacity.REACHES for seed in SEEDS]
    table = pd.DataFrame(pool.map(done, jobs))
    _write("capacity", table)
    training = int((collapse_models.SPLIT == "training").sum())
    collapse_pictures.capacities(table, training, collapse_capacity.SIGMA, OUT / "capacity.png")
    mean = table.groupby("neighbours").mean()
    first, last = mean.iloc[0], mean.iloc[-1]
    falls = int((np.diff(mean["rate"])[:3] < 0).sum())  # up to 13 neighbours; then there is little left to fall
    return [
        line("nats of z: most powerful decoder against z alone", f"{last['rate'] / first['rate']:.3f}", "at most .2",
             last["rate"] <= 0.2 * first["rate"], len(table)),
        line("I(x; z), nats: z alone, then most powerful decoder", f"{first['information']:.2f}, {last['information']:.2f}",
             "half or less", last["information"] <= 0.5 * first["information"], len(table)),
        line("test variance explained: most powerful minus z alone", f"{last['variance_explained'] - first['variance_explained']:+.3f}", "at least -.02",
             last["variance_explained"] >= first["variance_explained"] - 0.02, len(table)),
        line("steps up to 13 neighbours at which the rate falls", f"{falls}", "3 of 3", falls == 3, len(table)),
    ]  # fmt: skip


def _write(name: str, table: pd.DataFrame) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / f"{name}.tsv", sep="\t", index=False, float_format="%.5g")


def main() -> int:
    """Run all checks; the exit status."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        table = models(pool)
        _write("collapse", table)
        checks = [*proved(table), *swept(pool), *abandoned(pool)]
    print(f"tables and pictures: {OUT.resolve()}")
    print(f"{sum(checks)} passed, {len(checks) - sum(checks)} failed, 0 skipped")
    return int(not all(checks))


if __name__ == "__main__":
    sys.exit(main())
