"""Test the latent space as a whole: does it predict a score beyond the confounds, and along which direction?

p: kernel tests combined over one set of permutations of people. partial_r2_cv: cross-validated partial R2 of a ridge
regression, for scores that are not Gaussian that of the null's score residual (binary, count: score minus fitted mean);
negative: worse than predicting the mean. The folds are of the regression: the model and its latents stay as they are.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from neurovae.associate.fitted import fitted
from neurovae.associate.permute import Ready, prepare, strata
from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.imputed import complete_only
from neurovae.design.rows import stopped
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.stats.direction import DIRECTIONS, directions
from neurovae.stats.exchangeability import plan, shuffle
from neurovae.stats.kernel import SINGLE, Space, kernels, space
from neurovae.stats.maxt import TIE, minp
from neurovae.stats.ridge import Fold, cross_fit, folds

ELEMENTS = 2**20  # people x permutations in one block
COLUMNS = {"score": "object", "type": "object", "model": "object", "fold": "Int64", "seed": "Int64",
           "session": "object", "n": "Int64", "n_confound_columns": "Int64", "confounds": "object",
           "n_imputed": "Int64", "latents": "Int64", "statistic": "float64", "ridge": "object",
           "p": "float64", "q": "float64", "family_size": "Int64", "partial_r2_cv": "float64",
           "permutations": "Int64", "exchangeability": "object", "split_policy": "object", "status": "object",
           "reason": "object", "verdict": "object"}  # fmt: skip
Row = dict[str, Any]


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
    out: Path,
    directions: Path,
    threads: int = 1,
) -> None:
    """Test all latents of one model jointly against every score, and write the table and the directions.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun omnibus

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        qc: qc.parquet.
        health: health.json of the model.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        permutations: number of permutations.
        imputations: of missing confounds in other tests; here only said, where there are any.
        seed: of permutations, folds and resamples.
        out: table to write, a row per score (.parquet, .tsv).
        directions: table to write, a row per score and latent (.parquet, .tsv).
        threads: blocks of permutations computed at a time; the numbers do not depend on it.
    """
    verdict, reason = read_verdict(health)
    table = join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc))
    if verdict in STOPPING:
        rows, by_latent = [stopped(table, verdict, reason)], [stopped(table, verdict, reason)]
    else:
        rows, by_latent = omnibus(table, scores, confounds, permutations, seed, threads)
        both = (complete_only(part, table, scores, confounds, imputations) for part in (rows, by_latent))
        rows, by_latent = ([row | {"verdict": verdict} for row in part] for part in both)
    write_both(out, tidy(rows, COLUMNS))
    write_both(directions, tidy(by_latent, DIRECTIONS))


def omnibus(
    table: pd.DataFrame, scores: list[Row], confounds: list[Row], permutations: int, seed: int, threads: int = 1
) -> tuple[list[Row], list[Row]]:
    """A row per score, and a row per score and latent of its direction; q over the scores that could be tested."""
    rows, by_latent = [], []
    for score in steps(scores, "scores"):
        ready, latent_rows = prepare(table, fitted(table, score, confounds))
        row = {name: value for name, value in latent_rows[0].items() if name != "latent"}
        if ready is not None:
            row |= {"status": "ok", "reason": ""}
            numbers, latent_rows = _test(table, ready, latent_rows, permutations, seed, threads)
            row |= numbers
        rows.append(row)
        by_latent += latent_rows
    q, size = bh(np.array([row.get("p", np.nan) for row in rows]), np.array([row["status"] == "ok" for row in rows]))
    return [row | {"q": q[k], "family_size": size} for k, row in enumerate(rows)], by_latent


def kernel_test(draws: np.ndarray, observed: np.ndarray) -> tuple[float, int]:
    """Combine all kernels by min-P: p, and the first kernel with the smallest p. draws: (draws, kernels)."""
    p = (1 + (draws >= observed * (1 - TIE)).sum(axis=0)) / (len(draws) + 1)
    best = int(np.argmin(p))
    return float(minp(draws, observed, p[[best]])[0]), best


def permuted_statistics(
    data: Space, parts: list[Fold], strata: np.ndarray, permutations: int, seed: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel statistics (permutations, kernels) and cross-fitted r (permutations,) of permuted scores."""

    def block(count: int, sequence: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
        e = data.e[shuffle(strata, count, sequence)]
        return kernels(data, e), cross_fit(parts, e)[0]

    jobs = plan(permutations, max(ELEMENTS // len(data.e), 1), seed)
    blocks = steps(jobs, "permutations", permutations)
    results = Parallel(n_jobs=threads, prefer="threads")(delayed(block)(*job) for job in blocks)
    return np.concatenate([statistic for statistic, _ in results]), np.concatenate([r for _, r in results])


def _test(
    table: pd.DataFrame, ready: Ready, rows: list[Row], permutations: int, seed: int, threads: int
) -> tuple[Row, list[Row]]:
    people, x = ready.cases.rows, ready.cases.x
    z = table[ready.latents].to_numpy(float)[people]
    z = z - z.mean(axis=0)
    blocks, family = strata(table, ready.cases), ready.cases.family
    data = space(ready.null, z, x)
    parts = folds(data.z, data.x, seed, family)
    draws, r_drawn = permuted_statistics(data, parts, blocks, permutations, seed, threads)
    observed = kernels(data, data.e[None, :])[0]
    r, partial_r2 = (float(value[0]) for value in cross_fit(parts, data.e[None, :]))
    p, best = kernel_test(draws, observed)
    test = {
        "r": r,
        "p_r": float((1 + np.sum(r_drawn >= r - TIE)) / (permutations + 1)),
        "permutations": permutations,
    }
    by_latent = directions(data, z, x, ready.latents, blocks, seed, family)
    latent_rows = [row | (test | by_latent[row["latent"]] if row["status"] == "ok" else {}) for row in rows]
    return {
        "latents": len(ready.latents),
        "statistic": float(observed[best]),
        "ridge": [*data.names, SINGLE][best],
        "p": p,
        "partial_r2_cv": partial_r2,
        "permutations": permutations,
    }, latent_rows


if __name__ == "__main__":
    cli(run)
