"""Speed of max-T: 10,000 permutations x 32 latents x 10 scores x 5,000 people, and a loop over statsmodels beside it.

The loop is the cheapest that statsmodels offers: per permutation, score and latent an OLS fit (Gaussian scores,
Freedman-Lane) or the score test of one column against the null, which is fitted once. It is timed on two permutations
and scaled, said so; its ordinal score is counted as another binary one, since OrderedModel has no score test.
Run: PYTHONPATH=src OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python tests/bench/benchmark_permute.py
"""

import sys
import time

import numpy as np
import statsmodels.api as sm
from threadpoolctl import threadpool_limits

from neurovae.stats import exchangeability, maxt, rao

PEOPLE, LATENTS, COLUMNS, PERMUTATIONS, THREADS, SAMPLE = 5000, 32, 9, 10_000, 2, 2
SECONDS, TIMES = 60.0, 50.0  # the bars
KINDS = ["continuous"] * 3 + ["count"] * 2 + ["binary"] * 2 + ["bounded"] * 2 + ["ordinal"]


def main() -> int:
    """Time both, print a line each, and return 1 if a bar is missed."""
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(PEOPLE), rng.normal(size=(PEOPLE, COLUMNS - 1))])
    z, scores = rng.normal(size=(PEOPLE, LATENTS)), [draw(kind, rng) for kind in KINDS]
    with threadpool_limits(1):
        wall, cpu = time.perf_counter(), time.process_time()
        nulls = [rao.fit_null(kind, y, x, None)[1] for kind, y in zip(KINDS, scores, strict=True)]
        data = maxt.batch(z, x, [found for found in nulls if found is not None])
        found = maxt.exceed([data], np.zeros(PEOPLE, int), PERMUTATIONS, 0, THREADS)[0]
        maxt.maxt(maxt.statistics(data, np.arange(PEOPLE)[None])[0], found)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        each = loop(scores, x, z)
    many = each * PERMUTATIONS
    size = f"n {PEOPLE}, {LATENTS} latents, {len(KINDS)} scores, {PERMUTATIONS} permutations"
    print(f"max-T: {wall:.1f} s wall, {cpu:.1f} s of processor on {THREADS} threads; bar {SECONDS:g} s; {size}")
    print(
        f"statsmodels: {each:.2f} s of processor per permutation, scaled from {SAMPLE} permutations: {many:.0f} s;"
        f" {many / cpu:.0f} times max-T's processor time, {many / wall:.0f} times its wall time; bar {TIMES:g}; {size}"
    )
    return int(wall >= SECONDS or many / cpu < TIMES)


def draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A score of noise."""
    return {
        "continuous": lambda: rng.normal(size=PEOPLE),
        "count": lambda: rng.negative_binomial(2, 0.4, PEOPLE).astype(float),
        "binary": lambda: (rng.random(PEOPLE) < 0.3).astype(float),
        "bounded": lambda: rng.beta(4, 2, PEOPLE),
        "ordinal": lambda: rng.integers(0, 4, PEOPLE).astype(float),
    }[kind]()


def loop(scores: list[np.ndarray], x: np.ndarray, z: np.ndarray) -> float:
    """Seconds of processor per permutation of the loop over statsmodels."""
    left = z - x @ np.linalg.lstsq(x, z, rcond=None)[0]
    families = {"count": sm.families.NegativeBinomial(alpha=0.5)}
    nulls = [
        sm.OLS(y, x).fit() if kind == "continuous"
        else sm.GLM(y > 1 if kind == "ordinal" else y, x, family=families.get(kind, sm.families.Binomial())).fit()
        for kind, y in zip(KINDS, scores, strict=True)
    ]  # fmt: skip
    start = time.process_time()
    for order in exchangeability.shuffle(np.zeros(PEOPLE, int), SAMPLE, 1):
        permuted = left[order]
        for kind, null in zip(KINDS, nulls, strict=True):
            for k in range(LATENTS):
                if kind == "continuous":
                    moved = null.fittedvalues + null.resid[order]
                    _ = sm.OLS(moved, np.column_stack([x, z[:, k]])).fit().tvalues
                else:
                    null.score_test(exog_extra=permuted[:, [k]])
    return (time.process_time() - start) / SAMPLE


if __name__ == "__main__":
    sys.exit(main())
