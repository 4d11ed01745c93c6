"""Replication against scipy and statsmodels, with a planted effect, and with none."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import spatial, stats
from statsmodels.stats.multitest import multipletests
from two_cohorts import AGE, CONFOUNDS, given_away, people

from neurovae.design.design import join
from neurovae.external import replication, score


def table(rows: dict[str, list[Any]]) -> pd.DataFrame:
    return pd.DataFrame({"latent": [f"mu_{k:03d}" for k in range(len(rows["effect"]))], **rows})


def source(effect: list[float], p_maxt: list[float]) -> pd.DataFrame:
    count = len(effect)
    return table(
        {"effect": effect, "ci_low": effect, "ci_high": effect, "p": p_maxt, "p_maxt": p_maxt, "n": [90] * count}
    )


def here(effect: list[float], p: list[float]) -> pd.DataFrame:
    same = {"n": [40] * len(p), "status": ["ok"] * len(p), "reason": [""] * len(p)}
    return table({"effect": effect, "ci_low": effect, "ci_high": effect, "p": p, **same})


def test_one_sided_p_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30))
    y = y + 0.3 * x
    for expected, alternative in ((1.0, "greater"), (-1.0, "less")):
        two = stats.linregress(x, y)
        one = stats.linregress(x, y, alternative=alternative)
        assert replication.one_sided(two.slope, two.pvalue, expected) == pytest.approx(one.pvalue, abs=1e-14)


def test_only_what_was_found_is_tested_in_its_direction_with_holm_over_these():
    rows = replication.replicate(
        source([0.5, -0.4, 0.3, 0.2], [0.001, 0.02, 0.04, 0.3]), here([0.4, -0.3, -0.2, 0.5], [0.01, 0.06, 0.2, 1e-9])
    )
    assert [row["p_one_sided"] for row in rows[:3]] == pytest.approx([0.005, 0.03, 0.9])
    assert np.isnan(rows[3]["p_one_sided"]) and not rows[3]["found"] and rows[3]["replicated"] is None
    expected = multipletests([0.005, 0.03, 0.9], method="holm")[1]
    assert [row["p_holm"] for row in rows[:3]] == pytest.approx(expected) and {row["m"] for row in rows} == {3}
    assert [row["replicated"] for row in rows[:3]] == [True, False, False]
    line = replication.agreement(rows, None)
    assert (line["n_found"], line["n_same_sign"], line["n_replicated"], line["m"]) == (3, 2, 1, 4)
    a, b = [0.5, -0.4, 0.3, 0.2], [0.4, -0.3, -0.2, 0.5]
    assert line["r_effects"] == pytest.approx(1 - spatial.distance.cosine(a, b))


def test_the_agreement_does_not_depend_on_the_arbitrary_signs_of_latents():
    """Effects of +.3 with a little noise in both cohorts agree; Pearson's r of them is near 0, or near 1 if flipped."""
    rng = np.random.default_rng(3)
    z, x = rng.normal(size=(50, 8)), np.ones((50, 1))
    y = z.sum(axis=1) + rng.normal(size=50)
    there, found = 0.3 + 0.02 * rng.normal(size=8), replication.effects(y, x, z)
    flips = np.array([1, -1, 1, -1, 1, -1, 1, -1])
    r = []
    for sign in (np.ones(8), flips):
        rows = replication.replicate(source(list(sign * there), [0.001] * 8), here(list(sign * found), [0.01] * 8))
        line = replication.agreement(rows, (y, x, sign * z))
        r.append([line[name] for name in ("r_effects", "r_low", "r_high")])
    np.testing.assert_allclose(r[0], r[1], rtol=1e-9)
    assert r[0][0] > 0.9


def test_a_latent_that_is_not_tested_here_has_no_p_and_counts_in_no_family():
    tested = here([0.4, 0.3], [0.01, 0.02])
    tested.loc[1, ["status", "effect", "p"]] = ["constant latent", np.nan, np.nan]
    rows = replication.replicate(source([0.5, 0.4], [0.001, 0.001]), tested)
    assert rows[1]["same_sign"] is None and np.isnan(rows[1]["p_holm"]) and rows[0]["p_holm"] == rows[0]["p_one_sided"]
    assert replication.agreement(rows, None)["status"] == "too few latents"


def test_effects_for_the_interval_are_those_of_the_regression():
    rng = np.random.default_rng(1)
    y, z = rng.normal(size=40), rng.normal(size=(40, 3))
    x = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    standard = (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)
    expected = [
        sm.OLS((y - y.mean()) / y.std(ddof=1), np.column_stack([x, one])).fit().params[-1] for one in standard.T
    ]
    np.testing.assert_allclose(replication.effects(y, x, z), expected, rtol=1e-10)


def test_without_an_effect_the_one_sided_p_is_uniform_and_the_interval_holds_the_truth():
    rng = np.random.default_rng(2)
    p, held, truth = [], [], rng.normal(size=20)
    for _ in range(400):
        n = 40
        y, z = rng.normal(size=n), rng.normal(size=(n, 1))
        fit = sm.OLS(y, sm.add_constant(z)).fit()
        p.append(replication.one_sided(fit.params[1], fit.pvalues[1], 1.0))
    for _ in range(200):
        n = 60
        z, x = rng.normal(size=(n, 20)), np.ones((n, 1))
        y = rng.normal(size=n)  # effects here are noise, uncorrelated with those there
        r = replication.correlation(truth, replication.effects(y, x, z))
        low, high = replication.jackknife(r, truth, y, x, z)
        held.append(low <= 0 <= high)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.90 <= np.mean(held) <= 0.99  # of 200, standard error .015


def test_the_same_cohort_gives_its_own_effects():
    parts = people(80)
    theirs = given_away(parts, [AGE])["scores"][0]
    rows = score.associations(join(*parts), AGE, CONFOUNDS, theirs)
    whole, latents = rows[0], rows[1:]
    assert whole["r_effects"] == pytest.approx(1) and whole["n_same_sign"] == whole["n_found"] == whole["n_replicated"]
    for row in latents:
        assert row["effect"] == pytest.approx(row["effect_source"], rel=1e-9) and row["n"] == row["n_source"]
        if row["found"]:
            assert row["p_one_sided"] == pytest.approx(row["p"] / 2)


def test_planted_effects_replicate_in_other_people_on_another_scanner_and_absent_ones_do_not():
    theirs = given_away(people(90), [AGE])["scores"][0]
    same = score.associations(join(*people(60, 1, site="B", shift=2.0)), AGE, CONFOUNDS, theirs)
    assert {row["latent"] for row in same[1:] if row["replicated"]} == {"mu_000", "mu_001"}
    none = score.associations(join(*people(60, 1, site="B", effect=0.0)), AGE, CONFOUNDS, theirs)
    assert none[0]["n_found"] == 2 and none[0]["n_replicated"] == 0
