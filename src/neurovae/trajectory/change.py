"""Is a score associated with change? time x score in the growth model of each latent, tested by max-T over latents.

The score is that of the first session. Columns that do not change within a person (age, sex, ...) enter with their own
products with time, so that the score's is adjusted for them. Statistic: the score test (Rao 1948) of the product, from
the model with the score's main effect, in which person i enters with t_i' V_i^-1 r_i. Permuted: the residual of the
score on those columns, whole people among those with equally many visits (and the same site), relatives
together: Winkler et al. 2015.
Individual slopes are not regressed on the score, since they are shrunken, the more so the fewer visits a person has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from neurovae.design.design import NOT_MADE, NOT_MADE_HERE, RESIDUAL_DF, score_values
from neurovae.design.rows import standard
from neurovae.design.tables import bh
from neurovae.stats import growth
from neurovae.stats.basis import independent, moves, residual
from neurovae.stats.exchangeability import family_strata, too_few
from neurovae.stats.maxt import at_once, draw, maxt
from neurovae.trajectory.frame import RELATED, Frame

Row = dict[str, Any]
RULE = "whole people among those with equally many visits"
OF_FAMILIES = "whole families of equal size whose members have equally many visits"


@dataclass(frozen=True)
class Change:
    """The people of one score: `x` without it (n, columns), `s` (P,) the score, `e` its residual between people."""

    rows: np.ndarray  # (n,) of the frame
    x: np.ndarray
    t: np.ndarray
    person: np.ndarray
    s: np.ndarray
    e: np.ndarray
    strata: np.ndarray  # of `stats.exchangeability`, of the people
    family: np.ndarray | None  # (P,) codes of the families, where some people are related
    between: int  # columns that differ between people
    same_site: bool


@dataclass(frozen=True)
class Parts:
    """Per-person parts of the score test of one latent, in units of the residual variance."""

    of_residual: np.ndarray  # (P, 2): Z_i' V_i^-1 r_i
    zz: np.ndarray  # (P, 2, 2): Z_i' V_i^-1 Z_i
    zx: np.ndarray  # (P, 2, columns): Z_i' V_i^-1 X_i
    inverse: np.ndarray  # (columns, columns)
    residual: float


def change(frame: Frame, z: np.ndarray, names: list[str], table: pd.DataFrame, score: Row, base: Row,
           permutations: int, seed: int) -> list[Row]:  # fmt: skip
    """Test one score against the change of latents of one role: a row per latent.

    z: (n, latents) of the frame's rows; table: of the visits.
    """
    if score["type"] == "survival":
        row = base | {"score": score["name"], "type": score["type"], "status": NOT_MADE, "reason": NOT_MADE_HERE}
        return [row | {"latent": name} for name in names]
    at_start = pd.Series(score_values(table, score), index=table["person"])  # the first visit may lack a confound
    at_start = at_start[~at_start.index.duplicated()]
    values = at_start.loc[table["person"].iloc[frame.rows[frame.first]]].to_numpy(float)
    data = prepare(frame, values, score["type"], table["site"].to_numpy()[frame.rows])
    repeated = 0 if data is None else int((np.bincount(data.person) > 1).sum())
    base = base | {"score": score["name"], "type": score["type"], "n": 0 if data is None else len(data.s),
                   "n_repeated": repeated, "confounds": frame.text}  # fmt: skip
    if data is None or repeated - data.between - 2 < RESIDUAL_DF:
        reason = f"{repeated} people with the score at the first session and two or more visits"
        return [base | {"latent": name, "status": "too few people", "reason": reason} for name in names]
    if not moves(data.e[:, None])[0] or np.square(data.e).sum() < 1e-10 * np.square(data.s - data.s.mean()).sum():
        reason = "the confounds determine the score"
        return [base | {"latent": name, "status": "explained by confounds", "reason": reason} for name in names]
    few, z = too_few(data.strata, data.e), z[data.rows]
    varying = moves(z)
    units = repeated if data.family is None else len(np.unique(data.family[np.bincount(data.person) > 1]))
    df = max(units - data.between - 1, 1)
    rows = [
        base | {"latent": name} | (_wald(data, y, frame.slopes, df) if ok else {"status": "constant latent",
                                                                               "reason": "the latent does not vary"})
        for name, y, ok in zip(names, z.T, varying, strict=True)
    ]  # fmt: skip
    ok = np.array([row["status"] == "ok" for row in rows])
    q, m = bh(np.array([row.get("p", np.nan) for row in rows]), ok)
    related = data.family is not None
    rule = (OF_FAMILIES if related else RULE) + (" and the same site" if data.same_site else "")
    rows = [row | {"q": value, "family_size": m, "exchangeability": f"{rule}: none ({few})" if few else rule}
            for row, value in zip(rows, q, strict=True)]  # fmt: skip
    if few or not ok.any():
        return rows
    statistic = statistic_of(data, z[:, ok], frame.slopes)
    size = at_once(len(data.s), int(ok.sum()))
    exceeded = draw([statistic], data.strata, size, permutations, seed)[0]
    single, largest = maxt(statistic(np.arange(len(data.s))[None])[0], exceeded)
    for row, p, p_maxt in zip([row for row in rows if row["status"] == "ok"], single[0], largest[0], strict=True):
        row |= {"p_permutation": float(p), "p_maxt": float(p_maxt), "m": int(ok.sum()), "permutations": permutations}
    return rows


def prepare(frame: Frame, values: np.ndarray, kind: str, site: np.ndarray) -> Change | None:
    """Choose the people with a score and build the design; None where nobody has one.

    values: (P,) score of each person at the first visit; numbers but those of a binary score are standardised.
    """
    present = np.isfinite(values)
    rows = np.flatnonzero(present[frame.person]) if len(values) else np.empty(0, int)
    if len(rows) < 3 or np.ptp(values[present]) == 0:
        return None
    person = pd.factorize(frame.person[rows])[0]
    first = np.unique(person, return_index=True)[1]
    x, t = frame.x[rows], frame.t[rows]
    own = x[:, frame.personal]
    x = np.column_stack([x, own[:, 1:] * t[:, None]])
    x = x[:, independent(x)]
    s = values[present] if kind == "binary" else standard(values[present])
    own = own[first]
    places = pd.Series(site[rows][first].astype(str))
    counts = np.bincount(person)
    family = None if frame.family is None else frame.family[present]
    related = family is not None and len(np.unique(family)) < len(family)
    kinds = pd.factorize(pd.Series(counts).astype(str) + " " + places)[0]
    family = pd.factorize(family)[0] if family is not None and related else None
    strata = family_strata(kinds, family)
    return Change(rows, x, t, person, s, residual(s, own), strata, family, own.shape[1], places.nunique() > 1)


def statistic_of(data: Change, z: np.ndarray, slopes: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from row indices (draws, P) to statistics (draws, 1, latents)."""
    null = growth.visits(np.column_stack([data.x, data.s[data.person]]), data.t, data.person, slopes)
    bare = growth.visits(data.x, data.t, data.person, slopes)
    parts = [_parts(growth.fit(null, y), null, bare, y) for y in z.T]

    def statistic(index: np.ndarray) -> np.ndarray:
        permuted = data.e[index]  # (draws, P)
        return np.stack([_statistic(part, permuted) for part in parts], axis=-1)[:, None, :]

    return statistic


