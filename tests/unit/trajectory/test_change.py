"""time x score: against the mixed model of statsmodels, what it is adjusted for, and its statistic in closed form."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from growth_cohort import CONFOUNDS, SCORE, draw

from neurovae.stats import growth
from neurovae.stats.exchangeability import shuffle
from neurovae.trajectory.change import change, prepare, statistic_of
from neurovae.trajectory.frame import AGE, YEARS, confounds_of, frame
from neurovae.trajectory.growth_rows import effects, fit_all, people, redrawn


def rows(table: pd.DataFrame, permutations: int = 1000, score: dict = SCORE) -> pd.DataFrame:
    names = [name for name in table if str(name).startswith("mu_")]
    design = frame(table, confounds_of(table, CONFOUNDS, None, True))
    return pd.DataFrame(
        change(design, table[names].to_numpy(float), names, table, score, {}, permutations, 0)
    ).set_index("latent")


def test_planted_change_is_found_and_only_there() -> None:
    found = rows(draw(3, score_on_change=1.0, latents=4).table)
    assert found["p_maxt"].iloc[0] <= 0.002 and (found["p_maxt"].iloc[1:] > 0.05).all()
    assert (found["m"] == 4).all() and (found["family_size"] == 4).all()
    assert found["exchangeability"].iloc[0] == "whole people among those with equally many visits"
    assert found["effect"].iloc[0] > 0


def test_as_mixedlm() -> None:
    """Effect and standard error of time x score, with age x time and sex x time in the model."""
    table = draw(5, latents=2, score_on_change=0.5).table
    row = rows(table).iloc[0]
    s = table["score"] - table.drop_duplicates("person")["score"].mean()
    s = (s / table.drop_duplicates("person")["score"].std()).to_numpy()
    t, age, sex = table["years"].to_numpy(), table["age_first"].to_numpy() - 70, (table["sex"] == "M").to_numpy(float)
    x = np.column_stack([np.ones(len(t)), age, t, sex, age * t, sex * t, s, s * t])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exog = np.column_stack([np.ones(len(t)), t])
        other = sm.MixedLM(table["mu_00"].to_numpy(), x, table["person"], exog_re=exog).fit(method=["bfgs", "lbfgs"])
    sd = table.drop_duplicates("person")["mu_00"].std()
    assert row["effect"] * sd == pytest.approx(other.params[7], abs=1e-5)
    assert row["se"] * sd == pytest.approx(other.bse[7], rel=0.03)  # statsmodels: from the Hessian


def test_the_statistic_in_closed_form() -> None:
    """The observed score statistic is the GLS t of the product, with the variances of the model without it."""
    table = draw(6, latents=1, people=40).table
    design = frame(table, confounds_of(table, CONFOUNDS, None, True))
    y = table["mu_00"].to_numpy()
    first = table.drop_duplicates("person")["score"].to_numpy()
    data = prepare(design, first, "continuous", table["site"].to_numpy())
    assert data is not None
    observed = statistic_of(data, y[:, None], True)(np.arange(40)[None])[0, 0, 0]
    s = data.s[data.person]
    null = growth.fit(growth.visits(np.column_stack([data.x, s]), data.t, data.person, True), y)
    z = np.column_stack([np.ones(len(y)), data.t])
    same = data.person[:, None] == data.person
    v = np.where(same, z @ null.random @ z.T, 0) + null.residual * np.eye(len(y))
    x = np.column_stack([data.x, s, s * data.t])
    inside = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    coef = inside @ x.T @ np.linalg.solve(v, y)
    assert observed == pytest.approx(coef[-1] / np.sqrt(inside[-1, -1]), rel=1e-6)


def test_a_permuted_statistic_is_that_of_the_permuted_score() -> None:
    """Rank of draws: each permuted value is the score test of the permuted residual beside its own main effect."""
    table = draw(7, latents=1, people=40).table
    design = frame(table, confounds_of(table, CONFOUNDS, None, True))
    y = table["mu_00"].to_numpy()
    data = prepare(design, table.drop_duplicates("person")["score"].to_numpy(), "continuous", table["site"].to_numpy())
    assert data is not None
    order = np.random.default_rng(0).permutation(40)
    value = statistic_of(data, y[:, None], True)(order[None])[0, 0, 0]
    null = growth.fit(growth.visits(np.column_stack([data.x, data.s[data.person]]), data.t, data.person, True), y)
    z, same = np.column_stack([np.ones(len(y)), data.t]), data.person[:, None] == data.person
    v = np.linalg.inv(np.where(same, z @ null.random @ z.T, 0) + null.residual * np.eye(len(y)))
    r = y - np.column_stack([data.x, data.s[data.person]]) @ null.coef
    e = data.e[order][data.person]
    nuisance, g = np.column_stack([data.x, e]), e * data.t
    g = g - nuisance @ np.linalg.solve(nuisance.T @ v @ nuisance, nuisance.T @ v @ g)
    assert value == pytest.approx(g @ v @ r / np.sqrt(g @ v @ g), rel=1e-6)


def test_change_that_age_explains_is_not_the_scores() -> None:
    """Slopes that follow age alone, and a score that is age with noise: without age x time it would be found."""
    cohort = draw(8, people=150, latents=1, slope_sd=0.1)
    table = cohort.table
    rng = np.random.default_rng(1)
    extra = 0.15 * (table["age_first"] - 70) / 8 * table["years"]
    noise = dict(zip(table["person"].unique(), rng.normal(size=150), strict=True))
    score = (table["age_first"] - 70) / 8 + 0.3 * table["person"].map(noise)
    table = table.assign(mu_00=table["mu_00"] + extra, score=score)
    assert rows(table)["p_permutation"].iloc[0] > 0.05
    assert rows(table.assign(age_first=np.nan))["p_permutation"].iloc[0] <= 0.01


def test_people_without_the_score_are_left_out_and_too_few_are_said() -> None:
    table = draw(9, latents=2).table
    some = table["person"].isin(sorted(table["person"].unique())[:12])
    found = rows(table.assign(score=table["score"].where(some)))
    assert (found["status"] == "too few people").all() and "12 people" in found["reason"].iloc[0]
    found = rows(table.assign(score=(table["sex"] == "M").astype(float)), score={"name": "score", "type": "binary"})
    assert (found["status"] == "explained by confounds").all()


def test_ageing_is_not_confounded_with_differences_between_ages() -> None:
    """Planted: .03 a year between people, .2 within; two visits have no slopes, and the row says so."""
    table = draw(10, people=400, latents=3, slope_sd=0.1, score_on_level=0).table
    names = ["mu_00", "mu_01", "mu_02"]
    design = frame(table, confounds_of(table, CONFOUNDS, None, True))
    found = pd.DataFrame(effects(fit_all(design, table[names].to_numpy(float)), names, {}))
    for term, truth in ((AGE, 0.03), (YEARS, 0.2)):
        part = found[found["term"].str.startswith("between" if term == AGE else "within")]
        assert (np.abs(part["effect"] - truth) < 4 * part["se"]).all() and (part["se"] < 0.02).all()
    assert (found["random"] == "level and slope").all()
    two = draw(10, people=60, latents=1, visits=(2, 2)).table
    design = frame(two, confounds_of(two, CONFOUNDS, None, True))
    fits = fit_all(design, two[["mu_00"]].to_numpy(float))
    assert effects(fits, ["mu_00"], {})[0]["random"].startswith("level (fewer than 10 people have three visits")
    own = people(fits, ["mu_00"], sorted(two["person"].unique()), {})
    assert own["slope_reliability"].isna().all()
    assert own["slope"].isna().all() and own["level_reliability"].between(0, 1).all()


def test_slopes_correlate_with_the_truth_as_their_reliability_says() -> None:
    """150 people, within .1 of the root of the mean reliability."""
    cohort = draw(11, people=150, latents=4)
    names = [f"mu_0{k}" for k in range(4)]
    design = frame(cohort.table, confounds_of(cohort.table, CONFOUNDS, None, True))
    table = people(fit_all(design, cohort.table[names].to_numpy(float)), names, sorted(set(cohort.table["person"])), {})
    for k, name in enumerate(names):
        part = table[table["latent"] == name]
        r = np.corrcoef(part["slope"], cohort.slope[:, k])[0, 1]
        assert r == pytest.approx(np.sqrt(part["slope_reliability"].mean()), abs=0.1)


def test_relatives_change_places_as_families_and_the_rows_say_what_ignores_them() -> None:
    table = draw(12, people=60, latents=1, visits=(3, 3)).table
    number = table["person"].str[-3:].astype(int)
    table = table.assign(family=[f"f{k // 2 if k < 40 else k}" for k in number])
    design = frame(table, confounds_of(table, [], None, True))
    first = table.drop_duplicates("person")["score"].to_numpy()
    data = prepare(design, first, "continuous", table["site"].to_numpy())
    assert data is not None
    order = shuffle(data.strata, 50, 0)
    pairs = order[:, :40].reshape(50, 20, 2)
    assert (pairs[:, :, 1] == pairs[:, :, 0] + 1).all() and (pairs[:, :, 0] % 2 == 0).all() and (pairs < 40).all()
    assert (np.sort(order[:, 40:], axis=1) == np.arange(40, 60)).all() and (order[:, 40:] != np.arange(40, 60)).any()
    row = rows(table).iloc[0]
    assert row["exchangeability"] == "whole families of equal size whose members have equally many visits"
    assert "jackknife over families" in row["reason"]
    of_effects = effects(fit_all(design, table[["mu_00"]].to_numpy(float)), ["mu_00"], {})
    assert all("jackknife over families" in one["reason"] for one in of_effects)
    alone = rows(table[number % 2 == 0].reset_index(drop=True)).iloc[0]
    assert alone["exchangeability"].startswith("whole people") and alone["reason"] == ""
    weights = redrawn(np.repeat(["a", "b", "c"], 2), 20, 0)
    assert (weights[:, ::2] == weights[:, 1::2]).all() and (weights.sum(axis=1) == 6).all() and (weights[0] == 1).all()


def test_a_time_to_an_event_is_not_tested_as_a_number() -> None:
    table = draw(13, latents=2).table.assign(score_event=1.0)
    found = rows(table, score=SCORE | {"type": "survival", "time": "score", "event": "had"})
    assert (found["status"] == "not made for survival").all() and "p" not in found


def test_a_first_visit_without_a_confound_is_the_start_still() -> None:
    """Level and score are those of the first session, where the visit itself is left out of the fit."""
    table = draw(14, people=60, latents=1, visits=(4, 4), slope_sd=1.0, noise=0.05).table
    rng, confounds = np.random.default_rng(0), [{"name": "dose", "type": "continuous"}]
    table = table.assign(dose=rng.normal(size=len(table)))
    less = table.assign(dose=table["dose"].where((table["person"] != "sub-003") | (table["session"] != "1")))
    levels, tested = [], []
    for one in (table, less, less.assign(score=less["score"] + 100.0 * (less["session"] != "1"))):
        design = frame(one, confounds_of(one, confounds, None, True))
        z = one[["mu_00"]].to_numpy(float)
        found = people(fit_all(design, z[design.rows]), ["mu_00"], sorted(set(one["person"])), {})
        levels.append(found.loc[found["person"] == "sub-003", "level"].iloc[0])
        tested.append(change(design, z[design.rows], ["mu_00"], one, SCORE, {}, 99, 0)[0]["effect"])
    assert levels[1] == pytest.approx(levels[0], abs=0.15)
    assert tested[2] == pytest.approx(tested[1], rel=1e-12)
