"""Scores that are not Gaussian and change within people: GEE clustered by person, exchangeable (Liang & Zeger 1986).

Covariance: Mancl & DeRouen 2001, eq. 6, statsmodels' "bias_reduced" (a test), and t with the degrees of freedom of Bell
& McCaffrey 2002 on the clusters whitened by the working covariance: with 60 people of 3 sessions true nulls of counts
are rejected at 5 % in 4.4 and 3.9 % between people, in 5.7 and 7.7 % within them (990 cohorts of each of two seeds; by
people - columns df in 6.1 and 8.0 %), by the permutation in 3.8 and 6.1 % within them: q rests on that one.
Counts take the variance of the null's alpha. Ordinal scores: the cumulative indicators of all levels and scans of a
person are its cluster, working independence (Heagerty & Zeger 1996, whose global odds ratio takes 8 times as long).
The permutation's score test is that of working independence (rao), valid since whole people or a person's own scans
are permuted with their correlation; between people it is summed over each person's scans.
"""

import warnings
from typing import Any

import numpy as np
import statsmodels.api as sm
from statsmodels.genmod.families.family import Family
from statsmodels.tools.sm_exceptions import IterationLimitWarning

from neurovae.associate.repeated import Repeated, changes, deviations, means
from neurovae.associate.terms import Row, Tests, flat, numbers, scarce, strata, too_few
from neurovae.design.design import RARER_CLASS, RESIDUAL_DF
from neurovae.design.rows import REASONS, varies
from neurovae.stats.basis import residual
from neurovae.stats.clusters import cr2
from neurovae.stats.exchangeability import site_strata
from neurovae.stats.fits import Fit, quiet
from neurovae.stats.links import family, link_of
from neurovae.stats.rao import Null, fit_null
from neurovae.stats.separation import separated

SMALLEST = 1e-6  # eigenvalue of a working correlation


def clustered(score: Row, y: np.ndarray, data: Repeated, z: np.ndarray) -> dict[str, Tests]:
    """Test any other score that changes within people: GEE, both terms. y: (n,), z: (n, latents)."""
    kind, person = score["type"], data.person
    cluster = person if data.family is None else data.family[person]
    link = link_of(kind, score.get("link"))
    x = np.column_stack([data.between[person], data.within])
    z_mean, within_z = means(z, person), deviations(z, person)
    fit, null = fit_null(kind, y, x, link)
    too_few_within = _too_few_within(kind, y, data)
    rows: dict[str, list[Row]] = {"between": [], "within": []}
    for k in range(z.shape[1]):
        use = {"between": varies(z_mean[:, k], data.between)}
        use["within"] = not too_few_within and float(np.std(within_z[:, k])) > 1e-6 and varies(within_z[:, k], x)
        columns = {"between": z_mean[person, k], "within": within_z[:, k]}
        results = _gee(kind, link, y, x, {name: columns[name] for name in use if use[name]}, cluster, fit)
        for row in results.values() if data.family is not None else ():
            row["random"] = str(row.get("random", "")).replace("person", "family")
        for name in use:
            untested = too_few(too_few_within) if name == "within" and too_few_within else flat(name)
            rows[name].append(results[name] if use[name] else untested)
    none = np.empty((len(y), 0))
    return {
        "between": Tests(rows["between"], _summed(null, person), z_mean, data.between, strata(data)),
        "within": Tests(rows["within"], null, residual(within_z, data.within), none, site_strata(person)),
    }


