"""Checks of a fitted model (link, dispersion, parallel lines), and errors that do not assume its variance.

link            Pregibon (1980): the square of the linear predictor added, by the family's nested test.
                With 10 confound columns and 60 and 118 people it rejects 3.3-6.3 and 3.7-7.3 % of right links.
over-dispersion Dean & Lawless (1989): the score test of alpha = 0 in V = mu + alpha mu^2, one-sided, with hat values.
                Under a Poisson, in the same cohorts, it rejects 2.8 and 5.3 %; the likelihood ratio with its half
                chi-square .3 and 1.5 %, since alpha does not know how many columns were fitted.
parallel lines  Peterson & Harrell (1990): the latent's slope free at every threshold, likelihood ratio; the confounds'
                stay common, since all of them free have no finite estimate in cohorts of this size. 4.8 and 4.3 %.
spread          Breusch & Pagan (1979), studentised (Koenker 1981): does the spread of a continuous score around its
                confounds change with them? Where the latent's does too, permutation p are too small (118 people, both
                spreads growing as exp(.3 age): max-T 14 % at 5 %), and the HC2 p is the one to trust (3 %).
proportional    Grambsch & Therneau (1994): does the latent's hazard ratio change with time (`survival`)?
robust          the sandwich as a one-step jackknife, sum of influence influence'. For a generalised linear model, at
                its expected information, that is HC3: inverse X' diag(score^2 / (1 - h)^2) X inverse. Computed here,
                since statsmodels' `cov_type` returns HC0. True zeros lie outside its interval in 2.5-5.7 % of those
                cohorts (600 draws each).
"""

import numpy as np
from scipy.stats import norm, t
from statsmodels.stats.diagnostic import het_breuschpagan

from neurovae.design.rows import standard, varies
from neurovae.stats import families, ordinal, survival
from neurovae.stats.basis import residual
from neurovae.stats.clusters import influence, predictor
from neurovae.stats.fits import Fit, quiet
from neurovae.stats.likelihoods import pearson
from neurovae.stats.links import family, positive_only
from neurovae.stats.scoring import scoring, working


def diagnostics(
    kind: str, y: np.ndarray, x: np.ndarray, full: Fit, unit: float = 1.0, related: np.ndarray | None = None
) -> dict[str, float]:
    """Return all numbers of this module for a fit of y on x; those that the family does not have are missing.

    unit: of y in the score's own units, in which the likelihood of a continuous score is given. related: codes of the
    families, where errors are clustered; over-dispersion, spread and parallel lines are tested as if all people
    were unrelated.
    """
    se, low, high = robust(kind, y, x, full, related)
    numbers = {"p_link": link_p(kind, y, x, full, related), "aic": aic(kind, full) + 2 * len(y) * np.log(unit)}
    numbers |= {"se_robust": se, "robust_low": low, "robust_high": high}
    if kind in ("bounded", "gamma"):
        numbers["dispersion"] = full.dispersion
    if kind == "count":
        dispersion, p = overdispersion(y, x, full.link)
        numbers |= {"dispersion": dispersion, "p_overdispersion": p, "alpha": full.alpha}
    if kind == "survival":
        numbers["p_proportional"] = survival.proportional_p(y, x, full)
    if kind == "ordinal":
        codes = np.unique(y, return_inverse=True)[1]
        with quiet():
            numbers["p_parallel"] = ordinal.parallel_p(codes, x[:, 1:], full.link, full.coef, full.loglike)
    return numbers


def spread_p(kind: str, y: np.ndarray, x: np.ndarray) -> float:
    """Test whether the residual spread depends on the columns of x; missing for other scores, and without columns."""
    if kind != "continuous" or x.shape[1] < 2:
        return np.nan
    return float(het_breuschpagan(residual(y, x), x)[1])


def link_p(kind: str, y: np.ndarray, x: np.ndarray, full: Fit, related: np.ndarray | None = None) -> float:
    """Test the squared linear predictor; missing where it adds no column or the wider model has no estimate."""
    square = predictor(kind, x, full) ** 2
    if not varies(square, x):
        return np.nan
    wider = families.fit(kind, y, np.column_stack([x, standard(square)]), full.link, related)
    return families.nested_p(full, wider, 1, len(y)) if wider.status == "ok" else np.nan


def aic(kind: str, full: Fit) -> float:
    """Akaike's criterion; missing for the quasi-likelihood. Alpha, 1 / shape and the residual variance count.

    Of a survival score that of the partial likelihood, whose intercept is no parameter.
    """
    return 2 * (len(full.coef) + (kind == "continuous") - (kind == "survival")) - 2 * full.loglike


def overdispersion(y: np.ndarray, x: np.ndarray, link: str) -> tuple[float, float]:
    """Return the Pearson dispersion of the Poisson regression, and the p of more variance than Poisson."""
    poisson_family = family("count", link)
    with quiet():
        poisson = scoring(y, x, poisson_family, positive_only("count", link))
        if poisson.status != "ok":
            return np.nan, np.nan
        _, weight, mu = working(y, x @ poisson.coef, poisson_family)
    hat = weight * np.einsum("ij,jk,ik->i", x, poisson.cov, x)
    score = np.sum((y - mu) ** 2 - y + hat * mu) / np.sqrt(2 * np.sum(mu**2))
    return pearson("count", link, y, mu, x.shape[1]), float(norm.sf(score))


def robust(
    kind: str, y: np.ndarray, x: np.ndarray, full: Fit, related: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Return the jackknife error of the last column of x, and its 95 % interval by t with n - parameters df.

    related: (n,) codes of the families, which are then left out as wholes and counted instead of people.
    """
    last = x.shape[1] - (2 if kind == "ordinal" else 1)
    with quiet():
        change = influence(kind, y, x, full, np.arange(len(y)) if related is None else related)[:, last]
    se = float(np.sqrt(np.sum(change**2)))
    units = len(y) if related is None else int(related.max()) + 1
    half = float(t.ppf(0.975, max(units - full.counted, 1))) * se
    return se, full.effect - half, full.effect + half
