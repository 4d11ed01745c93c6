"""Columns, descriptions and statuses that the tables of tests share."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import Design
from neurovae.stats import families
from neurovae.stats.basis import moves, residual
from neurovae.stats.links import link_of

BEFORE = {"score": "object", "type": "object", "model": "object", "fold": "Int64", "seed": "Int64", "latent": "object",
          "family": "object", "link": "object", "session": "object", "n": "Int64", "n_confound_columns": "Int64",
          "confounds": "object", "n_imputed": "Int64"}  # fmt: skip
ROLE = {"role": "object"}  # of the latent: the tests of one role are corrected together
AFTER = {"family_size": "Int64", "split_policy": "object", "status": "object", "reason": "object", "verdict": "object"}
REASONS = {
    "separation": "the latent or the confounds separate some values without error: no finite estimate",
    "not converged": "the fit did not converge",
    "many levels": f"an ordinal score of more than {families.LEVELS} levels; declare it continuous, or bounded",
    "link out of range": "under this link the best fit lies on the border of the mean's range",
}


def described(table: pd.DataFrame, score: dict[str, Any], latent: str, cases: Design) -> dict[str, Any]:
    """Columns that describe a row, whether it was tested or not."""
    splits = table["latents_split"].iloc[cases.rows]
    n_training = (splits == "training").sum()
    policy = (
        f"transductive: {n_training} of {len(splits)} people trained the model"
        if n_training
        else "people unseen in training"
    )
    return {
        "score": score["name"],
        "type": score["type"],
        "latent": latent,
        "session": sessions(table, cases.rows),
        "n": len(cases.y),
        "n_confound_columns": cases.x.shape[1] - 1,
        "confounds": cases.text,
        "n_imputed": cases.imputed,
        "split_policy": policy,
    } | provenance(table)


def sessions(table: pd.DataFrame, rows: np.ndarray) -> str | None:
    """Name the sessions of these rows: `pre`, or `pre (60), post (3)` where people differ; None without sessions."""
    if "session" not in table or not len(rows):
        return None
    counts = table["session"].iloc[rows].fillna("").replace("", "none").value_counts()
    if list(counts.index) == ["none"]:
        return None
    return str(counts.index[0]) if len(counts) == 1 else ", ".join(f"{name} ({n})" for name, n in counts.items())


def provenance(table: pd.DataFrame) -> dict[str, Any]:
    """Model, fold and seed of a joined table."""
    return {name: table[f"latents_{name}"].iloc[0] for name in ("model", "fold", "seed")}


def stopped(table: pd.DataFrame, verdict: str, reason: str) -> dict[str, Any]:
    """Return the single row of a model that is not tested."""
    return provenance(table) | {"status": "not tested", "reason": reason, "verdict": verdict}


def standard(values: np.ndarray) -> np.ndarray:
    """Standardise values over people (mean 0, standard deviation 1, n - 1)."""
    return (values - values.mean()) / values.std(ddof=1)


def outcome(score: dict[str, Any], cases: Design) -> np.ndarray:
    """Return the score as it is fitted: standardised for least squares with the identity link, else unchanged."""
    link = link_of(score["type"], score.get("link"))
    return standard(cases.y) if (score["type"], link, cases.status) == ("continuous", "identity", "ok") else cases.y


def varies(z: np.ndarray, x: np.ndarray) -> bool:
    """Whether the latent varies beyond the columns of x, and not in one row alone, whose leverage would be 1."""
    if not moves(z):
        return False
    square = np.square(residual(standard(z), x))
    before = np.square(np.linalg.qr(x)[0]).sum(axis=1)
    alone = (before + square / max(square.sum(), 1e-300) > 1 - 1e-8) & (before < 1 - 1e-8)
    return bool(np.sqrt(square.mean()) > 1e-6) and not alone.any()


def worst(*fits: families.Fit) -> str:
    """Return the first status that is not ok, else ok."""
    return next((fit.status for fit in fits if fit.status != "ok"), "ok")
