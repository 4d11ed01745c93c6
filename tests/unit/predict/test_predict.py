"""Predict against closed forms, scikit-learn, statsmodels and planted truth: folds, learners, metrics, the files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit, logit
from simulated_prediction import CONFOUNDS, ILL, MEMORY, PEOPLE, by_fold, cases, cohort
from sklearn.linear_model import LogisticRegression, Ridge
from statsmodels.stats.proportion import proportion_confint

from neurovae.design import design
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.predict import features, folds, learners, linear, metrics, predict
from neurovae.report.figures import calibration

pytestmark = pytest.mark.filterwarnings("error")


def validated(parts, score: dict[str, Any], confounds=CONFOUNDS) -> pd.DataFrame:
    usable = cases(parts, score, confounds)
    rows = predict.summarise(usable, predict.cross_validate(usable), {}, 200, 0)
    return pd.DataFrame(rows).set_index(["learner", "features", "metric"])


# --- folds ---


def test_policies_and_the_guard():
    parts = cohort(effect=2.0)
    assert folds.outer_folds([design.join(*parts)]).policy == "transductive"
    found = by_fold(parts)
    outer = folds.outer_folds(found[::-1])
    assert outer.policy == "per fold" and all(outer.tables[k] is found[k] for k in range(5))
    found[2].loc[found[2]["fold"] == 2, "latents_split"] = "validation"
    with pytest.raises(
        InputError, match="latents of fold 2: sub-002 is tested there but has split 'validation'"
    ) as error:
        folds.outer_folds(found)
    assert len(error.value.problems) == PEOPLE // 5
    with pytest.raises(InputError, match=r"tables of folds \[0, 1\] for the outer folds \[0, 1, 2, 3, 4\]"):
        folds.outer_folds(by_fold(parts)[:2])
    moved = design.join(*cohort(people=10, sessions=2))
    moved.loc[0, "fold"] = 3
    with pytest.raises(InputError, match="sub-000 lies in several folds"):
        folds.outer_folds([moved])


def test_each_fold_uses_its_own_models_latents():
    def told(tables: list[pd.DataFrame]) -> pd.DataFrame:
        usable = folds.complete_cases(folds.outer_folds(tables), MEMORY, [], inner=3)
        return predict.cross_validate(usable, ["linear"])

    found = by_fold(cohort(effect=3.0))
    same = told(found)
    found[4]["mu_000"] = np.random.default_rng(13).normal(size=PEOPLE)
    differs = (same["prediction"] != told(found)["prediction"]) & (same["features"] == "latents")
    assert set(same.loc[differs, "fold"]) == {4}


def test_a_person_is_never_on_both_sides():
    usable = cases(cohort(people=30, sessions=3))
    assert usable.base["session"] == "ses-0 (30), ses-1 (30), ses-2 (30)"
    person = usable.table["person"].to_numpy()
    for part in usable.splits["latents"]:
        assert set(person[part.test]).isdisjoint(person[part.train])
        assert {p for inner in part.inner for p in person[inner.test]} == set(person[part.train])
        for inner in part.inner:
            assert set(person[inner.test]).isdisjoint(person[inner.train])
            assert not set(inner.train) & set(part.test) and not set(inner.test) & set(part.test)
    assert (usable.base["n"], usable.base["n_scans"]) == (30, 90)


def test_statuses_of_prediction():
    def status(parts, score: dict[str, Any]) -> str:
        usable = cases(parts, score)
        found = predict.cross_validate(usable)
        assert not len(found) and predict.summarise(usable, found, {}, 10, 0) == [usable.base]
        return usable.base["status"]

    parts = cohort()
    parts[0]["memory"] = 1.0
    assert status(parts, MEMORY) == "constant score"
    parts[0]["ill"] = (np.arange(PEOPLE) % 5 == 0).astype(float)  # all the ill lie in one fold
    assert status(parts, ILL) == "too few people"
    own = cases(cohort(), MEMORY, [{"name": "memory", "type": "continuous"}])
    assert "memory left out (it is the score)" in own.base["confounds"]


def test_a_site_without_training_people_is_refused_or_stands_at_the_mean():
    parts = cohort(people=100)
    parts[0]["site"] = parts[0]["fold"].map({0: "C", 1: "A", 2: "B", 3: "A", 4: "B"})
    for harmonise in ("none", "combat"):
        refused = cases(parts, harmonise=harmonise)
        assert refused.base["status"] == "new site" and not refused.splits
        assert "no training person has site C in fold 0, so" in refused.base["reason"]
        assert "set predict.new_site: mean" in refused.base["reason"]
    usable = cases(parts, new_site="mean", confounds=[])
    assert usable.base["status"] == "ok" and "site C in fold 0: the training mean is used" in usable.base["confounds"]
    assert np.allclose(usable.splits["confounds"][0].x_test, 0)  # the mean, standardised
    assert not np.allclose(usable.splits["confounds"][1].x_test, 0)
    harmonised = cases(parts, new_site="mean", confounds=[], harmonise="combat")
    raw, told = (c.splits["latents"][0] for c in (usable, harmonised))
    assert harmonised.base["harmonised"] == "combat" and not np.allclose(raw.x_train, told.x_train)


# --- features ---


def test_features_are_scaled_on_the_training_rows():
    table = design.join(*cohort())
    train, test = np.arange(60), np.arange(60, PEOPLE)
    wild = table.copy()
    wild.loc[60:, ["mu_000", "age"]] = 1e3
    for name in features.FEATURES:
        for site in (None, table["site"]):
            first, second = (
                features.feature_maker(
                    name,
                    t[latent_table.columns(t)].to_numpy(),
                    design.used_confounds(t, MEMORY, CONFOUNDS, False)[0],
                    site,
                )(train, test)
                for t in (table, wild)
            )
            assert np.allclose(first[0].mean(axis=0), 0) and np.allclose(first[0].std(axis=0), 1)
            assert np.array_equal(first[0], second[0]) and not np.allclose(first[1], second[1])
            assert first[2] == {"confounds": 8, "latents + confounds": 8}.get(name, 0)


def test_latents_without_confounds_hold_none_of_them_in_training():
    table = design.join(*cohort())
    table["mu_000"] = table["age"] ** 2
    usable = cases(cohort())
    part = usable.splits["latents without confounds"][0]
    confounds = usable.splits["confounds"][0]
    assert np.abs(confounds.x_train.T @ part.x_train).max() < 1e-8
    assert np.abs(confounds.x_test.T @ part.x_test).max() > 1e-3


def test_harmonised_latents_have_equal_site_means():
    parts = cohort(people=200)
    mu = [f"mu_{k:03d}" for k in range(6)]
    parts[1].loc[parts[0]["site"] == "B", mu] += 3.0  # of all latents alike: 1.7 standard deviations of both sites
    gaps = []
    for harmonise in ("none", "combat"):
        usable = cases(parts, harmonise=harmonise, confounds=[])
        part, site = usable.splits["latents"][0], usable.table["site"].to_numpy()
        for x, rows in ((part.x_train, part.train), (part.x_test, part.test)):
            gaps.append(x[site[rows] == "B"].mean() - x[site[rows] == "A"].mean())
    assert min(gaps[:2]) > 1.5  # training, test
    for gap, n in zip(gaps[2:], (160, 40), strict=True):
        assert abs(gap) < 4 * np.sqrt(4 / n / 6)  # standard errors: 6 latents, n / 2 people of each site
    one = cases((parts[0].assign(site="A"), *parts[1:]), harmonise="combat")
    assert one.base["harmonised"] == "none (one site)" and one.base["status"] == "ok"


def test_a_site_too_small_to_harmonise_is_a_status():
    parts = cohort(people=100)
    parts[0].loc[parts[0]["person"].isin(["sub-000", "sub-001"]), "site"] = "C"  # in two folds
    usable = cases(parts, harmonise="combat")
    assert usable.base["status"] == "not harmonised" and "site C has 1 training people" in usable.base["reason"]
    assert not usable.splits


# --- learners ---


def columns(n: int, latents: int, confounds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, latents + confounds))
    x[:, :latents] += x[:, latents:].sum(axis=1, keepdims=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), rng.normal(size=(n, 3)) + x[:, [0]]


@pytest.mark.parametrize("binary", [False, True])
def test_linear_learners_equal_scikit_learn(binary: bool):
    x, y = columns(60, 40, 3, 0)
    y = (y > 0).astype(float) if binary else y
    theirs = (lambda a: LogisticRegression(C=1 / a, tol=1e-10, max_iter=10000)) if binary else (lambda a: Ridge(a))
    for alpha in (1.0, 100.0):
        intercept, coef = linear.solve(binary, linear.decompose(x), y, (0.0, alpha))
        for k in range(3):
            model = theirs(alpha).fit(x, y[:, k])
            line = model.decision_function(x) if binary else model.predict(x)
            assert np.allclose(intercept[k] + x @ coef[:, k], line, atol=2e-5)
    # two penalties: confounds scaled to one penalty
    intercept, coef = linear.solve(binary, linear.decompose(x, 3), y, (4.0, 25.0))
    scaled = np.hstack([x[:, :40], x[:, 40:] * np.sqrt(25 / 4)])
    model = theirs(25.0).fit(scaled, y[:, 0])
    line = model.decision_function(scaled) if binary else model.predict(scaled)
    assert np.allclose(intercept[0] + x @ coef[:, 0], line, atol=5e-5)
    alone = linear.solve(binary, linear.decompose(x[:, 40:], 3), y, (4.0, 0.0))
    strong = linear.solve(binary, linear.decompose(x, 3), y, (4.0, 1e12))
    assert np.allclose(strong[0] + x @ strong[1], alone[0] + x[:, 40:] @ alone[1], atol=1e-4)


def test_few_people_and_unrelated_confounds_leave_a_strong_effect_predictable():
    """With 24 people and natural splines of age, penalised residuals on the confounds gave R2 of .38 on average."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(10):
        z = rng.normal(size=(24, 3))
        y = z @ [1.0, 0.2, 0.0] + 0.15 * rng.normal(size=24)
        used = [("age", "continuous", pd.Series(rng.normal(60, 8, 24)))]
        used += [(name, "categorical", pd.Series(rng.choice(["a", "b"], 24))) for name in ("sex", "site")]
        make, line = features.feature_maker("latents + confounds", z, used), np.empty(24)
        for k in range(5):
            test = np.arange(24) % 5 == k
            split = features.split_rows(make, np.arange(24), np.flatnonzero(~test), np.flatnonzero(test), 5, 0)
            intercept, coef, _ = linear.fitted(split, y[:, None], False)
            line[test] = (intercept + split.x_test @ coef)[:, 0]
        found.append(1 - np.square(y - line).sum() / np.square(y - y.mean()).sum())
    assert np.mean(found) > 0.8 and min(found) > 0.5, found


