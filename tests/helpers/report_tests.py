"""Tables of tests that the report can be built from: 60 participants of whom mu_000 separates the classes perfectly."""

from pathlib import Path

import numpy as np
import pandas as pd
from univariate_rows import glm_rows, permute_rows

from neurovae.associate import permute as permutation
from neurovae.design.tables import tidy
from neurovae.findings import with_maxt
from neurovae.report.results import Run

FIT = "fold-0_seed-0"
DX = {"name": "dx", "type": "binary", "positive": "PD"}
AGE = {"name": "age", "type": "continuous"}
PEOPLE = 60


def joined(sites: list[str]) -> pd.DataFrame:
    """The joined table: mu_000 separates the classes, mu_001 is associated with them, four latents are noise."""
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], PEOPLE // 2)
    z = rng.normal(size=(PEOPLE, 6))
    z[:, 0] = 4 * y + 0.4 * rng.normal(size=PEOPLE)
    z[:, 1] += 1.5 * y
    name = [f"sub-{k:03d}" for k in range(PEOPLE)]
    table = pd.DataFrame({"scan": name, "person": name, "dx": y, "age": rng.normal(60, 8, PEOPLE)})
    table = table.assign(session="", acquisition="", run="", site=sites, fold=0, split="test", model="vae", seed=0)
    table[[f"mu_{k:03d}" for k in range(6)]] = z
    return table.assign(**{f"latents_{key}": table[key] for key in ("model", "fold", "seed", "split")}, excluded=False)


def associations(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of associations.tsv of one score."""
    moved = tidy(permute_rows(table, [DX], [AGE], 199, 0), permutation.COLUMNS)
    rest = {
        "p_nonlinear": 0.5,
        "p_quadratic": np.nan,
        "flagged": False,
        "nuisance": "",
        "score_nuisance": np.nan,
        "replicated": "one seed",
    }
    return with_maxt(pd.DataFrame(glm_rows(table, DX, [AGE])), moved).assign(verdict="healthy", **rest)


def run_of(folder: Path, **tables: pd.DataFrame) -> Run:
    """A run that has these tables: `a__b` is a/b.tsv."""
    for name, table in tables.items():
        path = folder / f"{name.replace('__', '/')}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return Run(folder, ["vae"], FIT, "vae", ["vae"], folder, {"cohort": {"scores": [DX], "confounds": [AGE]}})
