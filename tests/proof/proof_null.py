"""False positives: how often does each test reject at .05 where no latent matters, per family and cohort size?

A cohort gives one test: its latent is drawn at random, so that cohorts are independent and the exact binomial interval
holds. The score follows age, sex and size as declared; the latents follow them too.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check

from neurovae.associate.multivariable import ordinary_f, too_few_for
from neurovae.associate.spline import polynomials
from neurovae.design.rows import standard, worst
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, spline_knots

SIZES = (60, 120, 500)
COHORTS = {"linear": 5000, "iterative": 1000}
TESTS = ("glm", "spline bend", "spline overall", "quadratic", "multivariable")
CAVEATS = {("spline overall", "skewed"): "spline.tsv"}
BLOCK = 100
Counts = dict[str, list[int]]  # test -> [tested, rejected]


def cohort(family: str, n: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Score, confound columns and latents of one cohort without any effect of a latent."""
    rng = np.random.default_rng([list(made.SCORES).index(family), n, number])
    table, z = made.people(n, rng)
    return made.score(family, made.predictor(table), rng), made.columns(table), z, rng


def p_values(kind: str, y: np.ndarray, x: np.ndarray, z: np.ndarray, latent: int) -> dict[str, float]:
    """The p of each regression test of one latent, and of all latents together; NaN where a fit has none."""
    found = bend_overall(kind, y, x, z[:, latent])
    if too_few_for(kind, len(y), x.shape[1] + z.shape[1]):
        return found | {"multivariable": np.nan}
    y = standard(y) if kind == "continuous" else y
    null = families.fit(kind, y, x)
    full = families.fit(kind, y, np.column_stack([x, z])) if null.status == "ok" else null
    p, extra = np.nan, z.shape[1]
    if worst(null, full) == "ok":  # as associate.joint tests all latents together
        several = kind == "continuous"
        p = (
            ordinary_f(null, full, extra, len(y) - x.shape[1] - extra)
            if several
            else families.nested_p(null, full, extra, len(y))
        )
    return found | {"multivariable": p}


def bend_overall(kind: str, y: np.ndarray, x: np.ndarray, z: np.ndarray) -> dict[str, float]:
    """The p of one latent: line, quadratic over the line, spline over the line and over the confounds."""
    y, unit, n = standard(y) if kind == "continuous" else y, standard(z), len(y)
    knots = spline_knots(unit)
    assert knots is not None
    null, line = families.fit(kind, y, x), families.fit(kind, y, np.column_stack([x, unit]))
    found = dict.fromkeys(TESTS[:-1], np.nan)
    if worst(null, line) != "ok":
        return found
    found["glm"] = families.nested_p(null, line, 1, n)
    found["quadratic"] = polynomials(kind, y, x, unit, line).get("p_quadratic", np.nan)
    bent = families.fit(kind, y, np.column_stack([x, natural_spline(unit, knots)]))
    if bent.status == "ok":
        bends = len(knots) - 2
        found["spline bend"] = families.nested_p(line, bent, bends, n)
        found["spline overall"] = families.nested_p(null, bent, bends + 1, n)
    return found


def counted(family: str, n: int, start: int, stop: int) -> Counts:
    """Tested and rejected per test over these cohorts."""
    kind, counts = made.KINDS[family], {test: [0, 0] for test in TESTS}
    for number in range(start, stop):
        y, x, z, rng = cohort(family, n, number)
        for test, p in p_values(kind, y, x, z, int(rng.integers(z.shape[1]))).items():
            counts[test][0] += bool(np.isfinite(p))
            counts[test][1] += bool(p < lines.ALPHA)
    return counts


def table(pool: Executor | None, cohorts: dict[str, int], sizes: tuple[int, ...] = SIZES) -> pd.DataFrame:
    """A row per test, family and n: cohorts, tested, rejected, share, bounds."""
    jobs = [
        (family, n, start, stop)
        for n in sorted(sizes, reverse=True)
        for family in made.SCORES
        for start, stop in lines.blocks(cohorts["linear" if family in made.LINEAR else "iterative"], BLOCK)
    ]
    found = [
        {
            "test": test,
            "family": job[0],
            "n": job[1],
            "cohorts": job[3] - job[2],
            "tested": pair[0],
            "rejected": pair[1],
        }
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, pair in counts.items()
    ]
    return bounded(pd.DataFrame(found).groupby(["test", "family", "n"], sort=False).sum().reset_index(), sides=2)


def bounded(found: pd.DataFrame, sides: int) -> pd.DataFrame:
    """Share of rejections, its bounds and whether it is inside them."""
    low, high = zip(*[lines.interval(int(m)) if m else (np.nan, np.nan) for m in found["tested"]], strict=True)
    share = found["rejected"] / found["tested"]
    found = found.assign(share=share, low=low if sides == 2 else 0.0, high=high, sides=sides)
    inside = (found["share"] >= found["low"]) & (found["share"] <= found["high"])
    return found.assign(holds=inside | (found["tested"] == 0))


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per test and family, over its cohort sizes."""
    listed = []
    for (test, family), part in found.groupby(["test", "family"], sort=False):
        for row in part.sort_values("n").itertuples():
            text = f"false positives: {test}, {family}, {row.n} people"
            if not row.tested:
                listed.append(Check(text, "refused", "too few people a column", None, int(row.cohorts)))
                continue
            caveat = CAVEATS.get((test, family), "")
            listed.append(lines.rate(text, int(row.rejected), int(row.tested), row.sides, caveat=caveat))
    return listed
