"""Repeated sessions against closed forms and statsmodels, planted effects, false positives, statuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.linalg import sqrtm
from statsmodels.miscmodels.ordinal_model import OrderedModel

from neurovae.associate import mixed, repeated
from neurovae.associate.clustered import degrees, gee
from neurovae.associate.terms import strata
from neurovae.errors import InputError
from neurovae.stats import reml

pytestmark = pytest.mark.filterwarnings("error")
AGE = [{"name": "age", "type": "continuous"}]
MOTOR: dict[str, Any] = {"name": "motor", "type": "continuous"}
SCORES: list[dict[str, Any]] = [
    MOTOR,
    {"name": "ill", "type": "binary"},
    {"name": "falls", "type": "count"},
    {"name": "mmse", "type": "bounded", "bounds": [10, 30]},
    {"name": "volume", "type": "gamma"},
]
STAGE: dict[str, Any] = {"name": "stage", "type": "ordinal"}


def scans(
    people: int = 60, counts: int | tuple[int, int] = 3, between: float = 0.0, within: float = 0.0, seed: int = 0,
    latents: int = 1, sites: int = 1, spread: float = 1.5, site_spread: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """A joined table: mu_000 drives every score by its person's mean and by the deviations from it."""
    rng = np.random.default_rng(seed)
    many = np.full(people, counts) if isinstance(counts, int) else rng.integers(counts[0], counts[1] + 1, people)
    g = np.repeat(np.arange(people), many)
    n = len(g)
    z = rng.normal(size=(people, latents))[g] + rng.normal(size=(n, latents))
    mean = repeated.means(z, g)[:, 0]
    site = np.arange(people) % sites
    eta = between * mean[g] + within * (z[:, 0] - mean[g]) + spread * rng.normal(size=people)[g]
    eta += site_spread * rng.normal(size=sites)[site][g]
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in g], "site": [f"S{k}" for k in site[g]]})
    table["session"] = [f"ses-{k}" for k in table.groupby("person").cumcount()]
    table = table.assign(scan=table["person"] + table["session"], fold=g % 5, acquisition=None, run=None)
    table["age"] = rng.uniform(40, 80, people)[g] + table.groupby("person").cumcount()
    table["motor"] = eta + rng.normal(size=n)
    table["ill"] = (eta + rng.logistic(size=n) > 0).astype(float)
    table["falls"] = rng.poisson(np.exp(0.7 + eta / 2)).astype(float)
    table["mmse"] = 10 + rng.binomial(20, 1 / (1 + np.exp(-eta / 2))).astype(float)
    table["stage"] = np.digitize(eta + rng.logistic(size=n), [-1.5, 0, 1.5]).astype(float)
    table["volume"] = np.exp(eta / 3) * rng.gamma(4, 0.25, n)
    table["trait"] = (between * mean + rng.normal(size=people))[g]
    provenance = {"latents_model": "vae", "latents_fold": 0, "latents_seed": 1, "latents_split": "test"}
    return pd.concat(
        [table.assign(**provenance), pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(latents)])], axis=1
    )


def terms(
    table: pd.DataFrame, score: dict[str, Any], draws: int = 99, confounds: Any = (), random_site: bool = False
) -> dict[str, dict[str, Any]]:
    """Rows of mu_000 by term."""
    rows = mixed.mixed(table, score, list(confounds), draws, 0, random_site)
    return {row["term"]: row for row in rows if row["latent"] == "mu_000"}


def binomial_interval(n: int, p: float = 0.05, level: float = 0.999) -> tuple[float, float]:
    return tuple(stats.binom.interval(level, n, p))


# --- the linear mixed model ---


