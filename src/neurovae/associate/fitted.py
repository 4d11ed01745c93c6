"""One score with its complete cases and the fits that its tests share: the confounds alone, and each latent."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import Design
from neurovae.design.imputed import designs
from neurovae.design.rows import outcome, standard, varies
from neurovae.io import latent_table
from neurovae.io.progress import steps
from neurovae.stats import families

CONSTANT = {"status": "constant latent", "reason": "it does not vary between people beyond the confounds"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """One score, its complete cases, and its regression on the confounds alone."""

    score: Row
    cases: Design
    y: np.ndarray  # (n,) as fitted: in standard deviations for least squares under the identity; survival: (n, 3)
    null: families.Fit | None  # none where the cases cannot be tested

    @property
    def origin(self) -> float:
        """Zero of y, in the unit of `cases.y`; of a survival score 0."""
        if self.cases.y.ndim == 2:
            return 0.0
        return float(self.cases.y[0] - self.unit * self.y[0])

    @property
    def unit(self) -> float:
        """Size of one unit of y, in the unit of `cases.y`; of a survival score 1."""
        if self.cases.y.ndim == 2:
            return 1.0
        return float(self.cases.y.std(ddof=1) / self.y.std(ddof=1))


@dataclass(frozen=True)
class Linear:
    """The regression of one score on the confounds and one latent."""

    z: np.ndarray  # (n,) the latent, standardised
    x: np.ndarray  # (n, q + 1) the confounds, then z
    fit: families.Fit


def fitted(
    table: pd.DataFrame,
    score: Row,
    confounds: list[Row],
    imputations: int = 0,
    seed: int = 0,
    survival: bool = False,
) -> list[Fitted]:
    """Return the cases of one score and its regression on the confounds, in every completed table. table: joined scans.

    imputations: of missing confounds; 0: complete cases, which are one table. survival: of `design`.

    Raises:
        InputError: the score's type has no such link.
    """
    found = []
    for cases in designs(table, score, confounds, imputations, seed, survival):
        y, link = outcome(score, cases), score.get("link")
        null = families.fit(score["type"], y, cases.x, link, cases.family) if cases.status == "ok" else None
        found.append(Fitted(score, cases, y, null))
    return found


def linear_fits(table: pd.DataFrame, data: Fitted) -> dict[str, Linear]:
    """Regress the score on each latent that varies beyond the confounds; empty where the cases cannot be tested."""
    fits: dict[str, Linear] = {}
    if data.null is None:
        return fits
    score, x = data.score, data.cases.x
    for name in steps(latent_table.columns(table), f"{score['name']}: latents"):
        values = table[name].to_numpy(float)[data.cases.rows]
        if varies(values, x):
            z = standard(values)
            x_full = np.column_stack([x, z])
            fit = families.fit(score["type"], data.y, x_full, score.get("link"), data.cases.family)
            fits[name] = Linear(z, x_full, fit)
    return fits
