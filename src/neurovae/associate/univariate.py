"""Test each latent against each score in three ways: linear effect, nonlinearity, permutation."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.associate.fitted import fitted, linear_fits
from neurovae.associate.glm import COLUMNS as GLM
from neurovae.associate.glm import by_permutation
from neurovae.associate.glm import glm as linear_tests
from neurovae.associate.permute import COLUMNS as PERMUTE
from neurovae.associate.permute import permute as permutation_tests
from neurovae.associate.spline import COLUMNS as SPLINE
from neurovae.associate.spline import CURVE
from neurovae.associate.spline import spline as spline_tests
from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.rows import stopped
from neurovae.design.tables import STOPPING, read_verdict, tidy, write_both
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet

Rows = list[dict[str, Any]]


def run(
    *,
    cohort: Path,
    latents: Path,
    index: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    permutations: int,
    seed: int,
    imputations: int = 0,
    glm: Path,
    spline: Path,
    curves: Path,
    permute: Path,
    threads: int = 1,
) -> None:
    """Test every latent of one model against every score, one scan per person, and write the three tables of tests.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun univariate

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        index: its latent_index.parquet; latents of one role are corrected together.
        qc: qc.parquet.
        health: health.json of the model.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        permutations: number of permutations.
        seed: of permutations and imputations.
        imputations: of missing confounds; 0: complete cases.
        glm: table to write of the linear effects (.parquet, .tsv).
        spline: table to write of the tests for nonlinearity (.parquet, .tsv).
        curves: table to write of the fitted splines (.parquet, .tsv).
        permute: table to write of the permutation tests (.parquet, .tsv).
        threads: blocks of permutations computed at a time; the numbers do not depend on it.
    """
    results: tuple[Rows, Rows, Rows, Rows]
    verdict, reason = read_verdict(health)
    table = join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc))
    if verdict in STOPPING:
        row = stopped(table, verdict, reason)
        results = [row], [row], [], [row | {"quadratic_status": "not tested", "quadratic_reason": reason}]
    else:
        results = [], [], [], []
        for role, part in latent_table.by_role(table, read_parquet(index)):
            by_test = tests(part, scores, confounds, permutations, seed, threads, imputations)
            for rows, new_rows in zip(results, by_test, strict=True):
                rows += [{"role": role} | row for row in new_rows]
        order = [(score["name"], name) for score in scores for name in latent_table.columns(table)]
        for rows in results:
            rows.sort(key=lambda row: order.index((row["score"], row["latent"])))
    for path, rows, columns in zip((glm, spline, curves, permute), results, (GLM, SPLINE, CURVE, PERMUTE), strict=True):
        write_both(path, tidy([{"verdict": verdict} | row for row in rows], columns))


def tests(
    table: pd.DataFrame,
    scores: Rows,
    confounds: Rows,
    permutations: int,
    seed: int,
    threads: int = 1,
    imputations: int = 0,
) -> tuple[Rows, Rows, Rows, Rows]:
    """Return the rows of the linear effects, the splines, the splines' curves and the permutation tests."""
    fits = [fitted(table, score, confounds, imputations, seed) for score in scores]
    permuted = permutation_tests(table, fits, permutations, seed, threads)
    linear, splines, curves = Rows(), Rows(), Rows()
    for one in fits:
        by_latent = [linear_fits(table, copy) for copy in one]
        score_permuted = [row for row in permuted if row["score"] == one[0].score["name"]]
        linear += by_permutation(linear_tests(table, one, by_latent), score_permuted)
        rows, points = spline_tests(table, one, by_latent)
        splines += rows
        curves += points
    return linear, splines, curves, permuted


if __name__ == "__main__":
    cli(run)
