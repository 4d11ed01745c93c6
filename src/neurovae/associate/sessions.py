"""Gaussian scores over sessions, and scores of the person, against each latent: between and within people.

constant score   one row per person: the type's regression (families) on the person's means; site random: REML.
Gaussian score   linear mixed model, random intercept per person (and site). Within: least squares on the deviations,
                 t with scans - people - columns df, exact. Between: REML on the means, t with people - columns df.
Permutation statistic: the score test of the confounds-only null (rao), of residuals whitened by the null's variances,
within people of the deviations, which need none.
"""

import numpy as np

from neurovae.associate.repeated import Repeated, deviations, means
from neurovae.associate.terms import Row, Tests, flat, numbers, scarce, strata, too_few
from neurovae.design.design import RESIDUAL_DF
from neurovae.design.rows import REASONS, varies
from neurovae.stats import families
from neurovae.stats.basis import residual
from neurovae.stats.exchangeability import site_strata
from neurovae.stats.rao import Null, fit_null
from neurovae.stats.reml import Between, reml, whiten


def constant(score: Row, y: np.ndarray, data: Repeated, z: np.ndarray, random_site: bool) -> dict[str, Tests]:
    """Test a score that does not change within people, between them. y: (n,), z: (n, latents)."""
    kind, link = score["type"], score.get("link")
    z, y, x = means(z, data.person), y[data.first], data.between
    sites, none = data.site if random_site else None, (0.0, 0)
    fit, null = fit_null(kind, y, x, link)
    family = data.family
    if random_site:
        reml_fit = reml(y, x, data.counts, none, sites)
        null, z, x, unwhitened = _whitened(reml_fit, y, x), whiten(reml_fit, z), whiten(reml_fit, x), (z, x)
        rows = [
            _mixed(reml(y, np.column_stack([unwhitened[1], k]), data.counts, none, sites), _df(data, sites))
            if varies(k, unwhitened[1])
            else flat("between")
            for k in unwhitened[0].T
        ]
    else:
        rows = [_regress(kind, link, y, x, k, fit, family) if varies(k, x) else flat("between") for k in z.T]
    return {"between": Tests(rows, null, z, x, strata(data))}


def linear(y: np.ndarray, data: Repeated, z: np.ndarray, random_site: bool) -> dict[str, Tests]:
    """Test a Gaussian score that changes: linear mixed model, both terms. y: (n,), z: (n, latents)."""
    sites = data.family if data.family is not None else data.site if random_site else None
    shared = "site" if data.family is None else "family"
    e = residual(deviations(y[:, None], data.person), data.within)[:, 0]
    within_z = residual(deviations(z, data.person), data.within)
    df = len(y) - len(data.counts) - data.within.shape[1]
    square = np.square(within_z).sum(axis=0)
    varying = np.sqrt(square) > 1e-6 * np.sqrt(len(y)) * z.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(varying, within_z.T @ e / square, 0.0)
    within_ss = [
        (float(np.sum((e - b * k) ** 2)), int(df - m)) for b, k, m in zip(slope, within_z.T, varying, strict=True)
    ]
    y_mean, z_mean, x = means(y[:, None], data.person)[:, 0], means(z, data.person), data.between
    within, between = [], []
    for k in range(z.shape[1]):
        fit = None
        if varies(z_mean[:, k], x):
            fit = reml(y_mean, np.column_stack([x, z_mean[:, k]]), data.counts, _with_df(within_ss[k]), sites)
        between.append(flat("between") if fit is None else _mixed(fit, _df(data, sites), shared))
        if within_ss[k][1] < RESIDUAL_DF:
            row = too_few(scarce(data))
        elif not varying[k]:
            row = flat("within")
        else:
            se = np.sqrt(within_ss[k][0] / within_ss[k][1] / square[k])
            row = numbers(slope[k], se, within_ss[k][1]) | ({} if fit is None else _variances(fit, shared))
        within.append(row | {"family": "Gaussian (mixed)", "link": "identity"})
    reml_fit = reml(y_mean, x, data.counts, _with_df((float(e @ e), df)), sites)
    within_null = Null("t, Freedman-Lane", True, e, np.ones(len(e)), np.empty((len(e), 0)), 1.0)
    return {
        "between": Tests(
            between, _whitened(reml_fit, y_mean, x), whiten(reml_fit, z_mean), whiten(reml_fit, x), strata(data)
        ),
        "within": Tests(within, within_null, within_z, data.within, site_strata(data.person)),
    }


def _regress(
    kind: str,
    link: str | None,
    y: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    null: families.Fit,
    family: np.ndarray | None,
) -> Row:
    full = families.fit(kind, y, np.column_stack([x, z]), link, family)
    status = null.status if null.status != "ok" else full.status
    random = {"random": "none (one row per person)" if family is None else "none (errors clustered by family)"}
    if status != "ok":
        return random | {"status": status, "reason": REASONS.get(status, status)}
    low, high = families.interval(full, len(y))
    estimates = {"effect": full.effect, "ci_low": low, "ci_high": high, "p": families.nested_p(null, full, 1, len(y))}
    df = full.df if np.isfinite(full.df) else None
    return random | estimates | {"df": df, "family": full.family, "link": full.link, "status": "ok", "reason": ""}


def _mixed(fit: Between, df: int, shared: str = "site") -> Row:
    words = {"family": "Gaussian (mixed)", "link": "identity"} | _variances(fit, shared)
    if not fit.converged:
        return words | {"status": "not converged", "reason": REASONS["not converged"]}
    return numbers(fit.coef[-1], np.sqrt(fit.cov[-1, -1]), df) | words


def _variances(fit: Between, shared: str) -> Row:
    """shared: the second random effect, site or family."""
    total = fit.person + fit.site + fit.residual
    sizes = {"person": fit.person} if fit.with_person else {}
    sizes |= {shared: fit.site} if fit.with_site else {}
    zero = [name for name, size in sizes.items() if size == 0]
    return {
        "random": ", ".join(sizes),
        "var_person": sizes.get("person"),
        f"var_{shared}": sizes.get(shared),
        "var_residual": fit.residual,
        "icc": (fit.person + fit.site) / total,
        "reason": f"variance of {' and '.join(zero)} at 0, its boundary" if zero else "",
    }


def _df(data: Repeated, sites: np.ndarray | None) -> int:
    if data.family is not None:  # fewer than people, since relatives share a random effect
        return int(data.family.max()) + 1 - data.between.shape[1] - 1
    x = data.between if sites is None else np.column_stack([data.between, sites[:, None] == np.unique(sites)])
    return len(x) - int(np.linalg.matrix_rank(x)) - 1


def _with_df(inner: tuple[float, int]) -> tuple[float, int]:
    return inner if inner[1] > 0 else (0.0, 0)


def _whitened(fit: Between, y: np.ndarray, x: np.ndarray) -> Null:
    e = whiten(fit, (y - x @ fit.coef)[:, None])[:, 0]
    return Null("t, Freedman-Lane", True, e, np.ones(len(e)), np.empty((len(e), 0)), 1.0)
