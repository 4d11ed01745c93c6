"""Permutation importance: increase of the loss in test people when one latent is permuted among them (Breiman 2001)."""

from typing import Any

import numpy as np

from neurovae.design.design import NOT_MADE
from neurovae.io.progress import steps
from neurovae.predict.features import Split
from neurovae.predict.folds import Cases
from neurovae.predict.learners import LEARNERS, Learned, learn
from neurovae.predict.linear import log_losses

COLUMNS = {
    "score": "object", "type": "object", "model": "object", "seed": "Int64", "learner": "object", "features": "object",
    "fold": "Int64", "latent": "object", "loss": "object", "base": "float64", "increase": "float64", "sd": "float64",
    "repeats": "Int64", "session": "object", "n": "Int64", "n_scans": "Int64", "folds": "Int64", "confounds": "object",
    "n_imputed": "Int64", "harmonised": "object", "policy": "object", "averaged": "object", "status": "object",
    "reason": "object", "verdict": "object"}  # fmt: skip
SEPARATE = "no: latent k of one fold's model is not latent k of another's"
SURVIVAL = "the importance of latents is not made for a time to event; see the adjusted effects in multivariable"
OVER_FOLDS = "over the test scans of all folds (latents of one model in every fold)"


def importance(cases: Cases, repeats: int, seed: int) -> list[dict[str, Any]]:
    """Rows per learner and latent, per fold where each fold has its own model; one row with the status if not usable.

    `increase`: of the mean squared error, or log loss, of test scans, mean of `repeats`; `sd`: between repeats; `base`:
    that loss with nothing permuted.
    """
    if cases.base["status"] != "ok":
        return [cases.base]
    if cases.y.ndim == 2:
        return [cases.base | {"status": NOT_MADE, "reason": SURVIVAL}]
    rows = []
    for learner in LEARNERS:
        base = cases.base | {"learner": learner, "features": cases.full, "repeats": repeats}
        base |= {"loss": "log loss" if cases.binary else "squared error"}
        sums, rows_by_fold = [], []
        for split in steps(cases.splits[cases.full], f"{cases.base['score']}: folds"):
            predict = learn(learner, split, cases.y, cases.binary)
            rng = np.random.default_rng([seed, int(cases.table["fold"].iloc[split.test[0]])])
            losses = _losses(predict, split, cases, repeats, rng)  # (1 + latents, repeats)
            sums.append(losses * len(split.test))
            rows_by_fold.append(_rows(losses, cases.latents))
        if cases.base["policy"] == "per fold":
            for split, part in zip(cases.splits[cases.full], rows_by_fold, strict=True):
                table = cases.table.iloc[split.test]
                fold_columns = {"fold": table["fold"].iloc[0], "n": table["person"].nunique(), "n_scans": len(table)}
                rows += [base | fold_columns | {"averaged": SEPARATE} | row for row in part]
        else:
            pooled = _rows(np.sum(sums, axis=0) / len(cases.y), cases.latents)
            rows += [base | {"fold": None, "averaged": OVER_FOLDS} | row for row in pooled]
    return rows


def _losses(predict: Learned, split: Split, cases: Cases, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Mean loss of the test scans: first row unpermuted, then with each latent permuted; (1 + latents, repeats)."""
    n, k = len(split.test), len(cases.latents)
    x = np.tile(split.x_test, (1 + k, repeats, 1, 1))  # (1 + latents, repeats, n, columns); latents come first
    for latent in np.argsort(cases.latents):  # draws by name, so that the order of columns does not matter
        for repeat in range(repeats):
            x[1 + latent, repeat, :, latent] = split.x_test[rng.permutation(n), latent]
    value, probability = predict(x.reshape(-1, x.shape[-1]))
    truth = np.tile(cases.y[split.test], (1 + k) * repeats)
    loss = (truth - value) ** 2 if probability is None else log_losses(truth, probability)
    return loss.reshape(1 + k, repeats, n).mean(axis=2)


def _rows(losses: np.ndarray, latents: list[str]) -> list[dict[str, Any]]:
    increase = losses[1:] - losses[0]
    spread = increase.std(axis=1, ddof=1) if increase.shape[1] > 1 else np.full(len(increase), np.nan)
    return [
        {"latent": name, "base": losses[0, 0], "increase": increase[k].mean(), "sd": spread[k]}
        for k, name in enumerate(latents)
    ]