def _parts(found: growth.Growth, null: growth.Visits, bare: growth.Visits, y: np.ndarray) -> Parts:
    zr = growth.sums(null.z, y - null.x @ found.coef, null.person)[:, :, 0]
    left = np.eye(2) - bare.zz @ found.k  # Z'V^-1 = (1 - Z'Z K) Z'
    zx = left @ bare.zx
    inside = bare.x.T @ bare.x - np.einsum("pij,pil,plk->jk", bare.zx, found.k, bare.zx)
    return Parts((left @ zr[:, :, None])[:, :, 0], left @ bare.zz, zx, np.linalg.inv(inside), found.residual)


def _statistic(part: Parts, s: np.ndarray) -> np.ndarray:
    """Signed root of the score test of s x time beside s itself, (draws,). s: (draws, P)."""
    top = s @ part.of_residual  # (draws, 2): of the main effect, of the product
    squares = s**2 @ part.zz.reshape(len(part.zz), 4)  # (draws, 4)
    main, product = s @ part.zx[:, 0], s @ part.zx[:, 1]  # (draws, columns)
    main_x, product_x = main @ part.inverse, product @ part.inverse
    mm = squares[:, 0] - (main_x * main).sum(axis=1)
    mp = squares[:, 1] - (main_x * product).sum(axis=1)
    pp = squares[:, 3] - (product_x * product).sum(axis=1)
    score, information = top[:, 1] - mp / mm * top[:, 0], pp - mp**2 / mm
    return np.asarray(score / np.sqrt(part.residual * information))


def _wald(data: Change, y: np.ndarray, slopes: bool, df: int) -> Row:
    """Difference in yearly change per standard deviation of the score (binary: between classes), in the latent's SD."""
    score = data.s[data.person]
    x = np.column_stack([data.x, score, score * data.t])
    visits = growth.visits(x, data.t, data.person, slopes)
    found = growth.fit(visits, y)
    if not found.converged:
        return {"status": "not converged", "reason": "the fit did not converge"}
    first = np.unique(data.person, return_index=True)[1]
    sd = float(y[first].std(ddof=1))
    errors = np.sqrt(np.diag(found.cov)) if data.family is None else growth.family_errors(visits, found, y, data.family)
    effect, se = found.coef[-1] / sd, float(errors[-1]) / sd
    half = float(student.ppf(0.975, df)) * se
    return {"effect": float(effect), "se": se, "ci_low": float(effect - half), "ci_high": float(effect + half),
            "df": df, "p": float(2 * student.sf(abs(effect) / se, df)), "status": "ok",
            "reason": "; ".join(filter(None, [found.boundary, RELATED * (data.family is not None)]))}  # fmt: skip
