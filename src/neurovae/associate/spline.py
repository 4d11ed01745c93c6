"""Does a score bend with a latent? An unpenalised natural cubic spline, 3 df, nested over the line; never a GCV p."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate import families
from neurovae.associate.basis import natural_spline, spline_knots
from neurovae.associate.curve import band
from neurovae.associate.design import Design, design, first_scans, join, latent_names
from neurovae.associate.rows import AFTER, BEFORE, REASONS, described, standard, stopped, varies, worst
from neurovae.associate.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.cli import Json, cli

STATISTICS = ["p_nonlinear", "q_nonlinear", "p_overall", "q_overall", "partial_r2_nonlinear", "partial_r2"]
COLUMNS = BEFORE | {"df": "Int64"} | dict.fromkeys(STATISTICS, "float64") | AFTER
CURVE = {"score": "object", "model": "object", "fold": "Int64", "seed": "Int64", "latent": "object",
         "latent_value": "float64", "fitted": "float64", "low": "float64", "high": "float64",
         "verdict": "object"}  # fmt: skip
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
    table = first_scans(join(pd.read_parquet(cohort), pd.read_parquet(latents), pd.read_parquet(qc)))
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
    null = families.fit(kind, cases.y, cases.x) if cases.status == "ok" else None
    rows, points = [], []
    for name in latent_names(table):
        row = described(table, score, name, cases) | {"status": cases.status, "reason": cases.reason}
        if null is not None:
            z = table[name].to_numpy(float)[cases.rows]
            tested, curve = _tested(score, cases, z, null)
            row |= tested
            same = {key: row[key] for key in ("score", "model", "fold", "seed", "latent")}
            points += [same | point for point in curve]
        rows.append(row)
    tested_rows = np.array([row["status"] == "ok" for row in rows])
    for name in ("nonlinear", "overall"):
        q, m = bh(np.array([row.get(f"p_{name}", np.nan) for row in rows]), tested_rows)
        rows = [row | {f"q_{name}": q[k], "family_size": m} for k, row in enumerate(rows)]
    return rows, points


def _tested(
    score: dict[str, Any], cases: Design, z: np.ndarray, null: families.Fit
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    kind = score["type"]
    if not varies(z, cases.x):
        return {"status": "constant latent", "reason": "it does not vary between people beyond the confounds"}, []
    unit = standard(z)
    knots = spline_knots(unit)
    if knots is None:
        return {"status": "too few people", "reason": "the latent has too few distinct values for a spline"}, []
    x_line, x_full = np.column_stack([cases.x, unit]), np.column_stack([cases.x, natural_spline(unit, knots)])
    line, full = families.fit(kind, cases.y, x_line), families.fit(kind, cases.y, x_full)
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
    grid = np.linspace(np.quantile(unit, 0.025), np.quantile(unit, 0.975), GRID)
    at_mean = np.repeat(cases.x.mean(axis=0)[None, :], GRID, axis=0)
    low, high = score["bounds"] if kind == "bounded" else (0.0, 1.0)  # fitted as a share of the range
    curve = band(kind, cases.y, np.column_stack([at_mean, natural_spline(grid, knots)]), full)
    raw = z.mean() + grid * z.std(ddof=1)
    return tested, [
        {"latent_value": v}
        | {name: low + (high - low) * y for name, y in zip(("fitted", "low", "high"), of, strict=True)}
        for v, *of in zip(raw, *curve, strict=True)
    ]


if __name__ == "__main__":
    cli(run)
