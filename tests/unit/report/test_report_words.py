"""What the report calls its numbers is what they are: chance, intervals, baselines, corrections and verdicts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_tests import FIT, PEOPLE, associations, joined, run_of

from neurovae.report import blocks, page, results, summary, text
from neurovae.report import conclusions as judged
from neurovae.report.figures import latents as drawn
from neurovae.report.sections import associations as tests_section
from neurovae.report.sections import audits, maps, methods_data, methods_inference, predictions

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(("verdict", "title"), [("healthy", "vae"), ("overfit", "vae (overfit)"), (None, "vae"), (np.nan, "vae"),
                                                ("healthy; hyperparameters transductive", "vae (hyperparameters transductive)")])  # fmt: skip
def test_a_healthy_model_is_titled_by_its_name_alone(verdict: object, title: str):
    assert results.titled("vae", verdict) == title
    assert results.passed({"verdict": "healthy", "caveats": ["few"]}) == "passed all checks; few"
    assert results.passed({"verdict": "overfit"}) == "overfit"


@pytest.mark.parametrize(("numbers", "words"), [((0.5, 0.4, 0.6), "0.50 [0.40, 0.60]"), ((-0.0004, -0.002, 0.001), "0.000 [-0.002, 0.001]"),
                                                ((0.0, -0.004, 0.006), "0.00 [0.00, 0.01]")])  # fmt: skip
def test_an_interval_has_a_width(numbers: tuple[float, float, float], words: str):
    assert text.unsigned(*numbers) == words


def test_the_summary_gives_the_caveats_of_all_scores():
    row = {"replicated": "one seed", "split_policy": "transductive: 50 of 66 people trained the model", "m": 16}
    found = [{"score": name, "status": "associated", "row": row} for name in ("motor", "mmse")]
    power = pd.DataFrame({"reason": ["few", ""], "n": [66, 71]})
    health = {"people_training": 50, "people_validation": 7, "people_test": 15}
    said = judged.general(found, power, health, simulated=True)
    assert len(said) == 5 and "simulated" in said[0] and said[1].startswith("With 66 participants, effect estimates")
    assert said[3] == (
        "57 of the 72 participants were in the training set (50) or validation set (7) of the model, which used their "
        "scans, but not their scores (transductive)."
    )
    assert "across the 2 scores" in said[4] and "16 latents" in said[4]
    assert judged.general([found[0] | {"row": {}}], None, None, simulated=False) == []
    one = {"score": "motor", "headline": "x", "evidence": "", "status": "none", "caveats": []}
    lines = summary.score_lines(
        one, pd.DataFrame(columns=["score", "metric", "learner", "model", "status", "features"]), None, "vae"
    )
    assert lines[-1] == "  Caveats: none beyond those for all scores."


def test_min_p_is_mentioned_only_where_it_corrects_for_more(tmp_path: Path):
    tests = associations(joined(["A"] * PEOPLE))
    assert (tests["p_minp"] == tests["p_maxt"]).all()  # one score: its family is itself
    alone = run_of(tmp_path / "alone", findings__associations=tests)
    assert "Min-P" not in methods_inference.inference(alone) and not results.pooled(tests)
    both = tests.assign(p_minp=np.minimum(1, 2 * tests["p_maxt"]))
    shared = run_of(tmp_path / "shared", findings__associations=both)
    assert "exactly the same participants" in methods_inference.inference(shared)
    for run, shown in ((alone, False), (shared, True)):
        heads = [
            head["name"]
            for block in tests_section.associations(run)
            if block["kind"] == "table"
            for head in block["heads"]
        ]
        assert ("min-P p" in heads) == shown


def test_the_table_of_nuisances_shows_the_test_that_flags(tmp_path: Path):
    row = {"kind": "score", "latent": None, "score": "motor", "nuisance": "sharpness", "declared": False,
           "r2_adjusted": 0.02, "p": 0.24, "q": 0.92, "r2_beyond": 0.21, "p_beyond": 1e-5, "q_beyond": 0.001,
           "flagged": True, "status": "ok", "reason": ""}  # fmt: skip
    block = blocks.table(pd.DataFrame([row]), audits.NUISANCES, "file", "caption")
    cells = dict(zip([head["name"] for head in block["heads"]], block["rows"][0], strict=True))
    assert cells["p (beyond confounds)"][0] == "1e-05" and cells["q (beyond confounds)"][0] == "0.001"
    assert cells["q (adjusted R²)"][0] == "0.92" and cells["flagged"][0] == "yes"


@pytest.mark.parametrize(("config", "words"), [({}, "at least 10 %"), ({"audit": {"min_variance_explained": 0.25}}, "at least 25 %"),
                                               ({"audit": {"min_variance_explained": 0.125}}, "at least 12.5 %")])  # fmt: skip
def test_a_caption_prints_the_number_of_the_configuration(config: dict[str, object], words: str):
    run = results.Run(Path(), [], FIT, "vae", [], page.CAPTIONS, config)
    said = blocks.caption(run, "confounds")
    assert words in said and "{" not in said and "audit" not in said
    assert not any("{" in blocks.caption(run, path.stem) for path in page.CAPTIONS.glob("*.rst"))


def test_residualised_latents_and_latents_alone_have_two_names(tmp_path: Path):
    rows = pd.DataFrame({"score": "motor", "model": "vae", "features": ["latents", "latents without confounds"],
                         "policy": "transductive", "value": [0.77, 0.46], "status": "ok", "reason": ""})  # fmt: skip
    run = run_of(tmp_path, predict__predictions=rows)
    block = next(block for block in predictions.predictions(run) if block["kind"] == "table")
    column = [head["name"] for head in block["heads"]].index("features")
    assert [row[column][0] for row in block["rows"]] == ["latents alone", "latents residualised on the confounds"]


def test_the_posterior_range_of_a_region_is_no_interval_of_its_change(tmp_path: Path):
    """It is of decoded draws around the cohort's centre, and the same for each latent."""
    rows = pd.DataFrame({"latent": ["mu_000", "mu_001"], "region": "insular cortex (box)", "hemisphere": "left", "rank": 1,
                         "change": [0.334, 0.1], "rms": 0.4, "posterior_low": -0.021, "posterior_high": 0.024,
                         "status": "ok", "reason": ""})  # fmt: skip
    run = run_of(tmp_path, **{f"interpret/vae/{FIT}/traversals": rows})
    block = next(block for block in maps._model(run, "vae") if block["kind"] == "table")
    heads = [head["name"] for head in block["heads"]]
    assert "posterior range of the region's mean, low" in heads and not any("interval" in head for head in heads)
    assert (
        "not a confidence interval for the change" in block["caption"]
        and block["rows"][0][1][0] == "insular cortex (box-shaped region)"
    )
    run = run_of(
        tmp_path, **{f"interpret/vae/{FIT}/traversals": rows.drop(columns=["posterior_low", "posterior_high"])}
    )
    block = next(block for block in maps._model(run, "vae") if block["kind"] == "table")
    assert "posterior" not in block["caption"]


