"""Networks whose latents are aligned with a score: their level where there is nothing, and a curve that they may find.

Null: three sites and a confound with 30 % of the score's variance, as for the linear twins. Each fold is fitted, and the
latent is tested in its test people by the ordinary regression; the naive route tests it in the people who were fitted
on. Planted: a score that follows the square of a factor of the voxels, which a line cannot, and a straight one.
"""

import contextlib
import io
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_lines as lines
import simulated_aligned as made
import torch
from proof_lines import Check
from simulated_supervised import cases

from neurovae.stats.aligned import out_of_fold, partial_r
from neurovae.stats.basis import independent
from neurovae.supervised import inference

PEOPLE, CURVED, BOOTSTRAPS = 120, 300, 300
CASES = ("null", "square", "line")
EFFECT = {"square": 0.4, "line": 0.2}  # of the variance of the score


def one(case: str, number: int) -> dict[str, Any]:
    """One cohort: one-sided p of the tests, and partial correlations of network and twin with their difference."""
    torch.set_num_threads(1)
    seed = 6000 + number
    if case == "square":
        table, x = made.squared(CURVED, seed, EFFECT[case])
    else:
        table, x = made.people(PEOPLE, seed, EFFECT.get(case, 0.0))
    data = cases(table, x)
    with contextlib.redirect_stdout(io.StringIO()):
        z, inside = made.out_of_fold(table, x)
    given = inference.given(data)
    twin = out_of_fold(data.gram, data.parts, data.y[None], "ridge")[0]
    r, of_twin = (float(partial_r(one[None], data.y[None], given)[0]) for one in (z, twin))
    folds = np.array([_regression(z[part.test], data, part.test) for part in data.parts])
    first = data.parts[0].train
    return {"case": case, "cohort": number, "one split": folds[0],
            "folds, Rueger": inference.combined(folds, "folds")["p_folds"],
            "in-sample regression": _regression(inside[first], data, first), "network": r, "twin": of_twin,
            **inference.gain(data, z, twin, BOOTSTRAPS, number)}  # fmt: skip


def _regression(z: np.ndarray, data: inference.Cases, rows: np.ndarray) -> float:
    x = data.x[rows][:, independent(data.x[rows])]
    return inference.one_sided(float(partial_r(z[None], data.y[None, rows], x)[0]), len(z) - x.shape[1] - 1)


def table(pool: Executor | None, nulls: int, planted: int) -> pd.DataFrame:
    """A row per cohort."""
    jobs = [(case, number) for case in CASES for number in range(nulls if case == "null" else planted)]
    return pd.DataFrame(lines.shared(pool, one, jobs))


def checks(found: pd.DataFrame) -> list[Check]:
    """Level of the honest tests and of the naive one; what network and twin find, as information."""
    null = found[found["case"] == "null"]
    n, words = len(null), f"aligned network, {PEOPLE} people"
    high = lines.interval(n, level=0.99)[1]
    rate = {name: float((null[name] <= lines.ALPHA).mean()) for name in ("one split", "folds, Rueger",
                                                                         "in-sample regression")}  # fmt: skip
    out = [
        Check(f"false positives: {words}, {name}", f"{rate[name]:.3f}", f"at most {high:.3f}", rate[name] <= high, n)
        for name in ("one split", "folds, Rueger")
    ]
    naive = rate["in-sample regression"]
    out.append(Check(f"naive: {words}, in-sample regression", f"{naive:.3f}", "far above .05", naive > 0.5, n))
    for case in CASES[1:]:
        own = found[found["case"] == case]
        for name in ("network", "twin"):
            out.append(Check(f"partial r: {case} of {EFFECT[case]:.0%}, {name}", f"{own[name].mean():.3f}",
                             "for information", None, len(own), "power"))  # fmt: skip
        out.append(Check(f"gain of the network above 0 (interval): {case}", f"{(own['gain_low'] > 0).mean():.2f}",
                         "for information", None, len(own), "power"))  # fmt: skip
    return out