@pytest.mark.parametrize("score", [MEMORY, ILL], ids=lambda score: score["type"])
def test_many_targets_at_once_equal_one_at_a_time(score: dict[str, Any]):
    usable = cases(cohort(effect=1.0), score)
    rng = np.random.default_rng(0)
    y = np.column_stack([usable.y, rng.permuted(np.tile(usable.y, (8, 1)), axis=1).T])
    for part in usable.splits["latents + confounds"][:2]:
        together = linear.fitted(part, y, usable.binary)
        for k in range(9):
            alone = linear.fitted(part, y[:, [k]], usable.binary)
            assert np.array_equal(together[2][k], alone[2][0])
            assert np.allclose(together[1][:, k], alone[1][:, 0], atol=1e-4)


def test_penalties_follow_the_strength_of_the_effect():
    weak, strong = (
        linear.fitted(cases(cohort(effect=e, people=200), confounds=[]).splits["latents"][0], y[:, None], False)[2][0, 1]
        for e, y in ((0.0, cases(cohort(effect=0.0, people=200), confounds=[]).y),
                     (5.0, cases(cohort(effect=5.0, people=200), confounds=[]).y))
    )  # fmt: skip
    assert weak > strong <= 10


def test_one_class_in_training_gives_its_smoothed_share():
    x, _ = columns(20, 3, 0, 1)
    intercept, c = linear.solve(True, linear.decompose(x), np.ones((20, 1)), (1.0, 1.0))
    assert np.isclose(expit(intercept[0]), 20.5 / 21) and not c.any()


