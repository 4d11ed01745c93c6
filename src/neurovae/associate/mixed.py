"""Repeated sessions: each latent against each score, between people and within them.

A score that never changes within a person is tested between people. One that changes is tested in both terms of the
within-between model (Bell & Jones 2015), Gaussian scores by a mixed model, others by GEE. Effects are per standard
deviation of the latent over scans in both terms, of a Gaussian score in its standard deviations. q is computed from the
p of the model, for GEE from the permutation p (`q_of`): at 40 people with 1-4 scans each the Wald p of a null count was
below .05 in 7-8 % (700 cohorts; binary, bounded, ordinal, gamma: 3-7 % of 300), the permutation p in 5-7 % (300).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate.clustered import clustered
from neurovae.associate.repeated import Repeated, repeated
from neurovae.associate.sessions import constant, linear
from neurovae.associate.terms import Row, Tests
from neurovae.cli import Json, cli
from neurovae.design.design import Design, join
from neurovae.design.imputed import complete_only
from neurovae.design.rows import AFTER, BEFORE, described, provenance, sessions, standard, stopped
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.stats.basis import moves
from neurovae.stats.exchangeability import too_few
from neurovae.stats.maxt import batch, exceed, maxt, statistics

NUMBERS = [
    "effect",
    "ci_low",
    "ci_high",
    "df",
    "p",
    "q",
    "p_permutation",
    "var_person",
    "var_site",
    "var_family",
    "var_residual",
]
COLUMNS = BEFORE | {"term": "object", "n_scans": "Int64", "random": "object"} | dict.fromkeys(
    [*NUMBERS, "icc"], "float64"
) | {"q_of": "object", "permutations": "Int64", "exchangeability": "object"} | AFTER  # fmt: skip
GEE = "p of a GEE is approximate with few people: q is computed from p_permutation"
WHOLE = ("too few sites", "not available", "one scan per person")  # one row per score, not per latent


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    permutations: int,
    seed: int,
    imputations: int = 0,
    site: str,
    out: Path,
) -> None:
    """Test every latent of one model against every score over all usable scans and write the table (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun mixed

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        qc: qc.parquet.
        health: health.json of the model.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        permutations: number of permutations.
        imputations: of missing confounds in other tests; here only said, where there are any.
        seed: of the permutations.
        site: covariate, or random (Gaussian scores only, from six sites on).
        out: table to write (.parquet, .tsv).
    """
    if site not in ("covariate", "random"):
        raise InputError(f"associate: site is '{site}'; use covariate or random")
    verdict, reason = read_verdict(health)
    table = join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc))
    if verdict in STOPPING:
        rows = [stopped(table, verdict, reason)]
    elif site == "covariate" and not table["person"].duplicated().any():
        rows = [provenance(table) | _one_scan(table) | {"verdict": verdict}]
    else:
        results = [
            mixed(table, score, confounds, permutations, seed, site == "random") for score in steps(scores, "scores")
        ]
        whole = complete_only([row for part in results for row in part], table, scores, confounds, imputations)
        rows = [row | {"verdict": verdict} for row in whole]
    write_both(out, tidy(rows, COLUMNS))


def mixed(
    table: pd.DataFrame, score: Row, confounds: list[Row], permutations: int, seed: int, random_site: bool
) -> list[Row]:
    """Test one score: a row per latent and term; q over the latents of a term that could be tested."""
    gaussian = score["type"] == "continuous" and score.get("link") in (None, "identity")
    data = repeated(table, score, confounds, random_site and gaussian)
    names = latent_table.columns(table)
    base = [_described(table, score, name, data) for name in names]
    if data.status != "ok":
        status = {"status": data.status, "reason": data.reason}
        return [base[0] | {"latent": None} | status] if data.status in WHOLE else [row | status for row in base]
    y, z = data.cases.y, table[names].to_numpy(float)[data.cases.rows]
    spread = np.where(moves(z), z.std(axis=0, ddof=1), 1.0)
    z = (z - z.mean(axis=0)) / spread
    if not data.varying:
        y = y / y[data.first].std(ddof=1) if gaussian else y
        terms = constant(score, y, data, z, random_site and gaussian)
    else:
        terms = linear(standard(y), data, z, random_site and gaussian) if gaussian else clustered(score, y, data, z)
    rows = []
    for term, tests in terms.items():
        permuted = permutation(tests, permutations, seed)
        text = _exchange_rule(term, tests, data)
        ok = np.array([row["status"] == "ok" for row in tests.numbers])
        model = np.array([row.get("p", np.nan) for row in tests.numbers])
        wald = data.varying and not gaussian and bool(np.isfinite(permuted[ok]).all())
        q, m = bh(permuted if wald else model, ok)
        for k, (first, row) in enumerate(zip(base, tests.numbers, strict=True)):
            permutation_numbers = (
                {"p_permutation": permuted[k], "permutations": permutations} if np.isfinite(permuted[k]) else {}
            )
            rows.append(
                {**first, "term": term, "exchangeability": text, "q": q[k], "family_size": m}
                | row
                | permutation_numbers
            )
            rows[-1]["q_of"] = ("p_permutation" if wald else "p") if ok[k] else None
            if wald and ok[k]:
                rows[-1]["reason"] = "; ".join(filter(None, [rows[-1]["reason"], GEE]))
    if random_site and not gaussian and table["site"].nunique() > 1:
        return [row | {"random": f"{row.get('random', 'none')}; site is a covariate"} for row in rows]
    return rows


def permutation(tests: Tests, permutations: int, seed: int) -> np.ndarray:
    """Return the p of each latent by permutation within the strata, missing where it is not possible. (latents,)."""
    p = np.full(tests.z.shape[1], np.nan)
    use = np.array([row["status"] == "ok" for row in tests.numbers])
    if tests.null is None or not use.any() or too_few(tests.strata, tests.null.residual):
        return p
    data = batch(tests.z[:, use], tests.x, [tests.null])
    observed = statistics(data, np.arange(len(tests.z))[None, :])[0]
    p[use] = maxt(observed, exceed([data], tests.strata, permutations, seed)[0])[0][0]
    return p


def _exchange_rule(term: str, tests: Tests, data: Repeated) -> str:
    if term == "within":
        rule = "scans within each person"
    else:
        same_site = " and the same site" if len(set(data.site)) > 1 else ""
        units = "whole people among those" if data.family is None else "whole families among those of equal size"
        rule = f"{units} with equally many scans{same_site}"
    reason = too_few(tests.strata, None if tests.null is None else tests.null.residual)
    return f"{rule}: none ({reason})" if reason else rule


def _described(table: pd.DataFrame, score: Row, latent: str, data: Repeated) -> Row:
    """Columns that describe a row; `n` counts each person once."""
    cases = data.cases
    first_scans = Design(cases.rows[data.first], cases.y[data.first], cases.x[data.first], cases.text, "", "")
    return described(table, score, latent, first_scans) | {
        "n_scans": len(cases.y),
        "session": sessions(table, cases.rows),
    }


def _one_scan(table: pd.DataFrame) -> dict[str, Any]:
    people = len(table)
    return {
        "n": people,
        "n_scans": people,
        "status": "one scan per person",
        "reason": "no participant has several usable scans; the other tests use one scan per participant",
    }


if __name__ == "__main__":
    cli(run)
