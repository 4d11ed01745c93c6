"""Is the association of a score with a latent nonlinear? Spline and polynomials, each nested over a simpler model.

Spline: natural cubic, 3 df (Harrell 2015, section 2.4.5). Polynomials: the quadratic over the line, then the cubic
over the quadratic, 1 df each. A robust F of both at once rejected 6.6 % of linear Gaussian truths with 120 people at
5 %, since the tails of the cubic have much leverage; nested, the quadratic rejects 5.0, the cubic 3.4 %, the spline
5.0 %. The curve is that of the tested spline, with its pointwise band.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import skew

from neurovae.associate.fitted import CONSTANT, Fitted, Line, Row
from neurovae.associate.pooled import band as pooled_band
from neurovae.associate.pooled import pooled
from neurovae.design.rows import AFTER, BEFORE, REASONS, ROLE, described, worst
from neurovae.design.tables import bh
from neurovae.io import latent_table
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, polynomial, residual, spline_knots
from neurovae.stats.curve import band

TESTS = ("nonlinear", "overall", "quadratic", "cubic")
STATISTICS = [f"{kind}_{test}" for test in TESTS for kind in "pq"] + ["partial_r2_nonlinear", "partial_r2"]
COLUMNS = (
    BEFORE | ROLE | {"df": "Int64"} | dict.fromkeys(STATISTICS, "float64") | {"polynomial_status": "object"} | AFTER
)
CURVE = {"score": "object", "model": "object", "fold": "Int64", "seed": "Int64", "latent": "object", "role": "object",
         "df": "Int64", "latent_value": "float64", "fitted": "float64", "low": "float64", "high": "float64",
         "p_nonlinear": "float64", "verdict": "object"}  # fmt: skip
SKEWED = 1.0  # skewness of the residuals of a continuous score from which on p_overall has a caveat
GRID = 41  # points of a curve, from the 2.5 % to the 97.5 % quantile of the latent
NO_SPLINE = {"status": "too few people", "reason": "the latent has too few distinct values for a spline"}


def spline(table: pd.DataFrame, known: list[Fitted], lines: list[dict[str, Line]]) -> tuple[list[Row], list[Row]]:
    """Rows of one score, one per latent, and the points of their curves. known, lines: in every completed table."""
    parts = [_rows(table, one, of) for one, of in zip(known, lines, strict=True)]
    rows, points = [], []
    for same_test in zip(*parts, strict=True):
        row = pooled([part for part, _ in same_test])
        curve = pooled_band([curve for _, curve in same_test]) if row["status"] == "ok" else []
        same = {key: row.get(key) for key in ("score", "model", "fold", "seed", "latent", "df", "p_nonlinear")}
        points += [same | point for point in curve]
        rows.append(row)
    for test in TESTS:
        p = np.array([row.get(f"p_{test}", np.nan) for row in rows])
        q, _ = bh(p, np.isfinite(p))
        rows = [row | {f"q_{test}": q[k]} for k, row in enumerate(rows)]
    size = sum(row["status"] == "ok" for row in rows)
    return [row | {"family_size": size} for row in rows], points


def _rows(table: pd.DataFrame, known: Fitted, lines: dict[str, Line]) -> list[tuple[Row, list[Row]]]:
    """Rows of one completed table, each with the points of its curve."""
    score, cases, null = known.score, known.cases, known.null
    rows = []
    for name in latent_table.columns(table):
        row = described(table, score, name, cases) | {"status": cases.status, "reason": cases.reason}
        curve: list[Row] = []
        if null is not None and name in lines:
            tested, curve = _tested(known, null, lines[name], table[name].to_numpy(float)[cases.rows])
            row |= tested
        elif null is not None:
            row |= CONSTANT
        rows.append((row, curve))
    return rows


def _tested(known: Fitted, null: families.Fit, line: Line, values: np.ndarray) -> tuple[Row, list[Row]]:
    """Tests of one latent, and its curve. values: (n,) the latent as it is."""
    kind, y, x, link = known.score["type"], known.y, known.cases.x, known.score.get("link")
    knots = spline_knots(line.z)
    if knots is None:
        return dict(NO_SPLINE), []
    x_full = np.column_stack([x, natural_spline(line.z, knots)])
    related = known.cases.family
    full = families.fit(kind, y, x_full, link, related)
    status = worst(null, line.fit, full)
    if status != "ok":
        return {"status": status, "reason": REASONS[status]}, []
    more = x_full.shape[1] - line.x.shape[1]
    tested = {
        "family": full.family,
        "link": full.link,
        "df": more + 1,
        "p_nonlinear": families.nested_p(line.fit, full, more, len(y)),
        "p_overall": families.nested_p(null, full, more + 1, len(y)),
        "partial_r2_nonlinear": families.partial_r2(kind, y, line.x, x_full, line.fit, full),
        "partial_r2": families.partial_r2(kind, y, x, x_full, null, full),
    }
    if caveat := skewed(kind, y, x_full):
        tested["reason"] = "; ".join(filter(None, [known.cases.reason, caveat]))
    powers = polynomials(kind, y, x, line.z, line.fit, link, related)
    return tested | powers, curve_points(known, line, values, knots, full)


def skewed(kind: str, y: np.ndarray, x: np.ndarray) -> str:
    """A caveat where the residuals of a continuous score are skewed: the F of three columns is then approximate.

    With exponential residuals it rejects 6.8 % of true nulls at 5 % with 500 people (5,000 cohorts).
    """
    size = abs(float(skew(residual(y, x)))) if kind == "continuous" else 0.0
    return f"skewed residuals ({size:.1f}): p_overall is approximate, see p_permutation" if size > SKEWED else ""


def polynomials(
    kind: str,
    y: np.ndarray,
    x: np.ndarray,
    unit: np.ndarray,
    line: families.Fit,
    link: str | None = None,
    related: np.ndarray | None = None,
) -> dict[str, Any]:
    """p of the quadratic term over the line, and of the cubic term over the quadratic: 1 df each."""
    power = polynomial(unit, 3)
    found: dict[str, Any] = {}
    lower = line
    for degree, name in ((2, "quadratic"), (3, "cubic")):
        curved = families.fit(kind, y, np.column_stack([x, power[:, :degree]]), link, related)
        if curved.status != "ok":
            return found | {"polynomial_status": f"{name}: {curved.status}"}
        found[f"p_{name}"] = families.nested_p(lower, curved, 1, len(y))
        lower = curved
    return found | {"polynomial_status": "ok"}


def curve_points(
    known: Fitted, line: Line, values: np.ndarray, knots: np.ndarray, full: families.Fit
) -> list[dict[str, float]]:
    """Points of the fitted spline with its pointwise 95 % band, on the score's own scale, at mean confounds."""
    grid = np.linspace(np.quantile(line.z, 0.025), np.quantile(line.z, 0.975), GRID)
    mean = np.repeat(known.cases.x.mean(axis=0)[None, :], GRID, axis=0)
    curve = band(known.score["type"], known.y, np.column_stack([mean, natural_spline(grid, knots)]), full)
    low, high = known.score["bounds"] if known.score["type"] == "bounded" else (0.0, 1.0)  # fitted as a share of these
    fitted, lower, upper = (low + (high - low) * (known.origin + known.unit * part) for part in curve)
    places = values.mean() + grid * values.std(ddof=1)
    return [
        dict(zip(("latent_value", "fitted", "low", "high"), map(float, row), strict=True))
        for row in zip(places, fitted, lower, upper, strict=True)
    ]
