"""Does the joint spacetime model (Schiratti 2017, leaspy) predict the hidden last visit better than the growth models?

150 training people and 150 others of the simulator, up to three visits two years apart, latents only (the log-volumes of
four regions with noise). Both see all visits of the training people, and of the others all but the last. leaspy needs
numpy below 2 and torch below 2.8, and so an environment of its own:

    python3 -m venv /tmp/leaspy && /tmp/leaspy/bin/pip install leaspy==2.1.0
    python tests/proof/spacetime.py /tmp/leaspy/bin/python
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from neurovae.cohort.longitudinal import draw_visits
from neurovae.stats import growth

PEOPLE, NOISE, DRAWS, COHORTS = 300, 0.5, 2000, 3
SIMULATED = {"most": 3, "years": 2, "dropout": 0.1, "new_scanner": 0.0}


def cohort(seed: int) -> pd.DataFrame:
    """A row per visit of people with two or more: ID, TIME (age), years, onset, training, hidden, latents z_0 ..."""
    rng = np.random.default_rng(seed)
    people = [draw_visits(rng, k + 1, seed=seed, visits=SIMULATED) for k in range(PEOPLE)]
    truth = pd.DataFrame([visit.truth | {"ID": one.person} for one in people for visit in one.visits])
    z = truth.filter(regex="^log_").to_numpy(float)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    z = z + NOISE * rng.normal(size=z.shape)
    table = truth[["ID", "years", "onset"]].assign(TIME=truth["age"])
    table[[f"z_{k}" for k in range(z.shape[1])]] = z
    number = table["ID"].str[-3:].astype(int)
    last = ~table.duplicated("ID", keep="last")
    table = table.assign(training=(number % 2).astype(int), hidden=((number % 2 == 0) & last).astype(int))
    return table[table.groupby("ID")["ID"].transform("size") > 1].reset_index(drop=True)


def mixed(table: pd.DataFrame, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Latents of the hidden visits (people, latents) and onsets (age less stage) by growth models, as in the chain."""
    first = table.groupby("ID")["TIME"].transform("min")
    centre = first[table["training"] == 1].mean()
    x = np.column_stack([np.ones(len(table)), first - centre, table["years"]])
    parts = {
        name: (table["training"] == flag).to_numpy() & (table["hidden"] == 0).to_numpy()
        for name, flag in (("fit", 1), ("known", 0))
    }
    hidden = (table["hidden"] == 1).to_numpy()
    t = table["years"].to_numpy(float)
    designs = {
        name: growth.visits(x[rows], t[rows], pd.factorize(table.loc[rows, "ID"])[0], True)
        for name, rows in parts.items()
    }
    predicted, change, per_year, levels = [], [], [], []
    start = x[hidden].copy()
    start[:, 2] = 0.0
    for name in names:
        y = table[name].to_numpy(float)
        found = growth.fit(designs["fit"], y[parts["fit"]])
        known = (designs["known"], found, y[parts["known"]])
        predicted.append(growth.predict(*known, x[hidden], t[hidden], designs["fit"])[0])
        levels.append(growth.predict(*known, start, 0 * t[hidden], designs["fit"])[0])
        change.append(found.coef[2] / found.residual)
        per_year.append(found.coef[2])
    stage = np.array(levels).T @ change / (np.array(per_year) @ change)
    return np.array(predicted).T, first[hidden].to_numpy(float) - stage


def compared(seed: int, interpreter: str) -> list[dict[str, float | str]]:
    """Ratio of the root mean squared error of each spacetime model over that of the growth models, and onset order."""
    table = cohort(seed)
    names = [name for name in table if name.startswith("z_")]
    hidden = table[table["hidden"] == 1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table.to_csv(folder / "visits.tsv", sep="\t", index=False)
        script = Path(__file__).with_name("spacetime_leaspy.py")
        subprocess.run([interpreter, str(script), str(folder), str(seed)], check=True, env={"OMP_NUM_THREADS": "1"})  # noqa: S603
        ours, onset = mixed(table, names)
        truth, error = hidden[names].to_numpy(float), np.square(ours - hidden[names].to_numpy(float)).sum(axis=1)
        weights = np.random.default_rng(seed).multinomial(len(hidden), np.full(len(hidden), 1 / len(hidden)), DRAWS)
        rows: list[dict[str, float | str]] = []
        for kind in ("linear", "logistic"):
            theirs = pd.read_csv(folder / f"predicted_{kind}.tsv", sep="\t", dtype={"ID": str}).set_index("ID")
            people = pd.read_csv(folder / f"people_{kind}.tsv", sep="\t", dtype={"ID": str}).set_index("ID")
            other = np.square(theirs.loc[hidden["ID"], names].to_numpy(float) - truth).sum(axis=1)
            low, high = np.quantile(np.sqrt(weights @ other / (weights @ error)), [0.025, 0.975])
            tau = people.loc[hidden["ID"], "tau"].to_numpy(float)
            rows.append({"cohort": seed, "model": kind, "n": len(hidden), "rmse": np.sqrt(other.mean()),
                         "rmse_growth": np.sqrt(error.mean()), "ratio": np.sqrt(other.sum() / error.sum()), "low": low,
                         "high": high, "tau": kendalltau(tau, hidden["onset"])[0],
                         "tau_growth": kendalltau(onset, hidden["onset"])[0],
                         "tau_age": kendalltau(hidden["TIME"] - hidden["years"], hidden["onset"])[0]})  # fmt: skip
        return rows


def main(interpreter: str) -> None:
    """Print a line per cohort and model."""
    rows = [row for seed in range(COHORTS) for row in compared(seed, interpreter)]
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1])
