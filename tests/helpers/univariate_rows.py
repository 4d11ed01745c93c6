"""Rows of the univariate tests of one joined table, from table, scores and confounds."""

from typing import Any

import pandas as pd

from neurovae.associate.fitted import fitted, linear_fits
from neurovae.associate.glm import glm
from neurovae.associate.permute import permute
from neurovae.associate.spline import spline

Row = dict[str, Any]


def glm_rows(table: pd.DataFrame, score: Row, confounds: list[Row]) -> list[Row]:
    known = fitted(table, score, confounds)
    return glm(table, known, [linear_fits(table, one) for one in known])


def spline_rows(table: pd.DataFrame, score: Row, confounds: list[Row]) -> tuple[list[Row], list[Row]]:
    known = fitted(table, score, confounds)
    return spline(table, known, [linear_fits(table, one) for one in known])


def permute_rows(
    table: pd.DataFrame, scores: list[Row], confounds: list[Row], permutations: int, seed: int
) -> list[Row]:
    return permute(table, [fitted(table, score, confounds) for score in scores], permutations, seed)
