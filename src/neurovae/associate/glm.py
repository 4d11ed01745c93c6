"""Each latent against each score: a regression of the declared type, with confounds, effect, interval, p and q."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.cli import Json, cli
from neurovae.design.design import Design, design, join, latent_names
from neurovae.design.rows import AFTER, BEFORE, REASONS, described, outcome, standard, stopped, varies, worst
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.io.progress import steps
from neurovae.stats import families
from neurovae.stats.diagnostics import checked, spread_p

EFFECT = ["effect", "ci_low", "ci_high", "p", "q", "p_bonferroni", "partial_r2", "confounds_r2"]
CHECKS = ["p_spread", "p_link", "aic", "dispersion", "p_overdispersion", "alpha", "p_parallel", "se_robust",
          "robust_low", "robust_high"]  # fmt: skip
COLUMNS = BEFORE | dict.fromkeys(EFFECT + CHECKS, "float64") | AFTER


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    out: Path,
) -> None:
    """Test every latent of one model against every score, one row per person, and write the table (.parquet, .tsv)."""
    verdict, reason = read_verdict(health)
    table = join(pd.read_parquet(cohort), pd.read_parquet(latents), pd.read_parquet(qc))
    if verdict in STOPPING:
        rows = [stopped(table, verdict, reason)]
    else:
        rows = [row | {"verdict": verdict} for score in scores for row in glm(table, score, confounds)]
    write_both(out, tidy(rows, COLUMNS))


def glm(table: pd.DataFrame, score: dict[str, Any], confounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one score, one per latent; q and Bonferroni over the latents that could be tested.

    Raises:
        InputError: the score's type has no such link.
    """
    names = latent_names(table)
    cases = design(table, score, confounds)
    y = outcome(score, cases)
    null = families.fit(score["type"], y, cases.x, score.get("link"), cases.family) if cases.status == "ok" else None
    between = _confounds_r2(score, y, cases, null)
    rows = []
    for name in steps(names, f"{score['name']}: latents"):
        row = described(table, score, name, cases) | {"status": cases.status, "reason": cases.reason}
        if null is not None:
            row |= {"confounds_r2": between, "p_spread": spread_p(score["type"], y, cases.x)}
            row |= _tested(score, y, cases, table[name].iloc[cases.rows], null)
        rows.append(row)
    tested = np.array([row["status"] == "ok" for row in rows])
    q, m = bh(np.array([row.get("p", np.nan) for row in rows]), tested)
    return [
        row | {"q": q[k], "family_size": m} | ({"p_bonferroni": min(m * row["p"], 1.0)} if tested[k] else {})
        for k, row in enumerate(rows)
    ]


def _tested(
    score: dict[str, Any], y: np.ndarray, cases: Design, latent: pd.Series, null: families.Fit
) -> dict[str, Any]:
    kind, x, z = score["type"], cases.x, latent.to_numpy(float)
    if not varies(z, x):
        return {"status": "constant latent", "reason": "it does not vary between people beyond the confounds"}
    x_full = np.column_stack([x, standard(z)])
    full = families.fit(kind, y, x_full, score.get("link"), cases.family)
    status = worst(null, full)
    if status != "ok":
        return {"status": status, "reason": REASONS[status]}
    low, high = families.interval(full, len(y))
    return {
        "family": full.family,
        "link": full.link,
        "effect": full.effect,
        "ci_low": low,
        "ci_high": high,
        "p": families.nested_p(null, full, 1, len(y)),
        "partial_r2": families.partial_r2(kind, y, x, x_full, null, full),
    } | checked(kind, y, x_full, full, _unit(y, cases), cases.family)


def _unit(y: np.ndarray, cases: Design) -> float:
    """What one of y is in the score's own unit, in which links are compared by AIC."""
    return float(cases.y.std(ddof=1) / y.std(ddof=1))


def _confounds_r2(score: dict[str, Any], y: np.ndarray, cases: Design, null: families.Fit | None) -> float:
    if null is None or null.status != "ok":
        return np.nan
    kind = score["type"]
    empty = families.fit(kind, y, cases.x[:, :1], score.get("link"))
    return families.partial_r2(kind, y, cases.x[:, :1], cases.x, empty, null) if empty.status == "ok" else np.nan


if __name__ == "__main__":
    cli(run)
