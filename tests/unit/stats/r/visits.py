"""The visits behind the frozen numbers of lme4: three variables of people with one to four visits. Writes visits.tsv."""

from pathlib import Path

import numpy as np
import pandas as pd

PEOPLE, MOST = 90, 4


def simulate(seed: int = 1) -> pd.DataFrame:
    """A row per visit: age at the first one, years since, a confound of the visit; y0 to y2 differ in level and slope."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, MOST + 1, PEOPLE)
    person = np.repeat(np.arange(PEOPLE), counts)
    years = np.concatenate([np.r_[0.0, np.sort(rng.uniform(0.5, 5, count - 1))] for count in counts])
    table = pd.DataFrame({"person": person, "age": rng.normal(0, 8, PEOPLE)[person], "years": years})
    table["confound"] = rng.normal(size=len(table))
    for k, (slope, r) in enumerate([(0.3, 0.3), (0.2, 0.0), (0.4, -0.4)]):
        random = rng.multivariate_normal([0, 0], [[1, r * slope], [r * slope, slope**2]], PEOPLE)[person]
        y = 0.05 * table["age"] - 0.3 * years + 0.1 * table["confound"] + random[:, 0] + random[:, 1] * years
        table[f"y{k}"] = y + 0.5 * rng.normal(size=len(table))
    return table.round(6)


if __name__ == "__main__":
    simulate().to_csv(Path(__file__).with_name("visits.tsv"), sep="\t", index=False)
