"""Rubin's rules: one effect, one test, or one statistic from those of m completed tables.

Rubin 1987, section 3.3; degrees of freedom for small samples: Barnard & Rubin 1999, Biometrika 86:948. Tests of several
coefficients: D2 (Li, Meng, Raghunathan & Rubin 1991, Stat Sinica 1:65), which needs only the p of each table.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, f, t

SMALLEST = 1e-300  # p values below are taken for this one
NEAR = 1e-3  # of a t: nearer to 0, effect / t is rounding, and the error stands in


@dataclass(frozen=True)
class Pooled:
    """An effect over m tables."""

    effect: float
    se: float
    df: float
    fmi: float  # fraction of missing information, which with few people is above 0 where nothing is missing

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval."""
        half = float(t.ppf(0.975, self.df)) * self.se
        return self.effect - half, self.effect + half

    @property
    def p(self) -> float:
        """p of effect 0, by t."""
        return float(2 * t.sf(abs(self.effect / self.se), self.df))


def pool(effects: np.ndarray, errors: np.ndarray, df: np.ndarray) -> Pooled:
    """Pool effects (m,) with their standard errors (m,) and degrees of freedom (m,) of the complete-data test."""
    m, within, complete = len(effects), float(np.mean(np.square(errors))), float(np.mean(df))
    extra = (1 + 1 / m) * float(np.var(effects, ddof=1))
    total = within + extra
    missing = extra / total
    old = (m - 1) / missing**2 if missing > 0 else np.inf
    seen = (complete + 1) / (complete + 3) * complete * (1 - missing) if np.isfinite(complete) else np.inf
    pooled_df = 1 / (1 / old + 1 / seen)
    ratio = extra / within
    fmi = (ratio + 2 / (pooled_df + 3)) / (ratio + 1)
    return Pooled(float(np.mean(effects)), float(np.sqrt(total)), pooled_df, fmi)


def matching_errors(effects: np.ndarray, errors: np.ndarray, p: np.ndarray, df: np.ndarray) -> np.ndarray:
    """The errors (m,) under which a t test of each table has that table's own p, which may be a likelihood ratio's.

    With nothing missing the pooled p is then that of the one table. errors: stand in where effect and t are about 0.
    """
    size = t.isf(np.clip(p, SMALLEST, 1) / 2, df)
    return np.where(size > NEAR, np.abs(effects) / np.maximum(size, NEAR), errors)


def several(p: np.ndarray, extra: int) -> float:
    """The p of `extra` coefficients from those of m tables, (m,): D2."""
    m, d = len(p), chi2.isf(np.clip(p, SMALLEST, 1), extra)
    ratio = (1 + 1 / m) * float(np.var(np.sqrt(d), ddof=1))
    if ratio < 1e-12:
        return float(np.mean(p))
    statistic = (d.mean() / extra - (m + 1) / (m - 1) * ratio) / (1 + ratio)
    df = extra ** (-3 / m) * (m - 1) * (1 + 1 / ratio) ** 2
    return float(f.sf(max(statistic, 0.0), extra, df))


def statistic(values: np.ndarray) -> np.ndarray:
    """One t, or root of a score statistic, from those of m tables (m, ...): their mean, less by what they differ."""
    m = len(values)
    if m == 1:
        return np.asarray(values[0])
    return np.asarray(values.mean(axis=0) / np.sqrt(1 + (1 + 1 / m) * values.var(axis=0, ddof=1)))