def test_platts_sigmoid():
    rng = np.random.default_rng(0)
    decision = rng.normal(size=4000)
    y = (rng.random(4000) < expit(2 * decision - 0.5)).astype(float)
    probability = learners.platt(decision, y)(decision)
    assert np.abs(probability - expit(2 * decision - 0.5)).max() < 0.05
    assert np.all(np.diff(probability[np.argsort(decision)]) > 0)
    assert np.allclose(learners.platt(-decision, y)(decision), y.mean())  # points the wrong way: tells nothing


def test_prediction_of_planted_latents():
    parts = cohort(effect=3.0)
    planted = validated(parts, MEMORY)["value"]
    assert planted["svm", "latents", "r2"] > 0.6 and planted["linear", "latents", "r2"] > 0.75
    assert planted["linear", "latents + confounds", "r2"] > planted["linear", "latents", "r2"]
    assert planted["svm", "confounds", "r2"] < 0.2
    assert 0.8 < planted["linear", "latents + confounds", "calibration_slope"] < 1.2
    rows = validated(parts, ILL)
    ill = rows["value"]
    for learner in learners.LEARNERS:
        assert ill[learner, "latents", "auc"] > 0.85 and ill[learner, "latents", "balanced_accuracy"] > 0.75
        assert ill[learner, "latents", "log_loss"] < 0.55 and ill[learner, "latents", "brier"] < 0.18
        assert 0.25 < ill[learner, "confounds", "auc"] < 0.75
    inside = rows["value"].between(rows["ci_low"], rows["ci_high"])
    assert inside[rows["value"].notna()].mean() > 0.95


