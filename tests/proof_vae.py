"""Power through a model: a score follows a known factor of tiny heads, and is tested through latents that were learnt.

Sixty people train the model; cohorts of 120 are drawn from 600 others. Recovery is the cross-validated R2 of the factor
from the latents of those 600. If latents recover a share R2 of a factor whose correlation with the score is r, what is
left for them is r^2 R2 (attenuation, Spearman 1904): the F test of all latents at that share predicts the omnibus, the
t test of one column at that share bounds the cross-fitted direction from above.
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
import torch
from proof_lines import Check
from scipy.stats import f as law
from scipy.stats import ncf, norm
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict

from neurovae.associate.kernel import kernels, space
from neurovae.associate.omnibus import drawn, kernel_test
from neurovae.associate.rao import fit_null
from neurovae.associate.ridge import cross_fit, folds
from neurovae.latents import embed

SEED, OTHERS, N, PERMUTATIONS = 17, 600, 120, 199
MODELS = {"vae": ("vae", tiny.VAE), "pca": ("pca", tiny.PCA), "autoencoder": ("autoencoder", tiny.SETTINGS)}
FACTORS = {"largest": 0, "smallest": tiny.FACTORS - 1}
EFFECTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # correlation of factor and score
SLACK, SURE = 0.1, 0.8  # below the prediction; power of the direction at the strongest effect


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
    columns = embed(volumes[len(tiny.SPLIT) :], tiny.MASK, tensors, meta)
    return np.column_stack([columns[name] for name in sorted(columns) if name.startswith("mu_")])


def recovery(z: np.ndarray, factor: np.ndarray) -> float:
    """Cross-validated R2 of a factor from latents."""
    told = cross_val_predict(LinearRegression(), z, factor, cv=10)
    return float(1 - np.sum((factor - told) ** 2) / np.sum((factor - factor.mean()) ** 2))


def counted(z: np.ndarray, factor: np.ndarray, effect: float, start: int, stop: int) -> dict[str, int]:
    """Cohorts in which the factor's own F test, the omnibus and the direction reject."""
    hits = {"own": 0, "omnibus": 0, "direction": 0}
    for number in range(start, stop):
        rng = np.random.default_rng([909, number])
        rows = rng.choice(len(z), N, replace=False)
        noise = np.sqrt(1 - effect**2) * rng.normal(size=N)
        y, x = effect * factor[rows] + noise, np.ones((N, 1))
        r2 = np.corrcoef(factor[rows], y)[0, 1] ** 2
        hits["own"] += bool(law.sf(r2 / (1 - r2) * (N - 2), 1, N - 2) < lines.ALPHA)
        data = space(fit_null("continuous", y, x, None)[1], z[rows], x)
        parts = folds(data.z, data.x, number)
        draws, r_drawn = drawn(data, parts, np.zeros(N, int), PERMUTATIONS, number, 1)
        p = kernel_test(draws, kernels(data, data.e[None, :])[0])[0]
        r = cross_fit(parts, data.e[None, :])[0][0]
        hits["omnibus"] += bool(p <= lines.ALPHA + 1e-9)
        hits["direction"] += bool((1 + np.sum(r_drawn >= r - 1e-9)) / (PERMUTATIONS + 1) <= lines.ALPHA + 1e-9)
    return hits


def predicted(share: float, columns: int) -> float:
    """Power of the F test of so many columns that explain this share of the score."""
    df = N - columns - 1
    bar = law.isf(lines.ALPHA, columns, df)
    return float(ncf.sf(bar, columns, df, N * share / (1 - share))) if share > 0 else lines.ALPHA


def table(pool: Executor | None, cohorts: int, models: tuple[str, ...] = tuple(MODELS)) -> pd.DataFrame:
    """A row per model, factor and effect: recovery, powers, predictions."""
    found = dict(zip(models, lines.shared(pool, latents, [(model,) for model in models]), strict=True))
    factors = people()[1][len(tiny.SPLIT) :]
    keys = [(model, name, effect) for model in models for name in FACTORS for effect in EFFECTS]
    jobs = [
        (found[m], factors[:, FACTORS[name]], effect, *b)
        for m, name, effect in keys
        for b in lines.blocks(cohorts, 100)
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
        )
    return pd.DataFrame(rows)


def checks(found: pd.DataFrame) -> list[Check]:
    """Level without an effect, power beside the prediction, per model and factor."""
    listed = []
    for (model, factor), part in found.groupby(["model", "factor"], sort=False):
        n = int(part["cohorts"].iloc[0])
        name = f"{model}, {factor} factor (recovery {part['recovery'].iloc[0]:.2f})"
        none = part[part["effect"] == 0].iloc[0]
        listed.append(lines.rate(f"through {name}: omnibus without an effect", round(none["omnibus"] * n), n, 1))
        gap = float((part["omnibus"] - part["omnibus predicted"]).min())
        listed.append(Check(f"through {name}: omnibus minus predicted power, least", f"{gap:+.3f}",
                            f"at least -{SLACK:g}", gap >= -SLACK, n))  # fmt: skip
        error = norm.isf(5e-4) * np.sqrt(part["direction bound"] * (1 - part["direction bound"]) / n)
        above = float((part["direction"] - part["direction bound"] - error).max())
        listed.append(
            Check(f"through {name}: direction above its bound, most", f"{above:+.3f}", "at most 0", above <= 0, n)
        )
        last = float(part["direction"].iloc[-1])
        bar = SURE if part["direction bound"].iloc[-1] > 0.95 else 0.0
        listed.append(
            Check(
                f"through {name}: direction at r = {EFFECTS[-1]:g}", f"{last:.3f}", f"at least {bar:g}", last >= bar, n
            )
        )
    return listed
