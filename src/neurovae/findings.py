"""Findings: the tests of all models in one table per kind of test, each test with its caveats."""

from pathlib import Path

import pandas as pd

from neurovae.cli import cli
from neurovae.design.delays import usable, with_delay
from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet, write_table

KEYS = ["score", "model", "fold", "seed", "latent"]
SPLINE = ["p_nonlinear", "q_nonlinear", "p_overall", "q_overall", "p_quadratic", "q_quadratic", "p_cubic"]
PERMUTED = ["p_permutation", "p_maxt", "p_minp", "p_quadratic_permutation", "p_quadratic_maxt", "quadratic_status",
            "maxt_family", "maxt_statistic", "maxt_status", "maxt_reason", "m", "permutations",
            "exchangeability"]  # fmt: skip
SHARED = ["family", "statistic", "status", "reason"]  # what the GLM's table may call by the same names


def run(
    *,
    associate: Path,
    audit: Path,
    cohort: Path,
    qc: Path,
    models: list[str],
    fits: list[str],
    primary: str,
    associations: Path,
    omnibus: Path,
    multivariable: Path,
    mixed: Path,
    caveat_days: float | None = None,
) -> None:
    """Bring the tests of all models together; beside each test its nuisances and its replication in other seeds.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun findings

    Args:
        associate: results folder of the tests.
        audit: results folder of the sensitivity checks.
        cohort: cohort.parquet.
        qc: qc.parquet.
        models: names of the models.
        fits: fold and seed of each model that was tested ("fold-0_seed-0").
        primary: the model that was named before the analysis; its rows say so.
        associations: TSV to write, a row per score, model, seed and latent, smallest p first.
        omnibus: TSV to write of the joint tests of all latents.
        multivariable: TSV to write of the multivariable models.
        mixed: TSV to write of the tests over sessions.
        caveat_days: days between scan and score beyond which a score has a caveat; null: none.
    """
    pairs = [(model, fit) for model in models for fit in fits]
    tables = {
        name: pd.concat([read_parquet(associate / model / fit / f"{name}.parquet") for model, fit in pairs])
        for name in ("glm", "spline", "permute", "omnibus", "multivariable", "mixed")
    }
    single = beside(tables["glm"], tables["spline"][KEYS + SPLINE], KEYS, "univariate")
    single = with_maxt(single, tables["permute"])
    caveats = pd.concat([read_parquet(audit / model / fit / "caveats.parquet") for model, fit in pairs])
    seeds = pd.concat(
        [
            read_parquet(audit / model / fit.split("_")[0] / "replicated.parquet")
            for model, fit in dict.fromkeys((model, fits[0]) for model in models)
        ]
    )
    single = with_audits(single, caveats, seeds)
    for name in ("omnibus", "multivariable", "mixed"):
        tables[name] = with_score_audit(tables[name], caveats)
    people = usable(read_parquet(cohort), read_parquet(qc))
    for path, table in (
        (associations, single),
        (omnibus, tables["omnibus"]),
        (multivariable, tables["multivariable"]),
        (mixed, tables["mixed"]),
    ):
        table.insert(2, "primary", table["model"] == primary)
        order = [name for name in ("score", "p", "model", "latent", "term") if name in table]
        write_table(path, with_delay(table, people, caveat_days).sort_values(order, ignore_index=True))


def with_maxt(tests: pd.DataFrame, permuted: pd.DataFrame) -> pd.DataFrame:
    """Return the tests with the permutation p, and max-T's own statistic, status and reason (not those of the GLM)."""
    renamed = permuted.rename(columns={name: f"maxt_{name}" for name in SHARED})
    return beside(tests, renamed[KEYS + PERMUTED], KEYS, "univariate")


def beside(tests: pd.DataFrame, more: pd.DataFrame, keys: list[str], name: str) -> pd.DataFrame:
    """Join the columns of another table to the tests; a test without a row there is an error, else it would look
    untested.

    name: the rule that makes the other table.

    Raises:
        InputError: rows of `tests` that `more` does not have.
    """
    joined = tests.merge(more, on=keys, how="left", validate="many_to_one", indicator=True)
    without_row = joined[joined["_merge"] != "both"]
    if len(without_row):
        row = ", ".join(f"{key} {without_row[key].iloc[0]}" for key in keys)
        raise InputError(f"{name}: no row for {len(without_row)} tests, first {row}; rerun with --forcerun {name}")
    return joined.drop(columns="_merge")


def with_audits(tests: pd.DataFrame, caveats: pd.DataFrame, seeds: pd.DataFrame) -> pd.DataFrame:
    """Tests with `nuisance` (of the latent), `flagged` (it is associated with the score too), and `replicated`."""
    of_pairs = caveats.loc[caveats["kind"] == "association", [*KEYS, "text", "flagged"]]
    table = beside(tests, of_pairs.rename(columns={"text": "nuisance"}), KEYS, "confounds")
    table = beside(table, seeds[[*KEYS, "replicated"]], KEYS, "stability")
    return with_score_audit(table, caveats)


def with_score_audit(tests: pd.DataFrame, caveats: pd.DataFrame) -> pd.DataFrame:
    """Tests with `score_nuisance`: undeclared nuisances that explain part of the score itself, where there are any."""
    score = ["model", "fold", "seed", "score"]
    of_scores = (caveats["kind"] == "score") & caveats["flagged"].astype("boolean").fillna(False)
    texts = caveats.loc[of_scores, [*score, "text"]].rename(columns={"text": "score_nuisance"})
    return tests.merge(texts, on=score, how="left", validate="many_to_one")


if __name__ == "__main__":
    cli(run)
