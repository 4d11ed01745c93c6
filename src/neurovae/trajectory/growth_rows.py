"""Growth models of all latents: rows of effects, of people and of predicted latents.

Age at the first session (centred) and years since then are two terms, so that differences between people of different
age are not mistaken for change within a person (Neuhaus & Kalbfleisch 1998; Bernal-Rusiel et al. 2013).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from neurovae.design.design import RESIDUAL_DF
from neurovae.design.tables import bh
from neurovae.stats import growth
from neurovae.stats.basis import moves
from neurovae.trajectory.frame import AGE, ONLY_LEVEL, RELATED, YEARS, Frame

TERMS = {AGE: "between people, per year of age", YEARS: "within people, per year"}
COVERAGE = 0.9  # of the intervals of predicted latents
Row = dict[str, Any]


@dataclass(frozen=True)
class Fits:
    """The growth model of each latent: `z` (n, latents) of the frame's visits; None where it could not be fitted."""

    frame: Frame
    visits: growth.Visits
    z: np.ndarray
    found: list[growth.Growth | None]


def usable(frame: Frame) -> str:
    """Return why no growth model is possible, or an empty string."""
    repeated = int((frame.counts > 1).sum()) if frame.people else 0
    columns = int(frame.personal.sum()) + 1
    if repeated - columns < RESIDUAL_DF:
        return f"{repeated} people with two or more visits for {columns - 1} columns that differ between people"
    return ""


def fit_all(frame: Frame, z: np.ndarray) -> Fits:
    """Fit every latent, z (n, latents); a latent that does not vary has no fit."""
    visits = growth.visits(frame.x, frame.t, frame.person, frame.slopes)
    varying = moves(z)
    return Fits(frame, visits, z, [growth.fit(visits, y) if ok else None for y, ok in zip(z.T, varying, strict=True)])


def degrees(frame: Frame) -> dict[str, int]:
    """Degrees of freedom of age and years, between and within people (Schluchter & Elashoff 1990).

    Where slopes vary between people, years are tested on the people with two or more visits; where they do not, on the
    visits beyond the first. Where people are related there are no more degrees than families.
    """
    between = frame.people - int(frame.personal.sum())
    n_within = int((~frame.personal).sum())
    within = len(frame.x) - frame.people - n_within
    within = min(within, int((frame.counts > 1).sum()) - 1) if frame.slopes else within
    if frame.family is None:
        return {AGE: between, YEARS: within}
    families, repeated = (len(np.unique(one)) for one in (frame.family, frame.family[frame.counts > 1]))
    return {AGE: max(min(between, families - int(frame.personal.sum())), 1), YEARS: max(min(within, repeated - 1), 1)}


def effects(fits: Fits, names: list[str], base: Row) -> list[Row]:
    """Return a row per latent and term, in the latent's own unit; `effect_sd` in its SD over first visits."""
    rows, df = [], degrees(fits.frame)
    spread = fits.z[fits.frame.first].std(axis=0, ddof=1)
    counts = {
        "n": fits.frame.people,
        "n_scans": len(fits.z),
        "n_repeated": int((fits.frame.counts > 1).sum()),
        "confounds": fits.frame.text,
        "random": "level and slope" if fits.frame.slopes else ONLY_LEVEL,
    }
    related, errors = RELATED * (fits.frame.family is not None), dict(zip(names, _errors(fits), strict=True))
    for term in [term for term in TERMS if term in fits.frame.names]:
        k, of_term = fits.frame.names.index(term), []
        for name, found, sd in zip(names, fits.found, spread, strict=True):
            row = base | counts | {"latent": name, "term": TERMS[term]}
            if found is None:
                row |= {"status": "constant latent", "reason": "the latent does not vary"}
            elif not found.converged:
                row |= {"status": "not converged", "reason": "the fit did not converge"}
            else:
                row |= _numbers(found, k, df[term], sd, errors[name]) | _variances(found)
                row["reason"] = "; ".join(filter(None, [row["reason"], related]))
            of_term.append(row)
        ok = np.array([row["status"] == "ok" for row in of_term])
        q, m = bh(np.array([row.get("p", np.nan) for row in of_term]), ok)
        rows += [row | {"q": value, "family_size": m} for row, value in zip(of_term, q, strict=True)]
    return rows


