"""External validation: what another cohort found and predicts, tested on the participants of this one.

Nothing here was seen by the other cohort's model or predictors, and only what is named "recalibrated" or "added" is
fitted here, in training folds. Site differs between the cohorts, so that what does not hold may not hold because of it.
"""

from pathlib import Path
from typing import Any

from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.external import score as one_score
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.plan import external as plan
from neurovae.predict.folds import complete_cases, outer_folds

TEXT = dict.fromkeys(["differs", "status", "reason"], "object")
NUMBERS = ("effect_source", "ci_low_source", "ci_high_source", "p_maxt_source", "effect", "ci_low", "ci_high", "p",
           "p_one_sided", "p_holm", "r_effects", "r_low", "r_high")  # fmt: skip
COUNTS = ("m", "n_found", "n_same_sign", "n_replicated", "n_source", "n")
KEYS = dict.fromkeys(["score", "score_source", "type"], "object")
REPLICATION = KEYS | {"latent": "object", "found": "boolean"} | dict.fromkeys(NUMBERS, "float64") | {
    "same_sign": "boolean", "replicated": "boolean"} | dict.fromkeys(COUNTS, "Int64") | TEXT  # fmt: skip
TRANSFER = KEYS | dict.fromkeys(["features", "application", "against", "metric"], "object") | dict.fromkeys(
    ["value", "ci_low", "ci_high"], "float64") | {"interval": "object"} | dict.fromkeys(
    ["value_source", "p"], "float64") | dict.fromkeys(["folds", "n_source", "n"], "Int64") | TEXT  # fmt: skip
PREDICTED = dict.fromkeys(["scan", "person", "score", "type", "features", "application"], "object") | (
    dict.fromkeys(["truth", "prediction", "probability"], "float64")
)
Rows = list[dict[str, Any]]


def run(
    *,
    cohort: Path,
    qc: Path,
    latents: Path,
    own: list[Path],
    index: list[Path],
    inference: Path,
    scores: Json,
    confounds: Json,
    mapping: Json | None = None,
    inner: int,
    bootstraps: int,
    harmonise: str,
    new_site: str,
    seed: int,
    replicated: Path,
    transferred: Path,
    predictions: Path,
) -> None:
    """Write the tables of replication and transfer, and the predictions of every participant.

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun external

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        latents: latents.parquet of the other cohort's model on these scans.
        own: latents.parquet of this cohort's primary model, one or one per fold.
        index: latent_index.parquet of each of these, with the sizes of the latents.
        inference: inference.json of the other cohort's export.
        scores: of the configuration.
        confounds: of the configuration.
        mapping: of the scores, as in cohort.external; null: scores of the same name.
        inner: inner folds of people.
        bootstraps: resamples of people for the intervals.
        harmonise: of the own latents: none, or combat.
        new_site: refuse, or mean.
        seed: of inner folds and resamples.
        replicated: table to write: associations (.parquet, .tsv).
        transferred: table to write: predictors (.parquet, .tsv).
        predictions: table to write: predictions (.parquet, .tsv).

    Raises:
        InputError: other latents than those of the export, or a score of another type or scale.
    """
    people, checks = read_parquet(cohort), read_parquet(qc)
    theirs = plan.inference(inference.parent)
    table = join(people, latent_table.read(latents), checks).assign(
        latents_split="test"
    )  # nobody here trained the model
    if latent_table.columns(table) != theirs["latents"]:
        raise InputError(f"{inference}: of other latents than {latents}; rerun with --forcerun train")
    matched, faults = plan.pairs(scores, mapping, theirs["scores"])
    if faults:
        raise InputError(faults)
    folds = outer_folds([join(people, read_parquet(path), checks) for path in own], latent_table.sizes(index))
    sites = int(table["site"].replace("n/a", None).nunique())
    differs = (
        f"cohort and site ({sites or 'unknown'} here, {theirs['cohort']['sites'] or 'unknown'} in the other cohort)"
    )
    tests: Rows = []
    transfers: Rows = []
    records: Rows = []
    for score in scores:
        if score["name"] not in matched:
            continue
        rule = matched[score["name"]]
        keys = {"score": score["name"], "score_source": rule["score"], "type": score["type"], "differs": differs}
        tests += [keys | row for row in one_score.associations(table, score, confounds, rule["theirs"])]
        cases = complete_cases(folds, score, confounds, inner=inner, harmonise=harmonise, new_site=new_site, seed=seed)
        rows, predicted = one_score.predictions(table, score, scores, confounds, rule, cases, bootstraps, seed)
        transfers += [keys | {"n_source": rule["theirs"]["people"]} | row for row in rows]
        records += [{key: keys[key] for key in ("score", "type")} | row for row in predicted]
    absent = {"status": "not here", "reason": "no score of this cohort is mapped to it", "differs": differs}
    used = {rule["score"] for rule in matched.values()}
    for one in theirs["scores"]:
        if one["name"] not in used:
            tests.append({"score_source": one["name"], "type": one["type"], "n_source": one["people"]} | absent)
            transfers.append({"score_source": one["name"], "type": one["type"], "n_source": one["people"]} | absent)
    write_both(replicated, tidy(tests, REPLICATION))
    write_both(transferred, tidy(transfers, TRANSFER))
    write_both(predictions, tidy(records, PREDICTED))
    print(f"{len(matched)} scores of the other cohort tested here, {len(theirs['scores']) - len(used)} not", flush=True)


if __name__ == "__main__":
    cli(run)
