"""Accuracy of a predicted age, uncorrected, beside that of predicting the mean; and gaps by group, with intervals.

The R2 of bias-corrected predictions is never computed: it is high whatever the truth (Butler et al. 2021).
"""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.norm.words import FEW
from neurovae.predict.folds import groups_of
from neurovae.predict.metrics import INTERVAL, metric_table, person_weights

METRICS = ("mae", "r2", "r")  # the others of `predict` are in its own table
Row = dict[str, Any]


def metrics(found: pd.DataFrame, draws: int, seed: int) -> list[Row]:
    """Rows of mae, mae_of_the_mean, r2 and r over some people, with bootstrap intervals and the range of their ages.

    Args:
        found: of `age.with_gaps`: those to judge.
        draws: bootstrap samples of people, within test folds.
        seed: of these.
    """
    part = found.assign(truth=found["true_age"], prediction=found["predicted_age"], probability=np.nan)
    weights = person_weights(groups_of(part), part["fold"].to_numpy(int), draws, seed)
    rows = [row for row in metric_table(part, False, weights) if row["metric"] in METRICS]
    error = np.abs(part["truth"] - part["training_mean"]).to_numpy(float)
    means = weights @ error / weights.sum(axis=1)
    low, high = np.quantile(means[1:], [0.025, 0.975])
    rows.append({"metric": "mae_of_the_mean", "value": float(means[0]), "ci_low": float(low), "ci_high": float(high)})
    ages = part["true_age"]
    shared = {"n": part["person"].nunique(), "interval": INTERVAL}
    shared |= {"age_min": ages.min(), "age_max": ages.max(), "age_sd": ages.std(ddof=1)}
    return [shared | row for row in rows]


def by_group(found: pd.DataFrame, groups: dict[str, pd.Series], draws: int, seed: int) -> list[Row]:
    """Mean gap and adjusted gap of each level of each grouping, with bootstrap intervals over people; of few without.

    Args:
        found: of `age.with_gaps`, a row per person.
        groups: name -> level of each row of `found`; missing levels are left out.
        draws: bootstrap samples.
        seed: of these; a level's draws do not depend on the other levels.
    """
    rows = []
    for name, levels in groups.items():
        for level in sorted(levels.dropna().unique(), key=str):
            part = found[(levels == level).to_numpy()]
            weights = person_weights(groups_of(part), np.zeros(len(part), int), draws, seed)  # relatives together
            row: Row = {"grouping": name, "level": str(level), "n": len(part)}
            for column in ("gap", "gap_adjusted"):
                values = part[column].to_numpy(float)
                means = weights[1:] @ values / weights[1:].sum(axis=1)
                low, high = np.quantile(means, [0.025, 0.975]) if len(part) >= FEW else (np.nan, np.nan)
                row |= {column: values.mean(), f"{column}_low": low, f"{column}_high": high}
            rows.append(row | {"age_mean": part["true_age"].mean()})
    return rows