def test_balanced_closed_form_between_is_ols_on_means_within_is_ols_with_a_dummy_per_person():
    table = scans(counts=3, between=0.4, within=0.3)
    rows = terms(table, MOTOR, confounds=AGE)
    data = repeated.repeated(table, MOTOR, AGE, False)
    y = (table["motor"] / table["motor"].std()).to_numpy()
    z = (table["mu_000"] / table["mu_000"].std()).to_numpy()
    means = sm.OLS(
        repeated.means(y[:, None], data.person)[:, 0],
        np.column_stack([data.between, repeated.means(z[:, None], data.person)]),
    ).fit()
    dummies = pd.get_dummies(table["person"]).to_numpy(float)
    fixed = sm.OLS(y, np.column_stack([dummies, data.within, z])).fit()
    for row, theirs in ((rows["between"], means), (rows["within"], fixed)):
        assert row["df"] == theirs.df_resid
        found = [row["effect"], row["ci_low"], row["ci_high"], row["p"]]
        expected = [theirs.params[-1], *theirs.conf_int()[-1], theirs.pvalues[-1]]
        assert found == pytest.approx(expected, rel=1e-5)
    mean_square = means.mse_resid - fixed.mse_resid / 3  # the one-way random-effects estimate of the people's variance
    assert rows["between"]["var_person"] == pytest.approx(mean_square, rel=1e-4)
    assert rows["between"]["var_residual"] == pytest.approx(fixed.mse_resid, rel=1e-4)


@pytest.mark.parametrize("random_site", [False, True])
def test_unbalanced_equals_statsmodels_mixedlm(random_site):
    table = scans(90, (1, 4), between=0.4, within=0.3, sites=9 if random_site else 1, site_spread=1.0)
    rows = terms(table, MOTOR, confounds=AGE, random_site=random_site)
    data = repeated.repeated(table, MOTOR, AGE, random_site)
    y = ((table["motor"] - table["motor"].mean()) / table["motor"].std()).to_numpy()
    z = (table[["mu_000"]] / table["mu_000"].std()).to_numpy()
    mean = repeated.means(z, data.person)[data.person]
    x = np.column_stack([data.between[data.person], data.within, mean, z - mean])
    people = pd.get_dummies(table["person"]).to_numpy(float)
    if random_site:
        blocks = [np.flatnonzero(table["site"] == site) for site in sorted(set(table["site"]))]
        mats = [people[rows][:, people[rows].any(axis=0)] for rows in blocks]
        names = [[f"p{k}" for k in range(mat.shape[1])] for mat in mats]
        components = sm.regression.mixed_linear_model.VCSpec(["person"], [names], [mats])
        model = sm.MixedLM(y, x, groups=table["site"], exog_re=np.ones((len(y), 1)), exog_vc=components)
    else:
        model = sm.MixedLM(y, x, groups=table["person"])
    theirs = model.fit(reml=True, method="bfgs", gtol=1e-8)
    person = theirs.vcomp[0] if random_site else theirs.cov_re[0, 0]
    between = rows["between"]
    found = [between["effect"], between["var_person"], between["var_residual"], rows["within"]["effect"]]
    assert found == pytest.approx([theirs.fe_params[-2], person, theirs.scale, theirs.fe_params[-1]], rel=2e-3)
    half = (between["ci_high"] - between["ci_low"]) / 2 / stats.t.ppf(0.975, between["df"])
    assert half == pytest.approx(theirs.bse_fe[-2], rel=2e-3)
    if random_site:
        assert between["var_site"] == pytest.approx(np.asarray(theirs.cov_re)[0, 0], rel=5e-3)
        assert between["random"] == "person, site" and "site" not in between["confounds"]
        total = between["var_person"] + between["var_site"] + between["var_residual"]
        assert between["icc"] == pytest.approx(1 - between["var_residual"] / total)


def test_a_variance_of_zero_is_a_boundary_and_the_fit_is_least_squares():
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=40) / 3, np.column_stack([np.ones(40), rng.normal(size=40)])  # means of many noisy scans
    fit = reml.reml(y, x, np.full(40, 3), (200.0, 80), None)
    plain = sm.OLS(y, x).fit()
    assert fit.person == 0 and fit.converged
    assert fit.coef == pytest.approx(plain.params)
    assert fit.residual == pytest.approx((200 + 3 * plain.ssr) / (80 + 38))
    row = next(
        row for seed in range(20)
        if (row := terms(scans(30, 3, spread=0.0, seed=seed), MOTOR, 9)["between"])["var_person"] == 0
    )  # fmt: skip
    assert row["status"] == "ok" and row["reason"] == "variance of person at 0, its boundary" and row["icc"] == 0


