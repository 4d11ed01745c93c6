"""Simulated scores of every type, and people with confounds, for the tests of associate."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

KINDS = ("continuous", "count", "binary", "ordinal", "bounded", "gamma")


CONFOUNDS = [{"name": "age", "type": "continuous"}]


def draw(kind: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return {
        "continuous": lambda: eta + rng.normal(size=len(eta)),
        "count": lambda: rng.negative_binomial(2, 1 / (1 + 0.5 * np.exp(1 + eta))).astype(float),
        "binary": lambda: (rng.random(len(eta)) < expit(eta)).astype(float),
        "ordinal": lambda: np.digitize(eta + rng.logistic(size=len(eta)), [-1.5, 0, 1.5]).astype(float),
        "bounded": lambda: rng.beta(5 * expit(eta), 5 * expit(-eta)),
        "gamma": lambda: rng.gamma(3, np.exp(eta) / 3),
    }[kind]()


def people(n: int = 80, size: int = 5, effect: float = 0.0, seed: int = 0, sites: str = "A") -> pd.DataFrame:
    """A joined table; mu_000 and age drive a score of every kind, named like its kind."""
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=(n, size)), rng.uniform(20, 80, n)
    z[:, 1:] += 0.5 * z[:, :1] * rng.normal(size=size - 1) + 0.02 * (age - 50)[:, None]
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(n)], "site": rng.choice(list(sites), n), "age": age})
    for kind in KINDS:
        table[kind] = draw(kind, effect * z[:, 0] + (age - 50) / 40, rng)
    table = table.assign(latents_model="vae", latents_fold=0, latents_seed=0, latents_split="test")
    return pd.concat([table, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(size)])], axis=1)


def score(kind: str) -> dict[str, Any]:
    return {"name": kind, "type": kind} | ({"bounds": [0, 1]} if kind == "bounded" else {})


def index(latents: pd.DataFrame) -> pd.DataFrame:
    """latent_index.parquet of the latents of a table, all of one role."""
    names = [name for name in latents if name.startswith("mu_")]
    return pd.DataFrame({"latent": names, "position": range(len(names)), "role": "free"})
