"""A predictor that was given away: the same numbers as in its own cohort, closed forms of calibration, other units."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.linear_model import Ridge
from two_cohorts import AGE, CONFOUNDS, ILL, INNER, given_away, inferred, people, validated

from neurovae.design.design import join
from neurovae.errors import InputError
from neurovae.external import coding, predictor, transfer
from neurovae.external.words import ADDED
from neurovae.io import latent_table
from neurovae.plan import external as plan
from neurovae.predict import predict
from neurovae.predict.features import BOTH, LATENTS, feature_maker, split_rows
from neurovae.predict.features import CONFOUNDS as ALONE
from neurovae.predict.folds import complete_cases, outer_folds
from neurovae.predict.linear import fitted

SEX = pd.Series(["F", "M"] * 40)


def of(theirs: dict[str, Any], features: str) -> dict[str, Any]:
    return next(one for one in theirs["predictors"] if one["features"] == features)


# --- the predictor ---


@pytest.mark.parametrize("score", [AGE, ILL])
def test_predictions_in_the_own_cohort_are_those_of_predict_fitted_to_everybody(score):
    parts = people(80)
    theirs, table = given_away(parts, [score])["scores"][0], join(*parts)
    y = (table["ill"] == "yes").to_numpy(float) if score is ILL else table["motor"].to_numpy(float)
    z, everyone = table[latent_table.columns(table)], np.arange(80)
    used = [("age", "continuous", table["age"]), ("sex", "categorical", table["sex"])]
    values = {name: column for name, _, column in used}
    for name in (LATENTS, ALONE, BOTH):
        features = feature_maker(name, z.to_numpy(), used)
        split = split_rows(features, everyone, everyone, everyone[:0], INNER, 0)
        intercept, coef, _ = fitted(split, y[:, None], score is ILL)
        expected = intercept[0] + split.x_train @ coef[:, 0]
        found = predictor.apply(of(theirs, name), z, theirs["coding"], values)[0]
        if name == LATENTS:
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        else:  # knots were rounded
            assert np.abs(found - expected).max() < 0.02 * expected.std()


def test_the_line_is_that_of_scikit_learn():
    parts = people(80)
    theirs = of(given_away(parts, [AGE], [])["scores"][0], LATENTS)
    table = join(*parts)
    z = table[latent_table.columns(table)].to_numpy(float)
    standard = (z - z.mean(axis=0)) / z.std(axis=0)
    model = Ridge(alpha=theirs["penalty"]["latents"]).fit(standard, table["motor"])
    np.testing.assert_allclose([one["coefficient"] for one in theirs["columns"]], model.coef_, rtol=1e-8)
    assert theirs["intercept"] == pytest.approx(model.intercept_) and theirs["people"] == 80


def test_unknown_confounds_count_as_the_mean_of_the_other_cohort():
    theirs = given_away(people(80), [AGE])["scores"][0]
    both, z = of(theirs, BOTH), pd.DataFrame(np.zeros((3, 6)), columns=[f"mu_{k:03d}" for k in range(6)])
    columns = {one["name"]: one for one in both["columns"]}
    expected = both["intercept"] - sum(
        one["coefficient"] * one["mean"] / one["sd"] for name, one in columns.items() if name.startswith("mu_")
    )
    assert predictor.apply(both, z, theirs["coding"], {})[0] == pytest.approx([expected] * 3)
    known = {"sex": pd.Series(["M", "F", "X"])}
    male, female, unknown = predictor.apply(both, z, theirs["coding"], known)[0] - expected
    sex = columns["sex=M"]
    assert unknown == 0 and male - female == pytest.approx(sex["coefficient"] / sex["sd"])
    with pytest.raises(InputError, match="confound 'sex': its values are female, male, in the other cohort F, M"):
        predictor.apply(both, z, theirs["coding"], {"sex": pd.Series(["female", "male", "male"])})


def test_a_confound_that_is_a_binary_score_keeps_its_words():
    scores = [{"name": "sex", "type": "binary", "positive": "F"}]
    used = coding.in_words([("sex", "categorical", SEX.map({"F": 1.0, "M": 0.0}))], scores)
    codings = coding.code(used, pd.Series(range(80)))
    assert codings[0]["levels"] == ["F", "not F"]
    as_score, as_text = used[0][2], SEX
    expected = (SEX == "M").to_numpy(float)[:, None]
    for values in (as_score, as_text):
        np.testing.assert_array_equal(coding.coded(codings, {"sex": values}, 80), expected)
    reverse = coding.in_words([("sex", "categorical", SEX.map({"F": 0.0, "M": 1.0}))], [{**scores[0], "positive": "M"}])
    with pytest.raises(InputError, match="its values are M, not M, in the other cohort F, not F"):
        coding.coded(codings, {"sex": reverse[0][2]}, 80)


def test_small_levels_and_sites_are_not_named():
    column = pd.Series(["a"] * 40 + ["b"] * 37 + ["rare"] * 3)
    used = [("group", "categorical", column), ("site", "categorical", column)]
    codings = coding.code(used, pd.Series(range(80)))
    assert [one["name"] for one in codings] == ["group"] and codings[0]["levels"] == ["a", "b"]
    assert np.isnan(coding.coded(codings, {"group": column}, 80)[77:]).all()


# --- calibration ---


def test_untouched_metrics_are_closed_forms():
    rng = np.random.default_rng(0)
    prediction = rng.normal(50, 10, 60)
    truth = 20 + 0.4 * prediction + rng.normal(0, 3, 60)
    rows = {row["metric"]: row for row in transfer.untouched(truth, prediction, 48.0, False, 400, 0)}
    line = sm.OLS(truth, sm.add_constant(prediction)).fit()
    assert rows["calibration_slope"]["value"] == pytest.approx(line.params[1])
    assert rows["calibration_intercept"]["value"] == pytest.approx(line.params[0] + line.params[1] * 48 - 48)
    assert rows["r2"]["value"] == pytest.approx(
        1 - ((truth - prediction) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    )
    assert rows["mean_error"]["value"] == pytest.approx((prediction - truth).mean())
    assert rows["r"]["value"] == pytest.approx(np.corrcoef(truth, prediction)[0, 1])
    error = line.bse[1]
    width = rows["calibration_slope"]["ci_high"] - rows["calibration_slope"]["ci_low"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_binary_calibration_is_that_of_a_logistic_regression():
    rng = np.random.default_rng(1)
    line = rng.normal(size=200)
    truth = (rng.random(200) < expit(0.5 + 0.6 * line)).astype(float)
    rows = {row["metric"]: row["value"] for row in transfer.untouched(truth, line, 0.3, True, 10, 0)}
    fit = sm.Logit(truth, sm.add_constant(line - logit(0.3))).fit(disp=0)
    assert rows["calibration_slope"] == pytest.approx(fit.params[1], abs=1e-4)
    assert rows["calibration_intercept"] == pytest.approx(fit.params[0] - logit(0.3), abs=1e-4)
    again = transfer.line(truth, line, line, True)
    both = sm.Logit(truth, sm.add_constant(line)).fit(disp=0)
    np.testing.assert_allclose(again, both.predict(sm.add_constant(line), which="linear"), atol=1e-2)


def test_recalibration_uses_other_folds_alone_and_mends_another_scale():
    rng = np.random.default_rng(2)
    prediction, fold = rng.normal(size=60), np.arange(60) % 5
    truth = 100 + 7 * prediction + rng.normal(size=60)
    found = transfer.recalibrated(truth, prediction, fold, False)
    for k in range(5):
        line = sm.OLS(truth[fold != k], sm.add_constant(prediction[fold != k])).fit()
        expected = line.predict(sm.add_constant(prediction[fold == k]))
        np.testing.assert_allclose(found.loc[found["fold"] == k, "prediction"], expected, rtol=1e-9)
    assert "8 people to recalibrate on for fold 0, 10 are needed" in str(
        transfer.recalibrated(truth[:10], prediction[:10], fold[:10], False)
    )
    rarer = transfer.recalibrated((truth > 112).astype(float), prediction, fold, True)
    assert isinstance(rarer, str) and "of the rarer class" in rarer


def test_what_a_predictor_adds_is_found_where_the_own_latents_lack_it(tmp_path):
    theirs, there = given_away(people(120), [AGE]), people(100, 1, site="B", names="b")
    both = validated(tmp_path / "a", theirs, there, [AGE])[1]
    poor = there[1].assign(**{f"mu_{k:03d}": np.random.default_rng(k).normal(size=100) for k in range(6)})
    own = validated(tmp_path / "b", theirs, there, [AGE], own=poor)[1]
    gain = [one[(one["against"] == LATENTS) & (one["metric"] == "r2")].iloc[0] for one in (both, own)]
    assert gain[0]["ci_low"] < 0.02 and abs(gain[0]["value"]) < 0.1  # the own latents are the same
    assert gain[1]["value"] > 0.3 and gain[1]["ci_low"] > 0 and gain[1]["folds"] == 5


def test_the_own_latents_count_by_their_size_as_in_predict(tmp_path):
    parts = people(100, 1, site="B", names="b")
    table, size = join(*parts), np.array([9, 9, 1, 1, 1, 1.0])
    cases = complete_cases(outer_folds([table], [size]), AGE, CONFOUNDS, inner=INNER)
    metrics = predict.summarise(cases, predict.cross_validate(cases, ["linear"]), {}, 10, 0)
    wanted = {row["features"]: row["value"] for row in metrics if row["metric"] == "r2"}
    given = given_away(people(120), [AGE])
    found, standardised = (validated(tmp_path / name, given, parts, [AGE], size=one)[1]
                           for name, one in (("a", size), ("b", None)))  # fmt: skip
    for features in (LATENTS, BOTH):
        values = [
            one.loc[(one["application"] == ADDED) & (one["features"] == features) & one["against"].isna()
                    & (one["metric"] == "r2"), "value"].item() for one in (found, standardised)
        ]  # fmt: skip
        assert values[0] == pytest.approx(wanted[features], abs=1e-9) and abs(values[1] - values[0]) > 1e-4


# --- both cohorts ---


def test_the_same_cohort_is_predicted_as_by_its_own_line_and_other_scanners_shift_it(tmp_path):
    parts = people(80)
    theirs = given_away(parts, [AGE])
    _, _, records = validated(tmp_path / "a", theirs, parts, [AGE])
    chosen = records[(records["features"] == LATENTS) & (records["application"] == "untouched")]
    one, table = theirs["scores"][0], join(*parts)
    expected = predictor.apply(of(one, LATENTS), table[latent_table.columns(table)], one["coding"], {})[0]
    np.testing.assert_allclose(chosen["prediction"], expected)
    assert set(chosen["scan"]) == set(parts[0]["scan"])
    moved = validated(tmp_path / "b", theirs, people(80, 1, site="B", shift=4.0), [AGE])[1]
    value = moved[moved["features"] == LATENTS].set_index(["application", "metric"])["value"]
    assert value["untouched", "r2"] < value["recalibrated", "r2"] - 0.05 and value["untouched", "r"] > 0.7


def test_twins_with_the_same_values_do_not_narrow_an_interval(tmp_path):
    theirs, parts = given_away(people(80), [AGE]), people(40, 1, site="B", names="b")
    twice = [pd.concat([part, part.assign(scan=part["scan"] + "x")]).reset_index(drop=True) for part in parts]
    twice[0] = twice[0].assign(family=twice[0]["person"], person=twice[0]["scan"])
    twice[1] = twice[1].assign(person=twice[1]["scan"])
    (tests, metrics, _), (of_twins, again, _) = (
        validated(tmp_path, theirs, one, [AGE]) for one in (parts, tuple(twice))
    )
    fitted = metrics["application"] != ADDED
    for name in ("value", "ci_low", "ci_high"):
        np.testing.assert_allclose(again[fitted][name], metrics[fitted][name], rtol=1e-6, err_msg=name)
    for name in ("r_effects", "r_low", "r_high"):
        assert of_twins[name].iloc[0] == pytest.approx(tests[name].iloc[0], rel=1e-6)


def test_another_unit_is_refused_by_name_or_converted_by_a_stated_rule(tmp_path):
    theirs = given_away(people(80), [AGE])
    there = people(60, 1, site="B", unit=12.0, names="b")
    with pytest.raises(InputError, match="score 'motor': mean .* another scale or unit; convert it"):
        validated(tmp_path, theirs, there, [AGE])
    scale = {"multiply": 1, "add": 0, "theirs": {"type": "continuous", "mean": 5.0, "sd": 2.0}}
    assert plan.other_scale("motor", [5.0] * 10, scale) == []  # a constant score is not another unit
    assert "SD 0.01" in plan.other_scale("motor", [5.0, 5.02] * 5, scale)[0]
    rule = {"motor": {"score": "motor", "multiply": 1 / 12, "add": 0}}
    converted = validated(tmp_path, theirs, there, [AGE], mapping=rule)[1]
    same = validated(tmp_path, theirs, people(60, 1, site="B", names="b"), [AGE])[1]
    part = converted["application"] == "untouched"
    np.testing.assert_allclose(converted[part]["value"], same[part]["value"], atol=1e-4)


def test_a_confound_in_another_unit_is_refused_or_converted_as_the_score_of_its_name(tmp_path):
    """Age in months would enter the other cohort's spline over years: an R2 of -1,119 without a message."""
    theirs = given_away(people(80), [AGE])
    there = people(60, 1, site="B", names="b")
    months = there[0].assign(age=12 * there[0]["age"]), *there[1:]
    with pytest.raises(
        InputError, match="confound 'age': mean 72.*, but mean 60.* another scale or unit; use the same"
    ):
        validated(tmp_path, theirs, months, [AGE])
    scores = [AGE, {"name": "age", "type": "continuous"}]
    theirs = given_away(people(80), scores)
    rules = {"motor": "motor", "age": {"score": "age", "multiply": 1 / 12, "add": 0}}
    converted, same = (validated(tmp_path, theirs, parts, scores, mapping=rule)[1]
                       for parts, rule in ((months, rules), (there, None)))  # fmt: skip
    untouched = (same["application"] == "untouched") & (same["score"] == "motor")
    assert untouched.sum() > 12
    np.testing.assert_allclose(converted[untouched]["value"], same[untouched]["value"], rtol=1e-6)
    named = [{"name": "age_months", "column": "age", "type": "continuous"}, CONFOUNDS[1]]
    renamed = months[0].rename(columns={"age": "age_months"}), *months[1:]
    rows = validated(tmp_path, given_away(people(80), [AGE]), renamed, [AGE], named)[1]
    assert "age: not a confound here" in rows.loc[rows["features"] == ALONE, "reason"].iloc[0]