def test_whitening_is_the_root_of_the_inverse_covariance_and_commutes_with_the_exchange():
    rng = np.random.default_rng(0)
    counts, site = np.tile([1, 2], 20), np.repeat(np.arange(8), 5)
    y = rng.normal(size=8)[site] + rng.normal(size=40)
    fit = reml.reml(y, np.ones((40, 1)), counts, (40.0, 40), site)
    root = reml.whiten(fit, np.eye(40))
    v = np.diag(fit.person + fit.residual / counts) + fit.site * (site[:, None] == site)
    assert fit.site > 0 and root @ v @ root.T == pytest.approx(np.eye(40), abs=1e-9)
    order = np.arange(40)
    order[[0, 2]] = [2, 0]  # two people of one site with as many scans
    assert reml.whiten(fit, y[order][:, None]) == pytest.approx(reml.whiten(fit, y[:, None])[order])


# --- GEE ---


def test_bias_reduced_is_mancl_and_derouen():
    """V = B (sum D' V^-1 (I - H)^-1 r r' (I - H')^-1 V^-1 D) B, H = D B D' V^-1 (Mancl & DeRouen 2001, eq. 6)."""
    table = scans(40, (2, 4))
    person = pd.factorize(table["person"])[0]
    x = sm.add_constant(table[["age", "mu_000"]].to_numpy() / [70, 1])
    result = gee(table["ill"].to_numpy(), x, person, sm.families.Binomial())
    mu, alpha = result.fittedvalues, float(result.cov_struct.dep_params)
    parts = []
    for k in range(40):
        rows = person == k
        spread = np.sqrt(mu[rows] * (1 - mu[rows]))
        r = (1 - alpha) * np.eye(rows.sum()) + alpha
        parts.append(((spread**2)[:, None] * x[rows], np.linalg.inv(spread[:, None] * r * spread), rows))
    bread = np.linalg.inv(sum(d.T @ v @ d for d, v, _ in parts))
    meat = np.zeros((3, 3))
    for d, v, rows in parts:
        left = np.linalg.solve(np.eye(rows.sum()) - d @ bread @ d.T @ v, (table["ill"].to_numpy() - mu)[rows])
        meat += np.outer(d.T @ v @ left, d.T @ v @ left)
    assert result.cov_robust_bc == pytest.approx(bread @ meat @ bread, rel=1e-6)


def test_degrees_of_freedom_of_the_gee_are_those_of_the_whitened_clusters():
    """tr(B)^2 / tr(B^2) of the quadratic form y'B y of the CR2 variance (Bell & McCaffrey 2002)."""
    table = scans(30, (2, 4))
    person = pd.factorize(table["person"])[0]
    x = sm.add_constant(table[["age", "mu_000"]].to_numpy() / [70, 1])
    result = gee(table["ill"].to_numpy(), x, person, sm.families.Binomial())
    mu, alpha = result.fittedvalues, float(result.cov_struct.dep_params)
    white = np.zeros_like(x)
    for k in range(30):
        rows = person == k
        r = (1 - alpha) * np.eye(rows.sum()) + alpha
        white[rows] = np.real(sqrtm(np.linalg.inv(r))) @ (np.sqrt(mu * (1 - mu))[:, None] * x)[rows]
    hat = white @ np.linalg.inv(white.T @ white) @ white.T
    for found, column in zip(degrees(result, 2), (1, 2), strict=True):
        b = 0
        for k in range(30):
            rows = person == k
            adjusted = np.linalg.inv(np.real(sqrtm((np.eye(len(x)) - hat)[np.ix_(rows, rows)])))
            a = (white @ np.linalg.inv(white.T @ white))[rows, column] @ adjusted
            v = (np.eye(len(x)) - hat)[rows].T @ a
            b = b + np.outer(v, v)
        assert found == pytest.approx(np.trace(b) ** 2 / np.trace(b @ b), rel=1e-8)


