"""Cox regression against a closed form, statsmodels, lifelines, scikit-survival and R's survival.

lifelines and scikit-survival are frozen in cox/reference.json (cox/reference.py makes it), R's survival in
cox/survival.json (cox/survival.R). R's published `summary(coxph(...))` of lung and veteran is typed here as printed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, chi2
from statsmodels.duration.hazard_regression import PHReg

from neurovae.stats import cox, families, survival
from neurovae.stats.clusters import influence
from neurovae.stats.rao import null

pytestmark = pytest.mark.filterwarnings("error")
HERE = Path(__file__).parent / "cox"
FROZEN: dict[str, Any] = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))
R: dict[str, Any] = json.loads((HERE / "survival.json").read_text(encoding="utf-8"))
SIMULATED = pd.read_csv(HERE / "simulated.tsv", sep="\t")
X = SIMULATED[["a", "b", "c", "d"]].to_numpy()


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(HERE / f"{name}.tsv", sep="\t", na_values=["n/a"])


def y_of(table: pd.DataFrame, event: str = "status", entry: np.ndarray | float = 0.0) -> np.ndarray:
    return np.column_stack([np.broadcast_to(entry, len(table)), table["time"], table[event]]).astype(float)


def with_one(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(x)), x])


def fit(y: np.ndarray, x: np.ndarray) -> families.Fit:
    return families.fit("survival", y, with_one(x))


def test_three_people_by_hand():
    """Times 1, 2, 3+; x 1, 0, 1: L = u / (2 u + 1) / (1 + u), u = exp(coef), largest at u = 1 / sqrt(2)."""
    found = cox.fit(cox.risk_sets(np.array([[0, 1, 1], [0, 2, 1], [0, 3, 0.0]])), np.array([[1.0], [0], [1]]))
    u = 1 / np.sqrt(2)
    assert found.coef[0] == pytest.approx(-np.log(2) / 2, abs=1e-9)
    assert found.loglike == pytest.approx(np.log(u / (2 * u + 1) / (1 + u)))
    information = 2 * u / (2 * u + 1) ** 2 + u / (1 + u) ** 2
    assert found.cov[0, 0] == pytest.approx(1 / information)


def test_two_tied_events_by_hand():
    """Both events of three people at time 1: Efron's second denominator holds half of each of the two."""
    y = np.array([[0, 1, 1], [0, 1, 1], [0, 2, 0.0]])
    eta = np.array([0.3, -0.2, 0.5])
    a, b, c = np.exp(eta)
    expected = eta[0] + eta[1] - np.log(a + b + c) - np.log((a + b) / 2 + c)
    assert cox.loglike(cox.risk_sets(y), eta) == pytest.approx(expected)
    assert np.allclose(cox.shares(y, eta)[1][1], np.array([a / 2, b / 2, c]) / ((a + b) / 2 + c))


def test_who_enters_at_or_after_an_event_is_not_at_risk_of_it():
    y = np.array([[0, 2, 1], [2, 3, 1], [1, 4, 0.0]])
    assert (cox.shares(y, np.zeros(3))[1] == [[0.5, 0, 0.5], [0, 0.5, 0.5]]).all()


@pytest.mark.parametrize("late", [False, True])
def test_lifelines_with_ties_and_delayed_entry(late: bool):
    y = y_of(SIMULATED, "event", SIMULATED["entry"].to_numpy() if late else 0.0)
    found, theirs = fit(y, X), FROZEN["late" if late else "plain"]
    assert np.allclose(found.coef[1:], theirs["coef"], atol=1e-5, rtol=0)
    assert np.allclose(np.sqrt(np.diag(found.cov))[1:], theirs["se"], atol=1e-5, rtol=0)
    assert found.loglike == pytest.approx(theirs["ll"], abs=1e-5)


def test_statsmodels_with_ties_and_with_delayed_entry():
    """statsmodels lets who enters at an event be at risk of it, unlike R: entries are moved off the grid of times."""
    for y in (y_of(SIMULATED, "event"), y_of(SIMULATED, "event", SIMULATED["entry"].to_numpy() + 0.05)):
        y = y[y[:, 1] > y[:, 0]]
        x = X[: len(y)]
        theirs = PHReg(y[:, 1], x, status=y[:, 2], entry=y[:, 0] if y[:, 0].any() else None, ties="efron").fit(disp=0)
        found = fit(y, x)
        assert np.allclose(found.coef[1:], theirs.params, atol=1e-6, rtol=0)
        assert np.allclose(np.sqrt(np.diag(found.cov))[1:], theirs.bse, atol=1e-6, rtol=0)
        assert found.loglike == pytest.approx(theirs.llf, abs=1e-6)