def people(fits: Fits, names: list[str], persons: list[str], base: Row) -> pd.DataFrame:
    """Level (at the first visit) and slope of each person and latent with their reliabilities.

    At the boundary (no variance of slopes, or slopes that follow from levels) slopes have no reliability of their own.
    """
    frame, first, parts = fits.frame, fits.frame.first, []
    last = pd.Series(frame.t).groupby(frame.person).max().to_numpy()
    years = frame.names.index(YEARS)
    at_start = frame.x[first].copy()
    at_start[:, years] = 0.0  # also of people whose first visit lacks a confound
    for name, found in zip(names, fits.found, strict=True):
        if found is None or not found.converged:
            continue
        reliable = growth.reliability(fits.visits, found)
        reliable[:, growth.SLOPE] = np.nan if found.boundary else reliable[:, growth.SLOPE]
        slope = found.coef[years] + found.blup[:, 1] if frame.slopes else np.full(frame.people, np.nan)
        parts.append(
            pd.DataFrame(
                {
                    "person": persons,
                    "latent": name,
                    "visits": frame.counts,
                    "years": last,
                    "level": at_start @ found.coef + found.blup[:, 0],
                    "level_reliability": reliable[:, 0],
                    "slope": slope,
                    "slope_reliability": reliable[:, 1],
                }
            )  # fmt: skip
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"person": []})
    return table.assign(**base)


def ahead(fits: Fits, names: list[str], persons: list[str], years: float, base: Row) -> pd.DataFrame:
    """Predict each person's latents `years` after the last visit, with confounds as there, and 90 % intervals."""
    frame, parts = fits.frame, []
    last = np.append(frame.first[1:], len(frame.x)) - 1
    t = frame.t[last] + years
    x = frame.x[last].copy()
    x[:, frame.names.index(YEARS)] = t
    wide = student.ppf((1 + COVERAGE) / 2, max(degrees(frame)[YEARS], 1))
    for name, found, y in zip(names, fits.found, fits.z.T, strict=True):
        if found is None or not found.converged:
            continue
        mean, se = growth.predict(fits.visits, found, y, x, t)
        part = {"person": persons, "latent": name, "years": t, "last": y[last], "predicted": mean}
        parts.append(pd.DataFrame(part | {"low": mean - wide * se, "high": mean + wide * se}))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"person": []})
    return table.assign(**base)


def redrawn(group: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Weights (1 + draws, n): ones, then how often each row is drawn in a bootstrap of groups (people, families).

    group: (n,) labels.
    """
    codes = pd.factorize(group)[0]
    size = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=draws)
    return np.vstack([np.ones(len(codes)), drawn[:, codes]])


def _errors(fits: Fits) -> list[np.ndarray]:
    """Standard errors (columns,) of the fixed effects of each latent; of related people a jackknife over families."""
    family, none = fits.frame.family, np.full(fits.frame.x.shape[1], np.nan)
    return [none if found is None else np.sqrt(np.diag(found.cov)) if family is None
            else growth.family_errors(fits.visits, found, y, family)
            for found, y in zip(fits.found, fits.z.T, strict=True)]  # fmt: skip


def _numbers(found: growth.Growth, k: int, df: int, sd: float, errors: np.ndarray) -> Row:
    effect, se = float(found.coef[k]), float(errors[k])
    half = float(student.ppf(0.975, df)) * se
    return {"effect": effect, "se": se, "ci_low": effect - half, "ci_high": effect + half, "effect_sd": effect / sd,
            "df": df, "p": float(2 * student.sf(abs(effect) / se, df)), "status": "ok",
            "reason": found.boundary}  # fmt: skip


def _variances(found: growth.Growth) -> Row:
    level, slope = np.diag(found.random)
    r = found.random[0, 1] / np.sqrt(level * slope) if level * slope > 0 else np.nan
    return {"var_level": float(level), "var_slope": float(slope), "r_level_slope": float(r),
            "var_residual": found.residual, "loglik": found.loglik}  # fmt: skip
