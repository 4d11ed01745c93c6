"""Is a score associated with brain age beyond age? score ~ predicted age + spline(age) + confounds.

Given age, predicted age, gap and adjusted gap are the same variable up to a line in age, so that this test needs no
correction of the gap. Its permutations are those of `associate`: within sites, whole families. Beside it stands what
not to do: the correlation of the score with the uncorrected gap, which any score that depends on age has.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from neurovae.associate import univariate
from neurovae.design.design import first_scans, score_values
from neurovae.io import latent_table

BRAIN_AGE = latent_table.MU + "predicted_age"
Row = dict[str, Any]
TAKEN = ("score", "type", "session", "n", "n_confound_columns", "confounds", "family", "link", "effect", "ci_low",
         "ci_high", "p", "partial_r2", "split_policy", "status", "reason")  # fmt: skip
DRAWN = ("p_permutation", "permutations", "exchangeability")


def tests(
    found: pd.DataFrame, scores: list[Row], confounds: list[Row], age: Row, permutations: int, seed: int
) -> list[Row]:
    """Return a row per score.

    Args:
        found: of `age.with_gaps`, without extrapolated people; columns of the joined table and latents_*.
        scores: to test; the age itself is left out.
        confounds: of the configuration; age is added as continuous, or made so.
        age: the entry of the age.
        permutations: of the predicted age's residuals.
        seed: of these.
    """
    own = [item for item in confounds if item["name"] != age["name"]]
    own.append({"name": age["name"], "column": age.get("column"), "type": "continuous", "from": "table"})
    bare = found.drop(columns=latent_table.columns(found)).rename(columns={"predicted_age": BRAIN_AGE})
    rows = []
    for score in scores:
        if score["name"] == age["name"] or _column(score) == _column(age):
            continue
        glm, _, _, drawn = univariate.tests(bare, [score], own, permutations, seed)
        row = {key: glm[0].get(key) for key in TAKEN} | {key: drawn[0].get(key) for key in DRAWN}
        rows.append(row | naive(found, score))
    return rows


def naive(found: pd.DataFrame, score: Row) -> Row:
    """What not to do: Pearson's r of the score with the uncorrected gap, over people; and the gap's r with age.

    A time to an event has none: for many it is only known to be longer.
    """
    if score["type"] == "survival":
        return {}
    people = first_scans(found)
    y, gap = score_values(people, score), people["gap"].to_numpy(float)
    known = np.isfinite(y) & np.isfinite(gap)
    if known.sum() < 3 or np.ptp(y[known]) == 0:
        return {}
    r, p = stats.pearsonr(y[known], gap[known])
    with_age = stats.pearsonr(people["true_age"].to_numpy(float)[known], gap[known])[0]
    return {"naive_r": float(r), "naive_p": float(p), "gap_age_r": float(with_age)}


def _column(item: Row) -> str:
    return str(item.get("column") or item["name"])
