"""Power beside an oracle: the likelihood-ratio test that knows the shape, the family and its dispersion.

Same column, same confounds, same alpha, same multiplicity (Bonferroni over the 16 latents). Ours is the pipeline's test
of one degree of freedom for that shape, the GLM, and for a U the quadratic; and max-T, the primary test, which corrects
for the latents itself (for a U that of the squares over their lines). Without a bar stand beside them in the table the
3-df spline, and an oracle that also knows what the confounds add (`seer`).
"""

from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import proof_cohort as made
import proof_lines as lines
import statsmodels.api as sm
from proof_lines import Check
from scipy.stats import chi2, f

from neurovae.associate.spline import polynomials
from neurovae.design.rows import standard
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, spline_knots
from neurovae.stats.maxt import at_once, batch, exceed, maxt, statistics
from neurovae.stats.quadratic import quadratic
from neurovae.stats.rao import fit_null

SIZES = (120, 300)
AT = 120  # people of whom the effects below are; at others they are scaled by sqrt(120 / n)
PERMUTATIONS = 499
BENT = 4  # latents of the family-wise error of the squares on a straight effect
ALPHA = lines.ALPHA / made.LATENTS
RANGE = (0.5, 0.9)  # of the oracle's power, in which the ratio is looked at
RATIO, BEND, BEND_ORACLE = 0.9, 0.8, 0.9
# shape -> (family, what the latent adds, our test, effects from weak to strong)
SHAPES = {
    "linear": ("Gaussian", "line", "glm", (0.26, 0.31, 0.36, 0.42)),
    "U-shaped": ("Gaussian", "square", "quadratic", (0.18, 0.22, 0.26, 0.30)),
    "saturating": ("Gaussian", "saturating", "glm", (0.35, 0.42, 0.50, 0.58)),
    "count": ("negative binomial", "line", "glm", (0.22, 0.27, 0.32, 0.37)),
    "binary": ("binary", "line", "glm", (0.6, 0.75, 0.9, 1.05)),
}
BENDS = {"U-shaped": ("square", (0.2, 0.24, 0.28, 0.33)), "saturating": ("saturating", (1.0, 1.3, 1.6, 2.0))}
STRAIGHT = {"Gaussian": 0.4, "skewed": 0.4, "negative binomial": 0.35, "binary": 0.8, "ordinal": 0.8, "gamma": 0.3}


def shaped(name: str, z: np.ndarray) -> np.ndarray:
    """What one unit of effect adds to the linear predictor."""
    return {"line": z, "square": z**2 - 1, "saturating": np.tanh(1.5 * (z + 0.7))}[name]


def cohort(family: str, shape: str, effect: float, number: int, n: int) -> dict[str, Any]:
    """One cohort with one latent, drawn at random, that matters."""
    rng = np.random.default_rng([7, list(made.SCORES).index(family), n, number])
    table, latents = made.people(n, rng)
    one = int(rng.integers(made.LATENTS))
    z = latents[:, one]
    eta = made.predictor(table)
    y = made.score(family, eta + effect * shaped(shape, z), rng)
    return {"y": y, "x": made.columns(table), "z": standard(z), "eta": eta, "truth": shaped(shape, z)} | {
        "latents": latents,
        "one": one,
    }


def oracle_p(family: str, y: np.ndarray, null: np.ndarray, full: np.ndarray) -> float:
    """Likelihood ratio (Gaussian: the equivalent F) of the last column, the dispersion of a count known."""
    if family in made.LINEAR:
        low, high = (float(sm.OLS(y, x).fit().ssr) for x in (full, null))
        df = len(y) - full.shape[1]
        return float(f.sf((high - low) / low * df, 1, df))
    family_of = sm.families.NegativeBinomial(alpha=0.5) if family == "negative binomial" else sm.families.Binomial()
    low, high = (float(sm.GLM(y, x, family=family_of).fit().deviance) for x in (full, null))
    return float(chi2.sf(high - low, 1))


