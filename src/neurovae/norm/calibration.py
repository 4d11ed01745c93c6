"""Is a norm calibrated? The share of |z| beyond 1.96 in held-out reference people, which should be 5 %.

Over all regions: with a bootstrap interval over people, who have many regions each, relatives drawn together. Per
region and age tercile: whether the share lies within bounds that hold for all cells at once, from normal z of unrelated
people with the regions' own correlation.
"""

from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf

from neurovae.norm.words import EXPECTED, FEW
from neurovae.predict.metrics import person_weights

BEYOND = 1.96
Row = dict[str, Any]


def overall(z: np.ndarray, group: np.ndarray, draws: int, seed: int) -> Row:
    """Share of z (people, regions) beyond 1.96 with a 95 % bootstrap interval over groups; of few of them without.

    group: (people,) who is drawn together: a person, or a family.
    """
    beyond = (np.abs(z) > BEYOND).mean(axis=1)
    weights = person_weights(group, np.zeros(len(z), int), draws, seed)[1:]
    drawn = weights @ beyond / weights.sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(np.unique(group)) >= FEW else (np.nan, np.nan)
    return {"share": float(beyond.mean()), "low": float(low), "high": float(high), "n": len(z)}


def cells(z: np.ndarray, tercile: np.ndarray, names: list[str], draws: int, seed: int) -> list[Row]:
    """Rows of each region and age tercile with simultaneous 95 % bounds by a parametric bootstrap.

    The bounds are 5 % plus and minus so many binomial standard errors as the largest deviation over all cells exceeds
    in 5 % of the draws.

    Args:
        z: (people, regions).
        tercile: (people,) 0, 1, 2.
        names: of the regions.
        draws: of the bootstrap.
        seed: of the draws.
    """
    standard = (z - z.mean(axis=0)) / z.std(axis=0)
    covariance = ledoit_wolf(standard)[0]
    sd = np.sqrt(np.diag(covariance))
    root = np.linalg.cholesky(covariance / sd[:, None] / sd[None, :])
    rng = np.random.default_rng(seed)
    found = np.unique(tercile)  # with tied ages one may be empty
    members = [tercile == k for k in found]
    errors = [np.sqrt(EXPECTED * (1 - EXPECTED) / one.sum()) for one in members]
    largest = np.empty(draws)
    for draw in range(draws):
        beyond = np.abs(rng.standard_normal(z.shape) @ root.T) > BEYOND
        pairs = zip(members, errors, strict=True)
        largest[draw] = max(np.abs(beyond[one].mean(axis=0) - EXPECTED).max() / error for one, error in pairs)
    width = float(np.quantile(largest, 0.95))
    rows = []
    for number, one, error in zip(found.tolist(), members, errors, strict=True):
        shares = (np.abs(z[one]) > BEYOND).mean(axis=0)
        low, high = max(EXPECTED - width * error, 0.0), EXPECTED + width * error
        rows += [
            {
                "region": name,
                "tercile": number + 1,
                "share": float(share),
                "low": low,
                "high": high,
                "n": int(one.sum()),
            }
            | {"within": bool(low <= share <= high)}
            for name, share in zip(names, shares, strict=True)
        ]
    return rows


def terciles(age: np.ndarray) -> np.ndarray:
    """Tercile of each age, 0 to 2. age: (people,)."""
    return np.searchsorted(np.quantile(age, [1 / 3, 2 / 3]), age, side="left")
