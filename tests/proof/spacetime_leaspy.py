"""Spacetime models of leaspy on latents of simulated visits; runs in an environment of its own, with leaspy alone.

`python spacetime_leaspy.py FOLDER SEED`: reads visits.tsv of `spacetime.py`, fits on the training people, personalises the
others on all visits but the last (posterior mean), and writes predicted_<model>.tsv, people_<model>.tsv (onset tau, pace
xi) and fit_<model>, the parameters after every 50 iterations.
Age is the clock. Latents are turned so that their mean change is positive, as both models have it; for the logistic one
they are put between .05 and .95 of the training people's range.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from leaspy.io.data import Data
from leaspy.models import LinearModel, LogisticModel

ITERATIONS, PERSONAL, EVERY, SOURCES = 1000, 1000, 50, 2  # with 3000 leaspy stops: xi_std of the logistic model is 0
MODELS = {"linear": LinearModel, "logistic": LogisticModel}


def unit(table: pd.DataFrame, names: list[str], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale of each latent, from the training people: z = offset + scale * unit value."""
    z, age = table[names].to_numpy(float), table["TIME"].to_numpy(float)
    person = table["ID"].to_numpy()
    within = z - table.groupby("ID")[names].transform("mean").to_numpy()
    ages = age - pd.Series(age).groupby(person).transform("mean").to_numpy()
    sign = np.where(ages @ within < 0, -1.0, 1.0)
    if kind == "linear":
        return np.zeros(len(names)), sign
    low, high = (z * sign).min(axis=0), (z * sign).max(axis=0)
    return sign * (low - 0.05 / 0.9 * (high - low)), sign * (high - low) / 0.9


def run(folder: Path, seed: int, kind: str) -> None:
    """Fit, personalise and predict with one model."""
    table = pd.read_csv(folder / "visits.tsv", sep="\t", dtype={"ID": str})
    names = [name for name in table if name.startswith("z_")]
    training, test = table[table["training"] == 1], table[table["training"] == 0]
    offset, scale = unit(training, names, kind)
    known, hidden = test[test["hidden"] == 0], test[test["hidden"] == 1]

    def data(part: pd.DataFrame) -> Data:
        values = (part[names].to_numpy(float) - offset) / scale
        values = np.clip(values, 0.001, 0.999) if kind == "logistic" else values
        return Data.from_dataframe(
            pd.concat([part[["ID", "TIME"]].reset_index(drop=True), pd.DataFrame(values, columns=names)], axis=1)
        )

    model = MODELS[kind](name=kind, source_dimension=SOURCES)
    traces = {"path": str(folder / f"fit_{kind}"), "save_periodicity": EVERY}
    model.fit(data(training), "mcmc_saem", seed=seed, n_iter=ITERATIONS, progress_bar=False, **traces)
    at = {row.ID: [row.TIME] for row in hidden.itertuples()}
    people = model.personalize(data(known), "mean_posterior", seed=seed, n_iter=PERSONAL, progress_bar=False)
    found = model.estimate(at, people)
    predicted = np.array([offset + scale * np.asarray(found[one]).reshape(-1) for one in hidden["ID"]])
    written = pd.DataFrame(predicted, columns=names).assign(ID=hidden["ID"].to_numpy())
    written.to_csv(folder / f"predicted_{kind}.tsv", sep="\t", index=False)
    people.to_dataframe().to_csv(folder / f"people_{kind}.tsv", sep="\t")


if __name__ == "__main__":
    for one in MODELS:
        run(Path(sys.argv[1]), int(sys.argv[2]), one)
