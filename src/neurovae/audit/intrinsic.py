"""Intrinsic dimension by TwoNN and maximum likelihood (scikit-dimension), with an interval.

TwoNN: Facco 2017, the line through the distances to the two nearest neighbours, without the tenth with the largest
ratios. MLE: Levina & Bickel 2004, pooled as MacKay & Ghahramani 2005. Both are biased downwards when few people fill
many dimensions: 118 drawn from a ball of 20 dimensions give 13 and 11, and 1,000 give 14 and 13 (measured).
"""

from typing import Any

import numpy as np
from skdim.id import MLE, TwoNN

from neurovae.io.progress import steps

NEIGHBOURS = 10
MIN_PEOPLE = 2 * NEIGHBOURS + 2  # people; a half must hold more than NEIGHBOURS
HALVES = 200  # random halves of the people for the standard error


def coordinates(products: np.ndarray) -> np.ndarray:
    """Coordinates (n, n - 1) with the distances of people whose centred scalar products (n, n) these are."""
    values, vectors = np.linalg.eigh(products)
    nonzero: np.ndarray = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, ::-1][:, : max(len(products) - 1, 2)]
    return nonzero


def distances(x: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, n) between the rows of x (n, p), and infinity on the diagonal."""
    square = np.square(x).sum(axis=1)
    distance = np.sqrt(np.maximum(square[:, None] + square[None, :] - 2 * x @ x.T, 0.0))
    np.fill_diagonal(distance, np.inf)
    return distance


def dimensions(between: np.ndarray) -> dict[str, float]:
    """TwoNN and MLE from distances (n, n)."""
    nearest = np.sort(np.partition(between, NEIGHBOURS, axis=1)[:, :NEIGHBOURS], axis=1)
    mle = MLE().fit(nearest, precomputed_knn_arrays=(nearest, None), n_neighbors=NEIGHBOURS)
    return {"TwoNN": float(TwoNN(dist=True).fit(nearest[:, :2]).dimension_), "MLE": float(mle.dimension_)}


def intrinsic(x: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Rows TwoNN and MLE of people x (n, p), with value, low, high, and `half`, the mean over halves of the people.

    The standard error is the spread over random halves (Shao & Wu 1989: a delete-d jackknife with d = n / 2), since
    people drawn with replacement would be their own neighbours. It is too large, by 1.3 to 2 times on balls of 2 and
    5 dimensions. `half` below the value: the estimate still rises with the number of people.
    """
    n = len(x)
    between = distances(x)
    twins = int((np.min(between, axis=1) < 1e-9 * np.median(between)).sum()) if n > 1 else 0
    if n < MIN_PEOPLE or twins:
        status, reason = "too few people", f"{n} people; {MIN_PEOPLE} are needed"
        if twins:
            status, reason = "equal people", f"{twins} people have a duplicate at distance 0"
        return [{"measure": name, "n": n, "status": status, "reason": reason} for name in ("TwoNN", "MLE")]
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n)[: n // 2] for _ in range(HALVES)]
    halves = [dimensions(between[np.ix_(rows, rows)]) for rows in steps(orders, "halves of the people")]
    return [
        {"measure": name, "value": value, "n": n, "status": "ok", "reason": ""}
        | _spread(value, np.array([half[name] for half in halves]))
        for name, value in dimensions(between).items()
    ]


def _spread(value: float, halves: np.ndarray) -> dict[str, float]:
    error = float(halves.std(ddof=1))
    return {"low": value - 1.96 * error, "high": value + 1.96 * error, "half": float(halves.mean())}
