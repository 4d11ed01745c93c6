"""External validation: do the associations and predictors of another cohort hold in these participants?"""

import pandas as pd

from neurovae.external.words import ADDED, ALL, RECALIBRATED, UNTOUCHED
from neurovae.predict.features import CONFOUNDS, LATENTS
from neurovae.report.blocks import Block, details, note, picture, table, text
from neurovae.report.results import Row, Run, health, read
from neurovae.report.text import count, unsigned

REPLICATION, TRANSFER = "external/replication.tsv", "external/transfer.tsv"
TESTED = {"score": "score", "score_source": "score of the other cohort", "latent": "latent",
          "effect_source": "effect there", "ci_low_source": "95 % CI low there", "ci_high_source": "95 % CI high there",
          "p_maxt_source": "max-T p there", "n_source": "n there", "effect": "effect here", "ci_low": "95 % CI low",
          "ci_high": "95 % CI high", "n": "n", "same_sign": "same sign", "p_one_sided": "one-sided p",
          "p_holm": "p (Holm)", "m": "tests", "replicated": "replicated", "status": "status",
          "reason": "note"}  # fmt: skip
APPLIED = {"score": "score", "features": "features", "application": "application", "against": "against",
           "metric": "metric", "value": "value", "ci_low": "95 % CI low", "ci_high": "95 % CI high",
           "value_source": "cross-validated there", "p": "p", "n": "n", "n_source": "n there", "status": "status",
           "reason": "note"}  # fmt: skip
SITE = ("The cohorts differ in site, scanner and recruitment, so what does not hold here may fail for one of these "
        "reasons, and not because the finding was wrong.")  # fmt: skip
EFFECTS = (
    "Effects of the latents that the other cohort found (max-T p < .05 there), tested here in the same direction: "
    "one-sided p, corrected by Holm's method over these latents of a score"
)
METRICS = (
    "The other cohort's predictors here. Untouched: nothing was fitted to these participants. Recalibrated: slope and "
    "intercept were fitted in training folds. Added: the prediction beside the latents of this cohort's primary model, "
    "cross-validated, and the difference, with the corrected resampled t test"
)


def external(run: Run) -> list[Block]:
    """A sentence per score, the figure and the tables; nothing in a run without `cohort.external`."""
    tests, metrics = read(run, REPLICATION), read(run, TRANSFER)
    if tests is None or metrics is None:
        return []
    blocks = [text(_about(run)), *(text(line) for line in sentences(tests, metrics))]
    absent = tests.loc[tests["status"] == "not here", "score_source"]
    blocks += (
        [note(f"Scores of the other cohort that were not tested here: {', '.join(absent)}.")] if len(absent) else []
    )
    blocks += [
        note(SITE),
        picture(run, "external.png", "another cohort's predictions and effects in these participants"),
    ]
    found = tests[_found(tests)]
    blocks += [table(found, TESTED, REPLICATION, EFFECTS)] if len(found) else []
    return [
        *blocks,
        details("The other cohort's predictors, all metrics", [table(metrics, APPLIED, TRANSFER, METRICS)]),
    ]


def _about(run: Run) -> str:
    source = (health(run, "external") or {}).get("source")
    if not source:
        return "Associations and predictors of another cohort were tested on these participants."
    people = source["people"]
    return (
        f"The model external was fitted to {count(people['training'], 'training participant')} of another cohort "
        f"(weights {source['exported_from']}, licence: {source['licence']}). Its associations and predictors were "
        "tested on these participants, none of whom it had seen."
    )


