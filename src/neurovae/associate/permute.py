"""Each latent against each score by permutation: max-T over the latents, min-P over the scores (Westfall & Young 1993).

Statistic: the signed root of the score test from the confounds-only null (for Gaussian scores the t). One permutation
for all latents and scores. p = (b + 1) / (m + 1). The quadratic effect of each latent given its linear one is tested
in the same way (`quadratic`); p_quadratic_maxt is over the latents of one score and not over scores.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from neurovae.associate.fitted import CONSTANT, Fitted
from neurovae.design.design import Design
from neurovae.design.rows import REASONS, described, varies
from neurovae.io import latent_table
from neurovae.stats.exchangeability import family_strata, rule, site_strata, too_few
from neurovae.stats.maxt import at_once, batch, exceed, maxt, minp, statistics
from neurovae.stats.quadratic import NAMES, quadratic
from neurovae.stats.rao import Null, null

P = ["p_parametric", "p_permutation", "p_maxt", "p_minp", "p_bonferroni"]
COLUMNS = {"score": "object", "type": "object", "model": "object", "fold": "Int64", "seed": "Int64",
           "latent": "object", "role": "object", "test": "object", "session": "object", "n": "Int64",
           "n_confound_columns": "Int64", "confounds": "object", "statistic": "float64"} | dict.fromkeys(
           P, "float64") | {"family": "object", "m": "Int64", "permutations": "Int64", "exchangeability": "object"
           } | dict.fromkeys(NAMES, "float64") | {"m_quadratic": "Int64", "quadratic_status": "object",
           "quadratic_reason": "object", "split_policy": "object", "status": "object", "reason": "object",
           "verdict": "object"}  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class Ready:
    """One score that can be tested: its people, confounds and null, and the latents that vary."""

    score: Row
    cases: Design
    null: Null
    latents: list[str]


def permute(table: pd.DataFrame, fits: list[Fitted], permutations: int, seed: int, threads: int = 1) -> list[Row]:
    """Return a row per score and latent, in this order; scores of the same people form a family."""
    rows: dict[tuple[str, str], Row] = {}
    families: dict[bytes, list[Ready]] = {}
    for one in fits:
        ready, score_rows = prepare(table, one)
        for row in score_rows:
            untested = {"quadratic_status": row["status"], "quadratic_reason": row["reason"]}
            rows[one.score["name"], row["latent"]] = row | untested
        if ready is not None:
            families.setdefault(one.cases.rows.tobytes(), []).append(ready)
    for family in families.values():
        for key, numbers in _test(table, family, permutations, seed, threads).items():
            rows[key] |= numbers
    return list(rows.values())


def prepare(table: pd.DataFrame, data: Fitted) -> tuple[Ready | None, list[Row]]:
    """Prepare the test of one score, and its rows without numbers; None if it cannot be tested."""
    score, cases, test = data.score, data.cases, None
    site = table["site"].to_numpy()[cases.rows].astype(str)
    status, reason, latents = cases.status, cases.reason, []
    if status == "ok" and data.null is not None:
        status, reason = data.null.status, REASONS.get(data.null.status, "")
        test = null(score["type"], data.y, cases.x, data.null) if status == "ok" else None
    if test is not None and (too_few_draws := too_few(strata(table, cases), test.residual)):
        status, reason, test = "too few permutations", too_few_draws, None
    rows = []
    for name in latent_table.columns(table):
        row = described(table, score, name, cases) | {
            "exchangeability": rule(site, cases.family),
            "status": status,
            "reason": reason,
        }
        if test is not None and varies(table[name].to_numpy(float)[cases.rows], cases.x):
            latents.append(name)
        elif test is not None:
            row |= CONSTANT
        rows.append(row)
    return (Ready(score, cases, test, latents) if test is not None and latents else None), rows


def strata(table: pd.DataFrame, cases: Design) -> np.ndarray:
    """Return the strata of exchangeable people of a score, as `exchangeability` defines them."""
    return family_strata(site_strata(table["site"].to_numpy()[cases.rows]), cases.family)


def _test(
    table: pd.DataFrame, family: list[Ready], permutations: int, seed: int, threads: int
) -> dict[tuple[str, str], Row]:
    """Test the scores of one family, all of the same people."""
    groups: dict[tuple[bytes, tuple[str, ...]], list[Ready]] = {}
    for ready in sorted(family, key=lambda ready: not ready.null.gaussian):
        groups.setdefault((ready.cases.x.tobytes(), tuple(ready.latents)), []).append(ready)
    people, ordered = family[0].cases.rows, [ready for group in groups.values() for ready in group]
    batches = [
        batch(table[group[0].latents].to_numpy(float)[people], group[0].cases.x, [ready.null for ready in group])
        for group in groups.values()
    ]
    blocks = strata(table, family[0].cases)
    exceeded = exceed(batches, blocks, permutations, seed, threads)
    identity = np.arange(len(people))[None, :]
    observed = [row for data in batches for row in statistics(data, identity)[0]]  # (latents,) of each score
    tests = [maxt(statistics(data, identity)[0], counts) for data, counts in zip(batches, exceeded, strict=True)]
    single, within = ([row for pair in tests for row in pair[k]] for k in (0, 1))
    largest, best = (
        np.hstack([counts.largest for counts in exceeded]),
        np.array([np.abs(row).max() for row in observed]),
    )
    text = f"{', '.join(ready.score['name'] for ready in family)} (all scores of the same {len(people)} people)"
    size = at_once(*batches[0].latents.shape)  # the squares get the draws of the lines
    curves = [
        row for group in groups.values() for row in _quadratic(table, group, blocks, size, permutations, seed, threads)
    ]
    return {
        (ready.score["name"], name): {
            "test": ready.null.test,
            "permutations": permutations,
            "m": len(ready.latents),
            "family": f"max-T: {len(ready.latents)} latents of {ready.score['name']}; min-P: {text}",
        }
        | numbers
        | curve
        for j, ready in enumerate(ordered)
        for name, numbers, curve in zip(
            ready.latents,
            _numbers(ready, observed[j], single[j], within[j], minp(largest, best, within[j])),
            curves[j],
            strict=True,
        )
    }


def _quadratic(
    table: pd.DataFrame, group: list[Ready], strata: np.ndarray, size: int, permutations: int, seed: int, threads: int
) -> list[list[Row]]:
    """Test the squares by score and latent, for scores with the same people, confounds and latents."""
    cases, links = group[0].cases, [ready.score.get("link") for ready in group]
    z = table[group[0].latents].to_numpy(float)[cases.rows]
    scores = [(one.null, one.score["type"], one.cases.y, link) for one, link in zip(group, links, strict=True)]
    return quadratic(z, cases.x, scores, strata, size, permutations, seed, threads)


def _numbers(
    ready: Ready, observed: np.ndarray, single: np.ndarray, within: np.ndarray, across: np.ndarray
) -> list[dict[str, float]]:
    df = len(ready.cases.y) - ready.cases.x.shape[1] - 1
    law = t(df) if ready.null.gaussian else norm
    parametric = 2 * law.sf(np.abs(observed))
    columns = (observed, parametric, single, within, across, np.minimum(parametric * len(observed), 1.0))
    return [dict(zip(["statistic", *P], map(float, values), strict=True)) for values in zip(*columns, strict=True)]
