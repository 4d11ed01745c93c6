"""Cross-fitted prediction of times to events: metrics, tuning, leaks, and the permutation test.

scikit-survival is frozen in tests/unit/stats/cox/reference.json (cox/reference.py makes it).
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

from neurovae.predict import survival, survival_permutation
from neurovae.predict.compare import against
from neurovae.predict.features import BOTH, CONFOUNDS, LATENTS
from neurovae.predict.folds import Cases, Folds, complete_cases
from neurovae.predict.linear import ALPHAS
from neurovae.predict.predict import of_survival
from neurovae.predict.ridge_cox import fitted, placed
from neurovae.predict.survival_metrics import Curves, brier, censoring, concordance, integrated, kaplan_meier
from neurovae.report.figures.survival import band, thirds
from neurovae.stats import cox

pytestmark = pytest.mark.filterwarnings("error")
HERE = Path(__file__).parents[1] / "stats" / "cox"
FROZEN: dict[str, Any] = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))
TABLE = pd.read_csv(HERE / "simulated.tsv", sep="\t")
TEST = TABLE.drop(TABLE["continuous"].idxmax()).iloc[:60]
TRAIN = TABLE.drop(TEST.index)
COLUMNS = ["a", "b", "c", "d"]
SCORE = {"name": "conversion", "type": "survival", "time": "years", "event": "converted"}
CONFOUND = [{"name": "age", "type": "continuous"}]
ONE = np.ones((1, 60))


def y_of(table: pd.DataFrame) -> np.ndarray:
    return np.column_stack([np.zeros(len(table)), table["continuous"], table["event"]]).astype(float)


def people(n: int = 120, latents: int = 4, effect: float = 1.0, seed: int = 0, late: bool = False) -> pd.DataFrame:
    """A joined table: age drives hazard and latent 0, latent 1 drives the hazard."""
    rng = np.random.default_rng(seed)
    z, age = rng.normal(size=(n, latents)), rng.uniform(50, 80, n)
    z[:, 0] += (age - 65) / 10
    event = rng.exponential(size=n) * np.exp(-effect * z[:, 1] - 0.04 * (age - 65))
    end, entry = rng.exponential(size=n) * 2, rng.uniform(0, 1, n) * late
    names = [f"s{k:03d}" for k in range(n)]
    table = pd.DataFrame({"scan": names, "person": names, "session": "", "session_order": 1, "site": "A", "age": age})
    table = table.assign(fold=np.arange(n) % 4, conversion=entry + np.minimum(event, end))
    table = table.assign(conversion_event=(event <= end) * 1.0, conversion_entry=entry)
    table = table.assign(latents_split="test", latents_model="m", latents_fold=0, latents_seed=0)
    return pd.concat([table, pd.DataFrame(z, columns=[f"mu_{k}" for k in range(latents)])], axis=1)


def cases_of(table: pd.DataFrame, **score: Any) -> tuple[Cases, Folds]:
    folds = Folds(dict.fromkeys(range(4), table), "per fold")
    return complete_cases(folds, SCORE | score, CONFOUND, inner=3, seed=0), folds


# --- metrics against scikit-survival ---


def test_ridge_and_its_survival_curves_are_those_of_scikit_survival():
    y, x = y_of(TRAIN), TRAIN[COLUMNS].to_numpy()
    risk = cox.risk_sets(y)
    coef = cox.fit_many(risk, x[None], np.array([[0.5, 0.5, 3.0, 3.0]]), np.zeros((1, 4)))[0][0]
    assert np.allclose(coef, FROZEN["ridge"], atol=1e-5, rtol=0)
    centre = x.mean(axis=0)
    predictor = (TEST[COLUMNS].to_numpy() - centre) @ coef
    theirs = np.array(FROZEN["predictor"])
    assert np.allclose(predictor - predictor.mean(), theirs - theirs.mean(), atol=1e-5)
    times, hazard = cox.baseline(risk, (x - centre) @ coef)
    own = np.append(0.0, hazard)[np.searchsorted(times, FROZEN["times"], side="right")]
    assert np.allclose(np.exp(-np.exp(predictor)[:, None] * own), FROZEN["survival"], atol=1e-5)


def test_concordance_is_that_of_scikit_survival():
    y, predictor, rows = y_of(TEST), np.array(FROZEN["predictor"]), [np.arange(60)]
    assert concordance(y, predictor, rows, np.ones(60), np.inf, ONE)[0] == pytest.approx(FROZEN["harrell"], abs=1e-12)
    weight = censoring(y_of(TRAIN), y[:, 1], before=True) ** -2
    inside = np.nextafter(1.0, 0)  # theirs is of times below tau
    assert concordance(y, predictor, rows, weight, inside, ONE)[0] == pytest.approx(FROZEN["uno"], abs=1e-12)


def test_brier_score_is_that_of_scikit_survival():
    y, times = y_of(TEST), np.array(FROZEN["times"])
    lost = np.tile(censoring(y_of(TRAIN), times), (60, 1))
    found = Curves(times, np.array(FROZEN["survival"]), lost, lost, censoring(y_of(TRAIN), y[:, 1], before=True))
    errors = brier(y, found, found.survival)
    assert np.allclose(errors.mean(axis=0), FROZEN["brier"], atol=1e-12)
    assert integrated(times, errors, ONE)[0] == pytest.approx(FROZEN["ibs"], abs=1e-12)


def test_kaplan_meier_by_hand_with_delayed_entry():
    y = np.array([[0, 1, 1], [0, 2, 0], [1.5, 3, 1], [0, 4, 1.0]])
    assert np.allclose(kaplan_meier(y, np.array([0.5, 1, 2, 3, 4])), [1, 2 / 3, 2 / 3, 1 / 3, 0])
    assert np.allclose(kaplan_meier(y, np.array([1, 3.0]), before=True), [1, 2 / 3])


def test_bootstrap_weights_are_people_drawn_several_times():
    y, predictor = y_of(TEST), np.array(FROZEN["predictor"])
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60))
    rows = np.repeat(np.arange(60), counts)
    drawn = concordance(y[rows], predictor[rows], [np.arange(60)], np.ones(60), np.inf, ONE)
    weighted = concordance(y, predictor, [np.arange(60)], np.ones(60), np.inf, counts[None].astype(float))
    assert drawn[0] == pytest.approx(weighted[0], abs=1e-12)


def test_concordance_has_its_known_value_and_unos_stays_there_under_censoring():
    """P(the higher risk goes first) = E expit(|d|), d the difference of two log hazards of variance 1 each."""
    rng, n = np.random.default_rng(1), 1500
    eta, rows, ones = rng.normal(size=n), [np.arange(n)], np.ones((1, n))
    event = rng.exponential(size=n) * np.exp(-eta)
    d = np.linspace(0, 12, 20001)
    known = np.trapezoid(2 * norm.pdf(d, scale=np.sqrt(2)) * expit(d), d)
    whole = np.column_stack([np.zeros(n), event, np.ones(n)])
    assert concordance(whole, eta, rows, np.ones(n), np.inf, ones)[0] == pytest.approx(known, abs=0.02)
    end = rng.exponential(size=n) * 0.8
    y = np.column_stack([np.zeros(n), np.minimum(event, end), event <= end])
    until = concordance(whole, eta, rows, np.ones(n), 1.5, ones)[0]
    uno = concordance(y, eta, rows, censoring(y, y[:, 1], before=True) ** -2, 1.5, ones)[0]
    assert uno == pytest.approx(until, abs=0.02)


def test_predictors_of_two_folds_are_not_compared():
    y, predictor = y_of(TEST), np.array(FROZEN["predictor"])
    folds = [np.arange(30), np.arange(30, 60)]
    shifted = predictor + 10 * (np.arange(60) >= 30)
    same = [concordance(y, one, folds, np.ones(60), np.inf, ONE)[0] for one in (predictor, shifted)]
    assert same[0] == same[1]


# --- prediction ---


def test_planted_effect_is_predicted_beyond_the_confounds():
    table = people()
    cases, folds = cases_of(table)
    used = [("age", "continuous", cases.table["age"])]
    rows, predicted = of_survival(cases, folds, used, 3, 200, 39, 0)
    found = pd.DataFrame(rows).set_index(["features", "metric"])
    assert found.loc[(BOTH, "c_harrell"), "value"] > found.loc[(CONFOUNDS, "c_harrell"), "value"] + 0.08
    assert found.loc[(BOTH, "ipa"), "ci_low"] > 0 > found.loc[(CONFOUNDS, "ipa"), "ci_low"]
    test = found.loc[(BOTH, "log_partial_likelihood")]
    assert test["p_permutation"] == 1 / 40 and test["gain"] > 0.05
    assert test["permutation"] == "whole persons: outcome and confounds, given the confounds' part of the latents"
    full, alone = (predicted[predicted["features"] == name] for name in (BOTH, CONFOUNDS))
    assert against(full, CONFOUNDS, alone)[0]["metric"] == "c_harrell"
    assert against(full, CONFOUNDS, alone)[0]["difference"] > 0.05


def test_nobody_is_predicted_from_their_own_outcome():
    """Other outcomes of a fold leave that fold's predictions as they are, to the bit, and change others'."""
    table = people()
    first = survival.cross_validate(cases_of(table)[0]).table
    mine = table["fold"] == 2
    changed = table.assign(conversion=table["conversion"].where(~mine, table.loc[mine, "conversion"].iloc[0]))
    changed = changed.assign(conversion_event=table["conversion_event"].where(~mine, 1.0))
    again = survival.cross_validate(cases_of(changed)[0]).table
    same = first["prediction"] == again["prediction"]
    assert same[first["fold"] == 2].all() and not same[first["fold"] != 2].any()


def test_one_row_per_person_and_left_truncation_says_what_it_does_not_give():
    table = people(late=True)
    second = table.assign(scan=table["scan"] + "b", session_order=2)
    twice = pd.concat([table, second]).sort_values(["person", "session_order"], ignore_index=True)
    cases, _ = cases_of(twice, entry="begin")
    assert len(cases.y) == 120 and (cases.y[:, 0] > 0).any()
    rows = pd.DataFrame(survival.summarise(cases, survival.cross_validate(cases), {}, 50, 0)).set_index("metric")
    assert rows.loc["c_uno", "value"].isna().all() and rows.loc["c_uno", "reason"].str.contains("delayed entry").all()
    assert rows.loc["c_harrell", "value"].notna().all()


def test_draws_of_the_permutation_are_what_each_alone_would_be():
    """Batched tuning and fits equal those of one draw, with risk sets of its own; the identity gives the splits' latents."""
    table = people(n=80)
    table["conversion"] = np.ceil(5 * table["conversion"]) / 5  # ties
    cases, _ = cases_of(table)
    z = dict.fromkeys(range(4), cases.table[cases.latents].to_numpy(float))
    fold, split, confounds = (
        survival_permutation._fold(cases, cases.splits[BOTH][0], z),
        cases.splits[BOTH][0],
        cases.x[:, 1:],
    )
    rng = np.random.default_rng(0)
    order = np.array([np.arange(80), *(rng.permutation(80) for _ in range(4))])
    data = survival_permutation.moved(fold, confounds, order, together=False)
    for mine, given in ((data, split), (data.inner[1], split.inner[1])):
        assert np.allclose(mine.x[0][given.train][:, :4], given.x_train[:, :4])
        assert np.allclose(mine.x[0][given.test][:, :4], given.x_test[:, :4])
    together, alphas = fitted(data, cases.y)
    for coef, chosen, own in zip(together, alphas, order, strict=True):
        train = np.flatnonzero(np.isin(own, split.train))
        alone = survival_permutation.moved(fold, confounds, own[None], together=False)
        penalty = np.where(np.arange(7) < 4, chosen[1], chosen[0])[None]
        direct = cox.fit_many(cox.risk_sets(cases.y[train]), alone.x[:, train], penalty, np.zeros((1, 7)))[0][0]
        assert np.allclose(coef, direct, atol=1e-8) and (fitted(alone, cases.y)[1][0] == chosen).all()