def methods(run: Run) -> str:
    """How another cohort's findings were tested here, for the methods text; empty in a run without them."""
    tests, metrics = read(run, REPLICATION), read(run, TRANSFER)
    if tests is None or metrics is None or not (tests["status"] == "ok").any():
        return ""
    draws = run.config.get("predict", {}).get("bootstraps")
    applied = set(metrics.loc[metrics["status"] == "ok", "application"])
    said = [
        "External validation. Associations that another cohort had found (max-T p < .05) were tested on the latents of "
        "its model in these participants, one-sided in the direction of its effect, with Holm's correction over the "
        "latents of a score.",
        "Its predictors (ridge or L2-penalised logistic regression, fitted to all of its participants) were applied "
        "unchanged; R² was computed relative to the mean of these participants, and 95 % confidence intervals "
        f"were obtained from {draws:,} bootstrap samples of participants." if UNTOUCHED in applied and draws else "",
        "Slope and intercept were then re-estimated in the training folds." if RECALIBRATED in applied else "",
        "Finally, the prediction was added to the latents of the primary model, and the cross-validated difference was "
        "tested with the corrected resampled t test [nadeau]." if ADDED in applied else "",
    ]  # fmt: skip
    return " ".join(words for words in said if words)


def sentences(tests: pd.DataFrame, metrics: pd.DataFrame) -> list[str]:
    """What held and what did not, score by score."""
    return [
        " ".join(filter(None, [_replicated(score, part), *_transferred(metrics[metrics["score"] == score])]))
        for score, part in tests.groupby("score", sort=False)
    ]


def _replicated(score: object, part: pd.DataFrame) -> str:
    whole = part[part["latent"] == ALL].to_dict("records")
    if not whole:
        return f"{score}: {part['reason'].iloc[0]}."
    row, found = whole[0], part[_found(part)]
    untested, latents = found[found["same_sign"].isna()], f"{count(len(found), 'latent')} associated with it"
    if found.empty:
        return f"{score}: the other cohort found no latent associated with it (max-T)."
    if len(untested) == len(found):
        why = untested["status"].iloc[0]
        return f"{score}: {latents} in the other cohort (max-T) could not be tested here ({why})."
    said = f"{score}: of {latents} in the other cohort (max-T), "
    said += f"{int(row['n_same_sign'])} had an effect of the same sign here and {int(row['n_replicated'])} replicated "
    said += "(one-sided p < .05 after Holm's correction)."
    said += f" {len(untested)} could not be tested here." if len(untested) else ""
    if pd.notna(row["r_effects"]):
        said += (
            f" Over all {int(row['m'])} latents, effects correlated {_interval(row, 'r_effects', 'r_low', 'r_high')}."
        )
    return said


def _found(tests: pd.DataFrame) -> pd.Series:
    """Rows of latents that the other cohort found."""
    return tests["found"].astype(str).isin(["True", "true"])


def _transferred(part: pd.DataFrame) -> list[str]:
    """Sentences on the predictor from latents: untouched, recalibrated, and added to the own latents."""
    rows: dict[tuple[str, str, str], Row] = {
        (row["features"], row["application"], row["metric"]): row
        for row in part[part["against"].isna()].to_dict("records")
        if row["status"] == "ok"
    }
    metric, name = ("auc", "AUC") if (LATENTS, UNTOUCHED, "auc") in rows else ("r2", "R²")
    one, slope = rows.get((LATENTS, UNTOUCHED, metric)), rows.get((LATENTS, UNTOUCHED, "calibration_slope"))
    if not one:
        return [f"It was not predicted: {part['reason'].iloc[0]}."] if len(part) else []
    said = f"Predicted by that cohort's model as it is: {name} {_interval(one)}"
    said += f" (cross-validated there: {one['value_source']:.2f})" if pd.notna(one["value_source"]) else ""
    said += f", calibration slope {_interval(slope)}" if slope and pd.notna(slope["value"]) else ""
    alone = rows.get((CONFOUNDS, UNTOUCHED, metric))
    said += f"; by its confounds alone: {_interval(alone)}" if alone else ""
    again = rows.get((LATENTS, RECALIBRATED, metric))
    said += f"; after recalibration here: {_interval(again)}" if again else ""
    gains = part[(part["application"] == ADDED) & (part["against"] == LATENTS) & (part["metric"] == metric)]
    gain = [row for row in gains.to_dict("records") if row["status"] == "ok"]
    more = f"Added to the own latents, it changed {name} by {_interval(gain[0])}." if gain else ""
    return [f"{said}.", more]


def _interval(row: Row, value: str = "value", low: str = "ci_low", high: str = "ci_high") -> str:
    return unsigned(row[value], row[low], row[high])
