"""The fit of each score type: least squares, binomial, quasi-binomial, gamma, negative binomial, proportional odds."""

from dataclasses import replace

import numpy as np
import statsmodels.api as sm
from scipy.optimize import brentq, minimize_scalar
from scipy.special import digamma

from neurovae.stats.fits import Fit, by_likelihood, without
from neurovae.stats.links import family, positive_only
from neurovae.stats.ordinal import proportional_odds
from neurovae.stats.scoring import Scored, scoring

LOG_ALPHA = (-12.0, 6.0)  # bounds of the negative binomial's log alpha
SHAPES = (1e-6, 1e9)  # of a gamma


def gaussian(y: np.ndarray, x: np.ndarray, link: str) -> Fit:
    """Least squares with robust errors; under a log link on the tangent at the estimate, d mu / d coef."""
    mu, tangent, coef = np.zeros_like(y), x, np.zeros(x.shape[1])
    if link == "log":
        if y.mean() <= 0:
            return without("link out of range")
        scored = _scored("continuous", y, x, link)
        if scored.status != "ok":
            return without(scored.status)
        mu, tangent, coef = scored.mu, scored.mu[:, None] * x, scored.coef
    result = sm.OLS(y - mu, tangent).fit(cov_type="HC3", use_t=True)
    name = "Gaussian (HC2)"
    fit = by_likelihood(name, link, coef + result.params, result.cov_params(), x.shape[1] - 1, True, result.llf)
    se, df = last_hc2(result.resid, tangent)
    if fit.status != "ok":
        return fit
    return replace(fit, deviance=result.ssr, se=se, df=df, test="robust F", df_several=len(y) - x.shape[1])