def test_a_working_correlation_below_its_bound_has_degrees_of_freedom():
    """Mostly two scans that differ, and a person of six: I + alpha (J - I) then has a negative eigenvalue."""
    table = pd.concat([scans(29, 2), scans(1, 6, seed=3).assign(person="other")], ignore_index=True)
    person = pd.factorize(table["person"])[0]
    y = np.where(table.groupby("person").cumcount() % 2, 6.0, 1.0) + (table["mu_000"] > 0)
    result = gee(y.to_numpy(), sm.add_constant(table[["mu_000"]].to_numpy()), person, sm.families.Poisson())
    assert float(result.cov_struct.dep_params) < -1 / 5
    assert 5 < degrees(result, 1)[0] <= 30


@pytest.mark.parametrize("score", SCORES[1:], ids=lambda score: score["type"])
def test_rows_equal_statsmodels_gee(score):
    table = scans(between=0.4, within=0.3)
    rows = terms(table, score, confounds=AGE)
    data = repeated.repeated(table, score, AGE, False)
    z = (table[["mu_000"]] / table["mu_000"].std()).to_numpy()
    mean = repeated.means(z, data.person)[data.person]
    x = np.column_stack([data.between[data.person], data.within, mean, z - mean])
    y = data.cases.y
    made = {
        "binary": sm.families.Binomial(),
        "bounded": sm.families.Binomial(),
        "gamma": sm.families.Gamma(sm.families.links.Log()),
    }
    if score["type"] == "count":
        null = sm.NegativeBinomial(y, x[:, :-2]).fit(disp=0, maxiter=200)
        made["count"] = sm.families.NegativeBinomial(alpha=null.params[-1])
    theirs = sm.GEE(y, x, data.person, family=made[score["type"]], cov_struct=sm.cov_struct.Exchangeable()).fit(
        cov_type="bias_reduced"
    )
    for row, k in ((rows["between"], -2), (rows["within"], -1)):
        assert row["status"] == "ok" and row["df"] < 60 - x.shape[1] and row["link"] in ("log", "logit")
        assert row["effect"] == pytest.approx(theirs.params[k], rel=1e-3, abs=1e-5)
        assert row["p"] == pytest.approx(2 * stats.t.sf(abs(theirs.params[k] / theirs.bse[k]), row["df"]), rel=5e-3)
        assert row["icc"] == pytest.approx(theirs.cov_struct.dep_params, rel=1e-3)


def test_ordinal_rows_equal_statsmodels_and_agree_with_proportional_odds():
    table = scans(200, 2, between=0.6, within=0.6, spread=0.0)  # scans of a person independent: maximum likelihood too
    rows = terms(table, STAGE)
    z = (table[["mu_000"]] / table["mu_000"].std()).to_numpy()
    person = pd.factorize(table["person"])[0]
    mean = repeated.means(z, person)[person]
    x = np.column_stack([mean, z - mean])
    y = table["stage"].to_numpy()
    independent = sm.cov_struct.Independence()
    theirs = sm.OrdinalGEE(y, x, groups=person, cov_struct=independent).fit(cov_type="bias_reduced")
    likely = OrderedModel(y, x, distr="logit").fit(disp=0, method="bfgs")
    for k, row in enumerate((rows["between"], rows["within"])):
        effect, error = np.asarray(theirs.params)[3 + k], np.sqrt(theirs.cov_robust_bc[3 + k, 3 + k])
        assert row["status"] == "ok" and 50 < row["df"] < 200 - 3
        assert row["effect"] == pytest.approx(effect, rel=1e-4)
        half = stats.t.ppf(0.975, row["df"]) * error
        assert [row["ci_low"], row["ci_high"]] == pytest.approx([effect - half, effect + half], rel=1e-3)
        assert row["effect"] == pytest.approx(likely.params[k], abs=0.5 * error)


