"""Associate against closed forms and planted truth: every family, the null, the spline, the cross-validation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit
from simulated_tests import index
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.stats.multitest import multipletests
from univariate_rows import glm_rows, spline_rows

from neurovae.associate import glm, univariate
from neurovae.design import design, tables
from neurovae.design.rows import standard
from neurovae.errors import InputError
from neurovae.stats import basis, families, ordinal
from neurovae.stats.separation import separated

pytestmark = pytest.mark.filterwarnings("error")
PEOPLE = 90
AGE = {"name": "age", "type": "continuous"}
CONFOUNDS = [
    AGE,
    {"name": "sex", "type": "categorical"},
    {"name": "head_size", "type": "continuous", "from": "preprocess"},
]
SCORES: list[dict[str, Any]] = [
    {"name": "memory", "type": "continuous"},
    {"name": "falls", "type": "count"},
    {"name": "ill", "type": "binary"},
    {"name": "stage", "type": "ordinal"},
    {"name": "mmse", "type": "bounded", "bounds": [10, 30]},
]


def score(name: str) -> dict[str, Any]:
    return next(entry for entry in SCORES if entry["name"] == name)


def draw(kind: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One score of a type whose linear predictor is eta (Gaussian: residual SD 1; counts: alpha .5)."""
    n = len(eta)
    if kind == "continuous":
        return eta + rng.normal(size=n)
    if kind == "count":
        return rng.negative_binomial(2, 1 / (1 + 0.5 * np.exp(1 + eta))).astype(float)
    if kind == "binary":
        return (rng.random(n) < expit(eta)).astype(float)
    if kind == "ordinal":
        return np.digitize(eta + rng.logistic(size=n), [-1.5, 0, 1.5]).astype(float)
    return 10 + rng.binomial(20, rng.beta(5 * expit(eta), 5 * expit(-eta))).astype(float)


def cohort(people: int = PEOPLE, effect: float = 0.0, seed: int = 0, size: int = 6, sessions: int = 1):
    """Cohort, latents and qc tables; mu_000 drives every score, and memory also follows age."""
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=(people, size)), rng.uniform(20, 85, people)
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(people)], "site": rng.choice(["A", "B"], people)})
    table = table.assign(fold=np.arange(people) % 5, age=age, sex=rng.choice(["F", "M"], people))
    for entry in SCORES:
        table[entry["name"]] = draw(entry["type"], effect * z[:, 0], rng)
    table["memory"] += (age - 50) / 20
    table = pd.concat([table.assign(session=f"ses-{k}") for k in range(sessions)], ignore_index=True)
    table = table.assign(scan=table["person"] + "_" + table["session"], acquisition=None, run=None)
    z = np.tile(z, (sessions, 1)) + 0.1 * np.repeat(np.arange(sessions), people)[:, None]
    latents = table[["scan", "person"]].assign(model="vae", fold=0, seed=1, split="test")
    latents.loc[table["fold"] > 1, "split"] = "training"
    latents = pd.concat([latents, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(size)])], axis=1)
    qc = table[["scan"]].assign(excluded=False, head_size=rng.normal(1, 0.05, len(table)))
    return table, latents, qc


def joined(**options: Any) -> pd.DataFrame:
    return design.first_scans(design.join(*cohort(**options)))


def write(folder: Path, parts: tuple[pd.DataFrame, ...], verdict: str = "healthy") -> dict[str, Any]:
    for name, table in zip(("cohort", "latents", "qc"), parts, strict=True):
        table.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "no active unit"}))
    files = {name: folder / f"{name}.parquet" for name in ("cohort", "latents", "qc")}
    return files | {"health": folder / "health.json", "scores": SCORES, "confounds": CONFOUNDS}


# --- who enters, with what ---


