"""Missing values of several variables, each from all others in turn: chained equations (van Buuren 2018, section 4.5).

drawn   multiple imputation by predictive mean matching, for numbers and categories alike: the coefficients are drawn
        from their posterior, and a row takes the value of one of the DONORS rows whose predictions are nearest (van
        Buuren 2018, algorithm 3.3; R's mice, `pmm`). Of a category the predictions are those of its indicators.
means   the expected columns, for predictions: learnt from training rows, applied to all.

A variable is explained by the other variables and by the helpers most correlated with it, all in all by at most a third
as many columns as rows that have it (Hardt, Herke & Leonhart 2012, BMC Med Res Methodol 12:184).
"""

from dataclasses import dataclass

import numpy as np

DONORS = 5
ROUNDS = 5  # of the chain, where several variables have missing values, as in mice
ROWS_PER_COLUMN = 3
ELEMENTS = 2**22  # distances at a time
RIDGE = 1e-5  # relative, as in mice: against collinear columns


@dataclass(frozen=True)
class Variable:
    """One variable: columns (n, c), arbitrary where it is missing, and where it is known."""

    columns: np.ndarray
    known: np.ndarray  # (n,)


def drawn(variables: list[Variable], fixed: np.ndarray, helpers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One imputation: the row whose value each row takes, its own where it has one, (n, variables).

    Args:
        variables: each with at least one known row.
        fixed: (n, columns) what explains every variable, known everywhere: the score.
        helpers: (n, columns) what explains those that it is correlated with: latents.
        rng: of the draws.
    """
    n = len(fixed)
    rows = np.tile(np.arange(n)[:, None], (1, len(variables)))
    gaps = [j for j, one in enumerate(variables) if not one.known.all()]
    chosen = {j: _helping(j, variables, fixed, helpers, variables[j].known) for j in gaps}
    for j in gaps:  # a start: anybody's value
        rows[~variables[j].known, j] = rng.choice(np.flatnonzero(variables[j].known), (~variables[j].known).sum())
    for _ in range(ROUNDS if len(gaps) > 1 else 1):
        for j in gaps:
            now = [one.columns[rows[:, k]] for k, one in enumerate(variables)]
            known = variables[j].known
            x = _explaining(j, now, fixed, helpers[:, chosen[j]], known)
            rows[~known, j] = np.flatnonzero(known)[_matched(x, variables[j].columns, known, rng)]
    return rows


def means(variables: list[Variable], helpers: np.ndarray, train: np.ndarray) -> list[np.ndarray]:
    """The columns of each variable, with those expected given the others where it is missing; learnt from `train`.

    train: (n,) which rows are training rows; a variable that none of them has keeps 0, which is to be its mean.
    """
    now = [np.where(one.known[:, None], one.columns, _mean(one, train)) for one in variables]
    gaps = [j for j, one in enumerate(variables) if not one.known.all() and (one.known & train).any()]
    fixed = np.empty((len(train), 0))
    chosen = {j: _helping(j, variables, fixed, helpers, variables[j].known & train) for j in gaps}
    for _ in range(ROUNDS if len(gaps) > 1 else 1):
        for j in gaps:
            rows = variables[j].known & train
            x = _explaining(j, now, fixed, helpers[:, chosen[j]], rows)
            coef = np.linalg.solve(_products(x[rows]), x[rows].T @ now[j][rows])
            now[j] = np.where(variables[j].known[:, None], now[j], x @ coef)
    return now


def _mean(one: Variable, train: np.ndarray) -> np.ndarray:
    rows = one.known & train
    return one.columns[rows].mean(axis=0) if rows.any() else np.zeros(one.columns.shape[1])


def _helping(j: int, variables: list[Variable], fixed: np.ndarray, helpers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which helpers explain variable j: the most correlated with it in `rows`, as many as there is room for."""
    others = 1 + fixed.shape[1] + sum(one.columns.shape[1] for k, one in enumerate(variables) if k != j)
    room = max(int(rows.sum()) // ROWS_PER_COLUMN - others, 0)
    a, b = (_unit(part[rows]) for part in (helpers, variables[j].columns))
    order = np.argsort(-np.round(np.abs(a.T @ b).max(axis=1, initial=0.0), 9), kind="stable")
    return np.sort(order[:room])


def _explaining(j: int, now: list[np.ndarray], fixed: np.ndarray, helpers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Intercept and standardised columns of everything but variable j; constant columns are 0."""
    x = np.hstack([fixed, *(part for k, part in enumerate(now) if k != j), helpers])
    spread = x[rows].std(axis=0)
    x = (x - x[rows].mean(axis=0)) / np.where(spread > 1e-12 * np.abs(x[rows]).max(axis=0, initial=0), spread, np.inf)
    return np.column_stack([np.ones(len(x)), x])


def _matched(x: np.ndarray, target: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of each row without the variable, the number of its donor among those with it."""
    y, inside = target[known], x[known]
    products = _products(inside)
    coef = np.linalg.solve(products, inside.T @ y)  # (columns, c)
    df = max(len(y) - inside.shape[1], 1)
    sigma = np.sqrt(np.square(y - inside @ coef).sum(axis=0) / rng.chisquare(df, y.shape[1]))
    root = np.linalg.inv(np.linalg.cholesky(products)).T  # root root' is the inverse
    moved = coef + root @ rng.normal(size=coef.shape) * sigma
    order = rng.permutation(len(y))  # of rows that are equally near, any
    theirs, ours, few = (inside @ coef)[order], x[~known] @ moved, min(DONORS, len(y))
    nearest = [
        np.argsort(np.square(part[:, None, :] - theirs).sum(axis=2), axis=1, kind="stable")[:, :few]
        for part in np.array_split(ours, max(len(ours) * len(theirs) // ELEMENTS, 1))
    ]
    picks = rng.integers(few, size=(len(ours), 1))
    return np.asarray(order[np.take_along_axis(np.concatenate(nearest), picks, axis=1)[:, 0]])


def _products(x: np.ndarray) -> np.ndarray:
    products = x.T @ x
    return np.asarray(products + np.diag(np.maximum(RIDGE * np.diag(products), 1e-8)))


def _unit(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=0))
    return np.asarray(centred / np.where(size > 1e-12 * np.abs(x).max(axis=0, initial=0), size, np.inf))
