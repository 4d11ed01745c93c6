"""One regression per declared score type, and its test; a status instead of numbers where a fit has none.

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
gamma       gamma with log link, 1 / shape by maximum likelihood; likelihood ratio. Of true nulls at 5 % with 10 columns
            it rejects 5.0 and 4.7 (60 people; shapes .7 and 2), 5.3 and 5.5 % (118); the drop in deviance over the
            Pearson dispersion, as F: 8.9, 6.1, 6.7 and 6.4 %; plain ratios 8.2, 7.9, 6.5 and 6.7 % (1,500 draws each).
            Were the scores log-normal (SD .7 of the logarithm): 4.9 and 6.9 % (1,000 draws).
survival    Cox's proportional hazards, Efron's ties; likelihood ratio. Of true nulls at 5 % with 10 columns the scaled
            ratio rejects 5.7 % (60 people, 36 events), 5.3 and 5.8 % (118 people; 70 and 29 events), plain ones 8.3,
            6.3 and 7.2 %, scaled by events instead of people 3.7, 4.8 and 1.9 % (1,500 draws each).
Under another link than the default the same tests hold; one that would take a mean out of its range is a status.
The primary p of a non-Gaussian row never rests on a Wald error or on `GLM.fit(cov_type=...)`, which returns HC0.
Likelihood ratios are asymptotic: plain ones reject 6.0 (ordinal), 7.1 (binary) and 6.5 % (count) of true nulls at 5 %
with 118 people and 10 columns; scaled by (n - parameters) / n, 5.0, 5.9 and 5.2 % (1,500 draws each). The thresholds
of an ordinal score count as one parameter, like the intercept of the other types: the effect of a latent is estimated
about as precisely with many levels as with few (McCullagh 1980), and with two levels the test is that of binary.
"""

import numpy as np
from scipy.stats import chi2, f, t

from neurovae.stats import likelihoods, survival
from neurovae.stats.clusters import clustered, several_p
from neurovae.stats.fits import CLUSTERED, quiet, without
from neurovae.stats.fits import Fit as Fit
from neurovae.stats.links import family, link_of, positive_only
from neurovae.stats.scoring import scoring
from neurovae.stats.separation import separated

LEVELS = 20  # of an ordinal score; beyond it a threshold has too few people, and another type says as much


def fit(kind: str, y: np.ndarray, x: np.ndarray, link: str | None = None, related: np.ndarray | None = None) -> Fit:
    """Regress y on x (first column: the intercept) with the family of the declared type and the given or default link.

    related: (n,) codes of the families of the people; where given, errors and tests are those of `clusters`.

    Raises:
        InputError: the type has no such link.
    """
    families = {
        "continuous": likelihoods.gaussian,
        "count": likelihoods.count,
        "binary": likelihoods.binary,
        "ordinal": likelihoods.ordinal,
        "bounded": likelihoods.fractional,
        "gamma": likelihoods.gamma,
        "survival": survival.fit,
    }
    link = link_of(kind, link)
    if kind == "ordinal" and len(np.unique(y)) > LEVELS:
        return without("many levels")
    if separated(kind, y, x):
        return without("separation")
    with quiet():
        try:
            result = families[kind](y, x, link)
            return result if related is None or result.status != "ok" else clustered(kind, y, x, result, related)
        except np.linalg.LinAlgError:
            return without("not converged")


def nested_p(null: Fit, full: Fit, extra: int, rows: int) -> float:
    """Test the last `extra` columns with the family's test; one column of least squares with the robust t test.

    A likelihood ratio is scaled by (n - parameters) / n, the usual small-sample correction.
    """
    if full.test in ("robust F", CLUSTERED) and extra == 1:
        return float(2 * t.sf(abs(full.effect / full.se), full.df))
    if full.test == CLUSTERED:
        return several_p(null, full, extra)
    if full.test == "robust F":
        coef, cov = full.coef[-extra:], full.cov[-extra:, -extra:]
        return float(f.sf(coef @ np.linalg.solve(cov, coef) / extra, extra, full.df_several))
    if full.test == "quasi F":
        return float(f.sf((null.deviance - full.deviance) / extra / full.dispersion, extra, full.df))
    ratio = 2 * (full.loglike - null.loglike) * (rows - full.counted) / rows
    return float(chi2.sf(max(ratio, 0.0), extra))


def interval(full: Fit, rows: int) -> tuple[float, float]:
    """Wald 95 % interval of the last column (t where a dispersion is estimated), corrected as its test is."""
    half = float(t.ppf(0.975, full.df)) * error(full, rows)
    return full.effect - half, full.effect + half


def error(full: Fit, rows: int) -> float:
    """Standard error of the last column, with the small-sample correction of its test."""
    return full.se * float(np.sqrt(rows / (rows - full.counted)) if full.test == "LR" else 1.0)


def partial_r2(kind: str, y: np.ndarray, x_null: np.ndarray, x_full: np.ndarray, null: Fit, full: Fit) -> float:
    """Return 1 - D_full / D_null; for counts both deviances are taken at the full model's alpha.

    Survival: 1 - exp(-LR / events) (O'Quigley, Xu & Stare 2005, Stat Med 24:479), which of least squares is the same.
    """
    if kind == "survival":
        return float(1 - np.exp(2 * (null.loglike - full.loglike) / y[:, 2].sum()))
    if kind != "count":
        return 1 - full.deviance / null.deviance
    glm_family, positive = family(kind, full.link, full.alpha), positive_only(kind, full.link)
    with quiet():
        null_fit, full_fit = (scoring(y, x, glm_family, positive) for x in (x_null, x_full))
    return 1 - full_fit.deviance / null_fit.deviance if null_fit.status == full_fit.status == "ok" else np.nan