def test_first_usable_scan_of_each_person_and_natural_order():
    table, latents, qc = cohort(people=3, sessions=2)
    renamed = {"sub-000_ses-0": "ses-10", "sub-000_ses-1": "ses-2"}
    table["session"] = table["scan"].map(renamed).fillna(table["session"])
    qc.loc[qc["scan"] == "sub-001_ses-0", "excluded"] = True
    first = design.first_scans(design.join(table, latents, qc))
    assert list(first["scan"]) == ["sub-000_ses-1", "sub-001_ses-1", "sub-002_ses-0"]


def test_join_lists_every_problem():
    table, latents, qc = cohort(people=5)
    wrong = table.drop(index=0)
    twice = pd.concat([latents, latents.tail(1)])
    with pytest.raises(InputError) as error:
        design.join(wrong, twice, qc.drop(index=1))
    assert len(error.value.problems) == 3
    assert "sub-000_ses-0 has no row in the cohort table" in str(error.value)
    assert "latents: scan sub-004_ses-0 has several rows" in str(error.value)
    with pytest.raises(InputError, match="belongs to sub-000, in the cohort table to sub-999"):
        design.join(table.assign(person=table["person"].replace("sub-000", "sub-999")), latents, qc)


def test_scores_are_checked_against_their_type():
    table = joined()
    for name, kind in (("memory", "count"), ("falls", "binary")):
        with pytest.raises(InputError, match=f"score '{name}' is declared {kind}"):
            design.score_values(table, {"name": name, "type": kind})
    with pytest.raises(InputError, match="'falls' is declared binary, found 0, 1, 2; correct the values or the type"):
        design.score_values(table, {"name": "falls", "type": "binary"})
    with pytest.raises(InputError, match="score 'sex' is not numeric"):
        design.score_values(table, {"name": "sex", "type": "continuous"})
    with pytest.raises(InputError, match="no column 'iq'"):
        design.score_values(table, {"name": "iq", "type": "continuous"})
    with pytest.raises(InputError, match="'mmse' is declared bounded"):
        design.score_values(table, {"name": "mmse", "type": "bounded", "bounds": [29, 30]})
    assert set(design.score_values(table, {"name": "sex", "type": "binary", "positive": "M"})) == {0, 1}
    assert design.score_values(table, score("mmse")).max() <= 1


def test_spline_basis_spans_patsy_natural_splines():
    x = np.random.default_rng(0).normal(size=200)
    knots = basis.spline_knots(x)
    own = np.column_stack([np.ones(200), basis.natural_spline(x, knots)])
    inside = (x > knots[0]) & (x < knots[-1])
    call = "cr(x, knots=inner, lower_bound=low, upper_bound=high)"
    names = {"x": x[inside], "inner": knots[1:-1], "low": knots[0], "high": knots[-1]}
    theirs = np.asarray(patsy.dmatrix(f"{call} - 1", names))
    assert theirs.shape[1] == own.shape[1]
    fitted = own[inside] @ np.linalg.lstsq(own[inside], theirs, rcond=None)[0]
    assert np.abs(fitted - theirs).max() < 1e-10
    line = basis.natural_spline(np.array([10.0, 11, 12]), knots)
    assert np.allclose(np.diff(line, 2, axis=0), 0)  # straight beyond the knots


def test_confounds_text_names_what_entered():
    table = joined()
    table.loc[3, "memory"] = np.nan
    cases = design.design(table, score("memory"), CONFOUNDS)
    assert cases.x.shape == (PEOPLE - 1, 1 + 3 + 1 + 3 + 1 + 1)
    spline3 = "(natural spline, 3 df)"
    assert (
        cases.text
        == f"age {spline3}, sex (2 levels), head_size {spline3}, site (2 levels), split (2 levels); left out: 1 without the score"
    )
    table["age"] = table["age"].round(-1).clip(40, 60)
    table["duplicate"] = table["age"]
    cases = design.design(table, score("memory"), [AGE, {"name": "duplicate", "type": "continuous"}])
    assert "age (linear: ties or fewer than 5 distinct values)" in cases.text
    assert "dropped as constant or collinear: duplicate" in cases.text


