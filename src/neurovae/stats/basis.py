"""Design columns of one variable (natural cubic spline, polynomial, linear or dummies), and their independence."""

import numpy as np
import pandas as pd

QUANTILES = (0.05, 0.35, 0.65, 0.95)  # Harrell 2015, Regression Modeling Strategies, table 2.3: four knots, 3 df
ROUNDING = 1e-13  # relative, of double precision after a few sums
DISTINCT = 5  # fewer distinct values than this: a linear term


def natural_spline(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Natural cubic spline without its constant: x itself, then len(knots) - 2 columns, linear beyond the end knots.

    Harrell 2015, eq. 2.25. x: (n,), result: (n, len(knots) - 1).
    """
    last, second_last = knots[-1], knots[-2]
    cube = np.maximum(x[:, None] - knots[None, :], 0) ** 3  # (n, knots)
    curved = (
        cube[:, :-2]
        - cube[:, [-2]] * (last - knots[:-2]) / (last - second_last)
        + cube[:, [-1]] * (second_last - knots[:-2]) / (last - second_last)
    )
    return np.column_stack([x, curved / (last - knots[0]) ** 2])


def spline_knots(x: np.ndarray) -> np.ndarray | None:
    """Knots at fixed quantiles; None where ties leave too few distinct ones."""
    knots = np.quantile(x, QUANTILES)
    return knots if len(np.unique(x)) >= DISTINCT and np.all(np.diff(knots) > 1e-8) else None


def polynomial(x: np.ndarray, degree: int) -> np.ndarray:
    """Orthogonal polynomials of degree 1 to `degree`, each of mean 0 and variance 1. x: (n,), result: (n, degree)."""
    q, r = np.linalg.qr(np.vander((x - x.mean()) / x.std(), degree + 1, increasing=True))
    return (q * np.sign(np.diag(r)))[:, 1:] * np.sqrt(len(x))


def expand(name: str, kind: str, reference: pd.Series, values: pd.Series) -> tuple[list[str], np.ndarray, str]:
    """Return names and columns for `values`, and a text; mean, scale, knots and levels are those of `reference`."""
    if kind == "categorical":
        levels = sorted(set(reference.astype(str)))
        block = values.astype(str).to_numpy()[:, None] == np.array(levels[1:], dtype=str)[None, :]
        return [f"{name}={level}" for level in levels[1:]], block.astype(float), f"{name} ({len(levels)} levels)"
    numbers = reference.to_numpy(float)
    centre, spread = float(numbers.mean()), float(numbers.std()) or 1.0
    x = (values.to_numpy(float) - centre) / spread
    knots = spline_knots((numbers - centre) / spread)
    if knots is None:
        return [name], x[:, None], f"{name} (linear: ties or fewer than {DISTINCT} distinct values)"
    columns = natural_spline(x, knots)
    return [f"{name}:{k}" for k in range(columns.shape[1])], columns, f"{name} (natural spline, {len(knots) - 1} df)"


def independent(x: np.ndarray) -> np.ndarray:
    """Which columns are not a linear combination of those before them (the first is always kept)."""
    accepted: list[int] = []
    basis = np.empty((len(x), 0))
    for k in range(x.shape[1]):
        length = float(np.linalg.norm(x[:, k]))
        remainder = x[:, k] - basis @ (basis.T @ x[:, k])
        remainder -= basis @ (basis.T @ remainder)  # once more, against round-off
        if np.linalg.norm(remainder) > max(1e-7 * length, 1e-300):
            accepted.append(k)
            basis = np.column_stack([basis, remainder / np.linalg.norm(remainder)])
    return np.isin(np.arange(x.shape[1]), accepted)


def moves(x: np.ndarray) -> np.ndarray:
    """Whether each column varies by more than rounding error, relative to its size. x: (n, columns)."""
    return np.asarray(x.std(axis=0) > ROUNDING * np.abs(x).max(axis=0, initial=0.0))


def residual(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the residuals of the values on the columns of x."""
    return values - x @ np.linalg.lstsq(x, values, rcond=None)[0] if x.shape[1] else values
