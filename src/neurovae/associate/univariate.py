"""Each latent against each score, three ways from one pass: linear effect, nonlinearity, permutation."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.associate.fitted import fitted, lines
from neurovae.associate.glm import COLUMNS as GLM
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

Rows = list[dict[str, Any]]


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
    imputations: int,
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
        threads: blocks of permutations at a time; changes nothing in the numbers.
    """
    found: tuple[Rows, Rows, Rows, Rows]
    verdict, reason = read_verdict(health)
    table = join(pd.read_parquet(cohort), pd.read_parquet(latents), pd.read_parquet(qc))
    if verdict in STOPPING:
        row = stopped(table, verdict, reason)
        found = [row], [row], [], [row | {"quadratic_status": "not tested", "quadratic_reason": reason}]
    else:
        found = tests(table, scores, confounds, permutations, seed, threads, imputations)
    for path, rows, columns in zip((glm, spline, curves, permute), found, (GLM, SPLINE, CURVE, PERMUTE), strict=True):
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
    """Rows of the linear effects, the splines, the splines' curves and the permutation tests. table: joined scans."""
    known = [fitted(table, score, confounds, imputations, seed) for score in scores]
    linear, splines, curves = Rows(), Rows(), Rows()
    for one in known:
        each = [lines(table, copy) for copy in one]
        linear += linear_tests(table, one, each)
        rows, points = spline_tests(table, one, each)
        splines += rows
        curves += points
    return linear, splines, curves, permutation_tests(table, known, permutations, seed, threads)


if __name__ == "__main__":
    cli(run)
