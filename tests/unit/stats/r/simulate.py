"""The cohort behind the frozen numbers of R: one score of each type, two confounds, one latent z. Writes data.tsv."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

PEOPLE = 150


def simulate(seed: int = 0) -> pd.DataFrame:
    """One row per person; every score bends with z, except that the count of few is less dispersed than Poisson."""
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=PEOPLE), rng.uniform(-1.5, 1.5, PEOPLE)
    group = (rng.random(PEOPLE) < 0.4).astype(float)
    eta = np.sin(1.5 * z) + 0.3 * z + 0.4 * age - 0.5 * group
    table = pd.DataFrame({"z": z, "age": age, "group": group})
    table["gauss"] = eta + (0.5 + 0.3 * np.abs(z)) * rng.normal(size=PEOPLE)
    table["binary"] = (rng.random(PEOPLE) < expit(1.5 * eta)).astype(int)
    table["few"] = rng.binomial(6, np.minimum(np.exp(0.5 + 0.5 * eta) / 6, 1.0))
    table["count"] = rng.negative_binomial(2, 1 / (1 + 0.5 * np.exp(1 + 0.6 * eta)))
    table["gamma"] = rng.gamma(4, np.exp(1 + 0.5 * eta) / 4)
    mean = expit(eta)
    table["share"] = rng.binomial(20, rng.beta(6 * mean, 6 * (1 - mean))) / 20
    table["level"] = np.digitize(eta + rng.logistic(size=PEOPLE), [-1.5, 0, 1.5])
    return table


if __name__ == "__main__":
    simulate().to_csv(Path(__file__).with_name("data.tsv"), sep="\t", index=False)
