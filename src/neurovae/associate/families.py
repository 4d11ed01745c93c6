"""One regression per declared score type, with what its test needs; status instead of numbers where a fit has none.

continuous  ordinary least squares with robust errors. One latent: HC2 and a t with Bell and McCaffrey's degrees of
            freedom (Imbens & Kolesar 2016), since the tail decides on q: under a shuffled score, 66 people and 16
            latents, any q < .05 came in 5.9 % (HC3 and residual df: 7.1 %; 1,500 draws). Several columns: HC3 and F;
            where the residuals' spread is |latent| a spline's robust F rejects 9.5 % at 5 %, the ordinary F 38 %.
count       negative binomial (NB2), alpha by maximum likelihood, alpha = 0 is Poisson; likelihood ratio.
binary      logistic; likelihood ratio.
ordinal     proportional odds (McCullagh 1980); likelihood ratio.
bounded     fractional logit (Papke & Wooldridge 1996) on the share of the range, with the quasi-likelihood F: drop in
            deviance over the Pearson dispersion. Preferred to the beta-binomial since it needs no whole numbers (means
            and weighted totals occur), only the mean and a variance proportional to mu (1 - mu), and stays defined
            when the scores are less dispersed than binomial, where the beta-binomial has no maximum.
The primary p of a non-Gaussian row never rests on a Wald error or on `GLM.fit(cov_type=...)`, which returns HC0.
Likelihood ratios are asymptotic: plain ones reject 6.0 (ordinal), 7.1 (binary) and 6.5 % (count) of true nulls at 5 %
with 118 people and 10 columns; scaled by (n - parameters) / n, 5.0, 5.9 and 5.2 % (1,500 draws each).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import statsmodels.api as sm
from scipy.stats import chi2, f, t
from statsmodels.tools.sm_exceptions import ConvergenceWarning, HessianInversionWarning, PerfectSeparationWarning

from neurovae.associate.ordinal import proportional_odds
from neurovae.associate.separation import separated

GRADIENT = 1e-2  # largest slope of the log-likelihood, in nats per unit of a parameter, at which a search has arrived


@dataclass(frozen=True)
class Fit:
    """One fitted model; `effect` and `se` are those of the last column of x."""

    status: str
    family: str
    link: str
    coef: np.ndarray  # (parameters,), the columns of x first (ordinal: without the intercept, then thresholds)
    cov: np.ndarray  # (parameters, parameters)
    effect: float
    se: float
    loglike: float
    deviance: float
    dispersion: float
    df: float  # residual degrees of freedom, infinite for a likelihood ratio
    alpha: float
    test: str  # robust F, quasi F or LR


def fit(kind: str, y: np.ndarray, x: np.ndarray) -> Fit:
    """Regress y on x (first column: the intercept) with the family of the declared type."""
    families = {
        "continuous": _gaussian,
        "count": _count,
        "binary": _logistic,
        "ordinal": _ordinal,
        "bounded": _fractional,
    }
    if kind != "continuous" and separated(kind, y, x):
        return _without("separation")
    with _quiet():
        try:
            return families[kind](y, x)
        except np.linalg.LinAlgError:
            return _without("not converged")


def nested_p(null: Fit, full: Fit, extra: int, rows: int) -> float:
    """The p of the last `extra` columns by the family's test; for one column of least squares the robust t test.

    A likelihood ratio is scaled by (n - parameters) / n, the usual small-sample correction.
    """
    if full.test == "robust F" and extra == 1:
        return float(2 * t.sf(abs(full.effect / full.se), full.df))
    if full.test == "robust F":
        coef, cov = full.coef[-extra:], full.cov[-extra:, -extra:]
        return float(f.sf(coef @ np.linalg.solve(cov, coef) / extra, extra, rows - len(full.coef)))
    if full.test == "quasi F":
        return float(f.sf((null.deviance - full.deviance) / extra / full.dispersion, extra, full.df))
    ratio = 2 * (full.loglike - null.loglike) * (rows - len(full.coef)) / rows
    return float(chi2.sf(max(ratio, 0.0), extra))


def interval(full: Fit, rows: int) -> tuple[float, float]:
    """Wald 95 % interval of the last column (t where a dispersion is estimated), with the correction of its test."""
    widen = np.sqrt(rows / (rows - len(full.coef))) if full.test == "LR" else 1.0
    half = float(t.ppf(0.975, full.df)) * full.se * float(widen)
    return full.effect - half, full.effect + half


def partial_r2(kind: str, y: np.ndarray, x_null: np.ndarray, x_full: np.ndarray, null: Fit, full: Fit) -> float:
    """1 - D_full / D_null; for counts both deviances are taken at the full model's alpha."""
    if kind != "count":
        return 1 - full.deviance / null.deviance
    family = sm.families.NegativeBinomial(alpha=full.alpha) if full.alpha > 0 else sm.families.Poisson()
    with _quiet():
        low, high = (sm.GLM(y, x, family=family).fit().deviance for x in (x_full, x_null))
    return float(1 - low / high)


