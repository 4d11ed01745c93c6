"""ComBat of latents over sites, fitted on training people and applied to others (Johnson 2007; Fortin 2018).

A latent is the pooled mean plus what the covariates explain plus the site's shift gamma and scale delta, both shrunk
towards their distribution over latents by parametric empirical Bayes (Johnson 2007, section 3.2). The covariates are
confounds, whose effects are kept; no score is used. Own code, since neuroHarmonize 2.5.2 needs numpy < 2 and a fit of
neuroCombat 0.2.12 cannot be applied to people with covariates; both give these numbers (a test).
"""

from dataclasses import dataclass

import numpy as np

from neurovae.errors import InputError
from neurovae.stats.basis import independent

MIN_PEOPLE = 2  # training people of a site: fewer have no variance
STEPS = 10_000
FLAT = 1e-12  # variance of a latent in a site, in units of the pooled one
CLOSE = 1e-10  # relative change at which the empirical Bayes iteration ends


@dataclass(frozen=True)
class Harmoniser:
    """The fit of S sites, d latents and c covariates."""

    sites: tuple[str, ...]
    centre: np.ndarray  # (d,) mean of the sites' means, weighted by people
    slopes: np.ndarray  # (c, d), 0 for covariates that the sites determine
    spread: np.ndarray  # (d,) pooled residual standard deviation
    shift: np.ndarray  # (S, d) gamma, in units of spread
    scale: np.ndarray  # (S, d) root of delta


def fit(latents: np.ndarray, site: np.ndarray, covariates: np.ndarray) -> Harmoniser:
    """Fit the sites on training people. latents: (n, d), site: (n,), covariates: (n, c) confounds, no intercept.

    Raises:
    InputError: values are missing, a site has fewer than two people or none who differ, or no participant remains for
        the residual.
    """
    values, columns = np.asarray(latents, float), np.asarray(covariates, float).reshape(len(latents), -1)
    labels, codes, sizes = np.unique(np.asarray(site, str), return_inverse=True, return_counts=True)
    member = codes[:, None] == np.arange(len(labels))
    design = np.hstack([member, columns])
    independent_columns = independent(design)
    _check(values, columns, labels, sizes, int(independent_columns.sum()))
    coef = np.zeros((design.shape[1], values.shape[1]))
    coef[independent_columns] = np.linalg.lstsq(design[:, independent_columns], values, rcond=None)[0]
    spread = np.sqrt(np.mean((values - design @ coef) ** 2, axis=0))
    varying = spread > 1e-9 * np.abs(values).max(axis=0)  # a constant latent is left alone
    spread = np.where(varying, spread, 1.0)
    centre, slopes = sizes / len(values) @ coef[: len(labels)], coef[len(labels) :]
    unit = (values - centre - columns @ slopes) / spread
    shift, delta = np.zeros((len(labels), len(spread))), np.ones((len(labels), len(spread)))
    for k in range(len(labels)) if len(labels) > 1 else ():
        shift[k, varying], delta[k, varying] = _shrunk(unit[codes == k][:, varying])
    if flat := [f"{labels[k]} ({sizes[k]})" for k in np.flatnonzero(delta.min(axis=1, initial=1.0) < FLAT)]:
        raise InputError(
            f"harmonise: the training people of site {', '.join(flat)} do not differ in a latent, so that the scale of"
            " the site cannot be learnt; join it to another site or leave it out"
        )
    return Harmoniser(tuple(map(str, labels)), centre, slopes, spread, shift, np.sqrt(delta))


def apply(
    harmoniser: Harmoniser, latents: np.ndarray, site: np.ndarray, covariates: np.ndarray, new_site: str = "refuse"
) -> np.ndarray:
    """Remove the shift and scale of the sites from latents (n, d); the effects of the covariates stay.

    new_site: people of a site without training people are an error (refuse), or stay unharmonised (mean).

    Raises:
        InputError: a person's site had no training people and new_site is refuse; values are missing.
    """
    if new_site not in ("refuse", "mean"):
        raise InputError(f"harmonise: new_site is '{new_site}'; use refuse or mean")
    values, columns = np.asarray(latents, float), np.asarray(covariates, float).reshape(len(latents), -1)
    problems = _missing(values, columns)
    labels = np.asarray(site, str)
    in_training = np.isin(labels, harmoniser.sites)
    if not in_training.all() and new_site == "refuse":
        names = ", ".join(sorted(set(labels[~in_training].tolist())))
        problems.append(
            f"harmonise: site {names} has no training people: leave-site-out with ComBat cannot predict a new site; "
            "set harmonise: none, or new_site: mean, which leaves its people unharmonised"
        )
    if problems:
        raise InputError(problems)
    codes = np.searchsorted(harmoniser.sites, labels[in_training])
    expected = harmoniser.centre + columns[in_training] @ harmoniser.slopes
    unit = (values[in_training] - expected) / harmoniser.spread
    harmonised = values.copy()
    harmonised[in_training] = (unit - harmoniser.shift[codes]) / harmoniser.scale[codes] * harmoniser.spread + expected
    return harmonised


def _shrunk(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """gamma and delta of one site, (d,) each, from its standardised latents (n, d)."""
    n, mean, variance = len(unit), unit.mean(axis=0), unit.var(axis=0, ddof=1)
    if unit.shape[1] < 2:  # one latent: there is no distribution over latents to shrink towards
        return mean, variance
    prior_mean, prior_variance = mean.mean(), mean.var(ddof=1)
    centre, variance_spread = variance.mean(), variance.var(ddof=1)
    if min(prior_variance, variance_spread) < 1e-12:
        return mean, variance
    a, b = (
        (2 * variance_spread + centre**2) / variance_spread,
        (centre * variance_spread + centre**3) / variance_spread,
    )  # inverse gamma, by moments
    gamma, delta = mean, variance
    for _ in range(STEPS):
        new_gamma = (n * prior_variance * mean + delta * prior_mean) / (n * prior_variance + delta)
        new_delta = (0.5 * ((unit - new_gamma) ** 2).sum(axis=0) + b) / (n / 2 + a - 1)
        change = max(np.abs(new_gamma - gamma).max(), np.abs(new_delta / delta - 1).max())
        gamma, delta = new_gamma, new_delta
        if change < CLOSE:
            return gamma, delta
    raise InputError(f"harmonise: the empirical Bayes iteration did not end after {STEPS} steps; set harmonise: none")


def _check(values: np.ndarray, columns: np.ndarray, labels: np.ndarray, sizes: np.ndarray, rank: int) -> None:
    problems = _missing(values, columns)
    problems += [
        f"harmonise: site {name} has {size} training people, {MIN_PEOPLE} are needed; "
        "merge it with another or leave it out"
        for name, size in zip(labels, sizes, strict=True)
        if size < MIN_PEOPLE
    ]
    if len(values) <= rank:
        problems.append(f"harmonise: {len(values)} training people for {rank} columns of sites and confounds")
    if problems:
        raise InputError(problems)


def _missing(values: np.ndarray, columns: np.ndarray) -> list[str]:
    return [
        f"harmonise: {name} has missing values; leave these people out"
        for name, array in (("a latent", values), ("a confound", columns))
        if not np.isfinite(array).all()
    ]
