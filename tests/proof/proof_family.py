"""Relatives under the null: 40 pairs, correlated .8 in every score and latent, and the tests that know of them.

Pairs share their age. Without `cohort.family` the same cohorts reject two to four times as often; that stands in the table.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_lines as lines
from proof_lines import Check
from proof_null import bounded
from scipy.stats import binom, gamma, nbinom, norm

from neurovae.associate.omnibus import omnibus
from neurovae.associate.univariate import tests
from neurovae.predict.folds import Folds, complete_cases
from neurovae.predict.permutation import permutation_test

PAIRS, R, LATENTS, FOLDS = 40, 0.8, 4, 5
PERMUTATIONS, PREDICTED, BLOCK = 199, 39, 20
CONFOUNDS = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
FAMILIES = {
    "Gaussian": ("continuous", lambda u: norm.ppf(u)),
    "negative binomial": ("count", lambda u: nbinom.ppf(u, 2, 0.35)),
    "binary": ("binary", lambda u: (u > 0.6).astype(float)),
    "ordinal": ("ordinal", lambda u: np.digitize(u, (0.25, 0.5, 0.75, 0.9)).astype(float)),
    "bounded": ("bounded", lambda u: binom.ppf(u, 30, 0.8) / 30),
    "gamma": ("gamma", lambda u: gamma.ppf(u, 2)),
}


def cohort(family: str, number: int) -> tuple[pd.DataFrame, dict]:
    """The joined table of one cohort of pairs, and its score."""
    rng = np.random.default_rng([909, list(FAMILIES).index(family), number])
    pair = np.repeat(np.arange(PAIRS), 2)
    z = alike(pair, LATENTS + 1, rng)
    person = [f"sub-{k:03d}" for k in range(2 * PAIRS)]
    kind, quantile = FAMILIES[family]
    table = pd.DataFrame({"scan": person, "person": person, "family": [f"f{k}" for k in pair], "fold": pair % FOLDS})
    table = table.assign(session=None, session_order=1, acquisition=None, run=None, site="n/a", qc_excluded=False)
    table = table.assign(age=rng.uniform(20, 80, PAIRS)[pair], sex=rng.choice(["F", "M"], 2 * PAIRS))
    table["score"] = quantile(norm.cdf(z[:, -1]))
    table = table.assign(latents_model="synthetic", latents_fold=0, latents_seed=0, latents_split="test")
    table[[f"mu_{k:03d}" for k in range(LATENTS)]] = z[:, :LATENTS]
    return table, {"name": "score", "type": kind} | ({"bounds": [0, 1]} if kind == "bounded" else {})


def alike(pair: np.ndarray, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal columns (n, columns), correlated R within pairs."""
    shared, own = rng.normal(size=(PAIRS, columns))[pair], rng.normal(size=(len(pair), columns))
    return np.sqrt(R) * shared + np.sqrt(1 - R) * own


def p_values(table: pd.DataFrame, score: dict, number: int) -> dict[str, float]:
    """The p of one latent by each test, and of all latents together."""
    glm, spline, _, permuted_rows = tests(table, [score], CONFOUNDS, PERMUTATIONS, number)
    whole, _ = omnibus(table, [score], CONFOUNDS, PERMUTATIONS, number)
    return {
        "GLM": glm[0].get("p", np.nan),
        "spline overall": spline[0].get("p_overall", np.nan),
        "max-T": min(row.get("p_maxt", np.nan) for row in permuted_rows),
        "omnibus": whole[0].get("p", np.nan),
    }


def counted(family: str, start: int, stop: int) -> dict[str, list[int]]:
    """Tested and rejected per test, with and without the families."""
    counts: dict[str, list[int]] = {}
    for number in range(start, stop):
        table, score = cohort(family, number)
        found = p_values(table, score, number)
        if family == "Gaussian":
            blind = p_values(table.drop(columns="family"), score, number)
            found |= {f"{test}, families not declared": p for test, p in blind.items()}
            if number % 2 == 0:
                found["prediction"] = predicted(table, score, number)
        for test, p in found.items():
            pair = counts.setdefault(test, [0, 0])
            pair[0] += bool(np.isfinite(p))
            pair[1] += bool(p <= lines.ALPHA + 1e-9)
    return counts


def predicted(table: pd.DataFrame, score: dict, number: int) -> float:
    """The p of the permuted cross-validation of the linear learner."""
    folds = Folds(dict.fromkeys(range(FOLDS), table), "transductive")
    cases = complete_cases(folds, score, CONFOUNDS, inner=3, seed=number)
    return float(permutation_test(cases, "linear", PREDICTED, number).get("p_permutation", np.nan))


def table(pool: Executor | None, cohorts: int) -> pd.DataFrame:
    """Rejections per test and family of scores."""
    jobs = [(family, *b) for family in FAMILIES for b in lines.blocks(cohorts, BLOCK)]
    rows = [
        {"test": test, "family": job[0], "n": 2 * PAIRS, "tested": a, "rejected": b}
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, (a, b) in counts.items()
    ]
    return bounded(pd.DataFrame(rows).groupby(["test", "family", "n"], sort=False).sum().reset_index(), 2)


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per test and family of scores; tests that do not know of the pairs have to show that it matters."""
    listed = []
    for row in found.itertuples():
        text = f"false positives: {PAIRS} pairs, {row.test}, {row.family}"
        check = lines.rate(text, row.rejected, row.tested)
        if row.test.endswith("not declared"):
            check = Check(text, check.value, "no bar", None, row.tested, "what the key cohort.family mends")
        listed.append(check)
    return listed