def _gaussian(y: np.ndarray, x: np.ndarray) -> Fit:
    result = sm.OLS(y, x).fit(cov_type="HC3", use_t=True)
    found = _fit("Gaussian (HC2)", "identity", result.params, result.cov_params(), x.shape[1] - 1, True)
    se, df = _last_hc2(result.resid, x)
    return replace(found, deviance=result.ssr, se=se, df=df, test="robust F")


def _last_hc2(residual: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """HC2 error of the last coefficient and Bell and McCaffrey's degrees of freedom (Imbens & Kolesar 2016, eq. 8).

    With e = M y, the variance is y' B y, B = M D M, D = a^2 / (1 - h); df = tr(B)^2 / tr(B^2) under equal variances.
    """
    q, r = np.linalg.qr(x)
    leverage = np.square(q).sum(axis=1)
    weight = (q @ np.linalg.inv(r).T[:, -1]) ** 2 / (1 - leverage)  # (X (X'X)^-1)[:, -1] = Q R^-T e
    trace = np.sum(weight * (1 - leverage))
    square = np.sum(weight**2 * (1 - 2 * leverage)) + np.square(q.T @ (weight[:, None] * q)).sum()
    return float(np.sqrt(np.sum(weight * residual**2))), float(trace**2 / square)


def _logistic(y: np.ndarray, x: np.ndarray) -> Fit:
    result = sm.Logit(y, x).fit(disp=0, method="newton", maxiter=100, warn_convergence=False)
    done = result.mle_retvals["converged"]
    return _fit("binomial", "logit", result.params, result.cov_params(), x.shape[1] - 1, done, result.llf)


def _fractional(y: np.ndarray, x: np.ndarray) -> Fit:
    result = sm.GLM(y, x, family=sm.families.Binomial()).fit(scale="X2", maxiter=100)
    cov, done = result.cov_params(), result.converged
    found = _fit("fractional (quasi-binomial)", "logit", result.params, cov, x.shape[1] - 1, done)
    return replace(found, deviance=result.deviance, dispersion=result.scale, df=result.df_resid, test="quasi F")


def _count(y: np.ndarray, x: np.ndarray) -> Fit:
    poisson = sm.Poisson(y, x).fit(disp=0, method="newton", maxiter=100, warn_convergence=False)
    mu, last = poisson.predict(), x.shape[1] - 1
    if np.sum((y - mu) ** 2 - y) <= 0:  # d loglik / d alpha at alpha = 0 (Lawless 1987): the maximum is at the border
        done = poisson.mle_retvals["converged"]
        return _fit("Poisson (alpha = 0)", "log", poisson.params, poisson.cov_params(), last, done, poisson.llf)
    start = np.append(poisson.params, max(float(np.mean(((y - mu) ** 2 - y) / mu**2)), 0.01))
    result = sm.NegativeBinomial(y, x).fit(
        start_params=start, disp=0, method="bfgs", maxiter=500, gtol=1e-6, warn_convergence=False
    )
    alpha = float(result.params[-1])
    done = alpha > 0 and np.abs(result.model.score(result.params)).max() < GRADIENT
    found = _fit("negative binomial", "log", result.params, result.cov_params(), last, done, result.llf)
    return replace(found, alpha=alpha)


def _ordinal(y: np.ndarray, x: np.ndarray) -> Fit:
    coef, cov, loglike, done = proportional_odds(np.unique(y, return_inverse=True)[1], x[:, 1:])
    last = x.shape[1] - 2  # without slopes this is a threshold, and nobody asks for the effect
    return _fit("proportional odds", "logit", coef, cov, last, done, loglike)


def _fit(
    family: str, link: str, coef: np.ndarray, cov: np.ndarray, last: int, done: bool, loglike: float = np.nan
) -> Fit:
    variance = cov[last, last]
    if not (done and np.isfinite(coef).all() and np.isfinite(variance) and variance > 0):
        return _without("not converged")
    effect, se = float(coef[last]), float(np.sqrt(variance))
    return Fit("ok", family, link, coef, cov, effect, se, float(loglike), -2 * float(loglike), 1.0, np.inf, 0.0, "LR")


def _without(status: str) -> Fit:
    none, nan = np.empty(0), np.nan
    return Fit(status, "", "", none, none, nan, nan, nan, nan, nan, nan, nan, "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' remarks on a fit: `_fit` looks at convergence itself and gives a status."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        for category in (ConvergenceWarning, HessianInversionWarning, PerfectSeparationWarning, RuntimeWarning):
            warnings.simplefilter("ignore", category)
        yield
