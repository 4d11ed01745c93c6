"""Hide the last visit of each held-out person and predict its latents from the earlier ones.

The growth model is fitted to the people who trained (or validated) the model of latents; nobody who is predicted is in
either. Mean age, spline knots and levels of the confounds are theirs too, time is in years and never standardised. Of
the hidden visit its time alone is used; the confounds are those of the visit before it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from neurovae.stats import growth
from neurovae.stats.basis import moves
from neurovae.trajectory.frame import YEARS, Frame, Used, frame
from neurovae.trajectory.growth_rows import COVERAGE, degrees, usable


@dataclass(frozen=True)
class Hidden:
    """Predicted and true latents of one later visit of each person; `rows` are positions in the table of visits."""

    last: np.ndarray  # (people,) rows of the last visit that is known
    target: np.ndarray  # (people,) rows of the hidden visit; -1 where there is none
    years: np.ndarray  # (people,) since the first visit, of the predicted one
    visits: np.ndarray  # (people,) number of known visits
    z_last: np.ndarray  # (people, latents)
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    population: np.ndarray  # the last visit and the mean change of the fitted people
    spread: np.ndarray  # (latents,) SD over first visits of the fitted people


@dataclass(frozen=True)
class Fold:
    """Growth models of the people of one fold's training, and the design of everybody."""

    table: pd.DataFrame
    whole: Frame
    fitted: Frame
    visits: growth.Visits
    found: list[growth.Growth | None]
    z: np.ndarray  # (rows of the whole frame, latents)
    note: str


def fit_fold(table: pd.DataFrame, used: Used, z: np.ndarray) -> tuple[Fold | None, str]:
    """Fit the growth models of one fold; None and the reason where it is not possible.

    table: of `frame.timed`, with `latents_split`; z: (its rows, latents).

    Raises:
        ValueError: a person is in several splits.
    """
    if (table.groupby("person")["latents_split"].nunique() > 1).any():
        raise ValueError("a person has visits in several splits: the table is split by scan, not by person")
    trained = (table["latents_split"] != "test").to_numpy()
    known_levels = np.ones(len(table), bool)
    for _, kind, column in used:
        if kind == "categorical":
            known_levels &= column.isna().to_numpy() | column.isin(set(column[trained].dropna())).to_numpy()
    strangers = table.loc[~known_levels, "person"].nunique()
    note = f"{strangers} people left out, of a level of a confound that no fitted person has" if strangers else ""
    known = table["person"].isin(set(table.loc[~known_levels, "person"])).to_numpy() == 0
    table, z, trained = table[known].reset_index(drop=True), z[known], trained[known]
    used = [(name, kind, column[known].reset_index(drop=True)) for name, kind, column in used]
    if not trained.any():
        return None, "nobody trained the model, so that there are no people to fit the growth model to"
    whole = frame(table, used, trained)
    inside = trained[whole.rows]
    fitted = Frame(whole.rows[inside], whole.x[inside], whole.names, whole.personal, whole.t[inside],
                   pd.factorize(whole.person[inside])[0], whole.text)  # fmt: skip
    if reason := usable(fitted):
        return None, reason
    visits = growth.visits(fitted.x, fitted.t, fitted.person, fitted.slopes)
    values = z[fitted.rows]
    found = [growth.fit(visits, y) if ok else None for y, ok in zip(values.T, moves(values), strict=True)]
    return Fold(table, whole, fitted, visits, found, z[whole.rows], note), ""


def predict(fold: Fold, ahead: float | None = None, people: list[str] | None = None) -> Hidden:
    """Predict a later visit of each held-out person.

    ahead: None: hide the last visit of everybody with two or more and predict it; years: predict that many years after
    the last visit, from all visits. people: those to predict; None: all held-out people.
    """
    whole, table = fold.whole, fold.table
    held_out = (table["latents_split"].iloc[whole.rows] == "test").to_numpy()
    if people is not None:
        held_out &= table["person"].iloc[whole.rows].isin(people).to_numpy()
    counts = np.bincount(whole.person, minlength=whole.people)[whole.person]
    is_last = np.append(whole.person[1:] != whole.person[:-1], True) if len(whole.person) else np.empty(0, bool)
    hidden = held_out & is_last & (counts > 1) if ahead is None else np.zeros(len(held_out), bool)
    known = np.flatnonzero(held_out & ~hidden & ((counts > 1) | (ahead is not None)))
    person = pd.factorize(whole.person[known])[0]
    last = known[np.append(person[1:] != person[:-1], True)] if len(known) else known
    t = whole.t[np.flatnonzero(hidden)] if ahead is None else whole.t[last] + ahead
    x = whole.x[last].copy()
    x[:, whole.names.index(YEARS)] = t
    z_last, shape = fold.z[last], (len(last), fold.z.shape[1])
    mean, se = z_last.copy(), np.full(shape, np.nan)
    population = z_last.copy()
    if len(last):
        data = growth.visits(whole.x[known], whole.t[known], person, whole.slopes)
        for k, found in enumerate(fold.found):
            if found is not None and found.converged:
                mean[:, k], se[:, k] = growth.predict(data, found, fold.z[known, k], x, t, of=fold.visits)
                population[:, k] += found.coef[whole.names.index(YEARS)] * (t - whole.t[last])
    wide = student.ppf((1 + COVERAGE) / 2, max(degrees(fold.fitted)[YEARS], 1)) * se
    first = fold.fitted.first
    spread = fold.z[np.isin(whole.rows, fold.fitted.rows)][first].std(axis=0, ddof=1)
    targets = whole.rows[np.flatnonzero(hidden)] if ahead is None else np.full(len(last), -1)
    return Hidden(whole.rows[last], targets, t, np.bincount(person) if len(known) else known, z_last, mean,
                  mean - wide, mean + wide, population, np.where(spread > 0, spread, 1.0))  # fmt: skip