# --- metrics ---


def told(truth, prediction, mean, fold, probability=np.nan) -> pd.DataFrame:
    return pd.DataFrame({"truth": truth, "prediction": prediction, "training_mean": mean, "fold": fold}).assign(
        probability=probability
    )


def test_numeric_metrics_by_hand():
    rng = np.random.default_rng(12)
    truth, guess, fold = rng.normal(size=40), rng.normal(size=40), np.arange(40) % 4
    mean, ones = rng.normal(size=4)[fold], np.ones((2, 40))
    rows = {row["metric"]: row["value"] for row in metrics.metric_table(told(truth, guess, mean, fold), False, ones)}
    assert np.isclose(rows["r2"], 1 - np.sum((truth - guess) ** 2) / np.sum((truth - mean) ** 2))
    assert np.isclose(rows["mae"], np.abs(truth - guess).mean())
    assert np.isclose(rows["r"], np.mean([np.corrcoef(truth[fold == k], guess[fold == k])[0, 1] for k in range(4)]))
    line = np.polyfit(guess - mean, truth - mean, 1)
    assert np.allclose([rows["calibration_slope"], rows["calibration_intercept"]], line)
    flat = {row["metric"]: row["value"] for row in metrics.metric_table(told(truth, mean, mean, fold), False, ones)}
    assert flat["r2"] == 0 and np.isnan(flat["r"] if np.ptp(mean) == 0 else flat["calibration_slope"])


def test_binary_metrics_by_hand():
    rng = np.random.default_rng(12)
    label, fold = (rng.random(60) < 0.4).astype(float), np.arange(60) % 4
    line = rng.normal(size=60) + label
    p, mean = expit(line), np.array([0.35, 0.4, 0.45, 0.5])[fold]
    weights = np.vstack([np.ones(60), np.ones(60), rng.multinomial(60, np.full(60, 1 / 60))])
    table = metrics.metric_table(told(label, line, mean, fold, p), True, weights)
    rows = {row["metric"]: row["value"] for row in table}
    by_fold = [
        stats.mannwhitneyu(line[(fold == k) & (label == 1)], line[(fold == k) & (label == 0)]).statistic
        / ((label[fold == k] == 1).sum() * (label[fold == k] == 0).sum())
        for k in range(4)
    ]
    assert np.isclose(rows["auc"], np.mean(by_fold))
    assert np.isclose(rows["log_loss"], -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p)))
    assert np.isclose(rows["brier"], np.mean((label - p) ** 2))
    right = (p > mean) == label
    balanced = [np.mean([right[(fold == k) & (label == v)].mean() for v in (0, 1)]) for k in range(4)]
    assert np.isclose(rows["balanced_accuracy"], np.mean(balanced))
    z = sm.add_constant(line - logit(mean))
    for draw in (0, 2):
        slope, intercept = (v[draw] for v in metrics.recalibration(label, p, mean, weights))
        glm = sm.GLM(label, z, sm.families.Binomial(), offset=logit(mean), freq_weights=weights[draw]).fit(tol=1e-12)
        assert np.allclose([intercept, slope], glm.params, atol=1e-6)
    assert rows["calibration_slope"] == metrics.recalibration(label, p, mean, weights)[0][0]
    separated = metrics.recalibration(label, np.where(label == 1, 0.9, 0.1), mean, weights)
    assert np.isnan(separated[0]).all()
    assert np.isnan(metrics.recalibration(label, mean, mean, weights)[0]).all()