@pytest.mark.parametrize("name", ["plain", "late", "untied"])
def test_r_survival_with_ties_and_delayed_entry(name: str):
    """Coefficients, errors, likelihood, cox.zph of each column against time itself, robust errors."""
    table = SIMULATED.assign(time=SIMULATED["continuous"]) if name == "untied" else SIMULATED
    y = y_of(table, "event", SIMULATED["entry"].to_numpy() if name == "late" else 0.0)
    found, empty, theirs = fit(y, X), fit(y, X[:, :0]), R[name]
    assert (len(y), y[:, 2].sum()) == (theirs["n"], theirs["events"])
    assert np.allclose(found.coef[1:], theirs["coef"], atol=1e-7, rtol=0)
    assert np.allclose(np.sqrt(np.diag(found.cov))[1:], theirs["se"], atol=1e-7, rtol=0)
    assert np.allclose([empty.loglike, found.loglike], theirs["loglik"], atol=1e-6, rtol=0)
    chi = []
    for k in range(4):
        x = with_one(np.column_stack([np.delete(X, k, axis=1), X[:, k]]))
        chi.append(chi2.isf(survival.proportional_p(y, x, fit(y, x[:, 1:]), np.asarray), 1))
    assert np.allclose(chi, theirs["zph"], atol=1e-6)
    change = influence("survival", y, with_one(X), found, np.arange(len(y)))[:, 1:]
    assert np.allclose(np.sqrt(np.square(change).sum(axis=0)), theirs["robust"], rtol=1e-6)


def test_published_output_of_r_for_lung():
    """coxph(Surv(time, status) ~ age + sex + ph.ecog, lung), and ~ sex: coefficients, errors, LR and score tests."""
    lung = read("lung")
    known = lung.dropna()
    y, x = y_of(known), known[["age", "sex", "ph.ecog"]].to_numpy()
    found, empty = fit(y, x), fit(y, x[:, :0])
    assert len(y) == 227 and y[:, 2].sum() == 164
    assert np.allclose(found.coef[1:], [0.011067, -0.552612, 0.463728], atol=5e-7)
    assert np.allclose(np.sqrt(np.diag(found.cov))[1:], [0.009267, 0.167739, 0.113577], atol=5e-7)
    assert 2 * (found.loglike - empty.loglike) == pytest.approx(30.5, abs=0.05)
    y, x = y_of(lung), lung[["sex"]].to_numpy()
    found, empty = fit(y, x), fit(y, x[:, :0])
    assert (found.effect, found.se) == pytest.approx((-0.5310, 0.1672), abs=5e-5)
    ratio = 2 * (found.loglike - empty.loglike)
    assert ratio == pytest.approx(10.63, abs=5e-3) and chi2.sf(ratio, 1) == pytest.approx(0.001111, abs=5e-7)
    score = signed_root(y, with_one(x[:, :0]), x[:, 0].astype(float), empty) ** 2
    assert score == pytest.approx(10.33, abs=5e-3) and chi2.sf(score, 1) == pytest.approx(0.001312, abs=5e-7)


def test_published_coefficients_of_r_for_veteran():
    veteran = read("veteran")
    found = fit(y_of(veteran), veteran[["trt", "prior", "karno"]].to_numpy(float))
    assert np.allclose(found.coef[1:], [0.180197, -0.005550, -0.033771], atol=1.1e-6)


def signed_root(y: np.ndarray, x: np.ndarray, z: np.ndarray, fitted: families.Fit) -> float:
    test = null("survival", y, x, fitted)
    return float(z @ test.residual / np.sqrt(test.weight @ z**2 - np.square(test.factor.T @ z).sum()))


def test_score_test_is_slope_and_information_of_the_likelihood():
    """By differences of the profile likelihood: U is its slope at 0, and V its curvature's lower bound there."""
    y, x, z = y_of(SIMULATED, "event", SIMULATED["entry"].to_numpy()), with_one(X[:, :2]), X[:, 3]
    empty, risk = families.fit("survival", y, x), cox.risk_sets(y)
    test, eta, step = null("survival", y, x, empty), x @ empty.coef, 1e-4
    values = [cox.loglike(risk, eta + k * step * z) for k in (-1, 0, 1)]
    assert z @ test.residual == pytest.approx((values[2] - values[0]) / (2 * step), rel=1e-5)
    assert np.allclose(x.T @ test.residual, 0, atol=1e-8)
    curvature = -(values[2] - 2 * values[1] + values[0]) / step**2
    dense = test.weight @ z**2 - np.square(test.factor[:, : int(y[:, 2].sum())].T @ z).sum()
    assert dense == pytest.approx(curvature, rel=1e-4)
    profiled = np.array([profile(y, x, k * 1e-3 * z) for k in (-1, 0, 1)])
    v = test.weight @ z**2 - np.square(test.factor.T @ z).sum()
    assert v == pytest.approx(-(profiled[2] - 2 * profiled[1] + profiled[0]) / 1e-6, rel=1e-3)


