"""Follow the latents of one model over the visits: growth model per latent, people's slopes, scores and change."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.rows import provenance, stopped
from neurovae.design.tables import STOPPING, read_verdict, tidy, write_both
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.trajectory.change import change
from neurovae.trajectory.frame import confounds_of, frame, timed
from neurovae.trajectory.growth_rows import ahead, effects, fit_all, people, usable

SAME = {"model": "object", "fold": "Int64", "seed": "Int64", "latent": "object", "role": "object"}
COUNTS = {"n": "Int64", "n_repeated": "Int64"}
AFTER = {"family_size": "Int64", "split_policy": "object", "status": "object", "reason": "object", "verdict": "object"}
EFFECTS = SAME | {"term": "object"} | COUNTS | {"n_scans": "Int64", "confounds": "object", "random": "object"} | (
    dict.fromkeys(["effect", "se", "ci_low", "ci_high", "effect_sd", "df", "p", "q", "var_level", "var_slope",
                   "r_level_slope", "var_residual", "loglik"], "float64")) | AFTER  # fmt: skip
CHANGE = {"score": "object", "type": "object"} | SAME | COUNTS | {"confounds": "object"} | dict.fromkeys(
    ["effect", "se", "ci_low", "ci_high", "df", "p", "q", "p_permutation", "p_maxt"], "float64"
) | {"m": "Int64", "permutations": "Int64", "exchangeability": "object"} | AFTER  # fmt: skip
PEOPLE = {"person": "object"} | SAME | {"visits": "Int64"} | dict.fromkeys(
    ["years", "level", "level_reliability", "slope", "slope_reliability"], "float64"
)  # fmt: skip
AHEAD = {"person": "object"} | SAME | dict.fromkeys(["years", "last", "predicted", "low", "high"], "float64")
Row = dict[str, Any]


def run(
    *,
    cohort: Path,
    qc: Path,
    latents: Path,
    index: Path,
    health: Path,
    times: Path,
    scores: Json,
    confounds: Json,
    age: str | None = None,
    ahead: float,
    permutations: int,
    seed: int,
    out: Path,
) -> None:
    """Write into the folder `out`, as Parquet and TSV: effects, people, predicted and change.

    effects: change per year within people, and difference per year of age between them, of each latent. people: level
    and slope of each person. predicted: latents some years after the last visit. change: time x score.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun trajectory

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        latents: latents.parquet of one model.
        index: latent_index.parquet of the model.
        health: health.json of the model.
        times: times.parquet.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        age: column of the age, whose confound is left out.
        ahead: years after the last visit.
        permutations: number of permutations.
        seed: of the permutations.
        out: folder to write.
    """
    verdict, reason = read_verdict(health)
    table = join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc))
    if verdict in STOPPING:
        row = stopped(table, verdict, reason)
        tables = {"effects": [row], "people": [], "predicted": [], "change": [row]}
    else:
        visits = timed(table, read_parquet(times))
        roles = list(latent_table.by_role(visits, read_parquet(index)))
        parts = [_role(part, role, scores, confounds, age, ahead, permutations, seed, verdict) for role, part in roles]
        tables = {name: [row for part in parts for row in part[name]] for name in ("effects", "change")}
        tables |= {
            name: pd.concat([part[name] for part in parts]).to_dict("records") for name in ("people", "predicted")
        }
    for name, columns in (("effects", EFFECTS), ("people", PEOPLE), ("predicted", AHEAD), ("change", CHANGE)):
        write_both(Path(out) / f"{name}.parquet", tidy(tables[name], columns))


def _role(
    visits: pd.DataFrame,
    role: str,
    scores: list[Row],
    confounds: list[Row],
    age: str | None,
    years: float,
    permutations: int,
    seed: int,
    verdict: str,
) -> dict[str, Any]:
    """All tables of the latents of one role."""
    names = latent_table.columns(visits)
    design = frame(visits, confounds_of(visits, confounds, age, with_split=True))
    same = provenance(visits) | {"role": role}
    base = same | {"split_policy": _policy(visits), "verdict": verdict}
    if reason := usable(design):
        row = base | {"status": "too few people", "reason": reason}
        return {"effects": [row], "change": [row], "people": pd.DataFrame(), "predicted": pd.DataFrame()}
    z = visits[names].to_numpy(float)[design.rows]
    fits, persons = fit_all(design, z), visits["person"].iloc[design.rows[design.first]].tolist()
    tests = [change(design, z, names, visits, score, base, permutations, seed) for score in steps(scores, "scores")]
    return {
        "effects": effects(fits, names, base),
        "people": people(fits, names, persons, same),
        "predicted": ahead(fits, names, persons, years, same),
        "change": [row for part in tests for row in part],
    }


def _policy(visits: pd.DataFrame) -> str:
    first = visits.drop_duplicates("person")["latents_split"]
    n_training = int((first == "training").sum())
    return (
        f"transductive: {n_training} of {len(first)} people trained the model"
        if n_training
        else "people unseen in training"
    )


if __name__ == "__main__":
    cli(run)