def test_bootstrap_draws_people_within_folds():
    people, fold = np.array(["a", "b", "a", "c", "d"]), np.array([0, 0, 0, 1, 1])
    weights = metrics.person_weights(people, fold, 50, seed=0)
    assert (weights[0] == 1).all() and (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 1] == 2).all() and (weights[:, 3] + weights[:, 4] == 2).all()
    assert (weights == metrics.person_weights(people, fold, 50, seed=0)).all()


def test_reliability_by_hand():
    probability = np.repeat([0.1, 0.9], 20)
    truth = np.concatenate([np.arange(20) < 2, np.arange(20) < 18]).astype(float)
    table = calibration.reliability(probability, truth, np.arange(40), 2)
    z, p = stats.norm.ppf(0.975), 0.1
    middle, half = (p + z**2 / 40) / (1 + z**2 / 20), z / (1 + z**2 / 20) * np.sqrt(p * (1 - p) / 20 + z**2 / 1600)
    assert np.allclose(
        table.loc[0, ["predicted", "observed", "low", "high"]].astype(float), [0.1, 0.1, middle - half, middle + half]
    )
    assert np.allclose(table.loc[1, ["predicted", "observed"]].astype(float), 0.9)


def test_sessions_of_the_same_people_do_not_narrow_the_calibration():
    rng = np.random.default_rng(3)
    probability, person = np.sort(rng.random(50)), np.arange(50)
    truth = (rng.random(50) < probability).astype(float)
    once = calibration.reliability(probability, truth, person)
    four = calibration.reliability(*(np.repeat(values, 4) for values in (probability, truth, person)))
    assert np.allclose(once[["predicted", "observed", "low", "high"]], four[["predicted", "observed", "low", "high"]])
    assert list(four["n"]) == [40] * 5
    visits = np.concatenate([np.zeros(6, int), np.arange(1, 5)])  # ten scans, six of one person: as good as 2.5 people
    wide = calibration.reliability(np.full(10, 0.5), np.repeat([1.0, 0.0], [6, 4]), visits, 1)
    assert np.allclose(wide[["low", "high"]], proportion_confint(1.5, 2.5, 0.05, "wilson"))


# --- the files ---


def run_all(folder: Path, parts, monkeypatch, verdict: str = "healthy", refuse=lambda *given: None):
    folder.mkdir()
    for name, table in zip(("cohort", "latents", "qc"), parts, strict=True):
        table.to_parquet(folder / f"{name}.parquet")
    (folder / "health.json").write_text(json.dumps({"verdict": verdict, "reason": "no active unit"}))
    monkeypatch.setattr(predict.leakage, "refuse", refuse)  # there are no weights here
    given: dict[str, Any] = {name: folder / f"{name}.parquet" for name in ("cohort", "qc")}
    given |= {"latents": [folder / "latents.parquet"], "weights": [folder / "weights"], "scores": [MEMORY, ILL]}
    given |= {"health": [folder / "health.json"], "confounds": CONFOUNDS, "inner": 3, "bootstraps": 50, "seed": 0}
    given |= {"permutations": 9, "svm_permutations": 0, "importance": 2, "harmonise": "none", "new_site": "refuse"}
    names = {"out": "predict", "predictions": "predictions", "importance_table": "importance"}
    predict.run(**given, **{key: folder / f"{name}.parquet" for key, name in names.items()})
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in names.values()}


