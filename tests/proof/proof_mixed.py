"""Repeated sessions under the null: mixed model and GEE, between people and within them, and their permutations.

Three sessions each; latents and scores share a person's level over sessions, and nothing else.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check
from proof_null import bounded

from neurovae.associate.mixed import mixed

SESSIONS, PERMUTATIONS, BLOCK = 3, 99, 25
SIZES = (60, 120)
FAMILIES = ("Gaussian", "skewed", "negative binomial", "binary")  # mixed model, and GEE
PERSON = 0.7  # spread of a person's own level of the linear predictor
STABLE = 0.9  # correlation of a latent between two sessions of a person, beyond the confounds


def cohort(family: str, n: int, number: int, constant: bool) -> pd.DataFrame:
    """The joined table of one cohort with one latent, drawn at random from the sixteen."""
    rng = np.random.default_rng([404, list(made.SCORES).index(family), n, number])
    table, z = made.people(n, rng)
    own, level = z[:, [rng.integers(made.LATENTS)]], PERSON * rng.normal(size=n)
    eta = made.predictor(table) + (0 if constant else level)
    parts = []
    fixed = made.score(family, eta, rng)
    for k in range(SESSIONS):
        y = fixed if constant else made.score(family, eta, rng)
        now = np.sqrt(STABLE) * own + np.sqrt(1 - STABLE) * rng.normal(size=own.shape)
        part = made.cohort_table(table, now, {"score": y})
        parts.append(part.assign(session=f"ses-{k}", scan=part["person"] + f"_ses-{k}"))
    return pd.concat(parts).sort_values(["person", "session"]).reset_index(drop=True)


def counted(family: str, n: int, start: int, stop: int) -> dict[str, list[int]]:
    """Tested and rejected, per test and term."""
    counts: dict[str, list[int]] = {}
    score = {"name": "score", "type": made.KINDS[family]}
    for number in range(start, stop):
        for constant in (False, True) if family == "Gaussian" else (False,):
            table = cohort(family, n, number, constant)
            for row in mixed(table, score, made.CONFOUNDS, PERMUTATIONS, number, False):
                for name in ("p", "p_permutation"):
                    p = row.get(name, np.nan)
                    what = "one score a person" if constant else row.get("term")
                    key = f"{what}, {'permutation' if name == 'p_permutation' else 'model'}"
                    pair = counts.setdefault(key, [0, 0])
                    known = p is not None and np.isfinite(p)
                    pair[0] += bool(known)
                    pair[1] += bool(known and p <= lines.ALPHA + 1e-9)
    return counts


def table(pool: Executor | None, cohorts: int, sizes: tuple[int, ...] = SIZES) -> pd.DataFrame:
    """Rejections per test, family and n."""
    jobs = [(f, n, *b) for n in sizes for f in FAMILIES for b in lines.blocks(cohorts, BLOCK)]
    rows = [
        {"test": test, "family": job[0], "n": job[1], "cohorts": job[3] - job[2], "tested": a, "rejected": b}
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, (a, b) in counts.items()
    ]
    found = pd.DataFrame(rows).groupby(["test", "family", "n"], sort=False).sum().reset_index()
    by_permutation = found["test"].str.contains("permutation")
    return pd.concat([bounded(found[~by_permutation], 2), bounded(found[by_permutation], 1)], ignore_index=True)


def by_gee(test: str, family: str) -> bool:
    """Whether it is the p of a GEE, on which no q rests and of which the table warns."""
    return made.KINDS[family] != "continuous" and "permutation" not in test and "one score" not in test


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per test, family and n."""
    return [
        lines.rate(f"false positives: {SESSIONS} sessions, {row.test}, {row.family}, {row.n} people",
                   row.rejected, row.tested, row.sides, caveat="mixed.tsv" if by_gee(row.test, row.family) else "")
        for row in found.itertuples()
    ]  # fmt: skip
