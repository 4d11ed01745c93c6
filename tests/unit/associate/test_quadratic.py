"""The quadratic term by permutation: against refits by statsmodels, counting, planted Us and straight truths."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit
from univariate_rows import permute_rows

from neurovae.stats import exchangeability, maxt, quadratic, rao

pytestmark = pytest.mark.filterwarnings("error")
KINDS = ("continuous", "count", "binary")
CONFOUNDS = [{"name": "age", "type": "continuous"}]
COHORTS, DRAWS = 80, 99


def draw(kind: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return {
        "continuous": lambda: eta + rng.normal(size=len(eta)),
        "count": lambda: rng.negative_binomial(2, 1 / (1 + 0.5 * np.exp(1 + eta))).astype(float),
        "binary": lambda: (rng.random(len(eta)) < expit(eta)).astype(float),
        "ordinal": lambda: np.digitize(eta + rng.logistic(size=len(eta)), [-1.5, 0, 1.5]).astype(float),
        "gamma": lambda: rng.gamma(3, np.exp(eta) / 3),
    }[kind]()


def people(n: int, line: float, square: float, seed: int, kinds: tuple[str, ...] = KINDS) -> pd.DataFrame:
    """A joined table: latent 0 drives every score by its line and square; latent 1 is skewed, latent 2 follows both."""
    rng = np.random.default_rng(seed)
    age, z = rng.uniform(20, 80, n), rng.normal(size=(n, 3))
    z[:, 1] = rng.exponential(size=n) - 1
    z[:, 2] += 0.5 * (z[:, 0] + z[:, 1])
    z += 0.02 * (age - 50)[:, None]
    table = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(n)], "site": "A", "age": age})
    eta = line * (z[:, 0] + z[:, 1]) + square * (z[:, 0] ** 2 - 1) + (age - 50) / 40
    for kind in kinds:
        table[kind] = draw(kind, eta, rng)
    table = table.assign(latents_model="vae", latents_fold=0, latents_seed=0, latents_split="test")
    return pd.concat([table, pd.DataFrame(z, columns=[f"mu_{k:03d}" for k in range(3)])], axis=1)


def scores(*kinds: str) -> list[dict[str, Any]]:
    return [{"name": kind, "type": kind} for kind in kinds]


def problem(kinds: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, list[quadratic.Score]]:
    """Latents, confounds and scores of 90 people, as `bent` takes them."""
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(90), rng.normal(size=(90, 2))])
    z = rng.normal(size=(90, 3)) + x[:, [1]]
    y = [draw(kind, 0.5 * x[:, 1] + 0.3 * z[:, 0], rng) for kind in kinds]
    nulls = [rao.fit_null(kind, one, x, None)[1] for kind, one in zip(kinds, y, strict=True)]
    assert all(null is not None for null in nulls)
    return z, x, [(null, kind, one, None) for null, kind, one in zip(nulls, kinds, y, strict=True) if null is not None]


def standardised(z: np.ndarray) -> np.ndarray:
    return (z - z.mean(axis=0)) / z.std(axis=0)


# --- the statistic ---


def test_permuted_t_is_that_of_freedman_and_lane_refitted():
    z, x, given = problem(("continuous", "continuous"))
    index = np.vstack([np.arange(90), exchangeability.shuffle(np.zeros(90, int), 3, 0)])
    ours = quadratic.statistics(quadratic.prepare(standardised(z), x, given)[0], index)
    for row, moved in zip(ours, index, strict=True):
        for j, (_, _, y, _) in enumerate(given):
            for k in range(z.shape[1]):
                line = sm.OLS(y, np.column_stack([x, z[:, k]])).fit()
                shuffled = line.fittedvalues + line.resid[np.argsort(moved)]
                refitted = sm.OLS(shuffled, np.column_stack([x, z[:, k], z[:, k] ** 2])).fit()
                assert np.isclose(row[j, k], refitted.tvalues[-1], rtol=1e-8)


@pytest.mark.parametrize("kind", ["binary", "count", "gamma"])
def test_permuted_score_statistic_is_that_of_statsmodels(kind: str):
    z, x, given = problem(("continuous", kind))
    index = np.vstack([np.arange(90), exchangeability.shuffle(np.zeros(90, int), 3, 0)])
    ours = quadratic.statistics(quadratic.prepare(standardised(z), x, given)[0], index)[:, 1]
    for k in range(z.shape[1]):
        line = np.column_stack([x, z[:, k]])
        left = z[:, k] ** 2 - line @ np.linalg.lstsq(line, z[:, k] ** 2, rcond=None)[0]
        alpha = rao.fit_null(kind, given[1][2], line, None)[0].alpha
        family = {
            "count": sm.families.NegativeBinomial(alpha=alpha or 1.0),
            "gamma": sm.families.Gamma(link=sm.families.links.Log()),
        }.get(kind, sm.families.Binomial())
        fit = sm.GLM(given[1][2], line, family=family).fit(scale="X2" if kind == "gamma" else None, tol=1e-12)
        weight = np.abs(fit.model.hessian_factor(fit.params, fit.scale, observed=False))
        for row, moved in zip(ours, index, strict=True):
            full = np.column_stack([line, left[moved]])
            top = fit.model.score_factor(fit.params, fit.scale) @ left[moved]
            expected = top * np.sqrt(np.linalg.inv(full.T @ (weight[:, None] * full))[-1, -1])
            assert np.isclose(row[k], expected, rtol=1e-4, atol=1e-5)
            if kind == "binary":
                theirs = fit.score_test(exog_extra=left[moved][:, None])[0]
                assert np.isclose(row[k] ** 2, float(np.squeeze(theirs)), rtol=1e-5)


def test_two_levels_are_binary():
    z, x, given = problem(("binary",))
    null = rao.fit_null("ordinal", given[0][2], x, None)[1]
    assert null is not None
    index = exchangeability.shuffle(np.zeros(90, int), 5, 0)
    one, two = (
        quadratic.statistics(quadratic.prepare(standardised(z), x, [score])[0], index)
        for score in (given[0], (null, "ordinal", given[0][2], None))
    )
    assert np.allclose(one, two, rtol=1e-4, atol=1e-6)


def test_p_are_those_of_counting_over_the_draws_of_the_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maxt, "ELEMENTS", 90 * 3 * 40)  # several blocks
    z, x, given = problem(("continuous", "count"))
    strata = np.repeat([0, 1], 45)
    index = np.concatenate(list(exchangeability.blocks(strata, DRAWS, maxt.at_once(90, 3), 4)))
    lines, squares = maxt.batch(z, x, [null for null, *_ in given]), quadratic.prepare(standardised(z), x, given)[0]
    along = maxt.maxt(maxt.statistics(lines, np.arange(90)[None])[0], maxt.exceed([lines], strata, DRAWS, 4)[0])
    rows = [quadratic.quadratic(z, x, given, strata, maxt.at_once(90, 3), DRAWS, 4, threads) for threads in (1, 2)]
    assert rows[0] == rows[1]
    bends = [np.array([[one[name] for one in row] for row in rows[0]], float) for name in quadratic.NAMES[1:]]
    for test, (alone, within) in (
        (lambda i: maxt.statistics(lines, i), along),
        (lambda i: quadratic.statistics(squares, i), bends),
    ):
        seen, draws = np.abs(test(np.arange(90)[None]))[0], np.abs(test(index))
        assert np.allclose(alone, (1 + (draws >= seen).sum(axis=0)) / (DRAWS + 1))
        assert np.allclose(within, (1 + (draws.max(axis=2)[:, :, None] >= seen).sum(axis=0)) / (DRAWS + 1))


# --- planted effects, and none ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_u_is_found_and_a_sign_flip_leaves_p(kind: str):
    table = people(150, 0.0, 0.7, 0)
    found = pd.DataFrame(permute_rows(table, scores(kind), CONFOUNDS, 999, 0))
    assert found["p_quadratic_maxt"].iloc[0] <= 0.005 and found["statistic_quadratic"].iloc[0] > 3
    assert (found["p_quadratic_maxt"] >= found["p_quadratic_permutation"]).all() and set(found["m_quadratic"]) == {3}
    turned = table.assign(mu_000=-table["mu_000"], mu_001=-3 * table["mu_001"] + 2)
    again = pd.DataFrame(permute_rows(turned, scores(kind), CONFOUNDS, 999, 0))
    for name in quadratic.NAMES:
        assert np.allclose(again[name], found[name], rtol=1e-6), name
    upside = pd.DataFrame(permute_rows(people(150, 0.0, -0.7, 0), scores(kind), CONFOUNDS, 999, 0))
    assert upside["p_quadratic_maxt"].iloc[0] <= 0.005 and upside["statistic_quadratic"].iloc[0] < -3


def test_straight_truths_are_not_called_bent():
    hits: dict[tuple[str, str], int] = {}
    for seed in range(COHORTS):
        rows = pd.DataFrame(permute_rows(people(80, 0.4, 0.0, seed), scores(*KINDS), CONFOUNDS, DRAWS, seed))
        for kind, part in rows.groupby("score"):
            p = {"alone": part["p_quadratic_permutation"].iloc[seed % 3], "max-T": part["p_quadratic_maxt"].min()}
            for test, value in p.items():
                hits[str(kind), test] = hits.get((str(kind), test), 0) + int(value <= 0.05)
    most = stats.binom.isf(0.001, COHORTS, 0.05)
    assert {key: count for key, count in hits.items() if count > most} == {}
    assert sum(hits.values()) > 0.02 * COHORTS * len(hits)  # it rejects at all


# --- statuses ---


def test_what_cannot_be_tested_has_a_status():
    table = people(100, 0.3, 0.0, 3).assign(flat=2.0)
    table["mu_001"] = (table["mu_001"] > 0).astype(float)
    table["mu_003"] = np.where(table["binary"] > 0, 1.0, -1.0) * np.random.default_rng(0).uniform(0.5, 2, 100)
    table["mu_004"] = 1.0
    given = [*scores("binary", "continuous"), {"name": "flat", "type": "continuous"}]
    rows = pd.DataFrame(permute_rows(table, given, CONFOUNDS, DRAWS, 0)).set_index(["score", "latent"])
    assert list(rows.loc["binary", "quadratic_status"]) == [
        "ok", "constant square", "ok", "separation", "constant latent",
    ]  # fmt: skip
    assert list(rows.loc["continuous", "quadratic_status"])[3] == "ok"
    assert set(rows.loc["flat", "quadratic_status"]) == {"constant score"}
    tested = rows["quadratic_status"] == "ok"
    for name in [*quadratic.NAMES, "m_quadratic"]:
        assert (rows[name].notna() == tested).all(), name
    assert ((rows["quadratic_reason"] == "") == tested).all()
    assert set(rows.loc["binary", "m_quadratic"].dropna()) == {2}
    assert set(rows.loc["continuous", "m_quadratic"].dropna()) == {3}
    assert list(rows.loc["binary", "status"]) == ["ok", "ok", "ok", "ok", "constant latent"]


def test_a_score_that_a_line_determines_is_not_tested():
    z, x, _ = problem(("continuous",))
    y = z[:, 1] + x[:, 2]
    null = rao.fit_null("continuous", y, x, None)[1]
    assert null is not None
    rows = quadratic.quadratic(z, x, [(null, "continuous", y, None)], np.zeros(90, int), 50, DRAWS, 0)[0]
    assert [row["quadratic_status"] for row in rows] == ["ok", "constant score", "ok"]
    assert "p_quadratic_maxt" not in rows[1] and rows[0]["m_quadratic"] == 2


def test_without_any_square_nothing_is_tested():
    z, x, given = problem(("count",))
    rows = quadratic.quadratic(np.sign(z), x, given, np.zeros(90, int), 50, DRAWS, 0)[0]
    assert {row["quadratic_status"] for row in rows} == {"constant square"}
