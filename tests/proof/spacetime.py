"""Does the joint spacetime model (Schiratti 2017, leaspy) predict the hidden last visit better than the growth models?

150 training people and 150 others of the simulator, up to three visits two years apart, latents only (the log-volumes of
four regions with noise). Both see all visits of the training people, and of the others all but the last. leaspy needs
numpy below 2 and torch below 2.8, and so an environment of its own:

    python -m venv .leaspy; .leaspy/bin/pip install leaspy==2.1.0
    python tests/proof/spacetime.py .leaspy/bin/python
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

PEOPLE, NOISE, DRAWS, COHORTS = 300, 0.5, 2000, 1
Candidates = dict[str, tuple[np.ndarray, np.ndarray, dict[str, float]]]
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


def drift(folder: Path, kind: str, name: str) -> np.ndarray:
    """Values of a parameter halfway and at the end of the fit, (2, values)."""
    trace = pd.read_csv(folder / f"fit_{kind}" / "parameter_convergence" / f"{name}.csv", header=None, index_col=0)
    return trace.to_numpy(float)[[len(trace) // 2 - 1, -1]]


def candidates(table: pd.DataFrame, names: list[str], folder: Path) -> Candidates:
    """Predicted latents, onsets and drift of the fit: growth models, last known visit (with age), spacetime models."""
    hidden = table[table["hidden"] == 1]
    known = table[(table["training"] == 0) & (table["hidden"] == 0)]
    last = known.groupby("ID")[names].last().loc[hidden["ID"]].to_numpy(float)
    age = (hidden["TIME"] - hidden["years"]).to_numpy(float)
    found: Candidates = {"growth": (*mixed(table, names), {}), "last visit, age": (last, age, {})}
    for kind in ("linear", "logistic"):
        theirs = pd.read_csv(folder / f"predicted_{kind}.tsv", sep="\t", dtype={"ID": str}).set_index("ID")
        people = pd.read_csv(folder / f"people_{kind}.tsv", sep="\t", dtype={"ID": str}).set_index("ID")
        noise, start = drift(folder, kind, "noise_std"), drift(folder, kind, "tau_mean")
        moved = {"noise_drift": np.abs(noise[1] / noise[0] - 1).max(), "tau_drift": start[1, 0] - start[0, 0]}
        onset = people.loc[hidden["ID"], "tau"].to_numpy(float)
        found[kind] = (theirs.loc[hidden["ID"], names].to_numpy(float), onset, moved)
    return found


def compared(seed: int, interpreter: str) -> pd.DataFrame:
    """Root mean squared error, its ratio to that of the growth models (bootstrap over people), and onset order."""
    table = cohort(seed)
    names = [name for name in table if name.startswith("z_")]
    hidden = table[table["hidden"] == 1]
    n, truth = len(hidden), hidden[names].to_numpy(float)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table.to_csv(folder / "visits.tsv", sep="\t", index=False)
        script = Path(__file__).with_name("spacetime_leaspy.py")
        subprocess.run([interpreter, str(script), str(folder), str(seed)], check=True, env={"OMP_NUM_THREADS": "1"})  # noqa: S603
        found = candidates(table, names, folder)
    error = {model: np.square(one[0] - truth).sum(axis=1) for model, one in found.items()}
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS)
    rows = []
    for model, (_, onset, moved) in found.items():
        low, high = np.quantile(np.sqrt(weights @ error[model] / (weights @ error["growth"])), [0.025, 0.975])
        ratio = np.sqrt(error[model].sum() / error["growth"].sum())
        rows.append({"cohort": seed, "model": model, "n": n, "rmse": np.sqrt(error[model].mean()), "ratio": ratio,
                     "low": low, "high": high, "tau": kendalltau(onset, hidden["onset"])[0], **moved})  # fmt: skip
    return pd.DataFrame(rows)


def main(interpreter: str) -> None:
    """Print a table per cohort."""
    for seed in range(COHORTS):
        print(compared(seed, interpreter).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
