"""Permutation tests under the null: level per family and size, family-wise error of max-T and min-P, uniform p.

The same cohorts hold a score of every family, so that one permutation serves all of them, as in the pipeline. Exact
tests reject in (b + 1) / (m + 1) <= .05; m = 199 makes that 5 % of draws.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check
from proof_null import SIZES, bounded
from scipy.stats import kstest

from neurovae.associate.omnibus import kernel_test, permuted_statistics
from neurovae.design.rows import standard
from neurovae.stats.kernel import kernels, space
from neurovae.stats.maxt import at_once, batch, exceed, maxt, minp, statistics
from neurovae.stats.quadratic import Score, quadratic
from neurovae.stats.rao import Null, fit_null
from neurovae.stats.ridge import cross_fit, folds

PERMUTATIONS = 199
BLOCK = 20
BENT = 4  # latents whose squares are tested; a line is fitted for each of them
KS = 0.001  # a KS p below this: not uniform


def cohort(n: int, number: int) -> tuple[dict[str, Score], np.ndarray, np.ndarray, np.random.Generator]:
    """Every family's score with its null (where it has a fit), confound columns, latents; no effect of a latent."""
    rng = np.random.default_rng([101, n, number])
    table, z = made.people(n, rng)
    eta, x = made.predictor(table), made.columns(table)
    scores: dict[str, Score] = {}
    for family, kind in made.KINDS.items():
        y = made.score(family, eta, rng)
        y = standard(y) if kind == "continuous" else y
        null = fit_null(kind, y, x, None)[1]
        if null is not None:
            scores[family] = (null, kind, y, None)
    return scores, x, z, rng


def counted(n: int, start: int, stop: int) -> pd.DataFrame:
    """A row per cohort and family: p of one latent and of its square, the least of max-T and min-P, omnibus, direction."""
    rows = []
    for number in range(start, stop):
        scores, x, z, rng = cohort(n, number)
        nulls = {family: null for family, (null, *_) in scores.items()}
        latent, strata = int(rng.integers(made.LATENTS)), np.zeros(n, int)
        data = batch(z, x, list(nulls.values()))
        found = exceed([data], strata, PERMUTATIONS, number)[0]
        seen = statistics(data, np.arange(n)[None, :])[0]  # (scores, latents)
        alone, within = maxt(seen, found)
        largest = np.abs(seen).max(axis=1)
        bends = quadratic(z[:, :BENT], x, list(scores.values()), strata, at_once(n, BENT), PERMUTATIONS, number)
        for j, (family, null) in enumerate(nulls.items()):
            squares = pd.DataFrame(bends[j], columns=["p_quadratic_permutation", "p_quadratic_maxt"]).astype(float)
            least = {"max-T": within[j].min(), "min-P": minp(found.largest, largest, within[j]).min()}
            least |= {"square": squares.iloc[latent % BENT, 0], "max-T of squares": squares.iloc[:, 1].min()}
            row = {"family": family, "n": n, "cohort": number, "permutation": alone[j, latent]} | least
            rows.append(row | together(null, z, x, strata, number))
    return pd.DataFrame(rows)


def together(null: Null, z: np.ndarray, x: np.ndarray, strata: np.ndarray, seed: int) -> dict[str, float]:
    """The omnibus p and that of the cross-fitted direction, without the direction's bootstraps."""
    data = space(null, z, x)
    parts = folds(data.z, data.x, seed)
    draws, r_drawn = permuted_statistics(data, parts, strata, PERMUTATIONS, seed, 1)
    r = cross_fit(parts, data.e[None, :])[0][0]
    p = kernel_test(draws, kernels(data, data.e[None, :])[0])[0]
    return {"omnibus": p, "direction": float((1 + np.sum(r_drawn >= r - 1e-9)) / (PERMUTATIONS + 1))}


def table(pool: Executor | None, cohorts: int, sizes: tuple[int, ...] = SIZES) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rejections per test, family and n; and every p."""
    jobs = [(n, *b) for n in sorted(sizes, reverse=True) for b in lines.blocks(cohorts, BLOCK)]
    p = pd.concat(lines.shared(pool, counted, jobs), ignore_index=True)
    rows = []
    for (family, n), part in p.groupby(["family", "n"], sort=False):
        for test in ("permutation", "max-T", "square", "max-T of squares", "omnibus", "direction"):
            known = part[test].dropna()
            rows.append((test, family, n, len(part), len(known), int((known <= lines.ALPHA + 1e-9).sum())))
    for n, part in p.groupby("n"):
        least = part.groupby("cohort")["min-P"].min().dropna()
        rows.append(("min-P", "all families", n, cohorts, len(least), int((least <= lines.ALPHA + 1e-9).sum())))
    found = pd.DataFrame(rows, columns=["test", "family", "n", "cohorts", "tested", "rejected"])
    return bounded(found, sides=1), p


def checks(found: pd.DataFrame, p: pd.DataFrame) -> list[Check]:
    """Levels, one-sided, and whether p of one latent is uniform (randomised within its step of 1 / 200)."""
    words = {"permutation": "false positives: permutation", "max-T": "family-wise error of max-T over 16 latents",
             "square": "false positives: permutation of a square",
             "max-T of squares": "family-wise error of max-T of squares",
             "min-P": "family-wise error of min-P over latents and scores", "omnibus": "false positives: omnibus",
             "direction": "false positives: cross-fitted direction"}  # fmt: skip
    listed = [
        lines.rate(f"{words[row.test]}, {row.family}, {row.n} people", row.rejected, row.tested, 1)
        for row in found.sort_values(["test", "n"], kind="stable").itertuples()
    ]
    rng = np.random.default_rng(5)
    for n, part in p.groupby("n"):
        one = part[part["family"] == "Gaussian"]["permutation"].dropna().to_numpy()
        smooth = one - rng.random(len(one)) / (PERMUTATIONS + 1)
        value = float(kstest(smooth, "uniform").pvalue)
        text = f"permutation p uniform (KS), Gaussian, {n} people"
        listed.append(Check(text, f"p {value:.3f}", f"at least {KS:g}", value >= KS, len(one)))
    return listed
