"""The design check against rules.md's numbers, scipy's noncentral t, simulated cohorts and Hsieh's table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct, t

from neurovae.audit import power
from neurovae.design.design import design

pytestmark = pytest.mark.filterwarnings("error")


def test_check_10_of_the_rules():
    assert round(power.smallest(118, 3, 0.05, 0.8), 2) == 0.26
    assert round(power.smallest(118, 3, 0.05 / 32, 0.8), 2) == 0.36


@pytest.mark.parametrize(
    "people, columns, level, wanted", [(30, 2, 0.05, 0.8), (118, 3, 0.05 / 32, 0.9), (5000, 20, 1e-4, 0.8)]
)
def test_power_is_that_of_the_noncentral_t(people: int, columns: int, level: float, wanted: float):
    r = power.smallest(people, columns, level, wanted)
    df, shift = people - columns - 2, r * np.sqrt((people - columns - 1) / (1 - r**2))
    bound = t.isf(level / 2, df)
    np.testing.assert_allclose(nct.sf(bound, df, shift) + nct.cdf(-bound, df, shift), wanted, rtol=1e-6)
    np.testing.assert_allclose(power.power_of(-r, people, columns, level), wanted, rtol=1e-6)
    np.testing.assert_allclose(power.power_of(0.0, people, columns, level), level, rtol=1e-6)


@pytest.mark.parametrize("level", [0.05, 0.05 / 32])
def test_simulated_cohorts_find_it_as_often(level: float):
    people, columns, draws = 60, 3, 4000
    r = power.smallest(people, columns, level, 0.8)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(draws, people, columns))
    z = x.sum(axis=2) + rng.normal(size=(draws, people))
    y = x.sum(axis=2) + r * (z - x.sum(axis=2)) + np.sqrt(1 - r**2) * rng.normal(size=(draws, people))
    q = np.linalg.qr(np.concatenate([np.ones((draws, people, 1)), x], axis=2))[0]
    left = [v - np.einsum("dij,dj->di", q, np.einsum("dij,di->dj", q, v)) for v in (z, y)]
    found = np.sum(left[0] * left[1], axis=1) / np.sqrt(np.prod([np.sum(v**2, axis=1) for v in left], axis=0))
    df = people - columns - 2
    hits = int((np.abs(found) * np.sqrt(df / (1 - found**2)) > t.isf(level / 2, df)).sum())
    assert abs(hits / draws - 0.8) < 3.3 * np.sqrt(0.8 * 0.2 / draws), hits / draws


def test_odds_ratio_is_hsiehs():
    y = np.repeat([1.0, 0.0], [317, 317])
    np.testing.assert_allclose(power.odds_ratio(y, 0.1, 0.95), np.exp(3.2897 / np.sqrt(634 / 4)), rtol=1e-4)
    rng = np.random.default_rng(0)
    people, draws = 200, 600
    beta = np.log(power.odds_ratio(np.repeat([0.0, 1.0], people // 2), 0.05, 0.8))
    z = rng.normal(size=(draws, people))
    y = rng.random((draws, people)) < 1 / (1 + np.exp(-beta * z))
    means = [np.array([row[pick].mean() for row, pick in zip(z, side, strict=True)]) for side in (y, ~y)]
    error = np.sqrt(z.var(axis=1) * (1 / y.sum(axis=1) + 1 / (~y).sum(axis=1)))
    hits = np.mean(np.abs(means[0] - means[1]) / error > 1.96)  # the score test
    assert abs(hits - 0.8) < 0.07, hits


def table(people: int = 118) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    cohort = pd.DataFrame({"person": [f"sub-{k:03d}" for k in range(people)]})
    cohort = cohort.assign(scan=cohort["person"], session=None, acquisition=None, run=None, site="n/a", fold=0)
    cohort = cohort.assign(age=rng.uniform(20, 85, people), motor=rng.normal(size=people))
    return cohort.assign(ill=(rng.random(people) < 0.3).astype(float), rare=(np.arange(people) < 3).astype(float))


CONFOUNDS = [{"name": "age", "type": "continuous"}, {"name": "head_size", "type": "continuous", "from": "preprocess"}]
SCORES = [
    {"name": "motor", "type": "continuous"},
    {"name": "ill", "type": "binary"},
    {"name": "rare", "type": "binary"},
]


def test_rows_of_the_design_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cohort = table()
    cohort.loc[:7, "motor"] = np.nan
    cohort.to_parquet(tmp_path / "cohort.parquet")
    power.run(
        cohort=tmp_path / "cohort.parquet",
        scores=SCORES,
        confounds=CONFOUNDS,
        latents=32,
        power=0.8,
        out=tmp_path / "power.tsv",
    )
    rows = pd.read_csv(tmp_path / "power.tsv", sep="\t", na_values="n/a").set_index(["score", "tests"])
    motor = rows.loc[("motor", 32)]
    assert (motor["n"], motor["people"], motor["confound_columns"], motor["level"]) == (110, 118, 7, 0.05 / 32)
    np.testing.assert_allclose(motor["partial_r"], power.smallest(110, 7, 0.05 / 32, 0.8))
    assert "measured by preprocess" in motor["confounds"] and "fewer than 300" in motor["reason"]
    assert rows.loc[("ill", 1), "odds_ratio"] > 1.5 and rows.loc[("ill", 1), "cases"] == cohort["ill"].sum()
    assert rows.loc[("rare", 1), "status"] == "too few people" and np.isnan(rows.loc[("rare", 1), "partial_r"])
    said = capsys.readouterr().out
    assert (
        "motor: 110 participants, 7 confound regressors, 32 tests: smallest detectable partial r 0.3" in said
        and "warning: motor: 110 participants" in said
    )


def test_it_counts_the_confound_columns_that_the_tests_have():
    """Membership in the training set is a confound of every test, and was not counted."""
    cohort = table()
    mu = pd.DataFrame({"mu_000": np.random.default_rng(1).normal(size=len(cohort))})
    joined = pd.concat([cohort, mu], axis=1).assign(session_order=1, latents_split=["training", "test"] * 59)
    joined = joined.assign(qc_head_size=np.random.default_rng(2).normal(size=len(cohort)))
    tested = design(joined, SCORES[0], CONFOUNDS)
    row = power.check(cohort, SCORES[0], CONFOUNDS, 1, 0.8, 0.05)[0]
    assert row["confound_columns"] == tested.x.shape[1] - 1 == 7
    assert row["confounds"].endswith("split (2 levels)") and tested.text.endswith("split (2 levels)")
    assert power.check(cohort, SCORES[0], [], 1, 0.8, 0.05)[0]["confounds"] == "split (2 levels)"


def test_several_hundred_people_give_no_warning():
    rows = power.check(table(300), SCORES[0], CONFOUNDS, 1, 0.8, 0.05)
    assert len(rows) == 1 and rows[0]["reason"] == "" and rows[0]["n"] == 300
