"""Synthetic people for the proof: 16 latents that correlate with each other and with age, sex and size as on `ixi`.

The numbers below are second moments of `results/ixi` (model vae, fold 0, 118 people with an age, first 16 latents),
rounded: regression of the standardised latents on age, sex and scale, three common factors of what is left, and tails
(t with 10 degrees of freedom: excess kurtosis 1; on ixi -.5 to 1.2 beyond the confounds). No row of a person is kept.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit

from neurovae.stats.basis import expand

AGES = (20.0, 25.0, 32.0, 48.0, 62.0, 69.0, 80.0)  # years, at the shares
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
WOMEN = 0.52
SCALE = (-0.15, -0.59, 0.78)  # slopes of the standardised scale on age and sex, and its residual spread
ON_AGE = (.55, .44, -.17, .42, -.02, .28, -.09, .06, -.11, -.09, -.05, .14, .03, -.05, .05, .06)  # fmt: skip
ON_SEX = (.12, -.16, .34, .17, -.14, .07, -.17, .26, .05, -.14, -.17, -.18, -.09, .02, .11, .17)  # fmt: skip
ON_SCALE = (.30, -.32, .39, .35, -.18, .16, .31, -.06, -.05, -.06, -.12, .08, -.07, -.03, .03, .04)  # fmt: skip
COMMON = (
    (.18, .28, .00, -.28, -.59, .14, -.34, -.27, .04, .05, .04, -.08, .08, -.04, -.06, -.19),
    (-.64, -.56, -.16, .14, -.32, .21, -.21, -.01, .04, -.05, -.04, .02, .02, -.11, .08, -.10),
    (-.73, .77, .16, .07, .13, .11, .08, -.05, .28, .01, .03, -.02, -.03, -.04, .00, .04),
)  # fmt: skip
TAIL = 10
LATENTS = len(ON_AGE)
CONFOUNDS = [
    {"name": "age", "type": "continuous"},
    {"name": "sex", "type": "categorical"},
    {"name": "head_size", "type": "continuous", "from": "preprocess"},
]
Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def people(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns age, sex (F, M), scale, and the latents (n, 16), about standardised."""
    age = np.interp(rng.random(n), SHARES, AGES)
    woman = rng.random(n) < WOMEN
    a, s = (age - 47.5) / 17.5, (woman - WOMEN) / np.sqrt(WOMEN * (1 - WOMEN))
    size = SCALE[0] * a + SCALE[1] * s + SCALE[2] * rng.normal(size=n)
    common = np.array(COMMON)
    own = rng.standard_t(TAIL, size=(n, LATENTS)) / np.sqrt(TAIL / (TAIL - 2))
    rest = rng.normal(size=(n, len(common))) @ common + own * np.sqrt(
        np.maximum(1 - np.square(common).sum(axis=0), 0.05)
    )
    fixed = np.column_stack([a, s, size]) @ np.array([ON_AGE, ON_SEX, ON_SCALE])
    left = np.sqrt(np.maximum(1 - np.square([ON_AGE, ON_SEX, ON_SCALE]).sum(axis=0), 0.3))
    table = pd.DataFrame({"age": age, "sex": np.where(woman, "F", "M"), "head_size": 1.15 + 0.05 * size})
    return table, fixed + left * rest


def columns(table: pd.DataFrame) -> np.ndarray:
    """Intercept and the confounds as the pipeline enters them: splines of age and scale, a dummy of sex."""
    blocks = [expand(one["name"], one["type"], table[one["name"]], table[one["name"]])[1] for one in CONFOUNDS]
    return np.hstack([np.ones((len(table), 1)), *blocks])


def predictor(table: pd.DataFrame) -> np.ndarray:
    """What the confounds add to the linear predictor of every score, standard deviation about .6."""
    a, s = (table["age"].to_numpy() - 47.5) / 17.5, (table["sex"] == "F").to_numpy() * 2.0 - 1
    return 0.4 * a + 0.15 * a**2 + 0.2 * s + 0.3 * (table["head_size"].to_numpy() - 1.15) / 0.05


def _ordinal(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.logistic(size=len(eta))
    return np.digitize(eta + noise, (-1.5, -0.3, 0.8, 2.0)).astype(float)


def _bounded(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mean = expit(1.2 + eta)
    return rng.binomial(30, rng.beta(6 * mean, 6 * (1 - mean))) / 30


def _negative_binomial(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.negative_binomial(2, 1 / (1 + 0.5 * np.exp(1.3 + eta))).astype(float)  # alpha .5


# family -> declared type, and scores from a linear predictor
SCORES: dict[str, tuple[str, Draw]] = {
    "Gaussian": ("continuous", lambda eta, rng: eta + rng.normal(size=len(eta))),
    "skewed": ("continuous", lambda eta, rng: eta + rng.exponential(size=len(eta)) - 1),
    "negative binomial": ("count", _negative_binomial),
    "Poisson": ("count", lambda eta, rng: rng.poisson(np.exp(1.0 + 0.7 * eta)).astype(float)),
    "binary": ("binary", lambda eta, rng: (rng.random(len(eta)) < expit(-0.4 + eta)).astype(float)),
    "ordinal": ("ordinal", _ordinal),
    "bounded": ("bounded", _bounded),
    "gamma": ("gamma", lambda eta, rng: rng.gamma(2, np.exp(0.5 * eta) / 2, len(eta))),
}
KINDS = {name: kind for name, (kind, _) in SCORES.items()}
LINEAR = ("Gaussian", "skewed")


def score(family: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A score of this family with linear predictor eta (n,)."""
    return SCORES[family][1](eta, rng)


def cohort_table(table: pd.DataFrame, z: np.ndarray, scores: dict[str, np.ndarray], folds: int = 5) -> pd.DataFrame:
    """The joined table of usable scans, one row a person, as `design.join` gives it."""
    n, names = len(table), [f"mu_{k:03d}" for k in range(z.shape[1])]
    person = [f"sub-{k:04d}" for k in range(n)]
    keys = {"scan": person, "person": person, "session": None, "acquisition": None, "run": None, "site": "n/a"}
    made = pd.DataFrame({**keys, "fold": np.arange(n) % folds, "age": table["age"], "sex": table["sex"]})
    made = made.assign(qc_head_size=table["head_size"].to_numpy(), qc_excluded=False, **scores)
    made = made.assign(latents_model="synthetic", latents_fold=0, latents_seed=0, latents_split="test")
    return pd.concat([made.assign(latents_person=person), pd.DataFrame(z, columns=names)], axis=1)
