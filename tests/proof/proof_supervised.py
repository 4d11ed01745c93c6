"""Latents that a score was used to find, under the null: three sites, and a confound with 30 % of the score's variance.

Honest tests hold their level: the permutation that repeats every fit, one split with the ordinary regression, splits
combined by a rule for dependent p values. The naive routes do not: the regression in the people who were fitted on, and
the pooled cross-validated correlation as if its null were zero. A planted effect shows what each finds.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_lines as lines
from proof_lines import Check
from simulated_supervised import cases, people

from neurovae.stats.aligned import Direction, coefficients, decomposed, out_of_fold, partial_r
from neurovae.stats.basis import independent
from neurovae.supervised import inference

PEOPLE, PERMUTATIONS, SPLITS, BLOCK = 120, 99, 10, 10
DIRECTIONS: tuple[Direction, ...] = ("ridge", "pls")
EFFECTS = (0.0, 0.1)  # of the variance of the score
EXACT = ("permutation", "one split")  # tests at 5 %; the combinations are at or below it
NAIVE = ("in-sample regression", "pooled cross-validated r")


def p_values(number: int, effect: float, direction: Direction) -> dict[str, float]:
    """One-sided p of one cohort, by test."""
    data = cases(*people(PEOPLE, 5000 + number, effect))
    found = {"permutation": inference.permutation(data, direction, PERMUTATIONS, number)["p_permutation"]}
    z = out_of_fold(data.gram, data.parts, data.y[None], direction)[0]
    folds = np.array([_regression(z[part.test], data.y[part.test], data.x[part.test]) for part in data.parts])
    halves = inference.combined(inference.halves(data, direction, SPLITS, number), "splits")
    found |= {"one split": folds[0], "folds, Rueger": inference.combined(folds, "folds")["p_folds"]}
    found |= {"halves, Rueger": halves["p_splits_ruger"], "halves, exchangeable": halves["p_splits"]}
    inside = data.gram @ coefficients(decomposed(data.gram, data.x), data.y[None], direction)[0]
    found["in-sample regression"] = _regression(inside, data.y, data.x)
    found["pooled cross-validated r"] = _regression(z, data.y, data.x)
    return found


def _regression(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> float:
    x = x[:, independent(x)]
    return inference.one_sided(float(partial_r(z[None], y[None], x)[0]), len(z) - x.shape[1] - 1)


def counted(effect: float, direction: Direction, start: int, stop: int) -> dict[str, int]:
    """Rejections at 5 %, by test."""
    counts: dict[str, int] = {}
    for number in range(start, stop):
        for name, p in p_values(number, effect, direction).items():
            counts[name] = counts.get(name, 0) + int(p <= lines.ALPHA + 1e-9)
    return counts


def table(pool: Executor | None, cohorts: int) -> pd.DataFrame:
    """Rejections by direction, effect and test."""
    jobs = [(e, d, *block) for e in EFFECTS for d in DIRECTIONS for block in lines.blocks(cohorts, BLOCK)]
    rows: list[dict[str, Any]] = [
        {"direction": job[1], "effect": job[0], "test": test, "cohorts": job[3] - job[2], "rejected": hits}
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, hits in counts.items()
    ]
    found = pd.DataFrame(rows).groupby(["effect", "direction", "test"], sort=False).sum().reset_index()
    return found.assign(rate=found["rejected"] / found["cohorts"])


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per test: level under the null, and what the naive routes do; power is information."""
    out = []
    for row in found.itertuples():
        words = f"supervised {row.direction}, {row.test}, {PEOPLE} people"
        if row.effect > 0:
            out.append(Check(f"power: {words}, effect {row.effect:.0%}", f"{row.rate:.3f}", "for information", None,
                             row.cohorts, "power"))  # fmt: skip
        elif row.test == "in-sample regression":
            out.append(Check(f"naive: {words}", f"{row.rate:.3f}", "far above .05", row.rate > 0.5, row.cohorts))
        elif row.test in NAIVE:
            out.append(Check(f"naive: {words}", f"{row.rate:.3f}", "no test: null is not at zero", None, row.cohorts,
                             "naive"))  # fmt: skip
        else:
            low, high = lines.interval(row.cohorts, level=0.99)
            low = low if row.test in EXACT else 0.0
            out.append(Check(f"false positives: {words}", f"{row.rate:.3f}", f"{low:.3f} to {high:.3f}",
                             low <= row.rate <= high, row.cohorts))  # fmt: skip
    return out
