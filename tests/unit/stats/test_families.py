"""Every family under every link against statsmodels, and the columns that say whether a model holds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from scipy.special import expit
from statsmodels.miscmodels.ordinal_model import OrderedModel
from univariate_rows import glm_rows

from neurovae.design import design
from neurovae.errors import InputError
from neurovae.stats import diagnostics, families, links, ordinal
from neurovae.stats.separation import separated

pytestmark = pytest.mark.filterwarnings("error", "ignore:The .* link function does not respect the domain")
CASES = [(kind, link) for kind, names in links.LINKS.items() if kind != "survival" for link in names]  # test_cox
GLMS = [case for case in CASES if case[0] != "ordinal" and case != ("continuous", "identity")]


def cohort(kind: str, link: str = "", people: int = 118, seed: int = 0, columns: int = 3, effect: float = 0.3):
    """Scores y and columns x (intercept first) whose last one has the effect, under this link. All within +-1."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(people), rng.uniform(-1, 1, (people, columns))])
    link = link or links.LINKS[kind][0]
    eta = 0.2 * x[:, 1] + effect * x[:, -1]
    if kind == "ordinal":
        noise = {"logit": rng.logistic, "probit": rng.normal, "cloglog": lambda size: -rng.gumbel(size=size)}[link]
        return np.digitize(eta + noise(size=people), [-1, 0, 1]).astype(float), x
    mu = links.CLASSES[link]().inverse(eta + (1.5 if kind in ("count", "gamma", "continuous") else 0))
    draws: dict[str, Any] = {
        "continuous": lambda: mu + rng.normal(size=people),
        "count": lambda: rng.negative_binomial(2, 1 / (1 + 0.5 * mu)).astype(float),
        "binary": lambda: (rng.random(people) < mu).astype(float),
        "bounded": lambda: rng.binomial(20, rng.beta(5 * mu, 5 * (1 - mu))) / 20,
        "gamma": lambda: rng.gamma(3, mu / 3),
    }
    return draws[kind](), x


