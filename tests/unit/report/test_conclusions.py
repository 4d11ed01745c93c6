"""What is concluded of a score: the right headline for every combination of tests, with its numbers and caveats."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_tests import AGE, DX, FIT, PEOPLE, associations, joined, run_of
from univariate_rows import glm_rows, permute_rows

from neurovae.associate import permute as permutation
from neurovae.design.tables import tidy
from neurovae.findings import with_maxt
from neurovae.report import conclusions as judged
from neurovae.report import results, summary
from neurovae.report.figures import effects
from neurovae.report.sections import findings, latents, methods_inference

pytestmark = pytest.mark.filterwarnings("error")


def omnibus(p: float, q: float) -> pd.DataFrame:
    keys = {"score": "motor", "model": "vae", "fold": 0, "seed": 0}
    return pd.DataFrame([keys | {"p": p, "q": q, "partial_r2_cv": 0.25, "status": "ok", "reason": ""}])


def rows(maxt: float, quadratic: float, **more: Any) -> pd.DataFrame:
    """Two latents of a continuous score: the first with the smaller max-T p, the second with the quadratic effect."""
    same = {"score": "motor", "type": "continuous", "link": "identity", "model": "vae", "fold": 0, "seed": 0, "n": 40,
            "effect": 0.5, "ci_low": 0.2, "ci_high": 0.8, "p": 0.01, "status": "ok", "reason": "", "flagged": False, "p_quadratic": 0.03,
            "nuisance": "", "score_nuisance": np.nan, "replicated": "2 of 2", "verdict": "healthy", **more}  # fmt: skip
    first = same | {"latent": "mu_shared_00", "p_maxt": maxt, "maxt_statistic": 3.0, "p_quadratic_maxt": 1.0}
    second = same | {"latent": "mu_c0_i02", "p_maxt": 1.0, "maxt_statistic": 0.1, "p_quadratic_maxt": quadratic}
    return pd.DataFrame([second, first])


@pytest.mark.parametrize(
    ("maxt", "quadratic", "q", "status", "latent"),
    [
        (0.01, 1.0, 0.01, "associated", "mu_shared_00"),
        (0.30, 1.0, 0.01, "associated", "mu_shared_00"),  # many latents, each too weak
        (0.01, 1.0, 0.20, "single latent", "mu_shared_00"),
        (0.30, 0.01, 0.20, "quadratic", "mu_c0_i02"),
        (0.30, 1.0, 0.20, "none", "mu_shared_00"),
        (0.049, 0.049, 0.049, "associated", "mu_shared_00"),
        (0.05, 0.05, 0.05, "none", "mu_shared_00"),
    ],
)
def test_the_headline_follows_from_the_three_tests(maxt: float, quadratic: float, q: float, status: str, latent: str):
    one = judged.conclusions(rows(maxt, quadratic), omnibus(q, q), None, FIT, "vae")[0]
    assert (one["status"], one["row"]["latent"]) == (status, latent)
    more = {"single latent": "linear", "quadratic": "quadratic"}
    of = f" ({more[status]} effect of one latent; joint test not significant)" if status in more else ""
    assert one["headline"] == judged.HEADLINES[status] + of
    assert f"q = {q:.2g}, cross-validated partial R² = 0.25" in one["evidence"]
    assert ("Quadratic effect of mu_c0_i02" in one["evidence"]) == (quadratic < 0.05)


def test_a_quadratic_effect_needs_the_test_that_does_not_assume_constant_variance():
    """Heteroscedastic residuals alone may make max-T small; a test that was not possible confirms nothing."""
    both, alone = (rows(0.30, 0.01, p_quadratic=p) for p in (0.04, 0.06))
    statuses = [
        judged.conclusions(table, omnibus(0.2, 0.2), None, FIT, "vae")[0]["status"]
        for table in (both, alone, both.assign(p_quadratic=np.nan))
    ]
    assert statuses == ["quadratic", "none", "none"]


def test_a_negative_result_states_what_could_have_been_detected():
    power = pd.DataFrame({"score": "motor", "status": "ok", "n": 40, "tests": [1, 2], "partial_r": [0.43, 0.48],
                          "power": 0.8, "reason": ""})  # fmt: skip
    one = judged.conclusions(rows(0.3, 1.0), omnibus(0.2, 0.2), power, FIT, "vae")[0]
    assert one["evidence"].endswith("With 40 participants, only partial correlations of 0.48 or more could be detected "
                                    "with 80 % power.")  # fmt: skip


def test_few_participants_make_every_conclusion_preliminary():
    power = pd.DataFrame({"score": "motor", "status": "ok", "n": 14, "tests": [4], "partial_r": [0.75], "power": 0.8})
    assert judged.preliminary(power) == "Preliminary: only large effects can be detected with 14 participants."
    one = judged.conclusions(rows(0.01, 1.0), omnibus(0.01, 0.01), power, FIT, "vae")[0]
    assert "0.75 or more" in one["caveats"][0] and one["caveats"][0].endswith("probably overestimated")
    assert judged.preliminary(power.assign(partial_r=0.3)) == "" == judged.preliminary(None)


@pytest.mark.parametrize(
    ("more", "caveat"),
    [
        ({"flagged": True, "nuisance": "noise explains 27 % of this latent's variance"},
         "mu_shared_00: noise explains 27 % of this latent's variance"),
        ({"score_nuisance": "noise explains 30 % of motor"}, "noise explains 30 % of motor"),
        ({"score_delay": "motor was taken more than 180 days before or after the scan for 1 of 3 scans"},
         "motor was taken more than 180 days before or after the scan for 1 of 3 scans"),
        ({"verdict": "overfit"}, "the model is overfit"),
        ({"verdict": "healthy; hyperparameters transductive"}, "hyperparameters transductive"),
        ({"replicated": "0 of 2"}, "not replicated with other seeds"),
        ({"replicated": "no counterpart"}, "no counterpart in other seeds"),
    ],
)  # fmt: skip
def test_each_caveat_is_stated(more: dict[str, Any], caveat: str):
    assert judged.conclusions(rows(0.01, 1.0, **more), omnibus(0.01, 0.01), None, FIT, "vae")[0]["caveats"] == [caveat]
    assert judged.conclusions(rows(0.01, 1.0), omnibus(0.01, 0.01), None, FIT, "vae")[0]["caveats"] == []


@pytest.mark.parametrize(
    ("kind", "link", "words"),
    [
        ("continuous", "identity", "standardised beta 0.50 [0.20, 0.80]"),
        ("count", "log", "rate ratio 1.65 [1.22, 2.23] per SD"),
        ("binary", "logit", "odds ratio 1.65 [1.22, 2.23] per SD"),
        (
            "bounded",
            "logit",
            "odds ratio (fractional logit; score rescaled to 0-1) 1.65 [1.22, 2.23] per SD",
        ),
        ("continuous", "log", "effect 0.50 [0.20, 0.80] (log scale) per SD"),
    ],
)
def test_effects_are_in_the_units_of_their_family(kind: str, link: str, words: str):
    row = rows(0.01, 1.0, type=kind, link=link).iloc[0].to_dict()
    assert judged.estimate(row) == words  # exp(.5), exp(.2), exp(.8)


def test_the_overview_names_every_score_once():
    tests = pd.concat([rows(0.01, 1.0, score="a"), rows(0.3, 0.01, score="b"), rows(0.3, 1.0, score="c")])
    whole = pd.concat([omnibus(q, q).assign(score=name) for name, q in (("a", 0.01), ("b", 0.3), ("c", 0.3))])
    said = judged.overview(judged.conclusions(tests, whole, None, FIT, "vae"), "vae")
    assert said == ("Associated with the latents of vae: a. Nonlinear association only (quadratic effect of one latent; "
                    "joint test not significant): b. No association found: c.")  # fmt: skip


def test_an_effect_without_the_joint_test_is_named_as_what_it_is():
    """The number of latents is counted; a joint test that was not run is not called negative."""
    two = pd.concat([rows(0.01, 1.0), rows(0.02, 1.0).iloc[[1]].assign(latent="mu_x")])
    lost = omnibus(np.nan, np.nan).assign(status="too few people")
    for whole, result in ((omnibus(0.3, 0.3), "not significant"), (lost, "not available"), (None, "not available")):
        one = judged.conclusions(two, whole, None, FIT, "vae")[0]
        assert (
            one["headline"] == f"Association of single latents only (linear effect of 2 latents; joint test {result})"
        )


def test_a_latent_that_separates_the_classes_comes_first(tmp_path: Path):
    tests = associations(joined(["A"] * PEOPLE))
    assert tests.loc[0, ["status", "maxt_status"]].tolist() == ["separation", "ok"] and tests.loc[0, "p_maxt"] == 0.005
    shuffled = tests.sample(frac=1, random_state=0)
    assert list(results.tested(shuffled)["latent"])[:2] == ["mu_000", "mu_001"]  # equal max-T p
    small = int((tests["p_maxt"] < 0.05).sum())
    one = judged.conclusions(tests, None, None, FIT, "vae")[0]
    assert (
        one["row"]["latent"] == "mu_000"
        and one["significant"] == f"max-T p < 0.05 for {small} of 6 latents"
        and small >= 2
    )
    assert "mu_000: no estimate (separation), max-T p = 0.005" in one["evidence"] and "nan" not in one["evidence"]
    names = [f"mu_{k:03d}" for k in range(6)]
    run = run_of(tmp_path, findings__associations=tests)
    assert latents.strongest(run, "vae", names, joined(["A"] * PEOPLE))[:2] == ["mu_000", "mu_001"]
    axis = effects.effects(tests).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()][0] == "mu_000" and len(axis.get_xticks()) == 6
    said = methods_inference.inference(run)
    assert "Without a finite estimate, tested by permutation only: dx, mu_000: separation." in said


def test_max_t_that_was_not_run_is_reported_with_its_reason(tmp_path: Path):
    tests = associations(joined([f"site-{k % 29}" for k in range(PEOPLE)])).query("latent != 'mu_000'")
    why = {"maxt_status": "too few permutations", "maxt_reason": "96 distinct permutations of 60 rows, 1000 are needed"}
    lost = tests.assign(status="ok", reason="", **why, permutations=None, p_maxt=np.nan, maxt_statistic=np.nan)
    one = judged.conclusions(lost, None, None, FIT, "vae")[0]
    assert f"max-T not run ({why['maxt_status']}: {why['maxt_reason']})" in one["evidence"]
    assert one["status"] == "none" and "nan" not in one["evidence"]
    said = methods_inference.inference(run_of(tmp_path, findings__associations=lost))
    assert f"Max-T was not run for dx ({why['maxt_status']}: {why['maxt_reason']})." in said
    assert "[maxt]" not in said and "nan permutations" not in said


def test_a_refused_permutation_gives_its_reason_beside_the_regression():
    table = joined(["A"] * PEOPLE).iloc[1:].assign(site=[f"s{k // 2}" for k in range(PEOPLE - 1)])
    moved = tidy(permute_rows(table, [DX], [AGE], 19, 0), permutation.COLUMNS)
    tests = with_maxt(pd.DataFrame(glm_rows(table, DX, [AGE])), moved)
    assert tests["maxt_status"].notna().all() and (tests["maxt_reason"] != "").all() and tests["p_maxt"].isna().all()


PREDICTED = pd.DataFrame(
    [
        {"score": "dx", "model": model, "seed": seed, "learner": "linear", "features": features, "metric": metric,
         "value": value, "ci_low": value - 0.1, "ci_high": value + 0.1, "p_permutation": p, "policy": "transductive",
         "status": "ok", "reason": ""}
        for model, seed, features, metric, value, p in (
            ("vae", 0, "latents", "auc", 0.7, np.nan), ("vae", 0, "latents + confounds", "auc", 0.8, np.nan),
            ("vae", 0, "latents + confounds", "log_loss", 0.5, 0.004), ("vae", 0, "confounds", "auc", 0.6, np.nan),
            ("vae", 1, "latents + confounds", "auc", 0.9, np.nan), ("voxels", None, "voxels", "auc", 0.75, np.nan))
    ]
)  # fmt: skip


def test_predictions_stand_beside_confounds_and_voxels_for_the_seed_shown(tmp_path: Path):
    run = run_of(tmp_path, predict__predictions=PREDICTED)
    title, found = findings.prediction(run, "dx")
    assert title == "AUC, PD vs other group [95 % CI]"
    assert found == [
        ("latents and confounds", "0.80 [0.70, 0.90]"),
        ("latents alone", "0.70 [0.60, 0.80]"),
        ("confounds alone", "0.60 [0.50, 0.70]"),
        ("voxels alone", "0.75 [0.65, 0.85]"),
        ("gain over confounds, permutation test", "p = 0.004"),
    ]
    said = summary.prediction(PREDICTED[PREDICTED["seed"] != 1], "dx", "vae")
    assert said == ("AUC 0.80 [0.70, 0.90] from latents + confounds (gain over confounds: permutation p = 0.004); "
                    "confounds alone 0.60, voxels 0.75; transductive: vae and voxels trained on scans that included those "
                    "of participants in the test folds")  # fmt: skip


def test_a_score_that_could_not_be_predicted_gives_the_reason(tmp_path: Path):
    lost = PREDICTED.head(1).assign(status="too few people", reason="14 people in 5 folds", metric=np.nan, value=np.nan)
    assert findings.prediction(run_of(tmp_path, predict__predictions=lost), "dx") == (
        "Not predicted: too few people (14 people in 5 folds).", [])  # fmt: skip
    assert summary.prediction(lost, "dx", "vae") == "none (too few people: 14 people in 5 folds)"


def test_the_regions_named_are_those_of_largest_volume_change():
    table = pd.DataFrame({"score": "motor", "type": "continuous", "status": "ok", "hemisphere": ["left", "right", np.nan],
                          "region": ["hippocampus", "amygdala", "third ventricle"],
                          "log_jacobian": [-0.3, 0.1, 0.2], "percent": [-25.9, 10.6, 22.1]})  # fmt: skip
    assert findings.volumes(table, "motor") == (
        "Largest differences in regional volume, 95th relative to 5th percentile of the score (not tested): left "
        "hippocampus -26 %, third ventricle +22 %, right amygdala +11 %.")  # fmt: skip
    said = findings.volumes(table.assign(type="binary"), "motor", "PD")
    assert said.startswith("Largest differences in regional volume, PD relative to other group (not tested): left")
