"""A score against change over visits, under the null and planted: time x score in growth models of simulated latents.

The null score is associated with all levels and, through age, which moves the slopes of all latents, with change; given
age it is not. Two to four visits at irregular times, or two. Beside it, without a bar: how well the growth models order
simulated people by the onset of their disease.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_lines as lines
from growth_cohort import CONFOUNDS, SCORE, draw
from proof_lines import Check
from proof_null import bounded
from scipy.stats import kendalltau

from neurovae.cohort.longitudinal import draw_visits
from neurovae.stats import growth
from neurovae.trajectory.change import change
from neurovae.trajectory.frame import confounds_of, frame

LATENTS, PEOPLE, PERMUTATIONS, BLOCK, LEVEL = 8, 60, 999, 10, 0.99
VISITS = {"2 to 4 visits": (2, 4), "2 visits": (2, 2)}
SIMULATED = {"most": 3, "years": 2, "dropout": 0.1, "new_scanner": 0.0}
ORDERED, NOISE = 150, 0.5  # people; standard deviation of the noise of a visit, in that of a region's true volume
PLANTED = 1.0  # change of a slope, in its SD, per SD of the score


def p_values(visits: str, number: int, planted: float, permutations: int = PERMUTATIONS) -> list[dict[str, float]]:
    """Rows of the test of one cohort, a row per latent; the first latent holds what is planted."""
    table = draw(number, PEOPLE, LATENTS, VISITS[visits], score_on_change=planted).table
    names = [name for name in table if str(name).startswith("mu_")]
    design = frame(table, confounds_of(table, CONFOUNDS, None, True))
    return change(design, table[names].to_numpy(float), names, table, SCORE, {}, permutations, number)


def counted(visits: str, start: int, stop: int) -> dict[str, list[int]]:
    """Cohorts tested and rejected: the smallest max-T p, and the first latent's p of model and permutation."""
    counts: dict[str, list[int]] = {}
    for number in range(start, stop):
        rows = p_values(visits, number, 0.0)
        tests = {"max-T over 8 latents": min(row["p_maxt"] for row in rows)}
        tests |= {"one latent, permutation": rows[0]["p_permutation"], "one latent, model": rows[0]["p"]}
        for name, p in tests.items():
            pair = counts.setdefault(name, [0, 0])
            pair[0] += 1
            pair[1] += bool(p <= lines.ALPHA + 1e-9)
    return counts


def table(pool: Executor | None, cohorts: int) -> pd.DataFrame:
    """Rejections per test and number of visits."""
    jobs = [(visits, *block) for visits in VISITS for block in lines.blocks(cohorts, BLOCK)]
    rows = [
        {"test": test, "visits": job[0], "n": PEOPLE, "cohorts": job[2] - job[1], "tested": a, "rejected": b}
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, (a, b) in counts.items()
    ]
    found = pd.DataFrame(rows).groupby(["test", "visits", "n"], sort=False).sum().reset_index()
    return bounded(found, 2)


def planted(cohorts: int) -> tuple[int, int]:
    """Cohorts with a planted association in which max-T finds that latent, and other latents found in all of them."""
    hits = others = 0
    for number in range(cohorts):
        p = np.array([row["p_maxt"] for row in p_values("2 to 4 visits", 10_000 + number, PLANTED)])
        hits, others = hits + int(p[0] <= lines.ALPHA), others + int((p[1:] <= lines.ALPHA).any())
    return hits, others


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per test: inside the exact 99 % binomial interval around 5 %."""
    made = []
    for row in found.itertuples():
        low, high = lines.interval(row.tested, level=LEVEL)
        rate = row.rejected / row.tested
        made.append(Check(f"false positives: time x score, {row.visits}, {row.test}, {row.n} people", f"{rate:.4f}",
                          f"{low:.4f} to {high:.4f}", low <= rate <= high, row.tested))  # fmt: skip
    return made


def found_again(cohorts: int) -> list[Check]:
    """The planted association is found, and the other latents keep their level."""
    hits, others = planted(cohorts)
    high = lines.interval(cohorts, level=LEVEL)[1]
    return [
        Check(f"power: time x score of {PLANTED:g} SD of the slope, max-T", f"{hits / cohorts:.3f}", "at least 0.8",
              hits >= 0.8 * cohorts, cohorts),
        Check("false positives beside it: other latents, max-T", f"{others / cohorts:.4f}", f"at most {high:.4f}",
              others <= high * cohorts, cohorts),
    ]  # fmt: skip


def onset_order(seed: int) -> tuple[float, float]:
    """Kendall's tau of estimated and true age at onset, and that of the onset and age alone, of one simulated cohort.

    Visits have the log-volumes of the simulator's regions with noise, without images. Estimated: age at the first visit
    less the stage there; the stage is the level of all regions on the mean change of a year, in years of that change.
    """
    rng = np.random.default_rng(seed)
    people = [draw_visits(rng, k + 1, seed=seed, visits=SIMULATED) for k in range(ORDERED)]
    visits = [(k, visit) for k, one in enumerate(people) for visit in one.visits]
    truth = pd.DataFrame([visit.truth for _, visit in visits])
    z = truth.filter(regex="^log_").to_numpy(float)
    z = (z - z.mean(axis=0)) / z.std(axis=0) + NOISE * rng.normal(size=z.shape)
    person, t = np.array([k for k, _ in visits]), truth["years"].to_numpy(float)
    first = np.unique(person, return_index=True)[1]
    design = growth.visits(np.column_stack([np.ones(len(t)), t]), t, person, True)
    fits = [growth.fit(design, y) for y in z.T]
    change = np.array([found.coef[1] / found.residual for found in fits])
    per_year = np.array([found.coef[1] for found in fits])
    stage = np.array([found.blup[:, 0] for found in fits]).T @ change / (per_year @ change)
    age, onset = truth["age"].to_numpy(float)[first], truth["onset"].to_numpy(float)[first]
    return float(kendalltau(age - stage, onset)[0]), float(kendalltau(age, onset)[0])


def ordered(cohorts: int) -> list[Check]:
    """Kendall's tau over cohorts, for information."""
    both = np.array([onset_order(seed) for seed in range(cohorts)])
    words = ("order of onsets: growth models, Kendall tau", "order of onsets: age alone, Kendall tau")
    return [
        Check(text, f"{tau.mean():.3f}", f"SD {tau.std(ddof=1):.3f} over cohorts of {ORDERED}", None, cohorts, "no bar")
        for text, tau in zip(words, both.T, strict=True)
    ]