def _gee(
    kind: str, link: str, y: np.ndarray, x: np.ndarray, columns: dict[str, np.ndarray], person: np.ndarray, null: Fit
) -> dict[str, Row]:
    """Fit the GEE and return the numbers of the added columns, by name."""
    full, ordinal = np.column_stack([x, *columns.values()]), kind == "ordinal"
    words: Row = {"link": link, "random": f"none (GEE, {'independence' if ordinal else 'exchangeable'} within person)"}
    df = int(person.max()) + 1 - full.shape[1]
    status = null.status if null.status != "ok" else "separation" if separated(kind, y, full) else "ok"
    if status == "ok" and df < RESIDUAL_DF:
        return dict.fromkeys(columns, too_few(f"{person.max() + 1} clusters for {full.shape[1]} columns"))
    model = None
    if status == "ok":
        slopes = x.shape[1] - ordinal
        first = np.append(-null.coef[slopes:], null.coef[:slopes]) if ordinal else null.coef[:slopes]
        start = np.append(first, np.zeros(len(columns)))
        model = gee(y, full[:, 1:] if ordinal else full, person, family(kind, link, null.alpha), start, ordinal)
        status = "not converged" if model is None else "ok"
    if model is None:
        return dict.fromkeys(columns, words | {"status": status, "reason": REASONS.get(status, status)})
    words["family"] = f"{null.family} (GEE)"
    words["icc"] = None if ordinal else float(model.cov_struct.dep_params)
    effect, error = np.asarray(model.params), np.sqrt(np.diag(model.cov_robust_bc))
    last = range(-len(columns), 0)
    left = degrees(model, len(columns))
    return {name: numbers(effect[k], error[k], left[k]) | words for name, k in zip(columns, last, strict=True)}


def degrees(result: Any, count: int) -> np.ndarray:
    """Degrees of freedom of the errors of the last `count` estimates of a GEE, (count,).

    A cluster in which the estimated working correlation is no correlation (too negative) is taken as it is.
    """
    model, parts = result.model, []
    for k, (exog, (mean, eta)) in enumerate(zip(model.exog_li, model.cached_means, strict=True)):
        sizes, turn = np.linalg.eigh(model.cov_struct.covariance_matrix(mean, k)[0])
        if sizes.min() < SMALLEST:
            sizes, turn = np.ones(len(sizes)), np.eye(len(sizes))
        slope = model.mean_deriv(exog, eta) / np.sqrt(model.family.variance(mean))[:, None]
        parts.append((turn / np.sqrt(sizes)) @ (turn.T @ slope))
    x, group = np.vstack(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    columns = [np.roll(x, count - 1 - k, axis=1) for k in range(count)]  # each of them once the last
    return np.array([cr2(np.zeros(len(x)), one, group)[1] for one in columns])


def gee(
    y: np.ndarray,
    x: np.ndarray,
    person: np.ndarray,
    glm_family: Family,
    start: np.ndarray | None = None,
    ordinal: bool = False,
) -> Any:
    """Fit statsmodels' GEE with Mancl and DeRouen's covariance in `cov_robust_bc`; None where it has not converged.

    x: (n, columns), for ordinal scores without an intercept; start: its first parameters, the ordinal levels' first.
    """
    if ordinal:
        model = sm.OrdinalGEE(y, x, groups=person, family=glm_family, cov_struct=sm.cov_struct.Independence())
    else:
        model = sm.GEE(y, x, groups=person, family=glm_family, cov_struct=sm.cov_struct.Exchangeable())
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", IterationLimitWarning)
        try:
            result = model.fit(cov_type="bias_reduced", maxiter=100, start_params=start)
        except (np.linalg.LinAlgError, ValueError):
            return None
        if result is None or not result.converged or result.cov_robust_bc is None:
            return None
        spread = np.diag(result.cov_robust_bc)
    return result if np.isfinite(result.params).all() and np.isfinite(spread).all() and (spread > 0).all() else None


def _too_few_within(kind: str, y: np.ndarray, data: Repeated) -> str:
    df = len(y) - len(data.counts) - data.within.shape[1] - 1
    if df < RESIDUAL_DF:
        return scarce(data)
    n_changing = len(set(data.person[changes(y, data.person)]))
    return f"{n_changing} people whose score changes" if kind == "binary" and n_changing < RARER_CLASS else ""


def _summed(null: Null | None, person: np.ndarray) -> Null | None:
    """Return the score test of a column that is constant within people, with a row per person."""
    if null is None:
        return None
    rows = np.column_stack([null.residual, null.weight, null.factor])
    sums = means(rows, person) * np.bincount(person)[:, None]
    return Null(null.test, null.gaussian, sums[:, 0], sums[:, 1], sums[:, 2:], null.phi)
