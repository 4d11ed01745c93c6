"""Permutation tests of single latents against closed forms, statsmodels, nilearn, brute force and planted effects."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from nilearn.mass_univariate import permuted_ols
from scipy import stats
from scipy.special import expit
from simulated_tests import CONFOUNDS, KINDS, draw, index, people, score
from univariate_rows import permute_rows

from neurovae.associate import permute, univariate
from neurovae.associate.fitted import Fitted
from neurovae.design.design import Design
from neurovae.stats import exchangeability, families, maxt, rao

pytestmark = pytest.mark.filterwarnings("error")


def problem(kind: str, n: int = 90, size: int = 4, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    z = rng.normal(size=(n, size)) + x[:, [1]]
    return draw(kind, 0.5 * x[:, 1], rng), x, z


# --- who changes places ---


def test_rows_change_places_within_their_stratum_only_and_uniformly():
    strata = np.array([0, 1, 0, 1, 1, 0])
    index = np.concatenate(list(exchangeability.blocks(strata, 6000, 1000, seed=0)))
    assert index.shape == (6000, 6) and (np.sort(index, axis=1) == np.arange(6)).all()
    assert (strata[index] == strata).all()
    counts = np.unique(index, axis=0, return_counts=True)[1]
    assert len(counts) == 36 and stats.chisquare(counts).pvalue > 1e-3


def test_whole_people_move_with_all_their_rows_among_equals_at_their_site():
    person = np.array(["a", "a", "b", "c", "b", "d", "e", "e", "f", "f", "g"])
    site = np.array(["A", "A", "A", "A", "A", "A", "B", "B", "A", "A", "B"])
    codes = exchangeability.site_strata(site)
    index = exchangeability.shuffle(exchangeability.family_strata(codes, person), 2000, 1)
    assert (np.sort(index, axis=1) == np.arange(11)).all() and (site[index] == site).all()
    first, second = index[:, [0, 2, 8]], index[:, [1, 4, 9]]  # the rows of a, b, f in their order
    partner = {0: 1, 2: 4, 8: 9}
    assert (second == np.vectorize(partner.get)(first)).all()
    assert (index[:, [6, 7, 10]] == [6, 7, 10]).all()  # e and g have nobody with as many rows at B
    counts = np.unique(first, axis=0, return_counts=True)[1]
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-3
    anywhere = exchangeability.shuffle(exchangeability.family_strata(np.zeros(11, int), person), 500, 1)
    assert len(np.unique(anywhere[:, [3, 5, 10]], axis=0)) == 6


def test_within_people_rows_never_leave_the_person():
    person = np.repeat(["a", "b", "c"], [3, 1, 2])
    index = exchangeability.shuffle(exchangeability.site_strata(person), 1000, 2)
    assert (person[index] == person).all() and len(np.unique(index, axis=0)) == 12


def test_too_few_distinct_permutations_are_counted():
    assert (
        exchangeability.too_few(np.zeros(7, int)) == "" and exchangeability.too_few(np.repeat(np.arange(10), 2)) == ""
    )
    assert exchangeability.too_few(np.repeat(np.arange(9), 2)).startswith("512 distinct permutations of 18 rows")
    assert exchangeability.too_few(np.arange(300)).startswith("1 distinct permutation of 300 rows")
    pairs = exchangeability.family_strata(np.zeros(12, int), np.repeat(np.arange(6), 2))
    assert exchangeability.too_few(pairs).startswith("720 distinct permutations of 12 rows")


def test_arrangements_that_look_the_same_are_counted_once():
    y = np.repeat([0.0, 1.0], [20, 2])
    text = exchangeability.too_few(np.zeros(22, int), y)
    assert text.startswith("231 distinct permutations of 22 rows")  # 22 over 2
    assert exchangeability.too_few(np.zeros(22, int), np.arange(22.0)) == ""
    noise = 1e-15 * np.random.default_rng(0).normal(size=22)
    assert exchangeability.too_few(np.zeros(22, int), 1e-9 * (y + noise)) == text


# --- the statistic ---


@pytest.mark.parametrize("kind", ["count", "binary", "bounded", "gamma"])
def test_signed_root_is_statsmodels_score_test(kind: str):
    y, x, z = problem(kind)
    fit, found = rao.fit_null(kind, y, x, None)
    assert found is not None
    family = {
        "count": sm.families.NegativeBinomial(alpha=fit.alpha),
        "gamma": sm.families.Gamma(link=sm.families.links.Log()),
    }.get(kind, sm.families.Binomial())
    scale = "X2" if kind in ("bounded", "gamma") else None
    reference = sm.GLM(y, x, family=family).fit(scale=scale, tol=1e-12)
    ours = maxt.statistics(maxt.batch(z, x, [found]), np.arange(len(y))[None])[0, 0]
    params, phi = reference.params, reference.scale
    weight = np.abs(reference.model.hessian_factor(params, phi, observed=False))
    for k in range(z.shape[1]):
        full = np.column_stack([x, z[:, k]])
        top = reference.model.score_factor(params, phi) @ z[:, k]
        expected = top * np.sqrt(np.linalg.inv(full.T @ (weight[:, None] * full))[-1, -1])
        assert np.isclose(ours[k], expected, rtol=1e-4)
        if kind in ("binary", "bounded"):  # their test takes the observed information, here the same
            theirs = reference.score_test(exog_extra=z[:, [k]])[0]
            assert np.isclose(ours[k] ** 2, float(np.squeeze(theirs)), rtol=1e-5)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_ordinal_score_test_is_the_enumerated_expectation(link: str):
    y, x, z = problem("ordinal")
    fit, found = rao.fit_null("ordinal", y, x, link)
    assert found is not None
    cdf = {"logit": expit, "probit": stats.norm.cdf}[link]
    levels, slopes, step = 4, 2, 1e-5
    full_x, coef = np.column_stack([x[:, 1:], z[:, 0]]), np.insert(fit.coef, slopes, 0.0)

    def log_share(coef: np.ndarray) -> np.ndarray:
        eta = full_x @ coef[: slopes + 1]
        inner = cdf(coef[slopes + 1 :][None, :] - eta[:, None])
        return np.log(np.diff(np.hstack([np.zeros((len(y), 1)), inner, np.ones((len(y), 1))]), axis=1))

    each = [(log_share(coef + h) - log_share(coef - h)) / (2 * step) for h in step * np.eye(len(coef))]
    gradient = np.stack(each, axis=2)  # (n, levels, parameters)
    information = np.einsum("nk,nka,nkb->ab", np.exp(log_share(coef)), gradient, gradient)
    top = gradient[np.arange(len(y)), np.digitize(y, np.arange(1, levels))].sum(axis=0)
    ours = maxt.statistics(maxt.batch(z, x, [found]), np.arange(len(y))[None])[0, 0, 0]
    assert np.isclose(ours, top[slopes] * np.sqrt(np.linalg.inv(information)[slopes, slopes]), rtol=1e-4)
    assert np.abs(np.delete(top, slopes)).max() < 1e-3  # the null is a maximum


def test_two_levels_are_binary_and_links_enter():
    y, x, z = problem("binary")
    for link in ("logit", "probit", "cloglog"):
        pair = [rao.fit_null(kind, y, x, link)[1] for kind in ("binary", "ordinal")]
        one, two = (maxt.statistics(maxt.batch(z, x, [f]), np.arange(90)[None])[0, 0] for f in pair if f is not None)
        assert np.allclose(one, two, rtol=1e-4) == (link != "cloglog")  # P(y <= 0) and P(y = 1): only it is lopsided


def test_permuted_statistics_are_those_of_refitted_models():
    kinds = ("continuous", "binary", "continuous", "count")
    x, z = problem("binary")[1:]
    scores = [problem(kind, seed=1)[0] for kind in kinds]
    nulls = [rao.fit_null(kind, y, x, None)[1] for kind, y in zip(kinds, scores, strict=True)]
    order = [0, 2, 1, 3]  # Gaussian ones first
    data = maxt.batch(z, x, [nulls[k] for k in order if nulls[k] is not None])
    index = exchangeability.shuffle(np.zeros(90, int), 3, 0)
    ours = maxt.statistics(data, index)
    left = z - x @ np.linalg.lstsq(x, z, rcond=None)[0]
    logistic = sm.GLM(scores[1], x, family=sm.families.Binomial()).fit(tol=1e-12)
    linear = sm.OLS(scores[0], x).fit()
    for row, moved in zip(ours, index, strict=True):
        back = np.argsort(moved)  # the pair (score i, latents moved[i]) with the score on the move
        freedman_lane = linear.fittedvalues + linear.resid[back]
        for k in range(z.shape[1]):
            assert np.isclose(row[0, k], sm.OLS(freedman_lane, np.column_stack([x, z[:, k]])).fit().tvalues[-1])
            theirs = logistic.score_test(exog_extra=left[moved][:, [k]])[0]
            assert np.isclose(row[2, k] ** 2, float(np.squeeze(theirs)), rtol=1e-6)


# --- the corrections ---


def test_p_are_those_of_counting():
    rng = np.random.default_rng(3)
    seen, draws = np.abs(rng.normal(1.5, 1, (3, 4))), np.abs(rng.normal(size=(199, 3, 4)))
    found = maxt.Exceeded((draws >= seen).sum(axis=0), draws.max(axis=2))
    alone, within = maxt.maxt(seen, found)
    across = [maxt.minp(draws.max(axis=2), seen.max(axis=1), within[j]) for j in range(3)]
    everything = np.concatenate([seen[None], draws]).max(axis=2)
    smallest = [min(np.mean(everything[:, j] >= row[j]) for j in range(3)) for row in everything[1:]]
    for j in range(3):
        for k in range(4):
            assert alone[j, k] == (1 + sum(draws[:, j, k] >= seen[j, k])) / 200
            assert within[j, k] == (1 + sum(draws[:, j].max(axis=1) >= seen[j, k])) / 200
            assert np.isclose(across[j][k], (1 + sum(s <= within[j, k] + 1e-12 for s in smallest)) / 200)
    assert np.array_equal(maxt.minp(draws.max(axis=2)[:, [0]], seen.max(axis=1)[:1], within[0]), within[0])


def test_nilearn_agrees():
    y, x, z = problem("continuous", n=60, size=6, seed=4)
    y = y + 0.45 * z[:, 0]
    found = rao.fit_null("continuous", y, x, None)[1]
    assert found is not None
    data, permutations = maxt.batch(z, x, [found]), 4000
    seen = maxt.statistics(data, np.arange(60)[None])[0]
    _, ours = maxt.maxt(seen, maxt.exceed([data], np.zeros(60, int), permutations, seed=0)[0])
    theirs = permuted_ols(
        y[:, None], z, x[:, 1:], model_intercept=True, n_perm=permutations, random_state=0, output_type="dict"
    )
    assert np.abs(seen - theirs["t"]).max() < 1e-8
    reference = 10.0 ** -theirs["logp_max_t"]
    error = np.sqrt(2 * reference * (1 - reference) / permutations)
    assert (np.abs(ours - reference) <= 3 * error + 2 / permutations).all() and 0.001 < ours.min() < 0.2


def test_family_wise_error_and_uniform_p_under_the_null():
    rejected, alone = np.zeros(2), []
    scores = [score(kind) for kind in ("continuous", "count", "ordinal")]
    draws = 40  # `make proof` measures the level with more
    for seed in range(draws):
        rows = pd.DataFrame(permute_rows(people(60, 4, seed=seed), scores, CONFOUNDS, 99, seed))
        rejected += [np.sum(rows.loc[rows["score"] == "count", "p_maxt"].min() <= 0.05), rows["p_minp"].min() <= 0.05]
        alone.append(rows.loc[rows["score"] == "ordinal", "p_permutation"].iloc[0])
    low, high = stats.binom.interval(0.999, draws, 0.05)
    assert (low <= rejected).all() and (rejected <= high).all()
    assert stats.kstest(alone, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_planted_latent_is_found_and_a_sign_flip_leaves_p(kind: str):
    table = people(effect=1.0, n=100)
    rows = permute_rows(table, [score(kind)], CONFOUNDS, 999, 0)
    flipped = permute_rows(table.assign(mu_000=-table["mu_000"]), [score(kind)], CONFOUNDS, 999, 0)
    assert rows[0]["p_maxt"] == rows[0]["p_permutation"] == 0.001 and rows[0]["statistic"] > 3.5
    assert np.isclose(flipped[0]["statistic"], -rows[0]["statistic"])
    for name in permute.P[1:]:
        assert [row[name] for row in flipped] == pytest.approx([row[name] for row in rows])
    assert rows[0]["p_bonferroni"] == pytest.approx(5 * rows[0]["p_parametric"])


# --- families, statuses, files ---


def test_scores_of_other_people_are_a_family_of_their_own():
    table = people(sites="AB")
    table.loc[:9, "gamma"] = np.nan
    scores = [score(kind) for kind in ("binary", "gamma", "continuous")]
    rows = pd.DataFrame(permute_rows(table, scores, CONFOUNDS, 99, 0))
    assert list(rows["score"].unique()) == ["binary", "gamma", "continuous"] and set(rows["m"]) == {5}
    text = rows.drop_duplicates("score").set_index("score")["family"]
    same = "(all scores of the same 80 people)"
    assert text["binary"] == f"max-T: 5 latents of binary; min-P: binary, continuous {same}"
    assert "min-P: gamma (all scores of the same 70 people)" in text["gamma"]
    own = rows[rows["score"] == "gamma"]
    assert (own["p_minp"] == own["p_maxt"]).all() and set(rows["exchangeability"]) == {"people within site"}
    joint = rows[rows["score"] == "binary"]
    assert (joint["p_minp"] >= joint["p_maxt"]).all()
    alone = permute_rows(table, [score("continuous")], CONFOUNDS, 99, 0)
    assert [row["p_maxt"] for row in alone] == list(rows.loc[rows["score"] == "continuous", "p_maxt"])


def test_what_cannot_be_tested_has_a_status():
    table = people().assign(mu_002=1.0, flat=2.0)
    rows = permute_rows(table, [score("count"), {"name": "flat", "type": "continuous"}], CONFOUNDS, 99, 0)
    assert [row["status"] for row in rows] == ["ok", "ok", "constant latent", "ok", "ok"] + ["constant score"] * 5
    assert rows[0]["m"] == 4 and "p_maxt" not in rows[2] and all(row["reason"] for row in rows if row["status"] != "ok")
    separated = table.assign(binary=(table["age"] > 50).astype(float))
    status = {row["status"] for row in permute_rows(separated, [score("binary")], CONFOUNDS, 99, 0)}
    assert status == {"separation"}
    pairs = table.head(18).assign(site=np.repeat(list("ABCDEFGHI"), 2))
    y = np.arange(18) % 5.0
    cases = Design(np.arange(18), y, np.ones((18, 1)), "none", "ok", "")
    known = Fitted(score("continuous"), cases, y, families.fit("continuous", y, cases.x))
    one = permute.prepare(pairs, [known])[1][0]
    assert one["status"] == "too few permutations" and one["reason"].startswith("512 distinct")


def _files(folder: Path, verdict: str, shuffle: int | None) -> dict[str, Any]:
    table = people(effect=0.8, sites="AB").assign(session=None, acquisition=None, run=None, scan=lambda t: t["person"])
    mu = [name for name in table if name.startswith("mu_")]
    latents = table[["scan", "person", *mu]].assign(model="vae", fold=0, seed=0, split="test")
    cohort = table.drop(columns=[name for name in table if name.startswith(("mu_", "latents_"))])
    index(latents).to_parquet(folder / "index.parquet")
    parts = {"cohort": cohort, "latents": latents, "qc": table[["scan"]].assign(excluded=False)}
    for name, part in parts.items():
        part = part if shuffle is None else part.sample(frac=1, random_state=shuffle)
        part.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "no active unit"}))
    given = {name: folder / f"{name}.parquet" for name in [*parts, "index"]} | {"health": folder / "health.json"}
    scores = [score(kind) for kind in ("continuous", "count", "ordinal")]
    return given | {"scores": scores, "confounds": CONFOUNDS, "permutations": 300, "seed": 5}


def _run(folder: Path, verdict: str, shuffle: int | None = None, name: str = "a", threads: int = 1) -> pd.DataFrame:
    (folder / name).mkdir()
    out = {table: folder / name / f"{table}.parquet" for table in ("glm", "spline", "curves", "permute")}
    univariate.run(**_files(folder, verdict, shuffle), **out, threads=threads)
    return pd.read_parquet(out["permute"])


def test_row_order_and_threads_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maxt, "ELEMENTS", 2**14)
    table = _run(tmp_path, "overfit")
    _run(tmp_path, "overfit", 1, "b", threads=2)
    for ending in ("parquet", "tsv"):
        one, other = (tmp_path / name / f"permute.{ending}" for name in "ab")
        assert one.read_bytes() == other.read_bytes()
    assert list(table.columns) == list(permute.COLUMNS) and len(table) == 15 and set(table["status"]) == {"ok"}
    assert set(table["verdict"]) == {"overfit"} and set(table["permutations"]) == {300}


def test_a_collapsed_model_gives_one_row(tmp_path: Path):
    rows = _run(tmp_path, "collapsed").to_dict("records")
    assert len(rows) == 1 and (rows[0]["status"], rows[0]["verdict"]) == ("not tested", "collapsed")


def test_nulls_have_orthogonal_residuals():
    for kind in KINDS:
        y, x, _ = problem(kind)
        found = rao.fit_null(kind, y, x, None)[1]
        assert found is not None and np.abs(found.residual @ x).max() < 1e-3, kind
    assert families.fit("gamma", *problem("gamma")[:2]).status == "ok"
