"""Brain age: the age predicted from the latents of a model for people whom neither the model's fold nor the line saw.

Learner, folds and tuning are those of `predict`; with a reference group, only its people train it, and everybody of the
test fold is predicted. Adjusted gap: the gap minus its regression on age, fitted on the out-of-fold predictions of
reference people of the other folds. De Lange & Cole 2020 add age minus the line of predicted on true age, Beheshti
2019 subtract the line of the gap on true age: the same number, since the second line is the first minus age.
"""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import used_confounds
from neurovae.predict.features import LATENTS, feature_maker, split_rows
from neurovae.predict.folds import Cases, Folds, groups_of
from neurovae.predict.learners import learn

LEARNER = "linear"
Row = dict[str, Any]


def predicted(
    folds: Folds, cases: Cases, reference: np.ndarray, age: Row, confounds: list[Row], inner: int, seed: int
) -> pd.DataFrame:
    """Return the cases with predicted_age and training_mean: the mean age of those who trained the line.

    Args:
        folds: of one model.
        cases: complete cases of the age.
        reference: whether each case is of the reference (cases,).
        age: the score that holds the age, as in the configuration.
        confounds: of the configuration; they are not used but in harmonisation over sites.
        inner: inner folds, for tuning.
        seed: of the inner folds.
    """
    table, groups = cases.table, groups_of(cases.table)
    used = used_confounds(table, age, confounds, with_split=False)[0]
    site = table["site"] if cases.base["harmonised"] == "combat" else None
    found = table.assign(predicted_age=np.nan, training_mean=np.nan)
    for k in sorted(table["fold"].unique()):
        latents = folds.tables[int(k)].set_index("scan").loc[table["scan"], cases.latents].to_numpy(float)
        train = np.flatnonzero((table["fold"] != k).to_numpy() & reference)
        test = np.flatnonzero(table["fold"] == k)
        features = feature_maker(LATENTS, latents, used, site)
        split = split_rows(features, groups, train, test, inner, seed, folds.sizes.get(int(k)))
        found.loc[test, "predicted_age"] = learn(LEARNER, split, cases.y, False)(split.x_test)[0]
        found.loc[test, "training_mean"] = cases.y[train].mean()
    return found


def line(age: np.ndarray, predicted_age: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of predicted on true age, by least squares; missing of one age alone. Both: (people,)."""
    if np.ptp(age) == 0:
        return float("nan"), float("nan")
    slope, intercept = np.polyfit(age, predicted_age, 1)
    return float(slope), float(intercept)


def adjusted(age: np.ndarray, predicted_age: np.ndarray, fold: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Gap without its linear dependence on age, (n,), from lines of reference people of the other folds.

    It is missing in a fold for which these people are all of one age, since no line follows from them.

    Args:
        age: true age (n,).
        predicted_age: (n,), out of fold.
        fold: test fold of each (n,).
        reference: whether each is of the reference (n,).
    """
    gap = np.empty(len(age))
    for k in np.unique(fold):
        others, here = reference & (fold != k), fold == k
        slope, intercept = line(age[others], predicted_age[others])
        gap[here] = predicted_age[here] - (intercept + slope * age[here])
    return gap


def with_gaps(found: pd.DataFrame, age: np.ndarray, reference: np.ndarray) -> pd.DataFrame:
    """Add age, gap, gap_adjusted and whether the age is outside the reference's range. found: of `predicted`."""
    brain, low, high = found["predicted_age"].to_numpy(float), age[reference].min(), age[reference].max()
    fold = found["fold"].to_numpy(int)
    return found.assign(
        true_age=age,
        reference=reference,
        gap=brain - age,
        gap_adjusted=adjusted(age, brain, fold, reference),
        extrapolated=(age < low) | (age > high),
    )
