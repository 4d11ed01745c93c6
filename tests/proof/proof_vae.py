"""Power through a model: a score follows a known factor of tiny heads, and is tested through latents that were learnt.

Sixty people train the model; cohorts of 120 are drawn from 600 others. Recovery is the cross-validated R2 of the factor
from the latents of those 600. If latents recover a share R2 of a factor whose correlation with the score is r, what is
left for them is r^2 R2 (attenuation, Spearman 1904): `omnibus predicted` is the power of the F test of all six latents
at that share, `direction bound` that of one column, which no test that has to find the column passes. `F` is that F
test on the latents of the same cohorts: beside its prediction it tests the attenuation, beside the omnibus it shows
what adapting to unknown truths costs, without the luck of the cohorts. `oracle` is the same omnibus and direction in
the same cohorts on the true factors, each of variance one, the one that matters blurred by noise to the same recovery.
`omnibus floor`: min-P over six statistics, one of them that F, has at least the power of the F test at alpha / 6.
"""

from concurrent.futures import Executor
from contextlib import redirect_stdout
from functools import lru_cache
from io import StringIO
from typing import Any

import collapse_models as tiny
import numpy as np
import pandas as pd
import proof_lines as lines
import statsmodels.api as sm
import torch
from proof_lines import Check
from scipy.stats import f as law
from scipy.stats import ncf, norm
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from neurovae.associate.omnibus import kernel_test, permuted_statistics
from neurovae.io import latent_table
from neurovae.latents import embed
from neurovae.stats.kernel import KERNELS, kernels, space
from neurovae.stats.rao import fit_null
from neurovae.stats.ridge import cross_fit, folds

SEED, OTHERS, N, PERMUTATIONS = 17, 600, 120, 199
MODELS = {"vae": ("vae", tiny.VAE), "pca": ("pca", tiny.PCA), "autoencoder": ("autoencoder", tiny.SETTINGS)}
FACTORS = {"largest": 0, "smallest": tiny.FACTORS - 1}
TESTS = ("own", "F", "omnibus", "direction", "omnibus oracle", "direction oracle")
EFFECTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # correlation of factor and score
SLACK = 0.1  # of power below another test, which is information: it knows what the omnibus has to adapt to


@lru_cache(maxsize=1)
def people() -> tuple[np.ndarray, np.ndarray]:
    """Volumes and factors (people, 6), those that train first."""
    count = len(tiny.SPLIT) + OTHERS
    rng = np.random.default_rng(SEED)
    for _ in range(tiny.FACTORS):
        rng.normal(size=tiny.SHAPE)  # the fields, as `tiny.people` draws them
    return tiny.people(count, seed=SEED), rng.normal(size=(count, tiny.FACTORS))


def latents(model: str) -> np.ndarray:
    """Latents (600, 6) of people whom the model did not see."""
    torch.set_num_threads(1)
    volumes = people()[0]
    with redirect_stdout(StringIO()):  # a line per epoch is not part of the proof
        kind, _, tensors, architecture, _ = tiny.train(*MODELS[model], volumes[: len(tiny.SPLIT)])
    meta = {"kind": kind, "architecture": architecture}
    return embed(volumes[len(tiny.SPLIT) :], tiny.MASK, tensors, meta)[0][latent_table.MU]


def recovery(z: np.ndarray, factor: np.ndarray) -> float:
    """Cross-validated R2 of a factor from latents."""
    told = cross_val_predict(LinearRegression(), z, factor, cv=10)
    return float(1 - np.sum((factor - told) ** 2) / np.sum((factor - factor.mean()) ** 2))


def counted(z: np.ndarray, factors: np.ndarray, one: int, effect: float, start: int, stop: int) -> dict[str, int]:
    """Cohorts in which the factor's own F test, that of all latents, the omnibus and the direction reject."""
    r2, hits = max(recovery(z, factors[:, one]), 0.0), dict.fromkeys(TESTS, 0)
    for number in range(start, stop):
        rng = np.random.default_rng([909, number])
        rows = rng.choice(len(z), N, replace=False)
        y = effect * factors[rows, one] + np.sqrt(1 - effect**2) * rng.normal(size=N)
        known = factors[rows].copy()
        known[:, one] = np.sqrt(r2) * known[:, one] + np.sqrt(1 - r2) * rng.normal(size=N)
        omnibus, along = rejected(z[rows], y, number)
        oracle, along_oracle = rejected(known, y, number)
        own, together = f_test(factors[rows][:, [one]], y), f_test(z[rows], y)
        for test, hit in zip(TESTS, (own, together, omnibus, along, oracle, along_oracle), strict=True):
            hits[test] += hit
    return hits


def f_test(z: np.ndarray, y: np.ndarray) -> bool:
    """Does the F test of all columns reject?"""
    return bool(sm.OLS(y, sm.add_constant(z)).fit().f_pvalue < lines.ALPHA)


