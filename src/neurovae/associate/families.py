"""One regression per declared score type, with what its test needs; status instead of numbers where a fit has none.

continuous  ordinary least squares, HC3 errors (MacKinnon & White 1985), t; F between nested models.
count       negative binomial (NB2), alpha by maximum likelihood, alpha = 0 is Poisson; likelihood ratio.
binary      logistic; likelihood ratio.
ordinal     proportional odds (McCullagh 1980); likelihood ratio.
bounded     fractional logit (Papke & Wooldridge 1996) on the share of the range, with the quasi-likelihood F: drop in
            deviance over the Pearson dispersion. Preferred to the beta-binomial since it needs no whole numbers (means
            and weighted totals occur), only the mean and a variance proportional to mu (1 - mu), and stays defined
            when the scores are less dispersed than binomial, where the beta-binomial has no maximum.
The primary p of a non-Gaussian row never rests on a Wald error or on `GLM.fit(cov_type=...)`, which returns HC0.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from scipy.stats import chi2, f, t
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.tools.sm_exceptions import ConvergenceWarning, HessianInversionWarning, PerfectSeparationWarning

from neurovae.associate.separation import separated


@dataclass(frozen=True)
class Fit:
    """One fitted model; `effect` and `se` are those of the last column of x. Finite `df` means an F test, else LR."""

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
    df: float
    alpha: float


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


def nested_p(null: Fit, full: Fit, extra: int) -> float:
    """The p of `extra` added columns: F on the drop in deviance where a dispersion is estimated, else LR."""
    if np.isfinite(full.df):
        return float(f.sf((null.deviance - full.deviance) / extra / full.dispersion, extra, full.df))
    return float(chi2.sf(max(2 * (full.loglike - null.loglike), 0.0), extra))


def wald_t(full: Fit) -> float:
    """Two-sided p of the last column from its own standard error; for least squares with HC3, the primary p."""
    return float(2 * t.sf(abs(full.effect / full.se), full.df))


def interval(full: Fit) -> tuple[float, float]:
    """Wald 95 % interval of the last column (t where a dispersion is estimated)."""
    half = float(t.ppf(0.975, full.df)) * full.se
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
    df = len(y) - x.shape[1]
    return _checked(
        result,
        True,
        "Gaussian (HC3)",
        "identity",
        x.shape[1] - 1,
        deviance=result.ssr,
        dispersion=result.ssr / df,
        df=df,
    )


def _logistic(y: np.ndarray, x: np.ndarray) -> Fit:
    result = sm.Logit(y, x).fit(disp=0, method="newton", maxiter=100, warn_convergence=False)
    return _checked(result, result.mle_retvals["converged"], "binomial", "logit", x.shape[1] - 1, -2 * result.llf)


def _fractional(y: np.ndarray, x: np.ndarray) -> Fit:
    df = len(y) - x.shape[1]
    result = sm.GLM(y, x, family=sm.families.Binomial()).fit(scale="X2", maxiter=100)
    return _checked(
        result,
        result.converged,
        "fractional (quasi-binomial)",
        "logit",
        x.shape[1] - 1,
        result.deviance,
        result.scale,
        df,
    )


def _count(y: np.ndarray, x: np.ndarray) -> Fit:
    poisson = sm.Poisson(y, x).fit(disp=0, method="newton", maxiter=100, warn_convergence=False)
    mu = poisson.predict()
    if np.sum((y - mu) ** 2 - y) <= 0:  # d loglik / d alpha at alpha = 0 (Lawless 1987): the maximum is at the border
        done = poisson.mle_retvals["converged"]
        return _checked(poisson, done, "Poisson (alpha = 0)", "log", x.shape[1] - 1, np.nan)
    alpha = max(float(np.mean(((y - mu) ** 2 - y) / mu**2)), 0.01)
    start = np.append(poisson.params, alpha)
    result = sm.NegativeBinomial(y, x).fit(
        start_params=start, disp=0, method="bfgs", maxiter=500, gtol=1e-6, warn_convergence=False
    )
    if result.params[-1] <= 0:
        return _without("not converged")
    done = _gradient(result) < 1e-2
    return _checked(result, done, "negative binomial", "log", x.shape[1] - 1, np.nan, alpha=float(result.params[-1]))


def _ordinal(y: np.ndarray, x: np.ndarray) -> Fit:
    codes = np.unique(y, return_inverse=True)[1]
    if x.shape[1] == 1:  # thresholds alone: the maximum likelihood is that of the observed shares
        counts = np.bincount(codes)
        loglike = float(counts @ np.log(counts / counts.sum()))
        nothing = np.full((0, 0), np.nan)
        return Fit("ok", "proportional odds", "logit", nothing[0:0].ravel(), nothing, np.nan, np.nan, loglike,
                   -2 * loglike, 1.0, np.inf, np.nan)  # fmt: skip
    result = OrderedModel(codes, x[:, 1:], distr="logit").fit(
        disp=0, method="bfgs", maxiter=500, gtol=1e-6, warn_convergence=False
    )
    return _checked(result, _gradient(result) < 1e-2, "proportional odds", "logit", x.shape[1] - 2, -2 * result.llf)


def _gradient(result: sm.regression.linear_model.RegressionResults) -> float:
    return float(np.abs(result.model.score(np.asarray(result.params))).max())


def _checked(result, done, family, link, position, deviance, dispersion=1.0, df=np.inf, alpha=0.0) -> Fit:  # type: ignore[no-untyped-def]
    coef, cov = np.asarray(result.params, float), np.asarray(result.cov_params(), float)
    variance = cov[position, position]
    if not (done and np.isfinite(coef).all() and np.isfinite(variance) and variance > 0):
        return _without("not converged")
    effect, se = float(coef[position]), float(np.sqrt(variance))
    return Fit("ok", family, link, coef, cov, effect, se, float(result.llf), float(deviance), float(dispersion),
               float(df), float(alpha))  # fmt: skip


def _without(status: str) -> Fit:
    nothing = np.empty(0)
    return Fit(status, "", "", nothing, nothing, *[np.nan] * 7)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' remarks on a fit: `_checked` looks at convergence itself and gives a status."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        for category in (ConvergenceWarning, HessianInversionWarning, PerfectSeparationWarning, RuntimeWarning):
            warnings.simplefilter("ignore", category)
        yield
