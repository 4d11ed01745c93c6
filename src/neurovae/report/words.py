"""Values of tables in the words that the report prints; the files keep their own."""

import pandas as pd

from neurovae.audit.nuisances import WORDS
from neurovae.train.health.verdicts import NOT_APPLICABLE

PASSED, GIVEN = "passed all checks", "latents without a decoder"
METRICS = {"r2": "R²", "mae": "MAE", "r": "r", "auc": "AUC", "log_loss": "log loss", "brier": "Brier score",
           "balanced_accuracy": "balanced accuracy", "calibration_slope": "calibration slope",
           "calibration_intercept": "calibration intercept", "mean_error": "mean error",
           "c_harrell": "Harrell's C", "c_uno": "Uno's C", "ibs": "integrated Brier score",
           "ipa": "index of prediction accuracy", "log_partial_likelihood": "log partial likelihood"}  # fmt: skip
HEADLINE = ("r2", "auc", "c_harrell")  # the metric of a score that findings and summary give
PARTS = {"together": "all latents in one regression", "adjusted": "one latent, adjusted for the others",
         "interaction": "interaction between two latents"}  # fmt: skip
OTHER = "other group"  # the group of a binary score that is not its `positive`; the tables do not hold its name


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose metrics, verdicts, nuisance variables, parts and permutation rules are in words."""
    fixed = {"metric": METRICS, "part": PARTS, "nuisance": WORDS}
    columns = {name: table[name].replace(words) for name, words in fixed.items() if name in table}
    for name, words in (("verdict", verdict), ("exchangeability", participants)):
        if name in table:
            columns[name] = table[name].map(words, na_action="ignore")
    if "score_nuisance" in table and table["score_nuisance"].notna().any():  # n/a would read as not assessed
        columns["score_nuisance"] = table["score_nuisance"].mask(
            table["score_nuisance"].isna() & (table["status"] == "ok"), "none"
        )
    return table.assign(**columns)


def verdict(text: object) -> str:
    """ "passed all checks" instead of "healthy", which reads as a diagnosis; caveats behind a verdict stay."""
    first, *caveats = str(text).split("; ")
    return "; ".join([{"healthy": PASSED, NOT_APPLICABLE: GIVEN}.get(first, first), *caveats])


def participants(text: object) -> str:
    """ "participants within site" instead of "people within site"."""
    return str(text).replace("people", "participants")
