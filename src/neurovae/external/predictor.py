"""The predictor of a score as numbers that can be given away: a line over latents and confounds, with its scaling.

It is the linear learner of `predict` (ridge, or L2 logistic regression), tuned on inner folds in the same way, but
fitted to all participants of a cohort, since it is to be applied to those of another.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from neurovae.external import coding
from neurovae.predict.features import BOTH, CONFOUNDS, LATENTS, split_rows, standardised
from neurovae.predict.linear import fitted
from neurovae.stats.basis import moves

Predictor = dict[str, Any]


def fit(
    features: str,
    y: np.ndarray,
    latents: pd.DataFrame,
    codings: list[coding.Coding],
    confounds: np.ndarray,
    groups: np.ndarray,
    *,
    binary: bool,
    inner: int,
    seed: int,
    size: np.ndarray | None = None,
) -> Predictor:
    """Fit one predictor to all rows.

    Args:
        features: latents, confounds, or both, by their name in `predict.features`.
        y: score (scans,), 0 and 1 where binary.
        latents: (scans, latents).
        codings: of the confounds.
        confounds: their columns (scans, columns), of `coding.coded`; unknown values count as the mean.
        groups: (scans,) people, or families; inner folds keep them together.
        binary: logistic regression.
        inner: inner folds, for the penalty.
        seed: of the inner folds.
        size: of the latents, by which they are weighted as in `predict`; None: not known.
    """
    names = [*(list(latents) if features in (LATENTS, BOTH) else [])]
    own = coding.columns(codings) if features in (CONFOUNDS, BOTH) else []
    filled = np.where(np.isnan(confounds), np.nanmean(confounds, axis=0), confounds) if confounds.size else confounds
    raw = np.hstack([latents[names].to_numpy(float), filled[:, : len(own)]])

    def columns_of(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        x = standardised(raw[np.concatenate([train, test])], len(train), 1e-9)
        return x[: len(train)], x[len(train) :], len(own)

    everyone = np.arange(len(y))
    split = split_rows(columns_of, groups, everyone, everyone[:0], inner, seed, size if names else None)
    intercept, coef, alphas = fitted(split, y[:, None], binary)
    spread = np.where(moves(raw) & (raw.std(axis=0) > 1e-9), raw.std(axis=0), np.inf)
    line = [
        {"name": name, "mean": float(mean), "sd": float(sd), "coefficient": float(value)}
        for name, mean, sd, value in zip([*names, *own], raw.mean(axis=0), spread, coef[:, 0], strict=True)
        if np.isfinite(sd)
    ]
    penalty = {"confounds": float(alphas[0, 0]), "latents": float(alphas[0, 1])}
    unused = {"latents": LATENTS, "confounds": CONFOUNDS}
    penalty = {name: value for name, value in penalty.items() if features in (unused[name], BOTH)}
    return {
        "features": features,
        "learner": "logistic regression" if binary else "ridge regression",
        "penalty": penalty,
        "intercept": float(intercept[0]),
        "columns": line,
        "people": int(len(np.unique(groups))),
        "mean": float(y.mean()),
    }


def apply(
    predictor: Predictor, latents: pd.DataFrame, codings: list[coding.Coding], values: dict[str, pd.Series]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Prediction (scans,) of people of another cohort, a logit where binary, and then their probability.

    A confound that is unknown counts as the mean of the cohort of the predictor.

    Args:
        predictor: of `fit`.
        latents: (scans, latents) of the same model.
        codings: of the confounds.
        values: the confounds of these people, by name.
    """
    table = pd.DataFrame(coding.coded(codings, values, len(latents)), columns=coding.columns(codings))
    table = pd.concat([latents.reset_index(drop=True), table], axis=1)
    line = np.full(len(latents), predictor["intercept"])
    for column in predictor["columns"]:
        z = (table[column["name"]].to_numpy(float) - column["mean"]) / column["sd"]
        line += column["coefficient"] * np.where(np.isnan(z), 0.0, z)
    return line, expit(line) if predictor["learner"].startswith("logistic") else None