def last_hc2(residual: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """HC2 error of the last coefficient and Bell and McCaffrey's degrees of freedom (Imbens & Kolesar 2016, eq. 8).

    With e = M y, the variance is y' B y, B = M D M, D = a^2 / (1 - h); df = tr(B)^2 / tr(B^2) under equal variances.
    """
    q, r = np.linalg.qr(x)
    leverage = np.square(q).sum(axis=1)
    weight = (q @ np.linalg.inv(r).T[:, -1]) ** 2 / (1 - leverage)  # (X (X'X)^-1)[:, -1] = Q R^-T e
    trace = np.sum(weight * (1 - leverage))
    square = np.sum(weight**2 * (1 - 2 * leverage)) + np.square(q.T @ (weight[:, None] * q)).sum()
    return float(np.sqrt(np.sum(weight * residual**2))), float(trace**2 / square)


def binary(y: np.ndarray, x: np.ndarray, link: str) -> Fit:
    """Binomial regression of zeros and ones by maximum likelihood."""
    scored = _scored("binary", y, x, link)
    if scored.status != "ok":
        return without(scored.status)
    return by_likelihood("binomial", link, scored.coef, scored.cov, x.shape[1] - 1, True, -scored.deviance / 2)


def fractional(y: np.ndarray, x: np.ndarray, link: str) -> Fit:
    """Quasi-binomial regression of fractions, with the Pearson dispersion in its errors and in its test."""
    scored = _scored("bounded", y, x, link)
    if scored.status != "ok":
        return without(scored.status)
    scale, df = pearson("bounded", link, y, scored.mu, x.shape[1]), len(y) - x.shape[1]
    fit = by_likelihood("fractional (quasi-binomial)", link, scored.coef, scored.cov * scale, x.shape[1] - 1, True)
    return (
        fit if fit.status != "ok" else replace(fit, deviance=scored.deviance, dispersion=scale, df=df, test="quasi F")
    )


def gamma(y: np.ndarray, x: np.ndarray, link: str) -> Fit:
    """Gamma regression by maximum likelihood in the coefficients and the shape v, 1 / v last among the estimates.

    log v - digamma(v) = deviance / 2 n (McCullagh & Nelder 1989, section 8.3.6).
    """
    scored, last = _scored("gamma", y, x, link), x.shape[1] - 1
    if scored.status != "ok":
        return without(scored.status)
    half_mean_deviance = scored.deviance / (2 * len(y))
    dispersion = 1 / brentq(lambda v: np.log(v) - digamma(v) - half_mean_deviance, *SHAPES)
    loglike = family("gamma", link).loglike(y, scored.mu, scale=dispersion)
    coef, cov = np.append(scored.coef, dispersion), _bordered(scored.cov * dispersion)
    fit = by_likelihood("gamma", link, coef, cov, last, True, loglike)
    scale = pearson("gamma", link, y, scored.mu, x.shape[1])
    return fit if fit.status != "ok" else replace(fit, deviance=scored.deviance, dispersion=scale)


def count(y: np.ndarray, x: np.ndarray, link: str) -> Fit:
    """Negative binomial (NB2) by maximum likelihood in the coefficients and alpha; Poisson where alpha is zero."""
    last, poisson = x.shape[1] - 1, _scored("count", y, x, link)
    if poisson.status != "ok":
        return without(poisson.status)
    # d loglik / d alpha at alpha = 0 (Lawless 1987): if not above zero, the maximum is at the border
    if np.sum((y - poisson.mu) ** 2 - y) <= 0:
        loglike = family("count", link).loglike(y, poisson.mu)
        return by_likelihood("Poisson (alpha = 0)", link, poisson.coef, poisson.cov, last, True, loglike)
    best = minimize_scalar(
        lambda log: _negative_binomial(y, x, link, np.exp(log), poisson.coef)[1],
        bounds=LOG_ALPHA, method="bounded", options={"xatol": 1e-7},
    )  # fmt: skip
    alpha = float(np.exp(best.x))
    scored, loss = _negative_binomial(y, x, link, alpha, poisson.coef)
    if scored.status != "ok":
        return without(scored.status)
    converged = LOG_ALPHA[0] + 1e-3 < best.x < LOG_ALPHA[1] - 1e-3
    coef, cov = np.append(scored.coef, alpha), _bordered(scored.cov)
    fit = by_likelihood("negative binomial", link, coef, cov, last, converged, -loss)
    return replace(fit, alpha=alpha) if fit.status == "ok" else fit


def ordinal(y: np.ndarray, x: np.ndarray, link: str) -> Fit:
    """Cumulative link model; levels by their order."""
    coef, cov, loglike, converged = proportional_odds(np.unique(y, return_inverse=True)[1], x[:, 1:], link)
    last = x.shape[1] - 2  # without slopes this is a threshold, and the effect is not used
    name = "proportional odds" if link == "logit" else "cumulative link"
    return by_likelihood(name, link, coef, cov, last, converged, loglike, x.shape[1])


def _scored(kind: str, y: np.ndarray, x: np.ndarray, link: str) -> Scored:
    return scoring(y, x, family(kind, link), positive_only(kind, link))


def _negative_binomial(
    y: np.ndarray, x: np.ndarray, link: str, alpha: float, start: np.ndarray
) -> tuple[Scored, float]:
    """Fit at a given alpha, and minus its log-likelihood."""
    glm_family = family("count", link, alpha)
    scored = scoring(y, x, glm_family, positive_only("count", link), start)
    return scored, -float(glm_family.loglike(y, scored.mu))


def pearson(kind: str, link: str, y: np.ndarray, mu: np.ndarray, columns: int) -> float:
    """Pearson's chi-square over its degrees of freedom: the dispersion; of counts against the Poisson."""
    return float(np.sum((y - mu) ** 2 / family(kind, link).variance(mu)) / (len(y) - columns))


def _bordered(cov: np.ndarray) -> np.ndarray:
    """Add a missing last row and column, for alpha or the dispersion."""
    return np.pad(cov, (0, 1), constant_values=np.nan)