# --- what is found, and how often wrongly ---


@pytest.mark.parametrize("score", [*SCORES, STAGE], ids=lambda score: score["type"])
def test_planted_within_is_found_within_and_between_as_between(score):
    for planted, other in (("within", "between"), ("between", "within")):
        effect = {"within": 1.0, "between": 1.2}[planted]
        rows = terms(scans(80, **{planted: effect}, seed=5, spread=0.8), score, 199)
        assert rows[planted]["p"] < 0.01 and rows[planted]["p_permutation"] == 1 / 200
        assert rows[planted]["effect"] > 0
        assert rows[other]["p"] > 0.01 and rows[other]["p_permutation"] > 0.01


def test_false_positives_where_scans_of_a_person_are_alike():
    """Null latents of 25 people x 3 scans, intraclass correlation .9; plain least squares over scans is not a test."""
    cohorts, p, naive = 200, {"between": [], "within": []}, []
    for seed in range(cohorts):
        table = scans(25, 3, spread=3.0, seed=1000 + seed)
        table["mu_000"] += 2 * np.repeat(np.random.default_rng(9000 + seed).normal(size=25), 3)
        for term, row in terms(table, MOTOR, 199).items():
            p[term].append((row["p"], row["p_permutation"]))
        naive.append(stats.linregress(table["mu_000"], table["motor"]).pvalue)
    low, high = binomial_interval(cohorts)
    for term in p:
        model, permuted = (np.array(p[term]) <= 0.05).sum(axis=0)
        assert low <= model <= high and permuted <= high, (term, model, permuted, naive)
    assert (np.array(naive) <= 0.05).sum() > 1.5 * high  # expected: 21 %, from a design effect of 1 + 2 x .83 x .9


@pytest.mark.parametrize("score", [SCORES[1], STAGE], ids=lambda score: score["type"])
def test_false_positives_of_the_gee(score):
    cohorts, p = 40, {"between": [], "within": []}
    for seed in range(cohorts):
        for term, row in terms(scans(40, (1, 4), seed=3000 + seed), score, 99).items():
            assert row["status"] == "ok"
            p[term].append((row["p"], row["p_permutation"]))
    high = binomial_interval(cohorts)[1]
    for term in p:
        assert ((np.array(p[term]) <= 0.05).sum(axis=0) <= high).all()


# --- rules, statuses, table ---


def test_a_score_of_the_person_is_tested_between_people_once_each():
    table = scans(60, (1, 3), between=0.8)
    rows = mixed.mixed(table, {"name": "trait", "type": "continuous"}, AGE, 199, 0, False)
    assert [row["term"] for row in rows] == ["between"]
    (row,) = rows
    assert (row["n"], row["n_scans"], row["random"]) == (60, len(table), "none (one row per person)")
    assert row["exchangeability"] == "whole people among those with equally many scans"
    data = repeated.repeated(table, {"name": "trait", "type": "continuous"}, AGE, False)
    z = repeated.means((table[["mu_000"]] / table["mu_000"].std()).to_numpy(), data.person)
    y = table["trait"].to_numpy()[data.first]
    theirs = sm.OLS(y / y.std(ddof=1), np.column_stack([data.between, z])).fit()
    assert row["effect"] == pytest.approx(theirs.params[-1]) and row["p"] == pytest.approx(theirs.pvalues[-1], abs=0.02)


