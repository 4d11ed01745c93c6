"""Several latents at once: all of them against a score, each adjusted for the others, and products of two of them.

together    all latents over the confounds by the family's nested test; least squares by the ordinary F: of 300 null
            cohorts with 118 people, 10 confound columns and 48 latents it rejects 3.7 %, the robust F 14 % (where the
            residuals' spread is |one latent|, 16 latents: 11 %, against 0.7 %). A likelihood ratio of many columns
            does not hold its level with few people (60 people, 26 columns: ordinal and Poisson 0 %, binary fits
            that do not exist): it needs 10 people a column (Peduzzi 1996). The omnibus table permutes instead.
adjusted    one latent over the confounds and all other latents, by the family's test for one column.
interaction the product of two standardised latents over the confounds and those two, for the latents whose values vary
            most between all people who entered: no score takes part in that choice, and what a model hardly uses
            varies little whatever its loss.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f

from neurovae.associate.pooled import pooled
from neurovae.cli import Json, cli
from neurovae.design.design import RESIDUAL_DF, Design, join
from neurovae.design.imputed import designs
from neurovae.design.rows import AFTER, BEFORE, REASONS, described, outcome, standard, stopped, varies, worst
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.stats import families
from neurovae.stats.basis import independent

TERMS = {"part": "object"} | {"term" if name == "latent" else name: dtype for name, dtype in BEFORE.items()}
NUMBERS = dict.fromkeys(["effect", "ci_low", "ci_high", "fmi", "p", "q", "partial_r2"], "float64")
COLUMNS = TERMS | {"df": "Int64"} | NUMBERS | AFTER
ALL = "all latents"
BY_RATIO, PER_COLUMN = ("count", "binary", "ordinal", "gamma"), 10  # likelihood ratios need so many people a column
Row = dict[str, Any]


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    interactions: int = 6,
    imputations: int = 0,
    seed: int = 0,
    out: Path,
) -> None:
    """Test the latents of one model in one regression per score, one row per person; write the table (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun multivariable

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        qc: qc.parquet.
        health: health.json of the model.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        out: table to write (.parquet, .tsv).
        interactions: products are tested between this many latents, those of the largest variance; 0 tests none.
        imputations: of missing confounds; 0: complete cases.
        seed: of the imputations.
    """
    verdict, reason = read_verdict(health)
    table = join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc))
    if verdict in STOPPING:
        rows = [stopped(table, verdict, reason)]
    else:
        found = [joint(table, score, confounds, interactions, imputations, seed) for score in scores]
        rows = [row | {"verdict": verdict} for part in found for row in part]
    write_both(out, tidy(rows, COLUMNS))


def joint(
    table: pd.DataFrame, score: Row, confounds: list[Row], interactions: int, imputations: int = 0, seed: int = 0
) -> list[Row]:
    """Test one score: all latents, each latent adjusted for the others, products; q within the last two parts."""
    known = designs(table, score, confounds, imputations, seed)
    tables = [_parts(table, score, cases, interactions) for cases in known]
    rows = []
    for part in tables[0]:
        same_tests = zip(*(results[part] for results in tables), strict=True)
        rows += _with_q([pooled(list(same)) for same in same_tests], part)
    return rows


def _parts(table: pd.DataFrame, score: Row, cases: Design, interactions: int) -> dict[str, list[Row]]:
    """Test one score in one completed table; rows by part."""
    y, names = outcome(score, cases), latent_table.columns(table)
    values = table[names].to_numpy(float)[cases.rows]  # (people, latents)
    pairs = list(combinations(widest(table, interactions), 2))
    parts = {"together": [ALL], "adjusted": names, "interaction": [f"{a} x {b}" for a, b in pairs]}
    results: dict[str, list[Row]] = {part: [{}] * len(terms) for part, terms in parts.items()}
    if cases.status == "ok":
        results = dict(zip(("together", "adjusted"), together(score, y, cases.x, values, cases.family), strict=True))
        columns = [(values[:, names.index(a)], values[:, names.index(b)]) for a, b in pairs]
        results["interaction"] = [interaction(score, y, cases.x, *pair, cases.family) for pair in columns]
    return {
        part: [
            _described(table, score, part, term, cases) | numbers
            for term, numbers in zip(terms, results[part], strict=True)
        ]
        for part, terms in parts.items()
    }


def widest(table: pd.DataFrame, count: int) -> list[str]:
    """Return the latents with the largest variance over the rows of the table, in its order."""
    names = latent_table.columns(table)
    order = np.argsort(-table[names].to_numpy(float).var(axis=0), kind="stable")
    return [names[k] for k in sorted(order[:count])]


def together(
    score: dict[str, Any], y: np.ndarray, x: np.ndarray, values: np.ndarray, family: np.ndarray | None = None
) -> tuple[list[Row], list[Row]]:
    """Return the row of all latents, and a row for each latent adjusted for the others. values: (people, latents)."""
    z = (values - values.mean(axis=0)) / np.where(values.std(axis=0, ddof=1) > 0, values.std(axis=0, ddof=1), 1.0)
    usable = np.array([varies(column, x) for column in values.T])
    usable[usable] = independent(np.column_stack([x, z[:, usable]]))[x.shape[1] :]
    redundant = _status("constant latent", "it is a linear combination of the confounds and the latents before it")
    adjusted, z = [redundant] * len(usable), z[:, usable]
    if not usable.any():
        return [_status("constant latent", "no latent varies between people beyond the confounds")], adjusted
    units, unit_name = (len(y), "people") if family is None else (int(family.max()) + 1, "families")
    if too_few_for(score["type"], units, x.shape[1] + z.shape[1]):
        reason = (
            f"{units} {unit_name} for {x.shape[1] - 1} confound columns and {z.shape[1]} latents; see the omnibus table"
        )
        all_row, adjusted_rows = _status("too few people", reason), [_status("too few people", reason)] * z.shape[1]
    else:
        all_row = _nested(score, y, x, np.column_stack([x, z]), family)
        orders = [np.append(np.delete(np.arange(z.shape[1]), k), k) for k in range(z.shape[1])]
        full = [np.column_stack([x, z[:, order]]) for order in orders] if all_row["status"] == "ok" else []
        adjusted_rows = [_nested(score, y, wide[:, :-1], wide, family) for wide in full] or [all_row] * z.shape[1]
    for k, row in zip(np.flatnonzero(usable), adjusted_rows, strict=True):
        adjusted[k] = row
    return [all_row], adjusted


def too_few_for(kind: str, people: int, columns: int) -> bool:
    """Whether there are too few people for a test of many columns at once."""
    return people - columns < RESIDUAL_DF or (kind in BY_RATIO and people < PER_COLUMN * columns)


def interaction(
    score: dict[str, Any],
    y: np.ndarray,
    x: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    family: np.ndarray | None = None,
) -> Row:
    """Test the product of two latents, both standardised, given the confounds and the two."""
    if len(y) - x.shape[1] - 3 < RESIDUAL_DF:
        return _status("too few people", f"{len(y)} people for {x.shape[1] - 1} confound columns and 3 more")
    if not varies(first, x) or not varies(second, np.column_stack([x, first])):
        return _status("constant latent", "one of the two does not vary beyond the confounds and the other")
    x_null = np.column_stack([x, standard(first), standard(second)])
    product = x_null[:, -2] * x_null[:, -1]
    if not varies(product, x_null):
        return _status("constant latent", "the product does not vary beyond the confounds and the two")
    return _nested(score, y, x_null, np.column_stack([x_null, product]), family)


def _nested(
    score: dict[str, Any], y: np.ndarray, x_null: np.ndarray, x_full: np.ndarray, family: np.ndarray | None
) -> Row:
    kind, df = score["type"], x_full.shape[1] - x_null.shape[1]
    null, full = (families.fit(kind, y, x, score.get("link"), family) for x in (x_null, x_full))
    status = worst(null, full)
    if status != "ok":
        return _status(status, REASONS[status])
    row = {"status": "ok", "reason": "", "family": full.family, "link": full.link, "df": df}
    row |= {"partial_r2": families.partial_r2(kind, y, x_null, x_full, null, full)}
    if df == 1:
        low, high = families.interval(full, len(y))
        row |= {"effect": full.effect, "ci_low": low, "ci_high": high}
        row |= {"se": families.error(full, len(y)), "df_effect": full.df}
    ordinary = df > 1 and kind == "continuous" and family is None
    p = ordinary_f(null, full, df, len(y) - x_full.shape[1]) if ordinary else families.nested_p(null, full, df, len(y))
    return row | {"p": p}


def ordinary_f(null: families.Fit, full: families.Fit, extra: int, residual: int) -> float:
    """Test the drop in the sum of squares over the full model's mean square."""
    return float(f.sf((null.deviance - full.deviance) / extra / (full.deviance / residual), extra, residual))


def _status(status: str, reason: str) -> Row:
    return {"status": status, "reason": reason}


def _described(table: pd.DataFrame, score: dict[str, Any], part: str, term: str, cases: Design) -> Row:
    row = {"part": part, "term": term} | described(table, score, term, cases) | _status(cases.status, cases.reason)
    return {key: value for key, value in row.items() if key != "latent"}


def _with_q(rows: list[Row], part: str) -> list[Row]:
    ok = np.array([row["status"] == "ok" for row in rows], bool)
    q, m = bh(np.array([row.get("p", np.nan) for row in rows]), ok)
    return [row | {"family_size": m} | ({} if part == "together" else {"q": q[k]}) for k, row in enumerate(rows)]


if __name__ == "__main__":
    cli(run)
