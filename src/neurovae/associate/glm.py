"""Each latent against each score: a regression of the declared type, with confounds, effect, interval, p and q."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate.fitted import CONSTANT, Fitted, Line
from neurovae.associate.pooled import pooled
from neurovae.design.rows import AFTER, BEFORE, REASONS, ROLE, described, worst
from neurovae.design.tables import bh
from neurovae.io import latent_table
from neurovae.stats import families
from neurovae.stats.diagnostics import checked, spread_p

EFFECT = ["effect", "ci_low", "ci_high", "fmi", "p", "q", "p_bonferroni", "partial_r2", "confounds_r2"]
CHECKS = ["p_spread", "p_link", "aic", "dispersion", "p_overdispersion", "alpha", "p_parallel", "se_robust",
          "robust_low", "robust_high"]  # fmt: skip
COUNTS = "over-dispersed counts: p is approximate"
NUMBERS = dict.fromkeys(EFFECT, "float64") | {"q_of": "object"} | dict.fromkeys(CHECKS, "float64")
COLUMNS = BEFORE | ROLE | NUMBERS | AFTER


def glm(table: pd.DataFrame, known: list[Fitted], lines: list[dict[str, Line]]) -> list[dict[str, Any]]:
    """Rows of one score, one per latent; q and Bonferroni over the latents that could be tested.

    known, lines: in every completed table.
    """
    parts = [_rows(table, one, of) for one, of in zip(known, lines, strict=True)]
    rows = [pooled(list(same)) for same in zip(*parts, strict=True)]
    tested = np.array([row["status"] == "ok" for row in rows])
    q, m = bh(np.array([row.get("p", np.nan) for row in rows]), tested)
    return [
        row
        | {"q": q[k], "family_size": m}
        | ({"p_bonferroni": min(m * row["p"], 1.0), "q_of": "p"} if tested[k] else {})
        for k, row in enumerate(rows)
    ]


def _rows(table: pd.DataFrame, known: Fitted, lines: dict[str, Line]) -> list[dict[str, Any]]:
    """Rows of one completed table."""
    score, cases, null = known.score, known.cases, known.null
    shared = {} if null is None else _of_score(known, null)
    rows = []
    for name in latent_table.columns(table):
        row = described(table, score, name, cases) | {"status": cases.status, "reason": cases.reason}
        if null is not None:
            row |= shared | (_tested(known, null, lines[name]) if name in lines else CONSTANT)
        rows.append(row)
    return rows


def by_permutation(rows: list[dict[str, Any]], permuted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one score with q and Bonferroni of the permutation p where counts are over-dispersed.

    The likelihood ratio takes alpha for that of a negative binomial. Where four other latents matter too (effect .4;
    120 people) it rejects 7.5 % of true nulls at 5 % and 2.0 % at 1 %, the permutation 4.7 and .8 %; of the discoveries
    at q < .05 6.6 and 3.4 % are false (800 cohorts, standard error .4; 3.8 % would be expected).
    """
    tested = np.array([row["status"] == "ok" for row in rows])
    p = np.array([row.get("p_permutation", np.nan) for row in permuted])
    if not any(COUNTS in row["reason"] for row in rows) or not np.isfinite(p[tested]).all():
        return rows
    q, m = bh(p, tested)
    for k in np.flatnonzero(tested):
        reason = rows[k]["reason"].replace(COUNTS, f"{COUNTS}, q rests on p_permutation")
        rows[k] |= {"q": q[k], "p_bonferroni": min(m * p[k], 1.0), "q_of": "p_permutation", "reason": reason}
    return rows


def _tested(known: Fitted, null: families.Fit, line: Line) -> dict[str, Any]:
    kind, y, full = known.score["type"], known.y, line.fit
    status = worst(null, full)
    if status != "ok":
        return {"status": status, "reason": REASONS[status]}
    low, high = families.interval(full, len(y))
    caveats = [known.cases.reason, COUNTS if full.test == "LR" and full.alpha > 0 else ""]
    return {
        "reason": "; ".join(filter(None, caveats)),
        "family": full.family,
        "link": full.link,
        "effect": full.effect,
        "ci_low": low,
        "ci_high": high,
        "se": families.error(full, len(y)),
        "df_effect": full.df,
        "p": families.nested_p(null, full, 1, len(y)),
        "partial_r2": families.partial_r2(kind, y, known.cases.x, line.x, null, full),
    } | checked(kind, y, line.x, full, known.unit, known.cases.family)


def _of_score(known: Fitted, null: families.Fit) -> dict[str, float]:
    """What every row of a score says: partial R2 of its confounds, and the test for unequal spread."""
    kind, y, x = known.score["type"], known.y, known.cases.x
    between = np.nan
    if null.status == "ok":
        empty = families.fit(kind, y, x[:, :1], known.score.get("link"))
        between = families.partial_r2(kind, y, x[:, :1], x, empty, null) if empty.status == "ok" else np.nan
    return {"confounds_r2": between, "p_spread": spread_p(kind, y, x)}
