"""Imputation and Rubin's rules: closed forms, and R's mice frozen by tests/unit/stats/r/impute.R."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import chi2, f

from neurovae.stats import chained, rubin

pytestmark = pytest.mark.filterwarnings("error")
HERE = Path(__file__).parent / "r"
DATA = pd.read_csv(HERE / "data.tsv", sep="\t", float_precision="round_trip")
IMPUTED = pd.read_csv(HERE / "imputed.tsv", sep=r"\s+")
R: dict[str, Any] = json.loads((HERE / "impute.json").read_text(encoding="utf-8"))
DRAWS = 400


def fit(y: str, age: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Effect of z and its standard error in one completed table."""
    x = sm.add_constant(np.column_stack([age, group, DATA["z"]]))
    found = sm.OLS(DATA[y], x).fit() if y == "gauss" else sm.Logit(DATA[y], x).fit(disp=0, tol=1e-12)
    return float(found.params.iloc[-1]), float(found.bse.iloc[-1])


@pytest.mark.parametrize(("name", "y"), [("linear", "gauss"), ("logistic", "binary")])
def test_rubins_rules_are_those_of_mice(name: str, y: str) -> None:
    fits = np.array([fit(y, IMPUTED[f"age_{k}"], IMPUTED[f"group_{k}"]) for k in range(1, 6)])
    found, r = rubin.pool(fits[:, 0], fits[:, 1], np.full(5, len(DATA) - 4.0)), R[name]
    ours = [found.effect, found.se**2, found.df, found.fmi, found.p]
    assert np.allclose(ours, [r["estimate"], r["t"], r["df"], r["fmi"], r["p"]], rtol=1e-6)


def test_rubins_rules_in_closed_form() -> None:
    found = rubin.pool(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.full(2, np.inf))
    assert found.effect == 2 and np.isclose(found.se, np.sqrt(1 + 1.5 * 2))  # within 1, between 2, m 2
    assert np.isclose(found.df, 1 / 0.75**2)  # Rubin 1987: (m - 1) / lambda^2
    same = rubin.pool(np.full(20, 0.4), np.full(20, 0.2), np.full(20, 30.0))
    assert np.isclose(same.df, 31 / 33 * 30) and np.isclose(same.fmi, 2 / (same.df + 3)) and np.isclose(same.se, 0.2)


def test_the_p_of_equal_tables_is_that_of_one() -> None:
    effect, p = np.full(20, 0.4), np.full(20, 0.0123)
    errors = rubin.matching_errors(effect, np.full(20, 0.3), p, np.full(20, np.inf))
    assert np.isclose(rubin.pool(effect, errors, np.full(20, np.inf)).p, 0.0123)
    assert np.isclose(rubin.several(p, 3), 0.0123) and np.allclose(rubin.statistic(np.full((20, 2), 1.7)), 1.7)
    assert rubin.matching_errors(np.zeros(2), np.full(2, 0.3), np.ones(2), np.full(2, np.inf)).tolist() == [0.3, 0.3]


def test_d2_of_one_column_in_its_closed_form() -> None:
    d = np.array([4.0, 9.0, 1.0])
    ratio = 4 / 3 * 1.0  # the roots 2, 3, 1 have variance 1
    statistic = (14 / 3 - 4 / 2 * ratio) / (1 + ratio)
    assert np.isclose(rubin.several(chi2.sf(d, 1), 1), f.sf(statistic, 1, 2 * (1 + 1 / ratio) ** 2))


def test_a_pooled_statistic_is_smaller_by_what_the_tables_differ() -> None:
    t = np.array([[2.0], [3.0], [1.0]])
    assert np.allclose(rubin.statistic(t), 2 / np.sqrt(1 + 4 / 3))
    draws = np.random.default_rng(0).normal(size=(50, 20_000))  # between tables
    own = np.random.default_rng(1).normal(size=20_000)  # of the people
    spread = 0.5  # B / W: the mean over tables varies by 1 + B, and B / m more
    assert abs(rubin.statistic(own * np.sqrt(1 + spread) + np.sqrt(spread) * draws).std() - 1) < 0.02


def gaps() -> tuple[list[chained.Variable], np.ndarray, np.ndarray]:
    """Age and group with the gaps of impute.R, the score and the latent."""
    row = np.arange(1, len(DATA) + 1)
    lost = (DATA["gauss"] > DATA["gauss"].median()).to_numpy() & (row % 2 == 1)
    variables = [chained.Variable(DATA[[name]].to_numpy(float), known)
                 for name, known in (("age", ~lost), ("group", row % 10 != 3))]  # fmt: skip
    assert np.array_equal(row[lost], R["age"]["row"]) and np.array_equal(row[row % 10 == 3], R["group"]["row"])
    return variables, DATA[["gauss"]].to_numpy(float), DATA[["z"]].to_numpy(float)


def test_imputations_are_those_of_mice() -> None:
    variables, score, z = gaps()
    rng = np.random.default_rng(0)
    donors = np.array([chained.drawn(variables, score, z, rng) for _ in range(DRAWS)])
    age, group = (DATA[name].to_numpy(float)[donors[:, :, k]] for k, name in enumerate(("age", "group")))
    assert (age[:, variables[0].known] == DATA["age"].to_numpy()[variables[0].known]).all()
    here, there = age[:, R["age"]["row"] - np.array(1)], R["age"]
    # a cell's mean over 400 draws has a standard error of at most .05, over mice's 1000 of .03
    apart = (here.mean(axis=0) - there["mean"]) / (np.array(there["sd"]) * np.sqrt(1 / DRAWS + 1 / 1000))
    assert np.sqrt(np.mean(apart**2)) < 1.8 and np.abs(here.std(axis=0) / there["sd"] - 1).max() < 0.2
    share = group[:, R["group"]["row"] - np.array(1)].mean(axis=0)
    assert np.abs(share - R["group"]["mean"]).max() < 0.12
    fits = np.array([fit("gauss", a, b) for a, b in zip(age, group, strict=True)])
    found, r = rubin.pool(fits[:, 0], fits[:, 1], np.full(DRAWS, 146.0)), R["many"]
    assert abs(found.effect - r["estimate"]) < 0.003 and abs(found.se / np.sqrt(r["t"]) - 1) < 0.01
    assert abs(found.fmi - r["fmi"]) < 0.015


def test_expected_columns_are_learnt_from_training_rows_alone() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(90, 3))
    a = z @ [1.0, -1.0, 0.5] + 0.1 * rng.normal(size=90)
    known, train = rng.random(90) > 0.3, np.arange(90) < 60
    variable = chained.Variable(a[:, None], known)
    found = chained.means([variable], z, train)[0][:, 0]
    x = np.column_stack([np.ones(90), z])
    coef = np.linalg.lstsq(x[known & train], a[known & train], rcond=None)[0]
    assert np.allclose(found[~known], (x @ coef)[~known], atol=1e-3) and (found[known] == a[known]).all()
    wild = np.where(train, a, 1e6)  # what test rows hold teaches nothing
    other = chained.means([chained.Variable(wild[:, None], known)], z, train)[0][:, 0]
    assert np.array_equal(other[~known], found[~known])


def test_helpers_beyond_a_third_of_the_rows_are_the_least_correlated() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(size=(60, 40))
    a = z[:, 7] + z[:, 21] + 0.2 * rng.normal(size=60)
    one = chained.Variable(a[:, None], np.ones(60, bool))
    chosen = chained._helping(0, [one], np.empty((60, 1)), z, np.arange(60) < 45)
    assert len(chosen) == 45 // 3 - 2 and {7, 21} <= set(chosen)
