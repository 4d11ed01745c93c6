"""Times to events under the null, where confounds drive hazard, censoring and latents; and a planted effect.

plain     censoring depends on a confound, as the tests suppose.
late      entry is delayed, at an age-like time.
lost      censoring depends on the tested latent itself, which the permutation does not suppose; the hazard does not.
planted   the latent's hazard ratio is 2 per SD.
"""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import proof_lines as lines
from proof_lines import Check
from proof_null import bounded

from neurovae.associate.omnibus import omnibus
from neurovae.associate.univariate import tests
from neurovae.predict import survival_permutation
from neurovae.predict.folds import Folds, complete_cases

PEOPLE, LATENTS, FOLDS, PERMUTATIONS, PREDICTED, BLOCK = 100, 4, 5, 199, 19, 10
WORLDS = ("plain", "late", "lost", "planted")
CONFOUNDS = [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}]
POWER = 0.8  # of the single tests of the planted latent


def cohort(world: str, number: int) -> tuple[pd.DataFrame, dict]:
    """The joined table of one cohort, and its score."""
    rng = np.random.default_rng([4711, WORLDS.index(world), number])
    person = [f"sub-{k:03d}" for k in range(PEOPLE)]
    table = pd.DataFrame({"scan": person, "person": person, "fold": np.arange(PEOPLE) % FOLDS})
    table = table.assign(session=None, session_order=1, acquisition=None, run=None, site="n/a", qc_excluded=False)
    table = table.assign(age=rng.uniform(50, 80, PEOPLE), sex=rng.choice(["F", "M"], PEOPLE))
    old, z = (table["age"] - 65) / 9, rng.normal(size=(PEOPLE, LATENTS))
    z[:, 0] += 0.7 * old
    effect = np.log(2) * (world == "planted")
    event = rng.exponential(size=PEOPLE) * np.exp(-0.6 * old - effect * (z[:, 0] - 0.7 * old))
    leaving = z[:, 0] if world == "lost" else 0.5 * old
    end = 1.5 * rng.exponential(size=PEOPLE) * np.exp(-leaving)
    entry = rng.uniform(0, 1, PEOPLE) * (world == "late")
    table = table.assign(score=entry + np.minimum(event, end), score_event=(event <= end) * 1.0, score_entry=entry)
    table = table.assign(latents_model="synthetic", latents_fold=0, latents_seed=0, latents_split="test")
    table[[f"mu_{k:03d}" for k in range(LATENTS)]] = z
    return table, {"name": "score", "type": "survival", "entry": "entry" if world == "late" else None}


def p_values(world: str, number: int) -> dict[str, float]:
    """The p of the first latent by each test, of all of them together, and of the prediction."""
    table, score = cohort(world, number)
    glm, spline, _, permuted = tests(table, [score], CONFOUNDS, PERMUTATIONS, number)
    whole, _ = omnibus(table, [score], CONFOUNDS, PERMUTATIONS, number)
    found = {
        "Cox": glm[0].get("p", np.nan),
        "proportional hazards": glm[0].get("p_proportional", np.nan),
        "spline, nonlinearity": spline[0].get("p_nonlinear", np.nan),
        "permutation, one latent": permuted[0].get("p_permutation", np.nan),
        "permutation, square": permuted[0].get("p_quadratic_permutation", np.nan),
        "max-T": min(row.get("p_maxt", np.nan) for row in permuted),
        "omnibus": whole[0].get("p", np.nan),
    }
    if number % 2 == 0:
        cases = complete_cases(Folds(dict.fromkeys(range(FOLDS), table), "per fold"), score, CONFOUNDS, inner=3)
        z = dict.fromkeys(range(FOLDS), cases.table[cases.latents].to_numpy(float))
        test = survival_permutation.permutation_test(cases, z, False, PREDICTED, number)
        found["prediction"] = test.get("p_permutation", np.nan)
    return found


def counted(world: str, start: int, stop: int) -> dict[str, list[int]]:
    """Tested and rejected per test."""
    counts: dict[str, list[int]] = {}
    for number in range(start, stop):
        for test, p in p_values(world, number).items():
            pair = counts.setdefault(test, [0, 0])
            pair[0] += bool(np.isfinite(p))
            pair[1] += bool(p <= lines.ALPHA + 1e-9)
    return counts


def table(pool: Executor | None, cohorts: int) -> pd.DataFrame:
    """Rejections per test and world."""
    jobs = [(world, *b) for world in WORLDS for b in lines.blocks(cohorts, BLOCK)]
    rows = [
        {"test": test, "family": job[0], "n": PEOPLE, "tested": a, "rejected": b}
        for job, counts in zip(jobs, lines.shared(pool, counted, jobs), strict=True)
        for test, (a, b) in counts.items()
    ]
    return bounded(pd.DataFrame(rows).groupby(["test", "family", "n"], sort=False).sum().reset_index(), 2)


def checks(found: pd.DataFrame) -> list[Check]:
    """A line per test and world; where censoring depends on the latent the numbers inform."""
    listed = []
    for row in found.itertuples():
        text = f"times to events, {row.family}: {row.test}"
        shape = row.test in ("proportional hazards", "spline, nonlinearity", "permutation, square")
        if row.family == "planted" and not shape:
            listed.append(lines.reached(text, row.rejected / max(row.tested, 1), POWER, row.tested, "of the cohorts"))
        elif row.family == "lost":
            check = lines.rate(text, row.rejected, row.tested)
            listed.append(Check(text, check.value, check.bar, None, row.tested, "censoring depends on the latent"))
        else:
            listed.append(lines.rate(text, row.rejected, row.tested))
    return listed
