"""A score driven by age, by age squared, or by site alone: no latent effect once declared, named by the audit if not.

Latents follow age in a line and in a curve, and sites shift latents and score alike, so that undeclared every one of
these scores would be a finding. Declared means: as the pipeline enters it, age as a spline of 3 df, sites as dummies.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check
from proof_null import bounded
from univariate_rows import glm_rows, permute_rows

from neurovae.audit.confounds import audit, summary

SIZES = (120, 500)
DRIVERS = ("age", "age squared", "site")
SHIFT, BEND = 0.8, 0.3  # of latents: SD between sites, and per unit of the squared standardised age
PERMUTATIONS, FLAG, NAMED = 199, 0.1, 0.95
SCORE: list[dict[str, Any]] = [{"name": "score", "type": "continuous"}]


def cohort(driver: str, n: int, number: int, declared: bool) -> tuple[pd.DataFrame, list[dict[str, Any]], str]:
    """Joined table, the declared confounds, and one latent drawn at random. Undeclared, site is a column `scanner`."""
    rng = np.random.default_rng([505, DRIVERS.index(driver), n, number])
    table, z = made.people(n, rng)
    a, site = (table["age"].to_numpy() - 47.5) / 17.5, rng.integers(3, size=n)
    z = z + BEND * (a**2 - 1)[:, None] * rng.choice([-1, 1], z.shape[1])
    drives = {"age": a, "age squared": a**2 - 1, "site": np.array([-1.0, 0.0, 1.2])[site]}[driver]
    if driver == "site":
        z = z + SHIFT * rng.normal(size=(3, z.shape[1]))[site]
    y = 1.2 * drives + rng.normal(size=n)
    found = made.cohort_table(table, z, {"score": y})
    names = np.array(["A", "B", "C"])[site]
    if driver == "site":
        found = found.assign(site=names) if declared else found.assign(scanner=names)
    confounds = [one for one in made.CONFOUNDS if declared or driver == "site" or one["name"] != "age"]
    return found, confounds, f"mu_{rng.integers(z.shape[1]):03d}"


def counted(driver: str, n: int, start: int, stop: int) -> dict[str, list[int]]:
    """Cohorts, and those with a reported effect: one latent by the GLM, any latent by max-T; named by the audit."""
    counts = {key: [0, 0] for key in ("glm, declared", "max-T, declared", "glm, not declared", "audit")}

    def add(key: str, hit: bool) -> None:
        counts[key][0] += 1
        counts[key][1] += bool(hit)

    for number in range(start, stop):
        table, confounds, latent = cohort(driver, n, number, True)
        others = [name for name in table if name.startswith("mu_") and name != latent]
        add("glm, declared", glm_rows(table.drop(columns=others), SCORE[0], confounds)[0]["p"] < lines.ALPHA)
        least = min(row["p_maxt"] for row in permute_rows(table, SCORE, confounds, PERMUTATIONS, number))
        add("max-T, declared", least <= lines.ALPHA + 1e-9)
        table, confounds, _ = cohort(driver, n, number, False)
        add("glm, not declared", glm_rows(table.drop(columns=others), SCORE[0], confounds)[0]["p"] < lines.ALPHA)
        if number % 5 == 0:
            told = summary(audit(table, SCORE, confounds, [], FLAG))
            word = "scanner" if driver == "site" else "age"
            add("audit", any(row["flagged"] and word in row["text"] for row in told if row["kind"] == "score"))
    return counts


def table(pool: Executor | None, cohorts: int, sizes: tuple[int, ...] = SIZES) -> pd.DataFrame:
    """Rejections per driver, n and test."""
    jobs = [(driver, n, *b) for n in sizes for driver in DRIVERS for b in lines.blocks(cohorts, 25)]
    rows = [
        {"driver": job[0], "n": job[1], "test": test, "tested": a, "rejected": b}
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, (a, b) in counts.items()
    ]
    return bounded(pd.DataFrame(rows).groupby(["driver", "n", "test"], sort=False).sum().reset_index(), 1)


def checks(found: pd.DataFrame) -> list[Check]:
    """Levels once declared, and the audit where not; what the undeclared score would have given stands in the text."""
    listed = []
    for (driver, n), part in found.groupby(["driver", "n"], sort=False):
        rows = part.set_index("test")
        bare = rows.loc["glm, not declared"]
        for test in ("glm, declared", "max-T, declared"):
            row = rows.loc[test]
            text = f"score of {driver} alone, {test}, {n} people (not declared: {bare['share']:.2f})"
            listed.append(lines.rate(text, int(row["rejected"]), int(row["tested"]), 1))
        row = rows.loc["audit"]
        text = f"score of {driver} alone, not declared, {n} people: the audit names it"
        listed.append(
            Check(
                text,
                f"{row['share']:.3f}",
                f"at least {NAMED:g}",
                row["share"] >= NAMED,
                int(row["tested"]),
            )
        )
    return listed