def power(shape: str, n: int, effect: float, start: int, stop: int) -> dict[str, int]:
    """Cohorts in which the oracle, our test and the 3-df spline reject at the corrected alpha."""
    family, form, ours, _ = SHAPES[shape]
    kind, hits = made.KINDS[family], dict.fromkeys(("oracle", "seer", "ours", "maxt", "spline"), 0)
    for number in range(start, stop):
        one = cohort(family, form, effect * np.sqrt(AT / n), number, n)
        x, z, known = one["x"], one["z"], np.column_stack([np.ones(n), one["eta"]])
        hits["oracle"] += oracle_p(family, one["y"], x, np.column_stack([x, one["truth"]])) < ALPHA
        hits["seer"] += oracle_p(family, one["y"], known, np.column_stack([known, one["truth"]])) < ALPHA
        y = standard(one["y"]) if kind == "continuous" else one["y"]
        null, line = families.fit(kind, y, x), families.fit(kind, y, np.column_stack([x, z]))
        if ours == "quadratic":
            p = polynomials(kind, y, x, z, line).get("p_quadratic", np.nan)
        else:
            p = families.nested_p(null, line, 1, n) if line.status == "ok" else np.nan
        hits["ours"] += bool(p < ALPHA)
        primary = square_p if form == "square" else maxt_p
        hits["maxt"] += primary(kind, y, x, one, number) <= lines.ALPHA + 1e-9
        curved = families.fit(kind, y, np.column_stack([x, _spline(z)]))
        hits["spline"] += curved.status == "ok" and bool(families.nested_p(null, curved, 3, n) < ALPHA)
    return hits


def maxt_p(kind: str, y: np.ndarray, x: np.ndarray, one: dict[str, Any], seed: int) -> float:
    """The p of max-T of the latent that matters; 1 where the null has no fit."""
    null = fit_null(kind, y, x, None)[1]
    if null is None:
        return 1.0
    data = batch(one["latents"], x, [null])
    found = exceed([data], np.zeros(len(y), int), PERMUTATIONS, seed)[0]
    return float(maxt(statistics(data, np.arange(len(y))[None, :])[0], found)[1][0, one["one"]])


def square_p(kind: str, y: np.ndarray, x: np.ndarray, one: dict[str, Any], seed: int) -> float:
    """The same of max-T of the squares over their lines."""
    rows = squares(kind, y, x, one["latents"], seed)
    return float(rows[one["one"]].get("p_quadratic_maxt", 1.0)) if rows else 1.0


