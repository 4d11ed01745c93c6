"""Confounds as columns that can be computed in another cohort: levels, knots and scale, without any participant."""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.predict.features import Used
from neurovae.stats.basis import natural_spline, spline_knots

SMALL = 5  # a level of fewer participants than this is not named
DIGITS = 2  # of knots, in standard deviations, so that none of them is the value of one participant
NOT = "not "  # before the positive value of a binary score: the name of its other value
SITE = "site"  # its effects are of this cohort alone
Coding = dict[str, Any]


def code(used: Used, person: pd.Series) -> list[Coding]:
    """How each confound becomes columns; site is not among them.

    Args:
        used: name, type and values (rows,) of each confound.
        person: of each row; levels are counted in people.
    """
    return [_coding(name, kind, column, person) for name, kind, column in used if name != SITE]


def _coding(name: str, kind: str, column: pd.Series, person: pd.Series) -> Coding:
    if kind == "categorical":
        people = person.groupby(column.astype(str).to_numpy()).nunique()
        return {"name": name, "type": kind, "levels": sorted(str(level) for level in people.index[people >= SMALL])}
    values = column.to_numpy(float)
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    knots = spline_knots((values - centre) / spread)
    rounded = None if knots is None else [round(float(knot), DIGITS) for knot in knots]
    return {"name": name, "type": kind, "centre": centre, "spread": spread, "knots": rounded}


def in_words(used: Used, scores: list[dict[str, Any]]) -> Used:
    """The confounds, with the values of those that are binary scores too in words: a table holds them as 0 and 1.

    The positive value has its own name, the other is "not F": a table does not keep it.
    """
    named = {score["name"]: score.get("positive") for score in scores}
    labels = {name: str(label) for name, label in named.items() if label is not None}
    return [
        (name, kind, column.map({1.0: labels[name], 0.0: f"{NOT}{labels[name]}"}))
        if kind == "categorical" and name in labels and pd.api.types.is_numeric_dtype(column)
        else (name, kind, column)
        for name, kind, column in used
    ]


def columns(codings: list[Coding]) -> list[str]:
    """Names of the columns of all confounds."""
    return [name for coding in codings for name in _names(coding)]


def _names(coding: Coding) -> list[str]:
    if coding["type"] == "categorical":
        return [f"{coding['name']}={level}" for level in coding["levels"][1:]]
    count = 1 if coding["knots"] is None else len(coding["knots"]) - 1
    return [f"{coding['name']}:{k}" for k in range(count)]


def coded(codings: list[Coding], values: dict[str, pd.Series], rows: int) -> np.ndarray:
    """Columns (rows, columns) of the confounds; NaN where a value or its level is unknown, or the confound missing.

    Args:
        codings: of `code`.
        values: by name of the confound; those that are not there are missing for everybody.
        rows: number of rows.

    Raises:
        InputError: a categorical confound has other levels, none of which is known.
    """
    blocks = [np.empty((rows, 0))]
    for coding in codings:
        column = values.get(coding["name"])
        blocks.append(np.full((rows, len(_names(coding))), np.nan) if column is None else _block(coding, column))
    return np.hstack(blocks)


def _block(coding: Coding, column: pd.Series) -> np.ndarray:
    if coding["type"] == "categorical":
        levels = coding["levels"]
        text = _of_two(column.astype(str), levels).to_numpy()
        found = sorted(set(text[column.notna().to_numpy()]))
        if found and levels and not set(found) & set(levels):
            raise InputError(
                f"confound {coding['name']!r}: its values are {', '.join(found[:5])}, in the other cohort "
                f"{', '.join(levels[:5])}; use the same words in both"
            )
        block = (text[:, None] == np.array(levels[1:], dtype=str)[None, :]).astype(float)
        block[~np.isin(text, levels)] = np.nan
        return block
    x = (column.to_numpy(float) - coding["centre"]) / coding["spread"]
    return x[:, None] if coding["knots"] is None else natural_spline(x, np.array(coding["knots"]))


def _of_two(text: pd.Series, levels: list[str]) -> pd.Series:
    """Words of a column in those of a binary score: all but its positive value are the other, if somebody has it."""
    positive = next((level for level in levels if f"{NOT}{level}" in levels), None)
    if positive is None or positive not in set(text):
        return text
    return text.where(text.isin([positive, "nan", "None"]), f"{NOT}{positive}")