def test_permutations_keep_the_blocks():
    table = scans(12, (1, 3), sites=2)
    data = repeated.repeated(table, MOTOR, [], False)
    codes = strata(data)
    for code in np.unique(codes):
        assert len(set(data.counts[codes == code])) == 1 and len(set(data.site[codes == code])) == 1
    assert len(set(zip(data.counts, data.site, strict=True))) == len(set(codes))
    rows = terms(scans(60, (1, 3), sites=2), MOTOR)
    assert rows["between"]["exchangeability"] == "whole people among those with equally many scans and the same site"
    assert rows["within"]["exchangeability"] == "scans within each person"
    few = scans(18, 2)
    few = few[~((few["person"] > "sub-008") & (few["session"] == "ses-1"))].reset_index(drop=True)  # 9 can change
    row = terms(few, MOTOR)["within"]
    assert row["status"] == "too few people" and "p_permutation" not in row
    assert row["exchangeability"].startswith("scans within each person: none (512 distinct permutations")


def test_flipping_a_latent_flips_the_effect_and_leaves_p():
    table = scans(within=0.3, between=0.3)
    for score in SCORES[:3]:
        rows, flipped = terms(table, score), terms(table.assign(mu_000=-table["mu_000"]), score)
        for term in rows:
            assert flipped[term]["effect"] == pytest.approx(-rows[term]["effect"], rel=1e-4)
            assert flipped[term]["p"] == pytest.approx(rows[term]["p"], rel=1e-3)
            assert flipped[term]["p_permutation"] == rows[term]["p_permutation"]


def test_statuses_instead_of_numbers():
    table = scans(40, 3, latents=3)
    table["mu_001"] = 1.0
    table["mu_002"] = table.groupby("person")["mu_002"].transform("first")
    rows = {(row["latent"], row["term"]): row for row in mixed.mixed(table, MOTOR, [], 9, 0, False)}
    assert {key: row["status"] for key, row in rows.items()} == {
        ("mu_000", "between"): "ok", ("mu_001", "between"): "constant latent", ("mu_002", "between"): "ok",
        ("mu_000", "within"): "ok", ("mu_001", "within"): "constant latent", ("mu_002", "within"): "constant latent",
    }  # fmt: skip
    assert rows["mu_000", "between"]["family_size"] == 2 and rows["mu_000", "within"]["family_size"] == 1
    binary = {row["status"] for row in mixed.mixed(table, SCORES[1], [], 9, 0, False) if row["latent"] == "mu_001"}
    assert binary == {"constant latent"}
    (row,) = mixed.mixed(scans(40, sites=3), MOTOR, [], 9, 0, True)
    assert row["status"] == "too few sites" and "needs 6 sites, found 3; set site: covariate" in row["reason"]
    moved = scans(40, sites=8)
    moved.loc[0, "site"] = "S5"
    (row,) = mixed.mixed(moved, MOTOR, [], 9, 0, True)
    assert row["status"] == "not available" and "several sites" in row["reason"]
    some = table.assign(motor=table["motor"].where(~table["person"].duplicated()))
    (row,) = mixed.mixed(some, MOTOR, [], 9, 0, False)
    assert (row["status"], row["n"], row["latent"]) == ("one scan per person", 40, None)
    gone = mixed.mixed(table.assign(motor=np.nan), MOTOR, AGE, 9, 0, False)
    assert {(row["status"], row["n"]) for row in gone} == {("too few people", 0)}
    large = table.assign(trait=table["trait"] * 1e7 + 0.1)  # round-off of the mean is no change within people
    assert len(mixed.mixed(large, {"name": "trait", "type": "continuous"}, [], 9, 0, False)) == 3
    assert {row["status"] for row in mixed.mixed(scans(9), MOTOR, [], 9, 0, False)} == {"too few people"}
    rare = table.assign(ill=(table["person"] < "sub-003").astype(float))
    assert {row["status"] for row in mixed.mixed(rare, SCORES[1], [], 9, 0, False)} == {"too few people"}
    sure = table.assign(ill=(table["mu_000"] > 0).astype(float))
    assert mixed.mixed(sure, SCORES[1], [], 9, 0, False)[0]["status"] == "separation"