def table_of(kind: str, link: str, people: int = 118) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A joined table whose latent mu_000 drives the score."""
    y, x = cohort(kind, link, people)
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(people)], "site": "A", "age": x[:, 1], "score": y})
    provenance = {"latents_model": "vae", "latents_fold": 0, "latents_seed": 1, "latents_split": "test"}
    table = table.assign(**provenance, mu_000=x[:, -1], mu_001=x[:, 2])
    return table, {"name": "score", "type": kind, "bounds": [0, 1], "link": link}


# --- estimates ---


@pytest.mark.parametrize(("kind", "link"), GLMS)
def test_estimates_under_every_link_equal_statsmodels(kind: str, link: str):
    y, x = cohort(kind, link)
    fit = families.fit(kind, y, x, link)
    theirs = sm.GLM(y, x, family=links.family(kind, link, fit.alpha)).fit(tol=1e-13, maxiter=200)
    assert (fit.status, fit.link) == ("ok", link)
    assert np.allclose(fit.coef[:4], theirs.params, atol=1e-5)
    errors = np.sqrt(np.diag(fit.cov)[:4])
    if kind in ("binary", "count"):
        assert np.allclose(errors, theirs.bse, atol=1e-5) and np.isclose(fit.loglike, theirs.llf, atol=1e-6)
    if kind in ("bounded", "gamma"):
        pearson = sm.GLM(y, x, family=links.family(kind, link)).fit(tol=1e-13, maxiter=200, scale="X2")
        assert np.isclose(fit.dispersion, pearson.scale, rtol=1e-6) and np.isclose(fit.deviance, pearson.deviance)
    if kind == "bounded":
        assert np.allclose(errors, pearson.bse, atol=1e-6)
    if kind == "gamma":  # errors at the dispersion of maximum likelihood
        assert np.allclose(errors, pearson.bse * np.sqrt(fit.coef[-1] / pearson.scale), rtol=1e-5)


def test_likelihoods_are_at_their_maximum_in_alpha_and_shape():
    for link in links.LINKS["count"]:
        y, x = cohort("count", link)
        fit = families.fit("count", y, x, link)
        near = [sm.GLM(y, x, family=links.family("count", link, fit.alpha * s)).fit().llf for s in (0.98, 1.02)]
        assert max(near) < fit.loglike and fit.coef[-1] == fit.alpha
    y, x = cohort("count")
    theirs = sm.NegativeBinomial(y, x).fit(disp=0, method="bfgs", maxiter=500, gtol=1e-7)
    assert np.allclose(families.fit("count", y, x).coef, theirs.params, atol=1e-5)
    for link in links.LINKS["gamma"]:
        y, x = cohort("gamma", link)
        fit = families.fit("gamma", y, x, link)
        mu = links.CLASSES[link]().inverse(x @ fit.coef[:-1])
        likes = [stats.gamma.logpdf(y, s / fit.coef[-1], scale=mu * fit.coef[-1] / s).sum() for s in (0.98, 1, 1.02)]
        assert np.isclose(likes[1], fit.loglike) and max(likes[0], likes[2]) < likes[1]


def test_poisson_border_under_every_link():
    for link in links.LINKS["count"]:
        x = cohort("count", link)[1]
        y = np.random.default_rng(1).binomial(10, 0.5, 118).astype(float)  # less spread than Poisson
        fit = families.fit("count", y, x, link)
        theirs = sm.GLM(y, x, family=links.family("count", link)).fit(tol=1e-13)
        assert fit.alpha == 0 and np.allclose(fit.coef, theirs.params, atol=1e-6)
        assert np.isclose(fit.loglike, theirs.llf)


@pytest.mark.parametrize("link", links.LINKS["ordinal"])
def test_ordinal_links_equal_statsmodels(link: str):
    y, x = cohort("ordinal", link)
    fit = families.fit("ordinal", y, x, link)
    model = OrderedModel(y, x[:, 1:], distr=stats.gumbel_l if link == "cloglog" else link)
    theirs = model.fit(method="bfgs", disp=0, gtol=1e-8)
    assert np.isclose(fit.loglike, theirs.llf, atol=1e-7) and np.allclose(fit.coef[:3], theirs.params[:3], atol=1e-5)
    assert np.allclose(fit.coef[3:], model.transform_threshold_params(theirs.params)[1:-1], atol=1e-5)
    assert np.allclose(np.sqrt(np.diag(fit.cov))[:3], theirs.bse[:3], atol=1e-4)
    assert np.isclose(diagnostics.aic("ordinal", fit), theirs.aic, atol=1e-5)


@pytest.mark.parametrize("link", links.LINKS["ordinal"])
def test_expected_level_and_its_derivative(link: str):
    coef, at, levels = np.array([0.4, -1.0, 0.2, 1.0]), np.array([[0.5], [-2.0]]), np.array([1.0, 2, 3, 5])
    mean, slope = ordinal.expected_level(coef, at, levels, link)
    below = {"logit": expit, "probit": stats.norm.cdf, "cloglog": stats.gumbel_l.cdf}[link](coef[1:] - 0.4 * at)
    share = np.diff(np.column_stack([np.zeros(2), below, np.ones(2)]))
    assert np.allclose(mean, share @ levels)
    for k in range(4):
        moved = ordinal.expected_level(coef + 1e-6 * np.eye(4)[k], at, levels, link)[0]
        assert np.allclose((moved - mean) / 1e-6, slope[:, k], atol=1e-5)


def test_gaussian_log_link_has_the_errors_of_its_tangent():
    y, x = cohort("continuous", "log")
    fit = families.fit("continuous", y, x, "log")
    mu = np.exp(x @ fit.coef)
    tangent, residual = mu[:, None] * x, y - mu
    bread = np.linalg.inv(tangent.T @ tangent)
    hat = np.einsum("ij,jk,ik->i", tangent, bread, tangent)
    assert np.abs(tangent.T @ residual).max() < 1e-5
    assert np.isclose(fit.se**2, (bread @ (tangent.T * (residual**2 / (1 - hat))) @ tangent @ bread)[-1, -1])
    scaled = families.fit("continuous", 10 * y, x, "log")
    assert np.isclose(scaled.effect, fit.effect, atol=1e-6) and np.isclose(scaled.se, fit.se, rtol=1e-5)


# --- what is refused or has a status ---


def test_unknown_links_and_values_are_refused():
    y, x = cohort("count")
    with pytest.raises(InputError, match="type 'count' has no link 'logit'; use one of log, sqrt, identity"):
        families.fit("count", y, x, "logit")
    with pytest.raises(InputError, match="no type 'beta'"):
        families.fit("beta", y, x)
    table, score = table_of("count", "log", people=12)  # too few to be fitted: the link is looked at all the same
    with pytest.raises(InputError, match="'probit'"):
        glm_rows(table, score | {"link": "probit"}, [])
    zero = table.assign(score=np.arange(12) / 2)
    with pytest.raises(InputError, match="score 'score' is declared gamma, found 0; correct the values or the type"):
        design.score_values(zero, score | {"type": "gamma"})


def test_a_link_that_leaves_the_range_is_a_status():
    x = np.column_stack([np.ones(80), np.linspace(-1, 1, 80)])
    falling = np.round(np.where(x[:, 1] < 0, 8 * x[:, 1] ** 2, np.arange(80) % 40 == 0))
    for link in ("identity", "sqrt"):
        assert families.fit("count", falling, x, link).status == "link out of range"
    assert families.fit("count", falling, x).status == "ok"
    assert families.fit("continuous", x[:, 1] - 1, x, "log").status == "link out of range"
    table, score = table_of("count", "identity", 80)
    rows = glm_rows(table.assign(score=falling, mu_000=x[:, 1]), score, [])
    assert rows[0]["status"] == "link out of range" and "border" in rows[0]["reason"] and "p" not in rows[0]


@pytest.mark.parametrize("link", links.LINKS["binary"])
def test_separation_holds_for_every_link(link: str):
    x = cohort("binary")[1]
    split = (x[:, -1] > 0.1).astype(float)
    for kind, y in (("binary", split), ("bounded", split), ("ordinal", split + (x[:, -1] > 0.5))):
        assert families.fit(kind, y, x, link).status == "separation"
        assert families.fit(kind, y, x[:, :-1], link).status == "ok"
    assert not separated("gamma", split + 1, x) and not separated("continuous", split, x)


# --- tests ---


@pytest.mark.parametrize(("kind", "link"), CASES)
def test_every_link_goes_through_the_table_and_a_sign_flip_leaves_p(kind: str, link: str):
    table, score = table_of(kind, link)
    row, other = glm_rows(table, score, [{"name": "age", "type": "continuous"}])
    flipped = glm_rows(table.assign(mu_000=-table["mu_000"]), score, [{"name": "age", "type": "continuous"}])[0]
    assert (row["status"], row["link"]) == ("ok", link) and 0 <= row["partial_r2"] < 0.6
    assert np.isclose(flipped["effect"], -row["effect"], rtol=1e-3) and np.isclose(flipped["p"], row["p"], rtol=1e-3)
    assert np.isclose(flipped["robust_low"], -row["robust_high"], rtol=1e-3)
    assert row["ci_low"] < row["effect"] < row["ci_high"] and row["robust_low"] < row["effect"] < row["robust_high"]
    assert np.isclose(row["p_bonferroni"], min(1, 2 * row["p"])) and 0 <= row["p_link"] <= 1
    assert np.isfinite(row["aic"]) == (kind != "bounded")
    assert ("dispersion" in row) == (kind in ("count", "bounded", "gamma"))
    assert ("alpha" in row) == ("p_overdispersion" in row) == (kind == "count")
    assert ("p_parallel" in row) == (kind == "ordinal")


def test_gamma_test_is_nominal_and_finds_an_effect():
    rejected, found = [], []
    for seed in range(200):
        y, x = cohort("gamma", "log", 60, seed, columns=6, effect=0)
        rejected.append(families.nested_p(families.fit("gamma", y, x[:, :-1]), families.fit("gamma", y, x), 1, 60))
        if seed < 40:
            y, x = cohort("gamma", "log", 118, seed, effect=0.5)
            low, high = families.interval(families.fit("gamma", y, x), 118)
            found.append(low < 0.5 < high)
    assert stats.binomtest(int(np.sum(np.array(rejected) < 0.05)), 200, 0.05).pvalue > 0.001
    assert stats.binomtest(sum(found), 40, 0.95).pvalue > 0.001


# --- checks of a model ---


@pytest.mark.parametrize("kind", ["continuous", "binary", "bounded", "gamma"])
def test_link_test_is_nominal_under_the_right_link(kind: str):
    p = []
    for seed in range(200):
        y, x = cohort(kind, "", 118, seed, columns=4)
        p.append(diagnostics.link_p(kind, y, x, families.fit(kind, y, x)))
    assert stats.binomtest(int(np.sum(np.array(p) < 0.05)), 200, 0.05).pvalue > 0.001


@pytest.mark.parametrize(
    ("kind", "true", "wrong"),
    [("gamma", "log", "identity"), ("continuous", "log", "identity"), ("count", "log", "sqrt")],
)
def test_link_test_and_aic_reject_a_wrong_link(kind: str, true: str, wrong: str):
    y, x = cohort(kind, true, 1500, effect=1.4)
    fits = {link: families.fit(kind, y, x, link) for link in (true, wrong)}
    assert diagnostics.link_p(kind, y, x, fits[wrong]) < 1e-3 < diagnostics.link_p(kind, y, x, fits[true])
    assert diagnostics.aic(kind, fits[true]) < diagnostics.aic(kind, fits[wrong]) - 4


def test_link_test_sees_a_bend_in_binary_and_ordinal_scores_and_has_none_for_two_groups():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(600), rng.normal(size=600)])
    eta = x[:, 1] + 0.7 * x[:, 1] ** 2
    binary = (rng.random(600) < expit(eta)).astype(float)
    stage = np.digitize(eta + rng.logistic(size=600), [0, 1.5]).astype(float)
    for kind, y in (("binary", binary), ("ordinal", stage)):
        assert diagnostics.link_p(kind, y, x, families.fit(kind, y, x)) < 1e-4
    groups = np.column_stack([np.ones(600), x[:, 1] > 0])
    assert np.isnan(diagnostics.link_p("binary", binary, groups, families.fit("binary", binary, groups)))


def test_over_dispersion_is_measured_and_quiet_on_poisson():
    alphas, p, quiet, dispersions = [], [], [], []
    for seed in range(200):
        y, x = cohort("count", "log", 118, seed, columns=4)
        if seed < 20:
            alphas.append(families.fit("count", y, x).alpha)
            p.append(diagnostics.overdispersion(y, x, "log")[1])
        poisson = np.random.default_rng(seed).poisson(np.exp(1.5 + 0.2 * x[:, 1])).astype(float)
        dispersion, at_poisson = diagnostics.overdispersion(poisson, x, "log")
        dispersions.append(dispersion)
        quiet.append(at_poisson)
    assert abs(np.mean(alphas) - 0.5) < 0.1 and max(p) < 1e-3
    assert stats.binomtest(int(np.sum(np.array(quiet) < 0.05)), 200, 0.05).pvalue > 0.001
    assert abs(np.mean(dispersions) - 1) < 0.03
    theirs = sm.GLM(poisson, x, family=sm.families.Poisson()).fit()
    assert np.isclose(dispersion, theirs.pearson_chi2 / theirs.df_resid)


def test_score_test_of_over_dispersion_closed_form():
    y, x = cohort("count")
    fit = sm.GLM(y, x, family=sm.families.Poisson()).fit(tol=1e-13)
    hat = fit.get_hat_matrix_diag() if hasattr(fit, "get_hat_matrix_diag") else fit.get_influence().hat_matrix_diag
    score = np.sum((y - fit.mu) ** 2 - y + hat * fit.mu) / np.sqrt(2 * np.sum(fit.mu**2))
    assert np.isclose(diagnostics.overdispersion(y, x, "log")[1], stats.norm.sf(score), rtol=1e-6)


def test_parallel_lines_equal_a_direct_search_and_find_crossing_ones():
    y, x = cohort("ordinal", people=200)
    codes, fit = y.astype(int), families.fit("ordinal", y, x)

    def loss(free: np.ndarray) -> float:
        slopes, thresholds, own = free[:3], free[3:6], np.append(0, free[6:])
        below = expit(thresholds - (x[:, 1:] @ slopes)[:, None] - x[:, [-1]] * own)
        share = np.diff(np.column_stack([np.zeros(200), below, np.ones(200)]))[np.arange(200), codes]
        return -float(np.log(np.maximum(share, 1e-300)).sum())

    best = optimize.minimize(loss, np.append(fit.coef, [0, 0]), method="BFGS", options={"gtol": 1e-4})
    ratio = 2 * (-best.fun - fit.loglike) * (200 - 6) / 200  # three slopes, two free ones, one for the thresholds
    found = ordinal.parallel_p(codes, x[:, 1:], "logit", fit.coef, fit.loglike)
    assert np.isclose(found, stats.chi2.sf(ratio, 2), atol=1e-4) and found > 0.001
    rng = np.random.default_rng(3)
    spread = np.digitize(rng.logistic(size=200) * np.exp(x[:, -1]), [-1, 0, 1])  # wider, not higher
    crossing = families.fit("ordinal", spread.astype(float), x)
    assert ordinal.parallel_p(spread, x[:, 1:], "logit", crossing.coef, crossing.loglike) < 1e-4
    two = families.fit("ordinal", (y > 1).astype(float), x)
    assert np.isnan(ordinal.parallel_p((y > 1).astype(int), x[:, 1:], "logit", two.coef, two.loglike))


def test_aic_equals_statsmodels_in_the_score_s_own_unit():
    y, x = cohort("binary")
    assert np.isclose(diagnostics.aic("binary", families.fit("binary", y, x)), sm.Logit(y, x).fit(disp=0).aic)
    y, x = cohort("count")
    theirs = sm.NegativeBinomial(y, x).fit(disp=0, method="bfgs", maxiter=500)
    assert np.isclose(diagnostics.aic("count", families.fit("count", y, x)), theirs.aic)
    assert np.isnan(diagnostics.aic("bounded", families.fit("bounded", *cohort("bounded"))))
    table, score = table_of("continuous", "identity")
    table["score"] = np.exp(table["score"])
    row = glm_rows(table, score, [])[0]
    plain = sm.OLS(table["score"], sm.add_constant(table["mu_000"])).fit()
    assert np.isclose(row["aic"], plain.aic + 2)  # and the residual variance
    assert glm_rows(table, score | {"type": "gamma", "link": "log"}, [])[0]["aic"] < row["aic"]


def test_robust_errors_closed_forms():
    y, x = cohort("continuous")
    se = diagnostics.robust("continuous", y, x, families.fit("continuous", y, x))[0]
    assert np.isclose(se, sm.OLS(y, x).fit(cov_type="HC3").bse[-1])
    for kind, link in (("binary", "probit"), ("count", "log"), ("gamma", "identity"), ("bounded", "cloglog")):
        y, x = cohort(kind, link)
        fit = families.fit(kind, y, x, link)
        family = links.family(kind, link, fit.alpha)
        mu = family.link.inverse(x @ fit.coef[:4])
        slope = 1 / family.link.deriv(mu)
        root = (slope / np.sqrt(family.variance(mu)))[:, None] * x
        bread = np.linalg.inv(root.T @ root)
        hat = np.diag(root @ bread @ root.T)
        meat = (x.T * ((y - mu) * slope / family.variance(mu) / (1 - hat)) ** 2) @ x
        se, low, high = diagnostics.robust(kind, y, x, fit)
        assert np.isclose(se, np.sqrt((bread @ meat @ bread)[-1, -1]), rtol=1e-6)
        assert np.isclose((high - low) / 2, stats.t.ppf(0.975, 118 - len(fit.coef)) * se)


@pytest.mark.parametrize("kind", ["binary", "ordinal", "gamma", "bounded"])
def test_robust_errors_are_near_the_true_jackknife(kind: str):
    y, x = cohort(kind, people=150, columns=2)
    fit = families.fit(kind, y, x)
    left = [families.fit(kind, np.delete(y, k), np.delete(x, k, axis=0)).effect for k in range(150)]
    assert np.isclose(
        diagnostics.robust(kind, y, x, fit)[0], np.sqrt(np.sum((fit.effect - np.array(left)) ** 2)), rtol=0.05
    )


def test_robust_ordinal_with_two_levels_is_the_logistic_one():
    y, x = cohort("binary")
    both = [diagnostics.robust(kind, y, x, families.fit(kind, y, x)) for kind in ("binary", "ordinal")]
    assert np.allclose(*both, atol=1e-5)


def test_p_of_a_nonconverged_link_test_is_missing():
    y, x = cohort("binary", people=40)
    fit = families.fit("binary", y, x)
    square = diagnostics.predictor("binary", x, replace(fit, coef=np.array([0, 0, 0, 1.0]))) ** 2
    split = (square > np.median(square)).astype(float)  # the squared predictor tells all apart
    assert np.isnan(diagnostics.link_p("binary", split, x, replace(fit, coef=np.array([0, 0, 0, 1.0]))))


def test_a_spread_that_follows_the_confounds_is_said():
    rng = np.random.default_rng(8)
    x = np.column_stack([np.ones(200), rng.normal(size=(200, 2))])
    even = rng.normal(size=(200, 200))
    p = np.array([diagnostics.spread_p("continuous", y, x) for y in even])
    low, high = stats.binom.interval(0.999, len(p), 0.05)
    assert low <= (p < 0.05).sum() <= high
    assert diagnostics.spread_p("continuous", even[0] * np.exp(0.4 * x[:, 1]), x) < 1e-3
    assert np.isnan(diagnostics.spread_p("binary", even[0] > 0, x))
