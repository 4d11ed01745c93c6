"""Who enters a test: complete cases, one scan per person where asked for, without people who carry no information."""

import numpy as np
import pandas as pd

from neurovae.stats.basis import expand, residual

Used = list[tuple[str, str, pd.Series]]  # (name, continuous or categorical, values) of each confound


def complete(table: pd.DataFrame, values: np.ndarray, used: Used, per_person: bool) -> tuple[np.ndarray, list[str]]:
    """Positions of the rows with score and confounds, and notes on how many people are left out for what.

    Args:
        table: a row per scan, in the order of sessions; it says whose scan a row is.
        values: the score of each row, missing as NaN.
        used: the confounds.
        per_person: keep each person's first complete scan only, of those for cross-sectional tests.
    """
    people = table["person"] if "person" in table else pd.Series(np.arange(len(table)))
    kept, notes = np.isfinite(values), []
    for name, having in [("the score", kept), *((name, column.notna().to_numpy()) for name, _, column in used)]:
        before, kept = set(people[kept]) if name != "the score" else set(people), kept & having
        gone = len(before - set(people[kept]))
        notes += [f"left out: {gone} without {name}"] if gone else []
    if per_person and "session_order" in table:
        before, kept = set(people[kept]), kept & table["session_order"].notna().to_numpy()
        gone = len(before - set(people[kept]))
        notes += [f"left out: {gone} without the session in cohort.session"] if gone else []
    rows = np.flatnonzero(kept)
    if per_person:
        rows = rows[~people.iloc[rows].duplicated().to_numpy()]
    return rows, notes


def silent(kind: str, y: np.ndarray, used: Used, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Which of `rows` lie in a category level whose people all have one value at the score's border, with notes.

    The level's dummy then explains them without error whatever the latent is: they hold no information on it, and
    leave the likelihood without a maximum.
    """
    gone, notes = np.zeros(len(rows), bool), []
    borders = {"binary": (0, 1), "bounded": (0, 1), "count": (0,), "ordinal": (y.min(), y.max()) if len(y) else ()}
    for name, column_kind, column in used:
        levels = column.iloc[rows].astype(str).to_numpy()
        if column_kind != "categorical" or len(set(levels)) < 2:
            continue
        for level in sorted(set(levels)):
            inside = levels == level
            if any((y[inside] == border).all() for border in borders.get(kind, ())):
                gone |= inside
                notes.append(f"{inside.sum()} people left out (all of {name} {level} have one value)")
    return gone, notes


def determining(y: np.ndarray, used: Used, rows: np.ndarray) -> str:
    """Which confounds determine the score y (n,) of `rows`, in words: alone, else as few as do so together."""
    blocks = {name: expand(name, kind, column.iloc[rows], column.iloc[rows])[1] for name, kind, column in used}

    def enough(names: list[str]) -> bool:
        return explained(y, np.hstack([np.ones((len(y), 1)), *(blocks[name] for name in names)]))

    alone = [name for name in blocks if enough([name])]
    if alone:
        return f"{alone[0]} determines" if len(alone) == 1 else f"{' and '.join(alone)} each determine"
    needed = list(blocks)
    for name in reversed(list(blocks)):
        rest = [other for other in needed if other != name]
        needed = rest if enough(rest) else needed
    return f"{' and '.join(needed)} together determine"


def explained(y: np.ndarray, x: np.ndarray) -> bool:
    """Whether the columns of x leave nothing of y but rounding. y: (n,), x: (n, columns) with the intercept."""
    y = y - y.mean()
    left = residual(y, x)
    return bool(left @ left < 1e-10 * (y @ y))


def crowded(kind: str, y: np.ndarray) -> str:
    """A warning where most people share one value of a count or bounded score: its p is then approximate.

    With 118 people, 8 confound columns and 93 % at the ceiling a bounded score's F rejects 10 % of true nulls at 5 %,
    the likelihood ratio of a count that is 90 % zeros 9 %; with a clump of zeros beside large counts 1 %.
    """
    if kind not in ("count", "bounded") or not len(y):
        return ""
    share = pd.Series(y).value_counts(normalize=True).iloc[0]
    return f"{share:.0%} of people share one value: p is approximate, see p_maxt" if share > 0.5 else ""


def modal_rest(y: np.ndarray) -> int:
    """People who do not have the commonest value."""
    return int(len(y) - pd.Series(y).value_counts().iloc[0]) if len(y) else 0
