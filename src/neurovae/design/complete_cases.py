"""Complete cases of a test: one scan per person where asked for, without people who carry no information."""

import numpy as np
import pandas as pd

from neurovae.stats.basis import expand, residual

Used = list[tuple[str, str, pd.Series]]  # (name, continuous or categorical, values) of each confound


def complete(table: pd.DataFrame, values: np.ndarray, used: Used, per_person: bool) -> tuple[np.ndarray, list[str]]:
    """Find the rows with score and confounds: their positions, and notes on how many people are left out and why.

    Args:
        table: a row per scan, in the order of sessions; it says whose scan a row is.
        values: the score of each row, missing as NaN.
        used: the confounds.
        per_person: keep each person's first complete scan only, of those for cross-sectional tests.
    """
    people = table["person"] if "person" in table else pd.Series(np.arange(len(table)))
    with_all, notes = np.isfinite(values), []
    for name, present in [("the score", with_all), *((name, column.notna().to_numpy()) for name, _, column in used)]:
        people_before, with_all = set(people[with_all]) if name != "the score" else set(people), with_all & present
        n_lost = len(people_before - set(people[with_all]))
        notes += [f"left out: {n_lost} without {name}"] if n_lost else []
    if per_person and "session_order" in table:
        people_before, with_all = set(people[with_all]), with_all & table["session_order"].notna().to_numpy()
        n_lost = len(people_before - set(people[with_all]))
        notes += [f"left out: {n_lost} without the session in cohort.session"] if n_lost else []
    rows = np.flatnonzero(with_all)
    if per_person:
        rows = rows[~people.iloc[rows].duplicated().to_numpy()]
    return rows, notes


def silent(kind: str, y: np.ndarray, used: Used, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Find people in a category level whose people all have the same score, at the border of its range.

    Returns one bool per row of `rows`, and notes. The level's dummy explains these people without error whatever the
    latent is: they hold no information on it, and leave the likelihood without a maximum.
    """
    excluded, notes = np.zeros(len(rows), bool), []
    borders = {"binary": (0, 1), "bounded": (0, 1), "count": (0,), "ordinal": (y.min(), y.max()) if len(y) else ()}
    for name, column_kind, column in used:
        levels = column.iloc[rows].astype(str).to_numpy()
        if column_kind != "categorical" or len(set(levels)) < 2:
            continue
        for level in sorted(set(levels)):
            in_level = levels == level
            if any((y[in_level] == border).all() for border in borders.get(kind, ())):
                excluded |= in_level
                notes.append(f"{in_level.sum()} people left out (all of {name} {level} have one value)")
    return excluded, notes


def determining(y: np.ndarray, used: Used, rows: np.ndarray) -> str:
    """Name the confounds that determine the score y (n,) of `rows`: single ones, else the smallest joint set."""
    blocks = {name: expand(name, kind, column.iloc[rows], column.iloc[rows])[1] for name, kind, column in used}

    def enough(names: list[str]) -> bool:
        return explained(y, np.hstack([np.ones((len(y), 1)), *(blocks[name] for name in names)]))

    single = [name for name in blocks if enough([name])]
    if single:
        return f"{single[0]} determines" if len(single) == 1 else f"{' and '.join(single)} each determine"
    smallest = list(blocks)
    for name in reversed(list(blocks)):
        others = [other for other in smallest if other != name]
        smallest = others if enough(others) else smallest
    return f"{' and '.join(smallest)} together determine"


def explained(y: np.ndarray, x: np.ndarray) -> bool:
    """Whether the columns of x explain y up to rounding. y: (n,), x: (n, columns) with the intercept."""
    y = y - y.mean()
    remainder = residual(y, x)
    return bool(remainder @ remainder < 1e-10 * (y @ y))


def crowded(kind: str, y: np.ndarray) -> str:
    """Warn where most people share one value of a count or bounded score, since its p is then approximate.

    With 118 people, 8 confound columns and 93 % at the ceiling a bounded score's F rejects 10 % of true nulls at 5 %,
    the likelihood ratio of a count that is 90 % zeros 9 %; with a clump of zeros beside large counts 1 %.
    """
    if kind not in ("count", "bounded") or not len(y):
        return ""
    share = pd.Series(y).value_counts(normalize=True).iloc[0]
    return f"{share:.0%} of people share one value: p is approximate, see p_maxt" if share > 0.5 else ""


def modal_rest(y: np.ndarray) -> int:
    """Count the people who do not have the commonest value."""
    return int(len(y) - pd.Series(y).value_counts().iloc[0]) if len(y) else 0