def test_a_random_site_with_one_scan_per_person_is_a_mixed_model_over_people():
    table = scans(120, 1, sites=8, site_spread=1.0)
    row = terms(table, MOTOR, 99, AGE, True)["between"]
    assert row["status"] == "ok" and row["random"] == "site" and row["var_site"] > 0 and row["df"] == 120 - 8 - 3 - 1
    x = np.column_stack([repeated.repeated(table, MOTOR, AGE, True).between, table["mu_000"] / table["mu_000"].std()])
    theirs = sm.MixedLM((table["motor"] / table["motor"].std()).to_numpy(), x, groups=table["site"]).fit(gtol=1e-8)
    assert row["effect"] == pytest.approx(theirs.fe_params[-1], rel=1e-3)
    assert row["var_site"] == pytest.approx(theirs.cov_re[0, 0], rel=5e-3)


def test_q_of_the_gee_rests_on_the_permutation():
    table = scans(40, latents=4)
    for score, name in ((SCORES[1], "p_permutation"), (MOTOR, "p")):
        rows = [row for row in mixed.mixed(table, score, [], 99, 0, False) if row["term"] == "within"]
        assert {row["q_of"] for row in rows} == {name}
        expected = stats.false_discovery_control([row[name] for row in rows])
        assert [row["q"] for row in rows] == pytest.approx(list(expected))


def test_site_stays_a_covariate_where_there_is_no_random_effect():
    row = terms(scans(60, sites=6), SCORES[1], 9, AGE, True)["within"]
    assert row["random"] == "none (GEE, exchangeable within person); site is a covariate"
    assert "site (6 levels)" in row["confounds"] and row["status"] == "ok"


def test_run_writes_one_table(tmp_path: Path):
    table = scans(40, latents=2, sites=2)
    names = ["mu_000", "mu_001"]
    table.drop(columns=[*names, *(c for c in table if c.startswith("latents_"))]).to_parquet(
        tmp_path / "cohort.parquet"
    )
    latents = table[["scan", "person", *names]].assign(model="vae", fold=0, seed=1, split="test")
    latents.to_parquet(tmp_path / "latents.parquet")
    table[["scan"]].assign(excluded=False).to_parquet(tmp_path / "qc.parquet")
    (tmp_path / "health.json").write_text(json.dumps({"verdict": "healthy", "reason": ""}))
    files = {name: tmp_path / f"{name}.parquet" for name in ("cohort", "latents", "qc")}
    call = files | {"health": tmp_path / "health.json", "scores": SCORES[:2], "confounds": AGE, "seed": 3}
    for out in ("a", "b"):
        mixed.run(**call, permutations=49, site="covariate", out=tmp_path / f"{out}.parquet")
    found, again = (pd.read_parquet(tmp_path / f"{out}.parquet") for out in "ab")
    pd.testing.assert_frame_equal(found, again)
    assert list(found) == list(mixed.COLUMNS) and len(found) == 2 * 2 * 2
    assert set(found["verdict"]) == {"healthy"} and set(found["n"]) == {40} and set(found["n_scans"]) == {120}
    assert set(found["split_policy"]) == {"people unseen in training"}
    latents.drop_duplicates("person").to_parquet(tmp_path / "latents.parquet")
    mixed.run(**call, permutations=49, site="covariate", out=tmp_path / "one.parquet")
    assert list(pd.read_parquet(tmp_path / "one.parquet")["status"]) == ["one scan per person"]
    (tmp_path / "health.json").write_text(json.dumps({"verdict": "collapsed", "reason": "no active unit"}))
    mixed.run(**call, permutations=49, site="covariate", out=tmp_path / "none.parquet")
    assert list(pd.read_parquet(tmp_path / "none.parquet")["status"]) == ["not tested"]
    with pytest.raises(InputError, match="use covariate or random"):
        mixed.run(**call, permutations=49, site="fixed", out=tmp_path / "no.parquet")


def test_a_time_to_an_event_is_not_tested_over_sessions():
    table = scans().assign(years=1.0, years_event=1.0)
    score = {"name": "years", "type": "survival", "entry": None}
    rows = mixed.mixed(table, score, AGE, 99, 0, False)
    assert {row["status"] for row in rows} == {"not made for survival"}
