"""Do the associations of one cohort hold in another? The same latents, sign by sign, each with a one-sided p.

The hypothesis of each test, latent and direction, comes from the first cohort, so that the second is tested one-sided:
half the two-sided p where the signs agree, 1 less that half where they do not. Holm 1979 over the latents of a score.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from neurovae.external.words import ALL
from neurovae.stats.basis import residual

ALPHA = 0.05
GROUPS = 100  # of people, left out in turn
MIN_LATENTS = 4  # fewer give no correlation of effects
Row = dict[str, Any]


def one_sided(effect: float, p: float, expected: float) -> float:
    """p in the direction of `expected`, of an effect with its two-sided p."""
    return p / 2 if effect * expected > 0 else 1 - p / 2


def replicate(found: pd.DataFrame, tested: pd.DataFrame) -> list[Row]:
    """Test in one cohort the latents of a score that another cohort found; a row per latent of the latter's tests.

    Args:
        found: of the first cohort: latent, effect, ci_low, ci_high, p, p_maxt, n; all latents.
        tested: of the second: latent, effect, ci_low, ci_high, p, n, status, reason.
    """
    source = found.add_suffix("_source").rename(columns={"latent_source": "latent"})
    joined = source.merge(tested, on="latent", how="left", validate="one_to_one")
    rows: list[Row] = []
    for row in joined.to_dict("records"):
        ok = row.get("status") == "ok" and np.isfinite([row["effect"], row["effect_source"]]).all()
        claimed = bool(row["p_maxt_source"] < ALPHA)
        numbers = {
            "same_sign": bool(row["effect"] * row["effect_source"] > 0) if ok else None,
            "p_one_sided": one_sided(row["effect"], row["p"], row["effect_source"]) if ok and claimed else np.nan,
        }
        keys = [f"{name}_source" for name in ("effect", "ci_low", "ci_high", "p_maxt", "n")]
        keys += ["latent", "effect", "ci_low", "ci_high", "p", "n", "status", "reason"]
        rows.append({key: row.get(key) for key in keys} | numbers | {"found": claimed})
    p = np.array([row["p_one_sided"] for row in rows])
    known = np.isfinite(p)
    adjusted = np.full(len(p), np.nan)
    if known.any():
        adjusted[known] = multipletests(p[known], method="holm")[1]
    for row, value in zip(rows, adjusted, strict=True):
        row |= {"p_holm": value, "m": int(known.sum())}
        row |= {"replicated": bool(value < ALPHA) if np.isfinite(value) else None}
    return rows


def agreement(
    rows: list[Row], people: tuple[np.ndarray, np.ndarray, np.ndarray] | None, family: np.ndarray | None = None
) -> Row:
    """One line over all latents: correlation of the effects of both cohorts, and signs of those that were found.

    Args:
        rows: of `replicate`.
        people: of the second cohort: score (n,), intercept and confounds (n, columns), latents (n, latents of `rows`
            with status ok), for the interval; None: no interval.
        family: of each of these people (n,), left out as a whole; None: nobody is related.
    """
    ok = [row for row in rows if row["same_sign"] is not None]
    found = [row for row in rows if row["found"]]
    line: Row = {"latent": ALL, "found": None, "m": len(ok), "status": "ok", "reason": ""}
    line |= {"n_source": rows[0]["n_source"], "n": ok[0]["n"] if ok else None} if rows else {}
    line |= {"n_found": len(found), "n_same_sign": sum(bool(row["same_sign"]) for row in found)}
    line |= {"n_replicated": sum(bool(row["replicated"]) for row in found)}
    if len(ok) < MIN_LATENTS:
        return line | {"status": "too few latents", "reason": f"{len(ok)} latents, {MIN_LATENTS} are needed"}
    source = np.array([row["effect_source"] for row in ok])
    r = correlation(source, np.array([row["effect"] for row in ok]))
    low, high = jackknife(r, source, *people, family) if people else (np.nan, np.nan)
    return line | {"r_effects": r, "r_low": low, "r_high": high}


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of effects about zero, not about their means: the sign of each latent is arbitrary.

    With the opposite sign of a latent both of its effects change theirs; this number, unlike Pearson's, stays.
    """
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def jackknife(
    r: float, source: np.ndarray, y: np.ndarray, x: np.ndarray, z: np.ndarray, family: np.ndarray | None = None
) -> tuple[float, float]:
    """95 % interval of the correlation of effects, by leaving people or families out, on the scale of Fisher's z.

    It holds the effects of the first cohort fixed. Effects are linear here, whatever the type of the score.
    """
    codes = np.arange(len(y)) if family is None else family
    n = int(codes.max()) + 1
    groups = (np.random.default_rng(0).permutation(n) % min(n, GROUPS))[codes]
    values = []
    for group in range(groups.max() + 1):
        kept = groups != group
        values.append(np.arctanh(np.clip(correlation(source, effects(y[kept], x[kept], z[kept])), -0.999, 0.999)))
    count = len(values)
    error = np.sqrt((count - 1) / count * np.square(np.array(values) - np.mean(values)).sum())
    half = stats.norm.ppf(0.975) * error
    centre = np.arctanh(np.clip(r, -0.999, 0.999))
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def effects(y: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Effect (latents,) of each standardised latent on the standardised score beside the columns of x."""
    own = residual((z - z.mean(axis=0)) / z.std(axis=0, ddof=1), x)
    return np.asarray(own.T @ ((y - y.mean()) / y.std(ddof=1)) / np.square(own).sum(axis=0))