def squares(kind: str, y: np.ndarray, x: np.ndarray, z: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Rows of the squares of these latents; none where the null has no fit."""
    null = fit_null(kind, y, x, None)[1]
    if null is None:
        return []
    return quadratic(z, x, [(null, kind, y, None)], np.zeros(len(y), int), at_once(*z.shape), PERMUTATIONS, seed)[0]


def bend(shape: str, n: int, effect: float, start: int, stop: int) -> dict[str, int]:
    """Cohorts in which the true shape over the line, and the spline over the line, reject at .05."""
    hits = {"oracle": 0, "ours": 0}
    for number in range(start, stop):
        one = cohort("Gaussian", BENDS[shape][0], effect * np.sqrt(AT / n), number, n)
        line = np.column_stack([one["x"], one["z"]])
        hits["oracle"] += oracle_p("Gaussian", one["y"], line, np.column_stack([line, one["truth"]])) < lines.ALPHA
        hits["ours"] += bend_p("continuous", standard(one["y"]), one["x"], one["z"]) < lines.ALPHA
    return hits


def straight(family: str, n: int, start: int, stop: int) -> dict[str, int]:
    """Cohorts with a straight effect that could be tested, and in which the spline, or max-T of squares, finds a bend."""
    hits = {"tested": 0, "ours": 0, "maxt_tested": 0, "maxt": 0}
    for number in range(start, stop):
        one = cohort(family, "line", STRAIGHT[family] * np.sqrt(AT / n), number, n)
        kind = made.KINDS[family]
        y, latents = (
            standard(one["y"]) if kind == "continuous" else one["y"],
            np.roll(one["latents"], -one["one"], axis=1),
        )
        p = bend_p(kind, y, one["x"], one["z"])
        hits["tested"] += bool(np.isfinite(p))
        hits["ours"] += bool(p < lines.ALPHA)
        found = [
            row["p_quadratic_maxt"]
            for row in squares(kind, y, one["x"], latents[:, :BENT], number)
            if "p_quadratic_maxt" in row
        ]
        hits["maxt_tested"] += bool(found)
        hits["maxt"] += bool(found) and min(found) <= lines.ALPHA + 1e-9
    return hits


def bend_p(kind: str, y: np.ndarray, x: np.ndarray, z: np.ndarray) -> float:
    """The p of the spline over the line; NaN where a fit has no numbers."""
    line, full = families.fit(kind, y, np.column_stack([x, z])), families.fit(kind, y, np.column_stack([x, _spline(z)]))
    return families.nested_p(line, full, 2, len(y)) if line.status == full.status == "ok" else np.nan


def _spline(z: np.ndarray) -> np.ndarray:
    knots = spline_knots(z)
    assert knots is not None
    return natural_spline(z, knots)


def tables(
    pool: Executor | None, linear: int, iterative: int, sizes: tuple[int, ...] = SIZES
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Powers by shape and effect, powers for the bend, rejections of the bend on straight effects."""
    count = {"count": iterative, "binary": iterative}
    jobs = [
        (s, n, e, *b) for s, (*_, es) in SHAPES.items() for n in sizes for e in es
        for b in lines.blocks(count.get(s, linear), 100)
    ]  # fmt: skip
    found = _summed(["shape", "n", "effect"], jobs, lines.shared(pool, power, jobs))
    jobs = [(s, n, e, *b) for s, (_, es) in BENDS.items() for n in sizes for e in es for b in lines.blocks(linear, 250)]
    bends = _summed(["shape", "n", "effect"], jobs, lines.shared(pool, bend, jobs))
    straights = [
        (s, n, *b)
        for s in STRAIGHT
        for n in sizes
        for b in lines.blocks(linear if s in made.LINEAR else iterative, 100)
    ]
    return found, bends, _summed(["family", "n"], straights, lines.shared(pool, straight, straights))


def _summed(keys: list[str], jobs: list[tuple], found) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    rows = [
        dict(zip(keys, job, strict=False)) | {"cohorts": job[-1] - job[-2]} | hits
        for job, hits in zip(jobs, found, strict=True)
    ]
    return pd.DataFrame(rows).groupby(keys, sort=False).sum().reset_index()


def checks(found: pd.DataFrame, bends: pd.DataFrame, straights: pd.DataFrame) -> list[Check]:
    """The least ratio per shape, the bend at the least effect that the oracle finds, and the level on straight ones."""
    listed = []
    for (shape, n), part in found.groupby(["shape", "n"], sort=False):
        oracle = part["oracle"] / part["cohorts"]
        inside = part[(oracle >= RANGE[0]) & (oracle <= RANGE[1])]
        primary = "max-T of the squares" if SHAPES[shape][1] == "square" else "max-T"
        for column, name in (("ours", SHAPES[shape][2]), ("maxt", primary)):
            least = (inside[column] / inside["oracle"]).min() if len(inside) else np.nan
            text = f"power: {shape}, {n} people, {name} over oracle, least of {len(inside)} effects"
            where = "where the oracle has .5 to .9"
            listed.append(lines.reached(text, least, RATIO, int(part["cohorts"].iloc[0]), where))
    for (shape, n), part in bends.groupby(["shape", "n"], sort=False):
        sure = part[part["oracle"] >= BEND_ORACLE * part["cohorts"]]
        share = (sure["ours"] / sure["cohorts"]).iloc[0] if len(sure) else np.nan
        known = f"oracle {(sure['oracle'] / sure['cohorts']).iloc[0]:.3f}" if len(sure) else "oracle below .9"
        text = f"power: the spline finds the bend, {shape}, {n} people ({known})"
        listed.append(lines.reached(text, share, BEND, int(part["cohorts"].iloc[0]), "where the oracle has .9"))
    for row in straights.itertuples():
        listed.append(
            lines.rate(f"bend found on a straight effect, {row.family}, {row.n} people", row.ours, row.tested)
        )
        text = f"family-wise error of squares on a straight effect, {row.family}, {row.n} people"
        listed.append(lines.rate(text, row.maxt, row.maxt_tested, 1))
    return listed
