"""One row of a test from its rows in several completed tables: Rubin's rules.

effect and interval   Rubin's rules with the regression's standard error.
p of an effect        Rubin's rules with the error that gives each table's own p, a likelihood ratio's for most types.
p of several columns  D2, for nonlinearity and all latents together.
all other numbers     their median.
"""

from typing import Any

import numpy as np

from neurovae.stats.rubin import matching_errors, pool, several

Row = dict[str, Any]
ERRORS = ("se", "df_effect")  # what a row carries to be pooled, and no table shows
EXTRA = {"p_quadratic": 1, "p_cubic": 1}  # columns that are tested; of the spline by its df
BAND = ("fitted", "low", "high")


def pooled(parts: list[Row]) -> Row:
    """The row of one test; each part: `status`, text and numbers, and ERRORS beside an `effect`.

    A test that failed in any completed table has that table's status.
    """
    failed = next((part for part in parts if part["status"] != "ok"), None)
    first = parts[0] if failed is None else failed
    if len(parts) == 1 or failed is not None:
        return {name: value for name, value in first.items() if name not in ERRORS}
    row = {name: middle([part.get(name) for part in parts]) for name in first if name not in ERRORS}
    if "effect" in first:
        row |= _effect(parts)
    tested = EXTRA | _spline(first)
    return row | {name: several(_numbers(parts, name), extra) for name, extra in tested.items() if name in first}


def middle(values: list[Any]) -> Any:
    """The median of numbers, missing where one is; of texts the first that is not ok or empty, else the first."""
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
        whole = all(isinstance(value, int | np.integer) for value in values)
        return values[0] if whole and len(set(values)) == 1 else float(np.median(np.array(values, float)))
    return next((value for value in values if value not in ("ok", "", None)), values[0])


def band(points: list[list[Row]]) -> list[Row]:
    """The curve over completed tables: mean, and a band that is wider by what the curves differ."""
    if len(points) == 1:
        return points[0]
    curves = np.array([[[point[name] for name in BAND] for point in curve] for curve in points])  # (m, points, 3)
    fitted, extra = curves[:, :, 0].mean(axis=0), (1 + 1 / len(curves)) * curves[:, :, 0].var(axis=0, ddof=1)
    low, high = (np.sqrt(np.square(curves[:, :, k] - curves[:, :, 0]).mean(axis=0) + 1.96**2 * extra) for k in (1, 2))
    numbers = zip(fitted, fitted - low, fitted + high, strict=True)
    return [
        point | dict(zip(BAND, map(float, values), strict=True))
        for point, values in zip(points[0], numbers, strict=True)
    ]


def _effect(parts: list[Row]) -> Row:
    effects, errors, df = (_numbers(parts, name) for name in ("effect", *ERRORS))
    whole = pool(effects, errors, df)
    tested = pool(effects, matching_errors(effects, errors, _numbers(parts, "p"), df), df)
    row = {"effect": whole.effect, "ci_low": whole.interval[0], "ci_high": whole.interval[1]}
    row |= {"p": tested.p, "fmi": whole.fmi}
    if "se_robust" in parts[0]:
        robust = pool(effects, _numbers(parts, "se_robust"), df)
        half = float(np.median(_numbers(parts, "robust_high") - effects) / np.median(_numbers(parts, "se_robust")))
        row |= {"se_robust": robust.se, "robust_low": robust.effect - half * robust.se}
        row |= {"robust_high": robust.effect + half * robust.se}
    return row


def _spline(row: Row) -> dict[str, int]:
    if "df" not in row:
        return {}
    return {"p_nonlinear": row["df"] - 1, "p_overall": row["df"]} | ({"p": row["df"]} if "effect" not in row else {})


def _numbers(parts: list[Row], name: str) -> np.ndarray:
    return np.array([part[name] for part in parts], float)