def test_score_is_dropped_from_its_own_confounds():
    rows = glm_rows(joined(), {"name": "age", "type": "continuous"}, CONFOUNDS)
    assert "age left out (it is the score)" in rows[0]["confounds"] and rows[0]["status"] == "ok"
    renamed = [{"name": "years", "column": "Age", "type": "continuous"}]
    cases = design.design(
        joined().assign(years=lambda t: t["age"]), {"name": "age", "column": "Age", "type": "continuous"}, renamed
    )
    assert "years left out (it is the score)" in cases.text


def test_a_person_alone_at_a_site_is_left_out_and_named():
    table = joined()
    table.loc[0, "site"] = "C"
    cases = design.design(table, score("memory"), CONFOUNDS)
    assert 0 not in cases.rows and len(cases.y) == PEOPLE - 1
    assert "1 people left out (alone in a level)" in cases.text and "site (2 levels)" in cases.text


def test_statuses_instead_of_numbers():
    table = joined().assign(flat=3.0)
    for name, kind in (("flat", "continuous"), ("flat", "count"), ("flat", "binary")):
        assert {r["status"] for r in glm_rows(table, {"name": name, "type": kind}, [])} == {"constant score"}
    assert {r["status"] for r in glm_rows(table.head(15), score("memory"), CONFOUNDS)} == {"too few people"}
    rare = table.assign(ill=(np.arange(PEOPLE) < 3).astype(float))
    assert {r["status"] for r in glm_rows(rare, score("ill"), [])} == {"too few people"}
    by_age = table.assign(years=2 * table["age"])
    assert {r["status"] for r in glm_rows(by_age, {"name": "years", "type": "continuous"}, [AGE])} == {
        "explained by confounds"
    }
    gone = table.assign(memory=np.nan)
    row = glm_rows(gone, score("memory"), CONFOUNDS)[0]
    assert (row["status"], row["n"], row["family_size"]) == ("too few people", 0, 0)
    table["mu_001"] = 0.25
    rows = glm_rows(table, score("memory"), CONFOUNDS)
    assert [r["status"] for r in rows] == ["ok", "constant latent"] + ["ok"] * 4
    assert rows[0]["family_size"] == 5 and "p" not in rows[1] and np.isnan(rows[1]["q"])


# --- the families ---


def test_hc2_with_its_degrees_of_freedom_closed_form():
    table = joined(effect=0.5)
    row = glm_rows(table, score("memory"), CONFOUNDS)[0]
    cases = design.design(table, score("memory"), CONFOUNDS)
    x = np.column_stack([cases.x, standard(table["mu_000"].to_numpy())])
    y = standard(cases.y)
    inverse = np.linalg.inv(x.T @ x)
    maker = np.eye(len(y)) - x @ inverse @ x.T
    residual, leverage = maker @ y, 1 - np.diag(maker)
    se = np.sqrt((inverse @ (x.T * (residual**2 / (1 - leverage))) @ x @ inverse)[-1, -1])
    weight = (x @ inverse)[:, -1] ** 2 / (1 - leverage)
    form = maker @ np.diag(weight) @ maker  # the variance estimate is y' form y
    effect, df = (inverse @ x.T @ y)[-1], np.trace(form) ** 2 / np.trace(form @ form)
    assert np.isclose(y @ form @ y, se**2)
    assert np.isclose(row["effect"], effect, rtol=1e-9)
    assert np.isclose(row["p"], 2 * stats.t.sf(abs(effect / se), df), rtol=1e-8)
    assert np.isclose(row["ci_high"], effect + stats.t.ppf(0.975, df) * se, rtol=1e-9)
    short = y - cases.x @ np.linalg.lstsq(cases.x, y, rcond=None)[0]
    assert np.isclose(row["partial_r2"], 1 - residual @ residual / (short @ short), rtol=1e-9)


