"""Each latent against each score by permutation: max-T over the latents, min-P over the scores (Westfall & Young 1993).

Statistic: the signed root of the score test from the confounds-only null (for Gaussian scores the t). One permutation
for all latents and scores. p = (b + 1) / (m + 1). Of a survival score entry, time and event stay with the confounds
while the latents are permuted: the null is that the latents, given the confounds, say nothing about the hazard nor the
censoring. The quadratic effect of each latent given its linear one is tested in the same way (`quadratic`);
p_quadratic_maxt is over the latents of one score and not over scores.

Where confounds are imputed, the statistic is that of `rubin.statistic`, and each completed table gives its share of the
permutations: their statistics are what a table without the score's effect would show. Squares are not tested then.
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
from neurovae.stats import rubin
from neurovae.stats.exchangeability import family_strata, rule, site_strata, too_few
from neurovae.stats.maxt import Batch, at_once, batch, exceed, joined, maxt, minp, statistics
from neurovae.stats.quadratic import NAMES, quadratic
from neurovae.stats.rao import Null, null

P = ["p_parametric", "p_permutation", "p_maxt", "p_minp", "p_bonferroni"]
COLUMNS = {"score": "object", "type": "object", "model": "object", "fold": "Int64", "seed": "Int64",
           "latent": "object", "role": "object", "test": "object", "session": "object", "n": "Int64",
           "n_confound_columns": "Int64", "confounds": "object", "n_imputed": "Int64", "statistic": "float64"
           } | dict.fromkeys(P, "float64") | {"family": "object", "m": "Int64", "permutations": "Int64",
           "exchangeability": "object"} | dict.fromkeys(NAMES, "float64") | {
           "m_quadratic": "Int64", "quadratic_status": "object",
           "quadratic_reason": "object", "split_policy": "object", "status": "object", "reason": "object",
           "verdict": "object"}  # fmt: skip
Row = dict[str, Any]
IMPUTED = {"quadratic_status": "not available", "quadratic_reason": "missing confounds are imputed: see p_quadratic"}


@dataclass(frozen=True)
class Ready:
    """One score that can be tested: its people, confounds and null, and the latents that vary."""

    score: Row
    cases: Design
    null: Null
    latents: list[str]
    copies: list[tuple[np.ndarray, Null]]  # confounds and null of each completed table, the first of which is above


def permute(table: pd.DataFrame, fits: list[list[Fitted]], permutations: int, seed: int, threads: int = 1) -> list[Row]:
    """Return a row per score and latent, in this order; scores of the same people form a family.

    fits: each score in every completed table.
    """
    rows: dict[tuple[str, str], Row] = {}
    families: dict[bytes, list[Ready]] = {}
    for one in fits:
        ready, score_rows = prepare(table, one)
        for row in score_rows:
            untested = {"quadratic_status": row["status"], "quadratic_reason": row["reason"]}
            rows[one[0].score["name"], row["latent"]] = row | untested
        if ready is not None:
            families.setdefault(ready.cases.rows.tobytes(), []).append(ready)
    for family in families.values():
        for key, numbers in _test(table, family, permutations, seed, threads).items():
            rows[key] |= numbers
    return list(rows.values())


def prepare(table: pd.DataFrame, data: list[Fitted]) -> tuple[Ready | None, list[Row]]:
    """Prepare the test of one score, and its rows without numbers; None if it cannot be tested."""
    first = next((one for one in data if one.null is None or one.null.status != "ok"), data[0])
    score, cases, test = first.score, first.cases, None
    site = table["site"].to_numpy()[cases.rows].astype(str)
    status, reason, latents = cases.status, cases.reason, []
    copies: list[tuple[np.ndarray, Null]] = []
    if status == "ok" and first.null is not None:
        status, reason = first.null.status, REASONS.get(first.null.status, "")
        if status == "ok":
            fits = [(one.y, one.cases.x, one.null) for one in data if one.null is not None]
            copies = [(x, null(score["type"], y, x, fit)) for y, x, fit in fits]
            test = copies[0][1]
    if test is not None and (too_few_draws := too_few(strata(table, cases), test.residual)):
        status, reason, test = "too few permutations", too_few_draws, None
    rows = []
    for name in latent_table.columns(table):
        row = described(table, score, name, cases) | {
            "exchangeability": rule(site, cases.family),
            "status": status,
            "reason": reason,
        }
        if test is not None and all(varies(table[name].to_numpy(float)[cases.rows], x) for x, _ in copies):
            latents.append(name)
        elif test is not None:
            row |= CONSTANT
        rows.append(row)
    return (Ready(score, cases, test, latents, copies) if test is not None and latents else None), rows


def strata(table: pd.DataFrame, cases: Design) -> np.ndarray:
    """Return the strata of exchangeable people of a score, as `exchangeability` defines them."""
    return family_strata(site_strata(table["site"].to_numpy()[cases.rows]), cases.family)


def _test(
    table: pd.DataFrame, family: list[Ready], permutations: int, seed: int, threads: int
) -> dict[tuple[str, str], Row]:
    """Test the scores of one family, all of the same people."""
    groups: dict[tuple[bytes, int, tuple[str, ...]], list[Ready]] = {}
    for ready in sorted(family, key=lambda ready: not ready.null.gaussian):
        key = b"".join(x.tobytes() for x, _ in ready.copies)
        width = (
            ready.null.factor.shape[1] if ready.score["type"] == "survival" else 0
        )  # the other arrays are small in comparison
        groups.setdefault((key, width, tuple(ready.latents)), []).append(ready)
    people, ordered = family[0].cases.rows, [ready for group in groups.values() for ready in group]
    blocks, identity = strata(table, family[0].cases), np.arange(len(people))[None, :]
    completed = [_batches(table, list(groups.values()), k) for k in range(max(len(one.copies) for one in family))]
    by_table = [[statistics(data, identity)[0] for data in batches] for batches in completed]
    pooled = [rubin.statistic(np.array(same)) for same in zip(*by_table, strict=True)]  # (scores, latents) by group
    seeds: list[int | list[int]] = [seed] if len(completed) == 1 else [[seed, k] for k in range(len(completed))]
    parts = zip(completed, shares(permutations, len(completed)), seeds, strict=True)
    exceeded = joined([exceed(batches, blocks, count, own, threads, pooled) for batches, count, own in parts])
    observed = [row for group in pooled for row in group]  # (latents,) of each score
    tests = [maxt(group, counts) for group, counts in zip(pooled, exceeded, strict=True)]
    single, within = ([row for pair in tests for row in pair[k]] for k in (0, 1))
    largest, best = (
        np.hstack([counts.largest for counts in exceeded]),
        np.array([np.abs(row).max() for row in observed]),
    )
    text = f"{', '.join(ready.score['name'] for ready in family)} (all scores of the same {len(people)} people)"
    size = at_once(*completed[0][0].latents.shape)  # the squares get the draws of the lines
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


def shares(permutations: int, tables: int) -> list[int]:
    """The permutations divided among the completed tables."""
    return [permutations // tables + (k < permutations % tables) for k in range(tables)]


def _batches(table: pd.DataFrame, groups: list[list[Ready]], k: int) -> list[Batch]:
    """The k-th completed table of each group of scores; of scores without imputation, their one table."""
    batches = []
    for group in groups:
        copies = [ready.copies[k % len(ready.copies)] for ready in group]
        z = table[group[0].latents].to_numpy(float)[group[0].cases.rows]
        batches.append(batch(z, copies[0][0], [one for _, one in copies]))
    return batches


def _quadratic(
    table: pd.DataFrame, group: list[Ready], strata: np.ndarray, size: int, permutations: int, seed: int, threads: int
) -> list[list[Row]]:
    """Test the squares by score and latent, for scores with the same people, confounds and latents."""
    cases, links = group[0].cases, [ready.score.get("link") for ready in group]
    if len(group[0].copies) > 1:
        return [[dict(IMPUTED) for _ in ready.latents] for ready in group]
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
