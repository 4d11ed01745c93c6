"""Nonlinear association of a score with a latent: spline and polynomials, each nested over a simpler model.

Spline: natural cubic, 3 df (Harrell 2015, section 2.4.5). Polynomials: the quadratic over the line, then the cubic
over the quadratic, 1 df each. A robust F of both at once rejected 6.6 % of linear Gaussian truths with 120 people at
5 %, since the tails of the cubic have much leverage; nested, the quadratic rejects 5.0, the cubic 3.4 %, the spline
5.0 %. The curve is that of the tested spline, with its pointwise band.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import skew

from neurovae.associate.fitted import CONSTANT, Fitted, Linear, Row
from neurovae.associate.pooled import band as pooled_band
from neurovae.associate.pooled import pooled
from neurovae.design.rows import AFTER, BEFORE, REASONS, ROLE, described, worst
from neurovae.design.tables import bh
from neurovae.io import latent_table
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, polynomial, residual, spline_knots
from neurovae.stats.curve import band, half_width

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


def spline(table: pd.DataFrame, data: list[Fitted], fits: list[dict[str, Linear]]) -> tuple[list[Row], list[Row]]:
    """Test one score: a row per latent, and the points of their curves. data, fits: in every completed table."""
    by_table = [_rows(table, one, of_latents) for one, of_latents in zip(data, fits, strict=True)]
    rows, points = [], []
    for same_test in zip(*by_table, strict=True):
        row = pooled([part for part, _ in same_test])
        curve = pooled_band([curve for _, curve in same_test]) if row["status"] == "ok" else []
        keys = {key: row.get(key) for key in ("score", "model", "fold", "seed", "latent", "df", "p_nonlinear")}
        points += [keys | point for point in curve]
        rows.append(row)
    for test in TESTS:
        p = np.array([row.get(f"p_{test}", np.nan) for row in rows])
        q, _ = bh(p, np.isfinite(p))
        rows = [row | {f"q_{test}": q[k]} for k, row in enumerate(rows)]
    size = sum(row["status"] == "ok" for row in rows)
    return [row | {"family_size": size} for row in rows], points


def _rows(table: pd.DataFrame, data: Fitted, fits: dict[str, Linear]) -> list[tuple[Row, list[Row]]]:
    """Test one score in one completed table: rows, each with the points of its curve."""
    score, cases, null = data.score, data.cases, data.null
    rows = []
    for name in latent_table.columns(table):
        row = described(table, score, name, cases) | {"status": cases.status, "reason": cases.reason}
        curve: list[Row] = []
        if null is not None and name in fits:
            numbers, curve = _test(data, null, fits[name], table[name].to_numpy(float)[cases.rows])
            row |= numbers
        elif null is not None:
            row |= CONSTANT
        rows.append((row, curve))
    return rows


def _test(data: Fitted, null: families.Fit, linear: Linear, values: np.ndarray) -> tuple[Row, list[Row]]:
    """Test one latent and compute its curve. values: (n,) the latent, unscaled."""
    kind, y, x, link = data.score["type"], data.y, data.cases.x, data.score.get("link")
    knots = spline_knots(linear.z)
    if knots is None:
        return dict(NO_SPLINE), []
    x_full = np.column_stack([x, natural_spline(linear.z, knots)])
    family = data.cases.family
    full = families.fit(kind, y, x_full, link, family)
    status = worst(null, linear.fit, full)
    if status != "ok":
        return {"status": status, "reason": REASONS[status]}, []
    n_curved = x_full.shape[1] - linear.x.shape[1]
    numbers = {
        "family": full.family,
        "link": full.link,
        "df": n_curved + 1,
        "p_nonlinear": families.nested_p(linear.fit, full, n_curved, len(y)),
        "p_overall": families.nested_p(null, full, n_curved + 1, len(y)),
        "partial_r2_nonlinear": families.partial_r2(kind, y, linear.x, x_full, linear.fit, full),
        "partial_r2": families.partial_r2(kind, y, x, x_full, null, full),
    }
    if caveat := skewed(kind, y, x_full):
        numbers["reason"] = "; ".join(filter(None, [data.cases.reason, caveat]))
    polynomial_numbers = polynomials(kind, y, x, linear.z, linear.fit, link, family)
    return numbers | polynomial_numbers, curve_points(data, linear, values, knots, full)


def skewed(kind: str, y: np.ndarray, x: np.ndarray) -> str:
    """Return a caveat where the residuals of a continuous score are skewed: the F of three columns is then approximate.

    With exponential residuals it rejects 6.8 % of true nulls at 5 % with 500 people (5,000 cohorts). Hotelling's T2 of
    the score contributions rejects 5.0 % (2,500), but finds a U at 1 % in 53, not 80 %, of cohorts of 120 people.
    """
    size = abs(float(skew(residual(y, x)))) if kind == "continuous" else 0.0
    return f"skewed residuals ({size:.1f}): p_overall is approximate, see p_permutation" if size > SKEWED else ""


def polynomials(
    kind: str,
    y: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    linear: families.Fit,
    link: str | None = None,
    family: np.ndarray | None = None,
) -> dict[str, Any]:
    """Test the quadratic term given the linear one, and the cubic term given the quadratic: 1 df each."""
    power = polynomial(z, 3)
    numbers: dict[str, Any] = {}
    lower = linear
    for degree, name in ((2, "quadratic"), (3, "cubic")):
        curved = families.fit(kind, y, np.column_stack([x, power[:, :degree]]), link, family)
        if curved.status != "ok":
            return numbers | {"polynomial_status": f"{name}: {curved.status}"}
        numbers[f"p_{name}"] = families.nested_p(lower, curved, 1, len(y))
        lower = curved
    return numbers | {"polynomial_status": "ok"}


def curve_points(
    data: Fitted, linear: Linear, values: np.ndarray, knots: np.ndarray, full: families.Fit
) -> list[dict[str, float]]:
    """Return the fitted spline with its pointwise 95 % band, on the score's own scale, at mean confounds.

    Of a survival score: log hazard ratio to a person whose latent is at its mean.
    """
    grid = np.linspace(np.quantile(linear.z, 0.025), np.quantile(linear.z, 0.975), GRID)
    places = values.mean() + grid * values.std(ddof=1)
    if data.score["type"] == "survival":
        change = natural_spline(grid, knots) - natural_spline(np.zeros(1), knots)
        centre, half = change @ full.coef[-change.shape[1] :], half_width(change, full)
        return points(places, (centre, centre - half, centre + half))
    mean = np.repeat(data.cases.x.mean(axis=0)[None, :], GRID, axis=0)
    curve = band(data.score["type"], data.y, np.column_stack([mean, natural_spline(grid, knots)]), full)
    low, high = (
        data.score["bounds"] if data.score["type"] == "bounded" else (0.0, 1.0)
    )  # fitted as a fraction of this range
    return points(places, tuple(low + (high - low) * (data.origin + data.unit * column) for column in curve))


def points(places: np.ndarray, curve: tuple[np.ndarray, ...]) -> list[dict[str, float]]:
    """Rows of a curve (fitted, low, high) at these values of the latent."""
    return [
        dict(zip(("latent_value", "fitted", "low", "high"), map(float, row), strict=True))
        for row in zip(places, *curve, strict=True)
    ]