def test_negative_binomial_alpha_and_poisson_border():
    rng = np.random.default_rng(0)
    alphas = []
    for _ in range(20):  # 118 people, 3 confounds
        x = np.column_stack([np.ones(118), rng.normal(size=(118, 3))])
        fit = families.fit("count", draw("count", 0.3 * x[:, 1], rng), x)
        assert fit.family == "negative binomial" and fit.status == "ok"
        alphas.append(fit.alpha)
    assert abs(np.mean(alphas) - 0.5) < 0.1
    x = np.column_stack([np.ones(5000), rng.normal(size=5000)])
    y = draw("count", 0.3 * x[:, 1], rng)
    assert abs(families.fit("count", y, x).alpha - 0.5) < 0.05
    fit = families.fit("count", rng.binomial(10, 0.5, 118).astype(float), x[:118])  # less spread than Poisson
    assert fit.family == "Poisson (alpha = 0)" and fit.alpha == 0


def test_proportional_odds_equals_statsmodels():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(118, 4))
    codes = np.digitize(x[:, 0] + rng.logistic(size=118), [-1, 0, 1])
    coef, cov, loglike, done = ordinal.proportional_odds(codes, x)
    model = OrderedModel(codes, x, distr="logit")
    theirs = model.fit(method="bfgs", disp=0, gtol=1e-8)
    assert done and np.isclose(loglike, theirs.llf, atol=1e-8)
    assert np.allclose(coef[:4], theirs.params[:4], atol=1e-5)
    assert np.allclose(coef[4:], model.transform_threshold_params(theirs.params)[1:-1], atol=1e-5)
    assert np.allclose(np.sqrt(np.diag(cov))[:4], theirs.bse[:4], atol=1e-4)
    flipped = ordinal.proportional_odds(codes.max() - codes, x)
    assert np.allclose(flipped[0][:4], -coef[:4]) and np.isclose(flipped[2], loglike)


def test_binary_and_two_level_ordinal_agree_with_the_binomial_glm():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(118), rng.normal(size=(118, 3))])
    y = draw("binary", x[:, 1], rng)
    reference = sm.GLM(y, x, family=sm.families.Binomial()).fit()
    for kind in ("binary", "ordinal"):
        fit = families.fit(kind, y, x)
        assert np.isclose(fit.effect, reference.params[-1], atol=1e-6)
        assert np.isclose(fit.se, reference.bse[-1], atol=1e-5) and np.isclose(fit.loglike, reference.llf)
    assert np.isclose(families.fit("bounded", y, x).effect, reference.params[-1])


@pytest.mark.parametrize("kind", ["continuous", "count", "binary", "ordinal", "bounded"])
def test_planted_effect_comes_back_and_its_interval_covers(kind: str):
    rng = np.random.default_rng(3)
    truth, estimates, covered = 0.6, [], []
    for _ in range(60):
        x = np.column_stack([np.ones(200), rng.normal(size=(200, 3))])
        x[:, -1] = standard(x[:, -1])
        y = draw(kind, 0.3 * x[:, 1] + truth * x[:, -1], rng)
        fit = families.fit(kind, (y - 10) / 20 if kind == "bounded" else y, x)
        low, high = families.interval(fit, len(y))
        estimates.append(fit.effect)
        covered.append(low < truth < high)
    assert abs(np.mean(estimates) - truth) < 0.05
    assert stats.binomtest(sum(covered), 60, 0.95).pvalue > 0.01


@pytest.mark.parametrize(("entry"), SCORES, ids=lambda entry: entry["type"])
def test_planted_latent_is_found_and_its_sign_flip_leaves_p(entry: dict[str, Any]):
    table = joined(effect=1.2, people=120)
    rows = glm_rows(table, entry, CONFOUNDS)
    flipped = glm_rows(table.assign(mu_000=-table["mu_000"]), entry, CONFOUNDS)
    assert rows[0]["q"] < 1e-3 and rows[0]["effect"] > 0 and 0.05 < rows[0]["partial_r2"] < 0.7
    assert min(row["p"] for row in rows[1:]) > 1e-3
    assert np.isclose(flipped[0]["effect"], -rows[0]["effect"], rtol=1e-4)
    assert np.isclose(flipped[0]["ci_low"], -rows[0]["ci_high"], rtol=1e-4)
    assert np.isclose(flipped[0]["p"], rows[0]["p"], rtol=1e-3) and np.isclose(flipped[1]["p"], rows[1]["p"])