def test_latents_stay_with_the_people_whom_a_fold_saw_and_the_confounds_with_the_outcome():
    """A residual, the fold and the roles move as one; what confounds explain of the latents moves with the outcome."""
    cases, _ = cases_of(people(n=80))
    z = dict.fromkeys(range(4), cases.table[cases.latents].to_numpy(float))
    fold = survival_permutation._fold(cases, cases.splits[BOTH][2], z)
    order = np.random.default_rng(1).permutation(80)
    shifted = replace(
        fold, rest=fold.rest + 9 * ~fold.train[:, None]
    )  # as by a model that has seen the training people
    data = survival_permutation.moved(shifted, cases.x[:, 1:], order[None], together=False)
    assert (data.train[0] == fold.train[order]).all() and not (data.train[0] == fold.train).all()
    assert (data.x[0, ~data.train[0], :4].min() > 3) and (data.x[0, data.train[0], :4].max() < 4)
    assert np.allclose(np.corrcoef(data.x[0, :, 4], cases.table["age"])[0, 1], 1)


def test_many_latents_become_components_of_the_training_people():
    table = people(n=80, latents=60)
    cases, folds = cases_of(table)
    used = [("age", "continuous", cases.table["age"])]
    z = {k: one[cases.latents].to_numpy(float) for k, one in folds.tables.items()}
    found = survival.components(cases, z, dict.fromkeys(z, np.ones(60)))
    assert found[0].shape == (80, 50)
    within = survival.training(cases)[0]
    gram = found[0][within].T @ found[0][within]
    assert np.allclose(gram, np.diag(np.diag(gram)), atol=1e-8) and (np.diff(np.diag(gram)) > 0).all()
    test_row = cases.splits[BOTH][0].test[0]
    outlier = {k: value + 100 * (np.arange(80) == test_row)[:, None] for k, value in z.items()}
    again = survival.components(cases, outlier, dict.fromkeys(z, np.ones(60)))
    assert np.allclose(again[0][within], found[0][within])
    turned = survival.with_components(cases, found, used, 3, 0)
    split = turned.splits[BOTH][0]
    fold = survival_permutation._fold(turned, split, found)
    same = survival_permutation.moved(fold, turned.x[:, 1:], np.arange(80)[None], together=True)
    assert np.allclose(same.x[0][split.train][:, :50], split.x_train[:, :50])
    assert np.allclose(same.inner[0].x[0][split.inner[0].test][:, :50], split.inner[0].x_test[:, :50])
    assert split.confounds == 3 and set(turned.splits) == set(cases.splits) and LATENTS in turned.splits