def test_a_pca_has_no_prior():
    z = pd.DataFrame({"split": ["training", "test"] * 10, "mu_000": np.linspace(-20, 20, 20)})
    for label, prior, lines in (("posterior mean", True, 3), ("component score", False, 0)):
        axis = drawn.spread(z, ["mu_000"], label, prior).axes[0]
        assert axis.get_ylabel() == label and sum(line.get_linestyle() == ":" for line in axis.lines) == lines


def test_seeds_are_not_compared_where_there_is_one(tmp_path: Path):
    run = run_of(tmp_path)
    run.config["train"] = {"seeds": [0]}
    (block,) = audits._seeds(run, "vae")
    assert block["kind"] == "missing" and "the model was trained with one seed; add seeds to" in block["why"]
    run.config["train"] = {"seeds": [0, 1]}
    assert len(audits._seeds(run, "vae")) == 2


def test_a_column_of_one_value_is_stated_in_words():
    rows = pd.DataFrame(
        {"p": [0.1, 0.2, 0.3, 0.4], "seed": 0, "replicated": "one seed", "status": "ok", "maxt_status": "ok"}
    )
    said = blocks.table(rows, {name: name for name in rows}, "file", "caption")["same"]
    assert said == (
        "Identical in all rows (columns not shown): seed 0, models trained with one seed only. The analysis of every row was "
        "completed."
    )
    said = blocks.table(rows.assign(status="too few people"), {"status": "status"}, "file", "caption")["same"]
    assert said == "Identical in all rows (columns not shown): status: too few people."


def test_the_tables_print_words_and_the_files_keep_their_own(tmp_path: Path):
    rows = pd.DataFrame({"metric": ["r2", "calibration_slope"], "verdict": ["healthy", "healthy; hyperparameters transductive"],
                         "exchangeability": "people within site", "nuisance": ["noise", "my_column"],
                         "part": ["together", "adjusted"]})  # fmt: skip
    cells = blocks.table(rows, {name: name for name in rows}, "file", "caption", mark="verdict")["rows"]
    first, second = ([cell[0] for cell in row] for row in cells)
    assert first == [
        "R²",
        "passed all checks",
        "participants within site",
        "image noise",
        "all latents in one regression",
    ]
    assert second[:2] == ["calibration slope", "passed all checks; hyperparameters transductive"]
    assert second[3:] == ["my_column", "one latent, adjusted for the others"] and not cells[0][1][2]
    assert rows["metric"].tolist() == ["r2", "calibration_slope"]


def test_exclusions_are_stated_as_what_excluded_a_scan():
    assert methods_data._excluded("clipped", None, 0.02) == [
        "more than 2 % of brain voxels had saturated (clipped) intensities"
    ]
    assert methods_data._excluded("mask_ml", 700, 2200) == ["brain volume was below 700 or above 2200 ml"]
    assert methods_data._excluded("snr", 2, None) == ["the signal-to-noise ratio was below 2"]
    assert methods_data._excluded("noise", None, 0.1) == ["noise was above 0.1"]
