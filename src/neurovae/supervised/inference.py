"""Tests of a latent that a score was used to find: in left-out people, with every fit repeated under the null.

Three tests of one question, one-sided, since the sign of the latent was fixed on other people:
permutation: the residual of the score on the confounds is permuted (Freedman & Lane 1983) within site and among whole
    families, and each fold is fitted again, adjustment, direction and penalty included. The statistic is the partial
    correlation of the out-of-fold latents with the score, given confounds and fold. A cross-validated correlation is
    biased below zero under the null, in the permuted scores as in the observed one.
one split: the regression of the score on the latent in the test people of one fold alone, of the declared family.
several splits: their p values combined by a rule for dependent ones (`stats.combine`), never averaged.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from neurovae.stats.aligned import Direction, Part, coefficients, decomposed, out_of_fold, partial_r
from neurovae.stats.basis import independent
from neurovae.stats.combine import exchangeable, ruger
from neurovae.stats.exchangeability import blocks, resample, too_few
from neurovae.stats.products import centred

TIE = 1e-10
DRAWS = 200  # permutations at a time
DIGITS = 6  # of a difference of correlations: what is less is rounding, where a network is its twin
RESIDUAL_DF = 10  # of half of the people, below which no split is tested


@dataclass(frozen=True)
class Cases:
    """People with score and confounds, one scan each."""

    gram: np.ndarray  # (n, n) products of their scans
    y: np.ndarray  # (n,)
    x: np.ndarray  # (n, columns) intercept and confounds
    fold: np.ndarray  # (n,)
    parts: list[Part]
    strata: np.ndarray  # of `stats.exchangeability`
    family: np.ndarray  # (n,) codes of those who stay together in a split


def given(cases: Cases) -> np.ndarray:
    """Confounds and folds (n, columns), given which latents of all folds are compared with the score."""
    dummies = (cases.fold[:, None] == np.unique(cases.fold)[1:]).astype(float)
    x = np.hstack([cases.x, dummies])
    return x[:, independent(x)]


def permutation(cases: Cases, direction: Direction, permutations: int, seed: int) -> dict[str, Any]:
    """Return columns partial_r, p_permutation and permutations; a reason where there are too few arrangements.

    p = (b + 1) / (m + 1), b of m permuted scores with a partial correlation at least as large.
    """
    x = given(cases)

    def statistic(y: np.ndarray) -> np.ndarray:
        return partial_r(out_of_fold(cases.gram, cases.parts, y, direction), y, x)

    observed = float(statistic(cases.y[None])[0])
    few = too_few_permutations(cases)
    if few or not permutations:
        return {"partial_r": observed, "permutations": 0, "reason": few}
    found = np.concatenate([statistic(y) for y in permuted(cases, permutations, seed)])
    return {"partial_r": observed, **permutation_p(observed, found)}


def too_few_permutations(cases: Cases) -> str:
    """Why there are too few arrangements of the score for a test; empty: there are enough."""
    few = too_few(cases.strata, cases.y - fitted_by_confounds(cases))
    return f"no permutation p: {few}" if few else ""


def fitted_by_confounds(cases: Cases) -> np.ndarray:
    """What the confounds explain of the score (n,)."""
    return np.asarray(cases.x @ np.linalg.lstsq(cases.x, cases.y, rcond=None)[0])


def permuted(cases: Cases, permutations: int, seed: int, at_once: int = DRAWS) -> Iterator[np.ndarray]:
    """Scores under the null, some draws (draws, n) at a time: the residual given the confounds permuted."""
    fitted = fitted_by_confounds(cases)
    for index in blocks(cases.strata, permutations, at_once, seed):
        yield fitted + (cases.y - fitted)[index]


def permutation_p(observed: float, found: np.ndarray) -> dict[str, Any]:
    """Columns p_permutation and permutations, of the statistic and that of each permuted score (permutations,)."""
    larger = int((found >= observed - TIE).sum())
    return {"p_permutation": (larger + 1) / (len(found) + 1), "permutations": len(found)}


def interval(cases: Cases, z: np.ndarray, draws: int, seed: int) -> dict[str, float]:
    """Interval of the partial correlation, and effect: score per standard deviation of the latent, with its interval.

    Bootstrap of people within their strata; the fitted models are held fixed. z: out-of-fold latents (n,).
    """
    x, rng = given(cases), np.random.default_rng(seed)
    rows = [np.arange(len(z)), *(resample(cases.strata, rng) for _ in range(draws))]
    found = np.array([_effect(z[one], cases.y[one], x[one], z.std(ddof=1)) for one in rows])
    low, high = np.nanquantile(found[1:], [0.025, 0.975], axis=0)
    return {
        "ci_low": low[0], "ci_high": high[0],
        "effect": found[0, 1], "effect_low": low[1], "effect_high": high[1],
    }  # fmt: skip


def gain(cases: Cases, z: np.ndarray, twin: np.ndarray, draws: int, seed: int) -> dict[str, float]:
    """Partial correlation of z minus that of its linear twin, and the interval of the difference, as `interval`.

    z, twin: out-of-fold latents (n,).
    """
    x, rng = given(cases), np.random.default_rng(seed)
    rows = [np.arange(len(z)), *(resample(cases.strata, rng) for _ in range(draws))]
    found = np.array([_effect(z[one], cases.y[one], x[one], 1.0)[0] - _effect(twin[one], cases.y[one], x[one], 1.0)[0]
                      for one in rows])  # fmt: skip
    values = (found[0], *np.nanquantile(found[1:], [0.025, 0.975]))
    return {name: round(float(one), DIGITS) + 0.0 for name, one in zip(("gain", "gain_low", "gain_high"), values,
                                                                       strict=True)}  # fmt: skip


def _effect(z: np.ndarray, y: np.ndarray, x: np.ndarray, unit: float) -> tuple[float, float]:
    q = np.linalg.qr(x[:, independent(x)])[0]
    z, y = z - q @ (q.T @ z), y - q @ (q.T @ y)
    square = float(z @ z)
    return (z @ y / np.sqrt(square * (y @ y)), z @ y / square * unit) if square > 0 and y @ y > 0 else (np.nan, np.nan)


def halves(cases: Cases, direction: Direction, splits: int, seed: int) -> np.ndarray:
    """One-sided p (splits,) of the direction of a random half of the people in the other half, relatives together.

    Of each family of the other half one person is tested, since Student's t takes the people for unrelated. Missing
    where a half leaves fewer than RESIDUAL_DF degrees of freedom. Splits are drawn in one way, so that their p values
    are exchangeable.
    """

    def latent(train: np.ndarray, test: np.ndarray, x: np.ndarray) -> np.ndarray:
        among, across = centred(cases.gram, train, test)
        return np.asarray((coefficients(decomposed(among, x), cases.y[None, train], direction) @ across.T)[0])

    return split_p(cases, latent, splits, seed)


def split_p(
    cases: Cases, latent: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], splits: int, seed: int
) -> np.ndarray:
    """As `halves`, of any latent; it is given the people to fit, those to test, and the design of the former."""
    rng, p = np.random.default_rng(seed), np.full(splits, np.nan)
    for k in range(splits):
        order = rng.permutation(cases.family.max() + 1)[cases.family]
        first = order <= np.median(order)
        train, test = np.flatnonzero(first), np.flatnonzero(~first)
        test = test[np.unique(cases.family[test], return_index=True)[1]]
        x_train, x_test = (cases.x[rows][:, independent(cases.x[rows])] for rows in (train, test))
        df = len(test) - x_test.shape[1] - 1
        if min(df, len(train) - x_train.shape[1]) < RESIDUAL_DF:
            continue
        z = latent(train, test, x_train)
        p[k] = one_sided(float(partial_r(z[None], cases.y[None, test], x_test)[0]), df)
    return p


def one_sided(r: float, df: int) -> float:
    """P of a partial correlation above zero, by Student's t."""
    return float(t.sf(r * np.sqrt(df / max(1 - r**2, 1e-300)), df))


def combined(p: np.ndarray, prefix: str) -> dict[str, float]:
    """Columns of several p values: their number, Rueger's combination and, of random splits, the exchangeable one."""
    p = p[np.isfinite(p)]
    if not len(p):
        return {prefix: 0}
    both = {f"p_{prefix}": exchangeable(p), f"p_{prefix}_ruger": ruger(p)} if prefix == "splits" else {}
    return {prefix: len(p), **(both or {f"p_{prefix}": ruger(p)})}