def test_too_few_events_is_a_status():
    table = people()
    table["conversion_event"] = (np.arange(120) < 15) * 1.0
    cases, _ = cases_of(table)
    assert (cases.base["status"], cases.base["reason"]) == ("too few events", "15 events, 20 are needed")


def test_penalties_follow_the_cross_validated_partial_likelihood():
    """By the definition, with a fit per fold: the chosen alpha has the largest sum."""
    cases, _ = cases_of(people(n=80))
    split, sums = cases.splits[CONFOUNDS][1], []
    for alpha in ALPHAS:
        total = 0.0
        for one in split.inner:
            coef = cox.fit(cox.risk_sets(cases.y[one.train]), one.x_train, alpha).coef
            whole = np.concatenate([one.train, one.test])
            line = np.concatenate([one.x_train, one.x_test]) @ coef
            total += cox.loglike(cox.risk_sets(cases.y[whole]), line)
            total -= cox.loglike(cox.risk_sets(cases.y[one.train]), line[: len(one.train)])
        sums.append(total)
    assert fitted(placed(split, len(cases.y)), cases.y)[1][0, 0] == ALPHAS[int(np.argmax(np.round(sums, 9)))]


# --- curves by thirds ---


def test_thirds_are_of_ranks_within_a_fold():
    predictor = np.concatenate([np.arange(9), 100 + np.arange(9)])
    fold = np.repeat([0, 1], 9)
    assert (thirds(predictor.astype(float), fold) == np.tile(np.repeat([0, 1, 2], 3), 2)).all()
    assert (thirds(np.zeros(9), np.zeros(9, int)) == 1).all()


def test_band_is_greenwoods_on_the_log_log_scale():
    """Five people, events at 1 and 2: S = .8, .6; var log S = 1 / 20 + 1 / 12."""
    y = np.array([[0, 1, 1], [0, 2, 1], [0, 3, 0], [0, 3, 0], [0, 3, 0.0]])
    survival_at, low, high = band(y, np.array([0.0, 2.0]))
    spread = 1.959964 * np.sqrt(1 / 20 + 1 / 12) / abs(np.log(0.6))
    assert survival_at[1] == pytest.approx(0.6) and (low[0], high[0]) == (1, 1)
    assert (low[1], high[1]) == pytest.approx((0.6 ** np.exp(spread), 0.6 ** np.exp(-spread)), abs=1e-6)


def test_delayed_entry_keeps_curves_out_and_other_scores_are_as_before():
    cases, _ = cases_of(people(late=True), entry="begin")
    assert survival.predict(cases, cases.splits[BOTH])[1] is None
    early = replace(cases, y=cases.y * [0, 1, 1])
    assert survival.predict(early, cases.splits[BOTH])[1] is not None