def test_confounds_are_taken_out():
    table = joined()
    table["mu_000"] = table["age"] + np.random.default_rng(9).normal(size=len(table))
    assert glm_rows(table, score("memory"), [])[0]["p"] < 1e-6
    assert glm_rows(table, score("memory"), CONFOUNDS)[0]["p"] > 0.01


def test_linear_null_is_uniform():
    rng = np.random.default_rng(4)
    p = np.empty(400)
    for k in range(400):
        x = np.column_stack([np.ones(60), rng.normal(size=(60, 3))])
        p[k] = families.nested_p(*[families.fit("continuous", rng.normal(size=60), x)] * 2, 1, 60)
    low, high = stats.binom.interval(0.99, 400, 0.05)
    assert low <= np.sum(p < 0.05) <= high
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("kind", ["count", "binary", "ordinal", "bounded"])
def test_other_nulls_reject_at_most_a_little_too_often(kind: str):
    rng = np.random.default_rng(5)
    rejected = 0
    for _ in range(100):
        x = np.column_stack([np.ones(118), rng.normal(size=(118, 4))])
        y = draw(kind, 0.3 * x[:, 1], rng)
        y = (y - 10) / 20 if kind == "bounded" else y
        null, full = families.fit(kind, y, x[:, :-1]), families.fit(kind, y, x)
        rejected += families.nested_p(null, full, 1, len(y)) < 0.05
    low, high = stats.binom.interval(0.99, 100, 0.06)  # likelihood ratios: measured 5.4-7.2 %, see families
    assert low <= rejected <= high


def test_separation_is_a_status():
    table = joined()
    for entry, values in (
        (score("ill"), table["mu_000"] > 0),
        (score("stage"), np.digitize(table["mu_000"], [-1, 0, 1])),
    ):
        rows = glm_rows(table.assign(**{entry["name"]: np.asarray(values, float)}), entry, [])
        assert rows[0]["status"] == "separation" and "p" not in rows[0] and rows[0]["reason"]
        assert {row["status"] for row in rows[1:]} == {"ok"} and rows[0]["family_size"] == 5


@pytest.mark.parametrize(("name", "value"), [("falls", 0.0), ("ill", 1.0), ("stage", 0.0)])
def test_a_level_in_which_all_have_the_border_value_holds_no_information(name: str, value: float):
    """The others' estimates are those of the whole likelihood, whose dummy for that level runs away."""
    table = joined()
    alike = table.assign(**{name: np.where(table["site"] == "B", value, table[name])})
    rows, alone = (glm_rows(each, score(name), CONFOUNDS) for each in (alike, alike[alike["site"] != "B"]))
    count = (table["site"] == "B").sum()
    assert f"{count} people left out (all of site B have one value)" in rows[0]["confounds"]
    assert {row["status"] for row in rows} == {"ok"} and rows[0]["n"] == len(table) - count
    assert [row["p"] for row in rows] == [row["p"] for row in alone]


def test_the_first_scan_that_has_the_score_is_tested_and_who_is_missing_is_said():
    table = joined()
    twice = pd.concat([table.assign(memory=np.nan), table.assign(session="2")], ignore_index=True)
    cases = design.design(twice, score("memory"), CONFOUNDS)
    assert (cases.rows >= len(table)).all() and len(cases.y) == len(table) and "left out" not in cases.text
    both = pd.concat([table, table.assign(session="2")], ignore_index=True)
    assert (design.design(both, score("memory"), CONFOUNDS).rows < len(table)).all()
    table.loc[:4, "age"] = np.nan
    table.loc[:6, "site"] = "n/a"
    assert "left out: 5 without age; left out: 2 without site" in design.design(table, score("memory"), CONFOUNDS).text
    nobody = design.design(table.assign(age=np.nan), score("memory"), CONFOUNDS)
    assert nobody.status == "too few people" and nobody.x.shape == (0, 1)


