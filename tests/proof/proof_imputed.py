"""Missing confounds: level and power of the tests after multiple imputation, beside complete cases and whole data.

Age is missing at random: the more often, the higher the score and one latent (about a quarter of the people); sex is
missing in a tenth. Under the null the score follows age, sex and size, and the latent that is tested is the one that
follows age most: what an imputation leaves of the confounding would show here. Its power is that of the same latent.
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
from proof_lines import Check
from scipy.special import expit

from neurovae.associate.fitted import Fitted, fitted
from neurovae.associate.permute import permute
from neurovae.associate.pooled import pooled
from neurovae.design.rows import standard, worst
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, spline_knots

FAMILIES = ("Gaussian", "negative binomial", "binary", "ordinal", "bounded", "gamma")
SIZES = (60, 120)
LATENT, IMPUTATIONS, PERMUTATIONS, BLOCK = 0, 20, 199, 20
TESTS = ("p", "p_nonlinear", "p_overall")
WAYS = {"whole": 0, "complete cases": 0, "imputed": IMPUTATIONS}
EFFECT = {60: 0.5, 120: 0.35}  # of the latent on the linear predictor


def cohort(family: str, n: int, number: int, effect: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The joined table as it is, and with gaps in age and sex."""
    rng = np.random.default_rng([2020, list(made.SCORES).index(family), n, number])
    people, z = made.people(n, rng)
    y = made.score(family, made.predictor(people) + effect * z[:, LATENT], rng)
    whole = made.cohort_table(people, z, {"score": y})
    standing = (y - y.mean()) / y.std() if y.std() > 0 else np.zeros(n)
    gaps = rng.random(n) < expit(-1.3 + 0.8 * standing + 0.5 * z[:, 1])
    sex = whole["sex"].mask(rng.random(n) < 0.1)
    return whole, whole.assign(age=whole["age"].mask(gaps), sex=sex)


def p_values(table: pd.DataFrame, family: str, imputations: int, seed: int, permutations: int) -> dict[str, Any]:
    """p of the latent's line and spline, its effect with interval, and the smallest p_maxt over the latents."""
    kind = made.KINDS[family]
    score = {"name": "score", "type": kind} | ({"bounds": [0, 1]} if kind == "bounded" else {})
    known = fitted(table, score, made.CONFOUNDS, imputations, seed)
    row = pooled([_row(table[f"mu_{LATENT:03d}"].to_numpy(float), one) for one in known])
    found = {name: row.get(name, np.nan) for name in ("n", *TESTS, "effect", "ci_low", "ci_high", "fmi")}
    rows = permute(table, [known], permutations, seed) if permutations else []
    return found | {"p_maxt": min((one.get("p_maxt", np.nan) for one in rows), default=np.nan)}


def _row(latent: np.ndarray, known: Fitted) -> dict[str, Any]:
    """What `glm` and `spline` say of one latent in one completed table, without the checks."""
    kind, y, x, n = known.score["type"], known.y, known.cases.x, len(known.y)
    z = standard(latent[known.cases.rows])
    knots, null = spline_knots(z), known.null
    if null is None or knots is None:
        return {"status": "not tested", "n": n}
    line, bent = (families.fit(kind, y, np.column_stack([x, block])) for block in (z, natural_spline(z, knots)))
    if worst(null, line, bent) != "ok":
        return {"status": worst(null, line, bent), "n": n}
    low, high = families.interval(line, n)
    return {
        "status": "ok", "n": n, "effect": line.effect, "ci_low": low, "ci_high": high,
        "se": families.error(line, n), "df_effect": line.df, "p": families.nested_p(null, line, 1, n), "df": 3,
        "p_nonlinear": families.nested_p(line, bent, 2, n), "p_overall": families.nested_p(null, bent, 3, n),
    }  # fmt: skip


def counted(family: str, n: int, effect: float, permutations: int, start: int, stop: int) -> list[dict[str, Any]]:
    """Rows of these cohorts: one for each way of dealing with the gaps."""
    rows = []
    for number in range(start, stop):
        whole, gaps = cohort(family, n, number, effect)
        for way, imputations in WAYS.items():
            found = p_values(whole if way == "whole" else gaps, family, imputations, number, permutations)
            rows.append({"family": family, "people": n, "planted": effect, "number": number, "way": way} | found)
    return rows


def table(pool: Executor | None, cohorts: int) -> pd.DataFrame:
    """A row per cohort and way: nulls of all families, and planted effects of three; permutations for Gaussian ones."""
    plans = [(family, n, 0.0, PERMUTATIONS if family == "Gaussian" else 0) for family in FAMILIES for n in SIZES]
    plans += [(family, n, EFFECT[n], 0) for family in FAMILIES[:3] for n in SIZES]
    jobs = [(*plan, start, stop) for plan in plans for start, stop in lines.blocks(cohorts, BLOCK)]
    return pd.DataFrame([row for part in lines.shared(pool, counted, jobs) for row in part])


def checks(found: pd.DataFrame) -> list[Check]:
    """Level of the imputed tests, and their power beside that of complete cases."""
    listed = []
    for (family, n, planted), part in found.groupby(["family", "people", "planted"], sort=False):
        by = dict(list(part.groupby("way")))
        for test in (*TESTS, "p_maxt") if not planted else ():
            p = by["imputed"][test].dropna()
            if len(p):
                text = f"missing confounds imputed: false positives of {test}, {family}, {n} people"
                listed.append(lines.rate(text, int((p <= lines.ALPHA).sum()), len(p)))
        if planted:
            power = {way: float((by[way]["p"] <= lines.ALPHA).mean()) for way in WAYS}
            text = f"missing confounds imputed: power, {family}, {n} people (whole data {power['whole']:.2f})"
            passed = power["imputed"] >= power["complete cases"]
            bar = f"at least {power['complete cases']:.3f}, of complete cases"
            listed.append(Check(text, f"{power['imputed']:.3f}", bar, bool(passed), len(by["imputed"])))
    return listed
