"""Latents, scores and folds for the tests of predict."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from neurovae.design import design
from neurovae.predict import folds

PEOPLE = 90


MEMORY, ILL = {"name": "memory", "type": "continuous"}, {"name": "ill", "type": "binary"}


AGE = {"name": "age", "type": "continuous"}


CONFOUNDS = [
    AGE,
    {"name": "sex", "type": "categorical"},
    {"name": "head_size", "type": "continuous", "from": "preprocess"},
]


def cohort(people: int = PEOPLE, effect: float = 0.0, seed: int = 0, size: int = 6, sessions: int = 1):
    """Cohort, latents and qc tables; mu_000 drives memory and ill, and memory also follows age."""
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=(people, size)), rng.uniform(20, 85, people)
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(people)], "site": rng.choice(["A", "B"], people)})
    table = table.assign(fold=np.arange(people) % 5, age=age, sex=rng.choice(["F", "M"], people))
    table["memory"] = effect * z[:, 0] + rng.normal(size=people) + (age - 50) / 20
    table["ill"] = (rng.random(people) < expit(effect * z[:, 0])).astype(float)
    table["mmse"] = 10 + rng.binomial(20, 0.7, people).astype(float)
    table = pd.concat([table.assign(session=f"ses-{k}") for k in range(sessions)], ignore_index=True)
    table = table.assign(scan=table["person"] + "_" + table["session"], acquisition=None, run=None)
    z = np.tile(z, (sessions, 1)) + 0.1 * np.repeat(np.arange(sessions), people)[:, None]
    latents = table[["scan", "person"]].assign(model="vae", fold=0, seed=1, split="test")
    latents.loc[table["fold"] > 1, "split"] = "training"
    latents = pd.concat([latents, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(size)])], axis=1)
    qc = table[["scan"]].assign(excluded=False, head_size=rng.normal(1, 0.05, len(table)))
    return table, latents, qc


def cases(parts, score=MEMORY, confounds=CONFOUNDS, **options: Any) -> folds.Cases:
    found = folds.outer_folds([design.join(*parts)])
    return folds.complete_cases(found, score, confounds, inner=3, **options)


def by_fold(parts) -> list[pd.DataFrame]:
    table, latents, qc = parts
    found = []
    for k in range(5):
        split = np.where(table["fold"] == k, "test", "training")
        found.append(design.join(table, latents.assign(fold=k, split=split), qc))
    return found