def test_levels_that_the_other_cohort_lacks_are_counted_in_the_note(tmp_path):
    """1 and 2 there, 0 and 1 here: half of the words agree, and nothing else shows that they mean something else."""
    words = {"F": "1", "M": "2"}, {"F": "0", "M": "1"}
    there, here = (
        (one[0].assign(sex=one[0]["sex"].map(map_)), *one[1:])
        for one, map_ in zip((people(80), people(60, 1, site="B", names="b")), words, strict=True)
    )
    rows = validated(tmp_path, given_away(there, [AGE]), here, [AGE])[1]
    count = (here[0]["sex"] == "0").sum()
    note = f"sex: {count} of 60 participants have no value, or a level that is not in the other cohort's predictor"
    assert note in rows.loc[rows["features"] == ALONE, "reason"].iloc[0]
    assert rows.loc[rows["features"] == LATENTS, "reason"].iloc[0] == ""


def test_a_confound_of_another_type_is_refused(tmp_path):
    parts = people(60, 1, site="B", names="b")
    coded = parts[0].assign(sex=(parts[0]["sex"] == "M").astype(int)), *parts[1:]
    confounds = [CONFOUNDS[0], {"name": "sex", "type": "continuous"}]
    with pytest.raises(InputError, match="confound 'sex': type is continuous here, categorical in the other cohort"):
        validated(tmp_path, given_away(people(80), [AGE]), coded, [AGE], confounds)