def profile(y: np.ndarray, x: np.ndarray, offset: np.ndarray) -> float:
    """Largest log-likelihood over the coefficients of x beside an offset, by Newton steps of the plain formula."""
    coef, inner = np.zeros(x.shape[1] - 1), x[:, 1:]
    for _ in range(20):
        risk, share = cox.shares(y, inner @ coef + offset)
        means = share @ inner
        information = inner.T @ (share.sum(axis=0)[:, None] * inner) - means.T @ means
        coef = coef + np.linalg.solve(information, (inner[risk.rows] - means).sum(axis=0))
    return float(cox.loglike(cox.risk_sets(y), inner @ coef + offset))


def test_robust_errors_are_those_of_lifelines():
    y = y_of(SIMULATED, "event")
    found = fit(y, X)
    change = influence("survival", y, with_one(X), found, np.arange(len(y)))[:, 1:]
    assert np.allclose(np.sqrt(np.square(change).sum(axis=0)), FROZEN["robust"], rtol=0.03)  # ties are shared otherwise


def test_proportional_hazards_test_is_the_score_test_of_a_column_that_changes_with_time():
    """People are cut at every event, and the product of the column with the rank of the time is added to the model."""
    veteran = read("veteran")
    y, x = y_of(veteran), veteran[["trt", "karno"]].to_numpy(float)
    found = fit(y, x)
    times = np.unique(y[y[:, 2] == 1, 1])
    events = np.sort(y[y[:, 2] == 1, 1])
    rank = {time: np.mean(np.flatnonzero(events == time)) for time in times}
    pieces, columns = [], []
    for row, of in zip(y, x, strict=True):
        cuts = times[times < row[1]]
        starts, ends = np.append(0, cuts), np.append(cuts, row[1])
        for start, end in zip(starts, ends, strict=True):
            last = end == row[1]
            pieces.append([start, end, row[2] if last else 0])
            columns.append([1, *of, of[1] * rank.get(end, 0)])
    long, wide = np.array(pieces), np.array(columns)
    again = families.fit("survival", long, wide[:, :3])
    assert np.allclose(again.coef, found.coef, atol=1e-8)
    product = wide[:, 3]
    statistic = signed_root(long, wide[:, :3], product, again) ** 2
    assert survival.proportional_p(y, with_one(x), found) == pytest.approx(chi2.sf(statistic, 1), rel=1e-6)
    assert chi2.sf(statistic, 1) < 0.01  # Karnofsky's score of the veterans is the textbook's example


def test_lifelines_approximation_of_the_proportional_hazards_test_is_near():
    y = y_of(SIMULATED, "event")
    ours = []
    for k in range(4):
        x = np.column_stack([np.delete(X, k, axis=1), X[:, k]])
        ours.append(chi2.isf(survival.proportional_p(y, with_one(x), fit(y, x)), 1))
    assert np.allclose(ours, FROZEN["zph"], atol=0.3)


def test_separation_has_a_status():
    y = y_of(SIMULATED, "event")
    assert fit(y, y[:, 2:] * 1.0).status == "separation"


def test_link_test_finds_a_hazard_that_is_not_linear():
    from neurovae.stats.diagnostics import link_p

    rng = np.random.default_rng(0)
    z = rng.normal(size=300)
    y = np.column_stack([np.zeros(300), rng.exponential(size=300) * np.exp(-(z**2)), np.ones(300)])
    x = with_one(z[:, None] + 2)
    assert link_p("survival", y, x, families.fit("survival", y, x)) < 1e-6


@pytest.mark.parametrize("related", [False, True])
def test_level_of_the_test_of_one_column(related: bool):
    """Null of a hazard that three confounds drive, with their censoring: inside the 99 % binomial interval."""
    rng, draws, people = np.random.default_rng(3), 250, 80
    family = np.repeat(np.arange(people // 2), 2) if related else None
    rejected = 0
    for _ in range(draws):
        x = rng.normal(size=(people, 3))
        z, shared = rng.normal(size=people), np.zeros(people)
        if family is not None:
            shared = rng.normal(size=people // 2)[family]
            z = np.sqrt(0.8) * rng.normal(size=people // 2)[family] + np.sqrt(0.2) * z
        event = rng.exponential(size=people) * np.exp(-0.6 * x[:, 0] - shared)
        end = rng.exponential(size=people) * 2 * np.exp(-0.5 * x[:, 1])
        y = np.column_stack([np.zeros(people), np.minimum(event, end), event <= end])
        empty = families.fit("survival", y, with_one(x), None, family)
        full = families.fit("survival", y, with_one(np.column_stack([x, z])), None, family)
        rejected += families.nested_p(empty, full, 1, people) < 0.05
    low, high = binom.interval(0.99, draws, 0.05)
    assert low <= rejected <= high
