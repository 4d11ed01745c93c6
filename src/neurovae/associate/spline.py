"""Does a score bend with a latent? Spline and polynomials, unpenalised, each nested; never a GCV p.

Spline: natural cubic, 3 df (Harrell 2015, section 2.4.5). Polynomials: the quadratic over the line, then the cubic
over the quadratic, 1 df each: both at once, by a robust F, rejected 6.6 % of straight Gaussian truths with 120 people
at 5 %, since the cubic's tails have much leverage. So nested: quadratic 5.0, cubic 3.4 %; the spline 5.0 %. The curves
to draw are penalised ones, and bear no test.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import Json, cli
from neurovae.design.design import Design, design, join, latent_names
from neurovae.design.rows import AFTER, BEFORE, REASONS, described, standard, stopped, varies, worst
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.io.progress import steps
from neurovae.stats import families
from neurovae.stats.basis import natural_spline, polynomial, spline_knots
from neurovae.stats.curve import band, turned
from neurovae.stats.penalised import DRAWABLE, penalised

TESTS = ("nonlinear", "overall", "quadratic", "cubic")
STATISTICS = [f"{kind}_{test}" for test in TESTS for kind in "pq"] + ["partial_r2_nonlinear", "partial_r2"]
COLUMNS = BEFORE | {"df": "Int64"} | dict.fromkeys(STATISTICS, "float64") | {"polynomial_status": "object"} | AFTER
CURVE = {"score": "object", "model": "object", "fold": "Int64", "seed": "Int64", "latent": "object",
         "curve": "object", "drawn": "object", "edf": "float64", "latent_value": "float64", "fitted": "float64",
         "low": "float64", "high": "float64", "p_nonlinear": "float64", "verdict": "object"}  # fmt: skip
GRID = 41  # points of a curve, from the 2.5 % to the 97.5 % quantile of the latent


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    out: Path,
    curves: Path,
) -> None:
    """Test spline against line for every latent and score of one model; write the tests and the fitted curves."""
    verdict, reason = read_verdict(health)
    table = join(pd.read_parquet(cohort), pd.read_parquet(latents), pd.read_parquet(qc))
    rows, drawn = [], []
    if verdict in STOPPING:
        rows = [stopped(table, verdict, reason)]
    for score in scores if not rows else []:
        found, curve = spline(table, score, confounds)
        rows += [row | {"verdict": verdict} for row in found]
        drawn += [point | {"verdict": verdict} for point in curve]
    write_both(out, tidy(rows, COLUMNS))
    write_both(curves, tidy(drawn, CURVE))


def spline(
    table: pd.DataFrame, score: dict[str, Any], confounds: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of one score, one per latent, and the points of their curves."""
    cases = design(table, score, confounds)
    kind = score["type"]
    null = families.fit(kind, cases.y, cases.x, score.get("link"), cases.family) if cases.status == "ok" else None
    rows, points = [], []
    for name in steps(latent_names(table), f"{score['name']}: latents"):
        row = described(table, score, name, cases) | {"status": cases.status, "reason": cases.reason}
        if null is not None:
            z = table[name].to_numpy(float)[cases.rows]
            tested, curve = _tested(score, cases, z, null)
            row |= tested
            same = {key: row.get(key) for key in ("score", "model", "fold", "seed", "latent", "p_nonlinear")}
            points += [same | point for point in curve]
        rows.append(row)
    for test in TESTS:
        p = np.array([row.get(f"p_{test}", np.nan) for row in rows])
        q, _ = bh(p, np.isfinite(p))
        rows = [row | {f"q_{test}": q[k]} for k, row in enumerate(rows)]
    size = sum(row["status"] == "ok" for row in rows)
    rows = [row | {"family_size": size} for row in rows]
    return rows, points


def _tested(
    score: dict[str, Any], cases: Design, z: np.ndarray, null: families.Fit
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    kind, link, related = score["type"], score.get("link"), cases.family
    if not varies(z, cases.x):
        return {"status": "constant latent", "reason": "it does not vary between people beyond the confounds"}, []
    unit = standard(z)
    knots = spline_knots(unit)
    if knots is None:
        return {"status": "too few people", "reason": "the latent has too few distinct values for a spline"}, []
    x_line, x_full = np.column_stack([cases.x, unit]), np.column_stack([cases.x, natural_spline(unit, knots)])
    line, full = (families.fit(kind, cases.y, columns, link, related) for columns in (x_line, x_full))
    status = worst(null, line, full)
    if status != "ok":
        return {"status": status, "reason": REASONS[status]}, []
    bends = x_full.shape[1] - x_line.shape[1]
    tested = {
        "family": full.family,
        "link": full.link,
        "df": bends + 1,
        "p_nonlinear": families.nested_p(line, full, bends, len(cases.y)),
        "p_overall": families.nested_p(null, full, bends + 1, len(cases.y)),
        "partial_r2_nonlinear": families.partial_r2(kind, cases.y, x_line, x_full, line, full),
        "partial_r2": families.partial_r2(kind, cases.y, cases.x, x_full, null, full),
    }
    return tested | polynomials(kind, cases.y, cases.x, unit, line, link, related), curve_points(
        score, cases, z, knots, full
    )


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
    score: dict[str, Any], cases: Design, z: np.ndarray, knots: np.ndarray, full: families.Fit
) -> list[dict[str, Any]]:
    """Points of the unpenalised spline and, if the score can be so drawn, of the penalised curve, at mean confounds."""
    kind, unit = score["type"], standard(z)
    grid = np.linspace(np.quantile(unit, 0.025), np.quantile(unit, 0.975), GRID)
    mean = np.repeat(cases.x.mean(axis=0)[None, :], GRID, axis=0)
    df = len(knots) - 1
    curves = [("spline", f"spline, {df} df", float(df), band(kind, cases.y, _beside(mean, grid, knots), full))]
    if kind in DRAWABLE:
        x_full = _beside(cases.x, unit, knots)
        found = penalised(kind, cases.y, cases.x, unit, full, x_full @ full.coef[: x_full.shape[1]])
        if found.status == "ok":
            fitted = turned(full.link, _beside(mean, grid, found.knots), found.coef, found.cov, found.df)
            curves = [("penalised", f"penalised, edf {found.edf:.1f}", found.edf, fitted), *curves]
        else:
            curves = [("spline", f"spline, {df} df (penalised: {found.status})", float(df), curves[0][-1])]
    low, high = score["bounds"] if kind == "bounded" else (0.0, 1.0)  # fitted as a share of the range
    raw = z.mean() + grid * z.std(ddof=1)
    return [
        {"curve": name, "drawn": drawn, "edf": edf, "latent_value": value}
        | {column: low + (high - low) * share for column, share in zip(("fitted", "low", "high"), of, strict=True)}
        for name, drawn, edf, fitted in curves
        for value, *of in zip(raw, *fitted, strict=True)
    ]


def _beside(x: np.ndarray, z: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.column_stack([x, natural_spline(z, knots)])


if __name__ == "__main__":
    cli(run)
