"""Tests of one term of a mixed model or GEE, and the strata of its permutations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from neurovae.associate.repeated import Repeated
from neurovae.stats.exchangeability import family_strata
from neurovae.stats.rao import Null

Row = dict[str, Any]


@dataclass(frozen=True)
class Tests:
    """One term: numbers per latent, and data for its permutation (rows of scans or of people)."""

    numbers: list[Row]
    null: Null | None
    z: np.ndarray  # (rows, latents)
    x: np.ndarray  # (rows, columns)
    strata: np.ndarray  # (rows,)


def strata(data: Repeated) -> np.ndarray:
    """Return codes of exchangeable people: equally many scans, the same site; families as wholes."""
    kinds = pd.factorize(pd.Series(list(zip(data.counts, data.site, strict=True)), dtype=object))[0]
    return family_strata(kinds, data.family)


def numbers(effect: float, se: float, df: int) -> Row:
    """Return effect, interval and p of a t test."""
    half = float(t.ppf(0.975, df) * se)
    p = float(2 * t.sf(abs(effect / se), df))
    ends = {"ci_low": float(effect) - half, "ci_high": float(effect) + half}
    return {"effect": float(effect), "df": df, "p": p, "status": "ok", "reason": ""} | ends


def flat(level: str) -> Row:
    """Return the row of a latent that does not vary between or within people."""
    return {"status": "constant latent", "reason": f"it does not vary {level} people beyond the confounds"}


def too_few(reason: str) -> Row:
    """Return the row of a term with too few people or scans."""
    return {"status": "too few people", "reason": reason}


def scarce(data: Repeated) -> str:
    """Say in words why there is no within term."""
    scans, people, columns = len(data.person), len(data.counts), data.within.shape[1]
    return f"{scans} scans of {people} people for {columns} confound columns within people"