def test_scores_of_another_type_are_refused_and_those_that_are_absent_are_listed(tmp_path):
    theirs = given_away(people(80), [AGE, ILL])
    there = people(60, 1, site="B", names="b")
    with pytest.raises(InputError, match="score 'motor': type is gamma here, continuous in the other cohort"):
        validated(tmp_path, theirs, there, [{**AGE, "type": "gamma"}])
    with pytest.raises(InputError, match="score 'ill': positive is no here, yes in the other cohort"):
        validated(tmp_path, theirs, there, [{**ILL, "positive": "no"}])
    tests, metrics, _ = validated(tmp_path, theirs, there, [AGE])
    for table in (tests, metrics):
        absent = table[table["score"].isna()]
        assert list(absent["score_source"]) == ["ill"] and set(absent["status"]) == {"not here"}
    other = there[0].rename(columns={"motor": "rating"}), *there[1:]
    renamed = validated(tmp_path, theirs, other, [{**AGE, "name": "rating"}], mapping={"rating": "motor"})[0]
    assert renamed[renamed["status"] == "ok"]["replicated"].sum() == 2
    assert set(renamed["score"].dropna()) == {"rating"} and "site" in renamed["differs"].iloc[0]


def test_scales_that_are_taken_for_another():
    rule = {"multiply": 1, "add": 0, "theirs": {"type": "continuous", "mean": 50.0, "sd": 16.0}}
    rng = np.random.default_rng(3)
    young, months, fraction = rng.normal(25, 5, 20), rng.normal(600, 190, 20), rng.random(20)
    assert not plan.other_scale("age", list(young), rule)
    assert plan.other_scale("age", list(months), rule) and plan.other_scale("age", list(fraction), rule)
    assert not plan.other_scale("age", list(months), rule | {"multiply": 1 / 12})
    levels = rule | {"theirs": {"type": "ordinal", "mean": 1.0, "sd": 1.0, "levels": [0.0, 1.0, 2.0]}}
    assert not plan.other_scale("stage", [0, 1, 2, 2], levels)
    assert "2 of 4 values, such as 3, are no levels" in plan.other_scale("stage", [0, 1, 3, 4], levels)[0]


def test_cross_fitted_values_of_the_other_cohort_stand_beside():
    _, _, own = inferred(people(80), [AGE], CONFOUNDS)
    theirs = given_away(people(80), [AGE])["scores"][0]["cross_fitted"]
    wanted = own[(own["metric"] == "r2")].set_index("features")["value"]
    found = {one["features"]: one["value"] for one in theirs if one["metric"] == "r2"}
    assert found == pytest.approx(wanted.to_dict())