def test_shuffled_rows_change_no_byte_and_rows_say_all(tmp_path: Path, monkeypatch):
    parts = cohort(people=40, effect=1.0, size=3)
    found = run_all(tmp_path / "a", parts, monkeypatch, "overfit")
    shuffled = tuple(table.sample(frac=1, random_state=k) for k, table in enumerate(parts))
    run_all(tmp_path / "b", shuffled, monkeypatch, "overfit")
    for name in found:
        for ending in ("parquet", "tsv"):
            first, second = ((tmp_path / side / f"{name}.{ending}").read_bytes() for side in "ab")
            assert first == second, name
    table = found["predict"]
    assert list(table.columns) == list(predict.COLUMNS) and len(table) == 8 * (5 + 6)
    assert set(table["verdict"]) == {"overfit"} and set(table["policy"]) == {"transductive"}
    assert set(table["interval"]) == {"fixed models, bootstrap over people"}
    assert found["predictions"].groupby(["score", "learner", "features"]).size().eq(40).all()
    assert found["predictions"].groupby("type")["probability"].count().to_dict() == {"binary": 320, "continuous": 0}
    tested = table[table["permutations"].notna()]
    assert set(tested["metric"]) == {"r2", "log_loss"} and set(tested["features"]) == {"latents + confounds"}
    by_learner = tested.set_index(["learner", "score"])
    assert by_learner.loc["linear", "p_permutation"].between(0.1, 1).all()
    assert by_learner.loc["svm", "p_permutation"].isna().all()
    assert set(by_learner.loc["svm", "permutation"]) == {"not run (svm: 0 permutations)"}
    r2 = table.query("learner == 'linear' and metric == 'r2'").set_index("features")["value"]
    assert np.isclose(by_learner.loc[("linear", "memory"), "gain"], r2["latents + confounds"] - r2["confounds"])
    loss = table.query("learner == 'svm' and metric == 'log_loss'").set_index("features")["value"]
    assert np.isclose(by_learner.loc[("svm", "ill"), "gain"], loss["confounds"] - loss["latents + confounds"])
    calibration.draw(
        predictions=tmp_path / "a" / "predictions.parquet",
        metrics=tmp_path / "a" / "predict.parquet",
        name="vae",
        out=tmp_path / "calibration.png",
    )
    assert (tmp_path / "calibration.png").stat().st_size > 10_000


def test_a_collapsed_model_gives_one_row_without_statistics(tmp_path: Path, monkeypatch):
    found = run_all(tmp_path / "a", cohort(people=30, size=3), monkeypatch, "collapsed")
    for name in ("predict", "importance"):
        row = found[name].to_dict("records")
        assert len(row) == 1 and (row[0]["verdict"], row[0]["reason"]) == ("collapsed", "no active unit")
    assert pd.isna(found["predict"]["value"]).all() and found["predictions"].empty
    files = {"predictions": tmp_path / "a" / "predictions.parquet", "metrics": tmp_path / "a" / "predict.parquet"}
    calibration.draw(**files, name="vae", out=tmp_path / "calibration.png")


def test_the_guard_comes_before_any_table(tmp_path: Path, monkeypatch):
    def refuse(latents, weights, people, freeze):
        assert freeze is False  # people whom the weights do not name are refused, unless the run is frozen
        assert weights == [tmp_path / "a" / "weights"] and latents == [tmp_path / "a" / "latents.parquet"]
        assert len(people) == 60
        raise InputError("a leak")

    with pytest.raises(InputError, match="a leak"):
        run_all(tmp_path / "a", cohort(people=60, size=3), monkeypatch, refuse=refuse)
    assert not list((tmp_path / "a").glob("*predict*")) and not list((tmp_path / "a").glob("*importance*"))


def test_combat_that_has_one_training_site_is_not_called_combat():
    """Two sites, one left out at a time: nothing can be learnt, and nothing changes."""
    parts = cohort()
    parts[0]["fold"] = (parts[0]["site"] == "B").astype(int)
    split = folds.outer_folds([design.join(*parts)])
    one, other = (
        folds.complete_cases(split, MEMORY, CONFOUNDS, inner=3, harmonise=name, new_site="mean")
        for name in ("combat", "none")
    )
    assert (one.base["status"], one.base["harmonised"]) == ("ok", "none (one training site)")
    values = [predict.cross_validate(each, ["linear"])["prediction"] for each in (one, other)]
    assert np.array_equal(*values)