def test_a_crowded_score_is_marked_and_a_nearly_constant_one_not_tested():
    table = joined()
    rng = np.random.default_rng(1)
    mostly = np.where(rng.random(len(table)) < 0.7, 0.0, table["falls"] + 1)
    assert "share one value: p is approximate" in design.design(table.assign(falls=mostly), score("falls"), []).reason
    few = np.where(np.arange(len(table)) < 4, 3.0, 0.0)
    cases = design.design(table.assign(falls=few), score("falls"), [])
    assert (cases.status, cases.reason) == ("too few people", "4 people beside the commonest value")


def test_quasi_separation_by_one_group_is_seen_and_overlap_is_not():
    x = np.column_stack([np.ones(40), np.arange(40) % 4 == 0, np.linspace(-1, 1, 40)]).astype(float)
    y = ((np.arange(40) // 4 + np.arange(40)) % 2).astype(float)
    assert not separated("binary", y, x)
    y[x[:, 1] == 1] = 1
    assert separated("binary", y, x) and separated("bounded", y, x)
    y[x[:, 1] == 1] = 0.5
    assert not separated("bounded", y, x)


def test_q_is_benjamini_hochberg_over_the_tested():
    p = np.random.default_rng(7).random(30) ** 2
    tested = np.arange(30) % 5 != 0
    q, m = tables.bh(np.where(tested, p, np.nan), tested)
    assert (
        m == 24 and np.allclose(q[tested], multipletests(p[tested], method="fdr_bh")[1]) and np.isnan(q[~tested]).all()
    )


def test_q_of_over_dispersed_counts_rests_on_the_permutation():
    table = joined(effect=0.4)
    rows, _, _, permuted = univariate.tests(table, [score("falls"), score("ill")], CONFOUNDS, 199, 0)
    for name, basis_of_q, caveat in (("falls", "p_permutation", True), ("ill", "p", False)):
        mine = [row for row in rows if row["score"] == name]
        p = [row[basis_of_q] for row in (permuted if caveat else rows) if row["score"] == name]
        assert np.allclose([row["q"] for row in mine], multipletests(p, method="fdr_bh")[1])
        assert np.allclose([row["p_bonferroni"] for row in mine], np.minimum(6 * np.array(p), 1))
        assert {row["q_of"] for row in mine} == {basis_of_q}
        assert all(("q was computed from the permutation p values" in row["reason"]) == caveat for row in mine)
    rare = table.assign(falls=np.random.default_rng(5).poisson(2.0, len(table)).clip(0, 4).astype(float))
    rows = univariate.tests(rare, [score("falls")], CONFOUNDS, 199, 0)[0]
    assert {row["q_of"] for row in rows} == {"p"}  # no more dispersed than Poisson: alpha is 0


# --- spline ---


def test_spline_finds_a_u_that_the_line_misses():
    table = joined()
    z = table["mu_000"].to_numpy()
    table["memory"] = z**2 + np.random.default_rng(8).normal(size=PEOPLE)
    rows, curve = spline_rows(table, score("memory"), CONFOUNDS)
    assert rows[0]["p_nonlinear"] < 1e-6 and rows[0]["q_nonlinear"] < 1e-5 and rows[0]["df"] == 3
    assert rows[0]["partial_r2"] > rows[0]["partial_r2_nonlinear"] > 0.2
    assert glm_rows(table, score("memory"), CONFOUNDS)[0]["p"] > 1e-3
    fitted = pd.DataFrame(curve).query("latent == 'mu_000'")
    middle = fitted["fitted"].to_numpy()[20]
    assert fitted["fitted"].iloc[0] > middle + 1 and fitted["fitted"].iloc[-1] > middle + 1
    assert (fitted["low"] < fitted["fitted"]).all() and (fitted["fitted"] < fitted["high"]).all()
    assert fitted["latent_value"].between(z.min(), z.max()).all()


def test_spline_is_nominal_on_a_line():
    rng = np.random.default_rng(10)
    p = []
    for _ in range(300):
        x = np.column_stack([np.ones(100), rng.normal(size=(100, 2))])
        z = standard(rng.normal(size=100))
        y = z + rng.normal(size=100)
        full = np.column_stack([x, basis.natural_spline(z, basis.spline_knots(z))])
        line = families.fit("continuous", y, np.column_stack([x, z]))
        p.append(families.nested_p(line, families.fit("continuous", y, full), 2, len(y)))
    low, high = stats.binom.interval(0.99, 300, 0.05)
    assert low <= np.sum(np.array(p) < 0.05) <= high


@pytest.mark.parametrize("entry", SCORES, ids=lambda entry: entry["type"])
def test_curves_stay_in_range_and_cover_the_truth(entry: dict[str, Any]):
    table = joined(effect=1.0, people=200, seed=11)
    rows, curve = spline_rows(table, entry, [])
    fitted = pd.DataFrame(curve).query("latent == 'mu_000'")
    assert rows[0]["p_overall"] < 1e-4
    low, high = {"count": (0, np.inf), "binary": (0, 1), "ordinal": (0, 3), "bounded": (10, 30)}.get(
        entry["type"], (-np.inf, np.inf)
    )
    assert fitted[["low", "high"]].to_numpy().min() >= low and fitted[["low", "high"]].to_numpy().max() <= high
    z = fitted["latent_value"].to_numpy()
    truth = {
        "count": np.exp(1 + z),
        "binary": expit(z),
        "bounded": 10 + 20 * expit(z),
        "ordinal": expit(z[:, None] - np.array([-1.5, 0, 1.5])).sum(axis=1),
        "continuous": z + (table["age"].mean() - 50) / 20,
    }[entry["type"]]
    assert np.mean((fitted["low"] < truth) & (truth < fitted["high"])) > 0.7


# --- the files ---

TABLES = ("glm", "spline", "curves", "permute")


def run_all(folder: Path, parts, verdict: str = "healthy") -> dict[str, pd.DataFrame]:
    folder.mkdir()
    given = write(folder, parts, verdict)
    out = {name: folder / f"{name}.parquet" for name in TABLES}
    index(parts[1]).to_parquet(folder / "index.parquet")
    univariate.run(**given, **out, index=folder / "index.parquet", permutations=19, seed=0)
    return {name: pd.read_parquet(path) for name, path in out.items()}


def test_shuffled_rows_change_no_byte(tmp_path: Path):
    parts = cohort(people=60, effect=1.0, size=3)
    run_all(tmp_path / "a", parts)
    shuffled = tuple(table.sample(frac=1, random_state=k) for k, table in enumerate(parts))
    run_all(tmp_path / "b", shuffled)
    for name in TABLES:
        for ending in ("parquet", "tsv"):
            first, second = ((tmp_path / side / f"{name}.{ending}").read_bytes() for side in "ab")
            assert first == second, name


def test_every_row_carries_its_provenance(tmp_path: Path):
    found = run_all(tmp_path / "a", cohort(people=60, effect=1.0, size=3), "overfit")
    table = found["glm"]
    assert list(table.columns) == list(glm.COLUMNS) and len(table) == 3 * len(SCORES)
    assert set(table["verdict"]) == {"overfit"} and set(table["family_size"]) == {3}
    assert table["split_policy"].unique().tolist() == ["transductive: 36 of 60 people trained the model"]
    tsv = pd.read_csv(tmp_path / "a" / "glm.tsv", sep="\t", na_values="n/a")
    assert np.allclose(tsv["p"], table["p"])


def test_a_collapsed_model_gives_one_row_without_statistics(tmp_path: Path):
    found = run_all(tmp_path / "a", cohort(people=30, size=3), "collapsed")
    for name in ("glm", "spline", "permute"):
        row = found[name].to_dict("records")
        assert len(row) == 1 and (row[0]["verdict"], row[0]["reason"]) == ("collapsed", "no active unit")
    assert pd.isna(found["glm"]["p"]).all() and found["curves"].empty