def rejected(z: np.ndarray, y: np.ndarray, seed: int) -> tuple[bool, bool]:
    """Do the omnibus and the cross-fitted direction reject?"""
    x = np.ones((N, 1))
    data = space(fit_null("continuous", y, x, None)[1], z, x)
    parts = folds(data.z, data.x, seed)
    draws, r_drawn = permuted_statistics(data, parts, np.zeros(N, int), PERMUTATIONS, seed, 1)
    p = kernel_test(draws, kernels(data, data.e[None, :])[0])[0]
    p_r = (1 + np.sum(r_drawn >= cross_fit(parts, data.e[None, :])[0][0] - 1e-9)) / (PERMUTATIONS + 1)
    return bool(p <= lines.ALPHA + 1e-9), bool(p_r <= lines.ALPHA + 1e-9)


def predicted(share: float, columns: int, alpha: float = lines.ALPHA) -> float:
    """Power of the F test of so many columns that explain this share of the score."""
    df = N - columns - 1
    bar = law.isf(alpha, columns, df)
    return float(ncf.sf(bar, columns, df, N * share / (1 - share))) if share > 0 else alpha


def table(pool: Executor | None, cohorts: int, models: tuple[str, ...] = tuple(MODELS)) -> pd.DataFrame:
    """A row per model, factor and effect: recovery, powers, predictions."""
    found = dict(zip(models, lines.shared(pool, latents, [(model,) for model in models]), strict=True))
    factors = people()[1][len(tiny.SPLIT) :]
    factors = (factors - factors.mean(axis=0)) / factors.std(axis=0)  # so that the effect is the correlation
    keys = [(model, name, effect) for model in models for name in FACTORS for effect in EFFECTS]
    jobs = [
        (found[m], factors, FACTORS[name], effect, *b) for m, name, effect in keys for b in lines.blocks(cohorts, 100)
    ]
    parts = iter(lines.shared(pool, counted, jobs))
    rows: list[dict[str, Any]] = []
    for model, name, effect in keys:
        hits = pd.DataFrame([next(parts) for _ in lines.blocks(cohorts, 100)]).sum() / cohorts
        r2 = recovery(found[model], factors[:, FACTORS[name]])
        share = effect**2 * max(r2, 0.0)
        rows.append(
            {"model": model, "factor": name, "effect": effect, "cohorts": cohorts, "recovery": r2}
            | hits.to_dict()
            | {"omnibus predicted": predicted(share, tiny.LATENT), "direction bound": predicted(share, 1)}
            | {"omnibus floor": predicted(share, tiny.LATENT, lines.ALPHA / (len(KERNELS) + 1))}
        )
    return pd.DataFrame(rows)


def checks(found: pd.DataFrame) -> list[Check]:
    """Levels without an effect; the attenuation; powers beside the F test and the oracle of the same cohorts."""
    listed = []
    for (model, factor), part in found.groupby(["model", "factor"], sort=False):
        n = int(part["cohorts"].iloc[0])
        name = f"through {model}, {factor} factor (recovery {part['recovery'].iloc[0]:.2f})"
        none = part[part["effect"] == 0].iloc[0]
        listed += [lines.rate(f"{name}: {test}, no effect", round(none[test] * n), n, 1) for test in TESTS[2:4]]
        off = float(((part["F"] - part["omnibus predicted"]).abs() - sampling(part["omnibus predicted"], n)).max())
        listed.append(Check(f"{name}: F test off the attenuation, most", f"{off:+.3f}", "at most 0", off <= 0, n))
        for test, beside in (("omnibus", "F"), ("direction", "direction oracle")):
            gap = float((part[test] - part[beside]).min())
            other = "F test" if beside == "F" else "oracle"
            less = "" if gap >= -SLACK - 1e-9 else f"less than the {other}"
            listed.append(
                Check(f"{name}: {test} minus {other}, least", f"{gap:+.3f}", f"at least -{SLACK:g}", not less, n, less)
            )
        below = float((part["omnibus floor"] - part["omnibus"] - sampling(part["omnibus floor"], n)).max())
        listed.append(Check(f"{name}: omnibus below its floor, most", f"{below:+.3f}", "at most 0", below <= 0, n))
        above = float((part["direction"] - part["direction bound"] - sampling(part["direction bound"], n)).max())
        listed.append(Check(f"{name}: direction above one column, most", f"{above:+.3f}", "at most 0", above <= 0, n))
    return listed


def sampling(power: pd.Series, n: int) -> pd.Series:
    """How far a share of n cohorts may lie from this power by chance (99.9 %)."""
    return norm.isf((1 - lines.LEVEL) / 2) * np.sqrt(power * (1 - power) / n)
