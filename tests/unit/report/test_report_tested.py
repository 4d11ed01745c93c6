"""The report counts who was analysed and what was tested: no finding, person or site is lost, nothing is claimed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from univariate_rows import glm_rows, permute_rows

from neurovae.associate import permute as permutation
from neurovae.design.tables import tidy
from neurovae.findings import with_maxt
from neurovae.report import summary as screen
from neurovae.report.blocks import Run
from neurovae.report.figures import charts, scores
from neurovae.report.sections import findings as sections_summary
from neurovae.report.sections import methods, methods_tests
from neurovae.report.sections import models as sections_models
from neurovae.report.sections import people as sections_people
from neurovae.report.sections import tested as shared
from neurovae.train.health.health import STATED

pytestmark = pytest.mark.filterwarnings("error")
FIT = "fold-0_seed-0"
DX = {"name": "dx", "type": "binary", "positive": "PD"}
AGE = {"name": "age", "type": "continuous"}
PEOPLE = 60


def joined(sites: list[str]) -> pd.DataFrame:
    """60 people of whom mu_000 tells the class without error; mu_001 goes with it, the rest is noise."""
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], PEOPLE // 2)
    z = rng.normal(size=(PEOPLE, 6))
    z[:, 0] = 4 * y + 0.4 * rng.normal(size=PEOPLE)
    z[:, 1] += 1.5 * y
    name = [f"sub-{k:03d}" for k in range(PEOPLE)]
    made = pd.DataFrame({"scan": name, "person": name, "dx": y, "age": rng.normal(60, 8, PEOPLE)})
    made = made.assign(session="", acquisition="", run="", site=sites, fold=0, split="test", model="vae", seed=0)
    made[[f"mu_{k:03d}" for k in range(6)]] = z
    return made.assign(**{f"latents_{key}": made[key] for key in ("model", "fold", "seed", "split")}, excluded=False)


def associations(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of associations.tsv of one score."""
    moved = tidy(permute_rows(table, [DX], [AGE], 199, 0), permutation.COLUMNS)
    bends = {"p_nonlinear": 0.5, "flagged": False, "nuisance": "", "score_nuisance": np.nan, "replicated": "one seed"}
    return with_maxt(pd.DataFrame(glm_rows(table, DX, [AGE])), moved).assign(verdict="healthy", **bends)


def run_of(folder: Path, **tables: pd.DataFrame) -> Run:
    """A run that has these tables: `a__b` is a/b.tsv."""
    for name, table in tables.items():
        path = folder / f"{name.replace('__', '/')}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return Run(folder, ["vae"], FIT, "vae", ["vae"], folder, {"cohort": {"scores": [DX], "confounds": [AGE]}})


OMNIBUS = pd.DataFrame([{"score": "dx", "model": "vae", "p": 0.001, "partial_r2_cv": 0.5, "status": "ok"}])


# --- what was tested ---


def test_a_latent_that_separates_the_classes_is_the_strongest(tmp_path: Path):
    tests = associations(joined(["A"] * PEOPLE))
    assert tests.loc[0, ["status", "maxt_status"]].tolist() == ["separation", "ok"] and tests.loc[0, "p_maxt"] == 0.005
    assert list(shared.tested(tests.sample(frac=1, random_state=0))["latent"])[:2] == [
        "mu_000",
        "mu_001",
    ]  # equal max-T p
    run = run_of(tmp_path, findings__associations=tests)
    row = sections_summary.findings(run, tests, None).iloc[0]
    small = int((tests["p_maxt"] < 0.05).sum())
    assert row["latent"] == "mu_000" and row["below"] == f"{small} of 6" and small >= 2
    assert row["effect"] == "no estimate: separation" and row["audits"] == "nothing flagged"
    lines = screen.inference(tests, OMNIBUS, "vae")
    assert lines[1].split()[:6] == ["dx", "mu_000", "no", "estimate:", "separation", "0.005"] and "nan" not in lines[1]
    assert f"{small} of 6 latents below 0.05, n 60" in lines[2]
    names = [f"mu_{k:03d}" for k in range(6)]
    assert sections_models.top(run, "vae", names, joined(["A"] * PEOPLE))[:2] == ["mu_000", "mu_001"]
    axis = charts.effects(tests).axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()][0] == "000" and len(axis.get_xticks()) == 6
    said = methods_tests.inference(run)
    assert "Without a finite estimate, tested by max-T alone: dx, mu_000: separation." in said and "nan" not in said


def test_the_effect_of_a_binary_score_says_which_class_is_up(tmp_path: Path):
    tests = associations(joined(["A"] * PEOPLE)).query("latent == 'mu_001'")
    row = sections_summary.findings(run_of(tmp_path), tests, None).iloc[0]
    assert row["effect"].startswith("+") and row["effect"].endswith("], up: PD")


def test_max_t_that_was_not_run_is_said_with_its_reason(tmp_path: Path):
    tests = associations(joined([f"site-{k % 29}" for k in range(PEOPLE)])).query("latent != 'mu_000'")
    why = {"maxt_status": "too few permutations", "maxt_reason": "96 distinct permutations of 60 rows, 1000 are needed"}
    lost = tests.assign(status="ok", reason="", **why, permutations=None, p_maxt=np.nan, maxt_statistic=np.nan)
    text = "max-T not run: too few permutations: 96 distinct permutations of 60 rows, 1000 are needed"
    assert shared.below(lost) == text
    run = run_of(tmp_path, findings__associations=lost)
    assert sections_summary.findings(run, lost, None).iloc[0]["below"] == text
    lines = screen.inference(lost, OMNIBUS, "vae")
    assert "nan" not in lines[1] and lines[2].strip().startswith(f"{text}, n ") and "below" not in lines[2]
    said = methods_tests.inference(run)
    assert f"Max-T was not run for dx: {why['maxt_status']}, {why['maxt_reason']}." in said
    assert "[maxt]" not in said and "n/a permutations" not in said


def test_a_refused_permutation_gives_its_reason_beside_the_regression():
    table = joined(["A"] * PEOPLE).iloc[1:].assign(site=[f"s{k // 2}" for k in range(PEOPLE - 1)])
    tests = with_maxt(
        pd.DataFrame(glm_rows(table, DX, [AGE])), tidy(permute_rows(table, [DX], [AGE], 19, 0), permutation.COLUMNS)
    )
    assert tests["maxt_status"].notna().all() and (tests["maxt_reason"] != "").all() and tests["p_maxt"].isna().all()


@pytest.mark.parametrize(("kind", "link", "freedman"), [("continuous", "identity", True), ("continuous", "log", False),
                                                        ("binary", "logit", False)])  # fmt: skip
def test_freedman_and_lane_are_named_where_the_score_was_moved(tmp_path: Path, kind: str, link: str, freedman: bool):
    tests = associations(joined(["A"] * PEOPLE)).query("status == 'ok'")
    run = run_of(tmp_path, findings__associations=tests.assign(type=kind, link=link, family="Gaussian (HC2)"))
    said = methods_tests.inference(run)
    assert ("[freedman]" in said) == freedman and ("residuals of the latent" in said) != freedman


# --- who was analysed ---


def cohort_of(tmp_path: Path, **config: Any) -> Run:
    """40 people, the first ten excluded by quality, six without a site; a confound that is called site."""
    rng = np.random.default_rng(0)
    names = [f"sub-{k:02d}" for k in range(40)]
    made = pd.DataFrame({"scan": names, "person": names, "site": ["A", "B"] * 20, "dx": [0.0, 1.0] * 20})
    made = made.assign(session="", acquisition="", run="", fold=0, age=rng.normal(60, 8, 40))
    made.loc[7:12, "site"] = "n/a"
    checks = pd.DataFrame({"scan": names, "excluded": [True] * 10 + [False] * 30, "template_r": 0.5, "reason": ""})
    run = run_of(tmp_path, preprocess__qc=checks, cohort__excluded=pd.DataFrame(columns=["scan", "person", "reason"]))
    made.to_parquet(tmp_path / "cohort/cohort.parquet")
    folder = tmp_path / f"latents/vae/{FIT}"
    folder.mkdir(parents=True)
    z = pd.DataFrame(rng.normal(size=(30, 2)), columns=["mu_000", "mu_001"])
    latents = made.loc[10:, ["scan", "person"]].reset_index(drop=True).assign(split="test")
    pd.concat([latents, z], axis=1).to_parquet(folder / "latents.parquet")
    run.config["cohort"]["confounds"] = [AGE, {"name": "site", "type": "categorical"}]
    return run


def test_people_whom_quality_excludes_are_not_counted(tmp_path: Path):
    run = cohort_of(tmp_path)
    said = methods.people(run)
    assert "30 people with 30 scans (T1w) from 2 site(s) were analysed, of 40 people with 40 scans before" in said
    assert "10 of 40 scans were excluded for quality" in said and "The site of 3 scans is not known." in said
    blocks = sections_people.cohort(run)
    assert "30 people with 30 scans analysed, of 40 with 40 before quality control; 2 sites" in blocks[0]["text"]
    assert "not known: 3" in blocks[0]["text"]
    table = next(block for block in blocks if block["kind"] == "table")
    heads = [head["name"] for head in table["heads"]]
    assert "site A" in heads and "site n/a" not in heads and "site nan" not in heads
    cells = dict(zip(heads, [cell[0] for cell in table["rows"][0]], strict=True))
    assert cells["people"] == "30" and cells["mean ± SD, or levels"] == "PD: 15, not PD: 15"
    tiles = dict(sections_summary.summary(run)[0]["pairs"])
    assert (tiles["people analysed"], tiles["excluded by quality"]) == ("30", "10")


def test_a_confound_that_is_called_site_does_not_stop_the_report(tmp_path: Path):
    made = sections_models.latents(cohort_of(tmp_path))
    assert sum(block["kind"] == "figure" for block in made) == 2


def test_without_a_quality_table_everybody_is_analysed():
    people = pd.DataFrame({"scan": ["a", "b"], "site": ["n/a", "A"]})
    assert shared.analysed(people, None)["site"].isna().tolist() == [True, False]


# --- figures ---


def test_no_person_of_any_site_is_left_out_of_a_figure():
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"site": [f"site {k % 20}" for k in range(200)], "age": rng.normal(60, 8, 200)})
    people = people.assign(sex=rng.choice(["F", "M"], 200), **{"mu_000": rng.normal(size=200), "mu_001": people["age"]})
    people.loc[:4, "site"] = None
    axes = charts.columns(people, ["age", "sex", "site"]).axes
    drawn = [
        sum(patch.get_height() for patch in axis.patches) for axis in axes[:3]
    ]  # stacked bars of age: heights are counts
    assert drawn == [200, 200, 195]
    axis = charts.pairs(people, ["mu_000", "mu_001"], ["site"]).axes[0]
    assert sum(len(points.get_offsets()) for points in axis.collections) == 200
    words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert len(words) == 8 and "others (13)" in words
    assert charts.pooled(people["age"]) is people["age"]


def test_the_picture_shows_one_scan_of_each_person_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = joined(["A"] * PEOPLE)
    table.loc[0, "age"] = np.nan  # is not tested
    later = table.assign(scan=table["scan"] + "_ses-2", session="2")
    table = pd.concat([table.assign(session="1"), later.iloc[1:]], ignore_index=True)
    table.loc[5, "excluded"] = True  # the first scan of a person: the second takes its place
    kept = table[~table["excluded"]].sort_values("scan").reset_index(drop=True)
    rows = pd.DataFrame(glm_rows(kept, DX, [AGE])).assign(verdict="healthy")
    rows.to_parquet(tmp_path / "glm.parquet")
    tidy(permute_rows(kept, [DX], [AGE], 199, 0), permutation.COLUMNS).to_parquet(tmp_path / "permute.parquet")
    curve = dict.fromkeys(["latent_value", "fitted", "low", "high"], 0.0) | {"score": "age", "latent": ""}
    pd.DataFrame([curve]).to_parquet(tmp_path / "curves.parquet")
    split = [
        name for name in table if not name.startswith(("mu_", "latents_")) and name not in ("model", "seed", "split")
    ]
    table[split].drop(columns="excluded").to_parquet(tmp_path / "cohort.parquet")
    z = [name for name in table if name.startswith("mu_")]
    table[["scan", "person", "model", "fold", "seed", "split", *z]].to_parquet(tmp_path / "latents.parquet")
    table[["scan", "excluded"]].to_parquet(tmp_path / "qc.parquet")
    made: list[Figure] = []
    monkeypatch.setattr(scores, "save", lambda figure, out: made.append(figure))
    names = ("cohort", "latents", "qc", "glm", "permute", "curves")
    scores.draw(**{name: tmp_path / f"{name}.parquet" for name in names}, scores=[DX], confounds=[AGE], most=2, name="vae",
               out=tmp_path / "x.png")  # fmt: skip
    axis = made[0].axes[0]
    dots = sum(
        len(points.get_offsets())
        for points in axis.collections
        if points.get_label() in ("seen by the model", "held out of the model")
    )
    assert rows["n"].iloc[0] == 59 and dots == 59
    assert "separation, max-T p 0.005, n 59" in axis.get_title() and axis.get_xlabel() == "latent 000"


# --- methods ---


def test_maps_are_only_described_where_some_were_made(tmp_path: Path):
    ok, lost = pd.DataFrame({"status": ["ok"]}), pd.DataFrame({"status": ["not tested"]})
    (tmp_path / "interpret").mkdir()
    (tmp_path / "interpret/atlas.nii.gz").touch()
    assert methods_tests.maps(run_of(tmp_path)) == ""
    where = f"interpret/vae/{FIT}"
    assert methods_tests.maps(run_of(tmp_path, **{f"{where}/maps": lost, f"{where}/jacobian": lost})) == ""
    said = methods_tests.maps(run_of(tmp_path, **{f"{where}/maps": ok}))
    assert said.startswith("Maps. The pattern") and "Jacobian" not in said
    assert "Jacobian" in methods_tests.maps(run_of(tmp_path, **{f"{where}/jacobian": ok}))


def test_the_network_is_described_as_it_was_trained(tmp_path: Path):
    """A search may have replaced what the configuration says."""
    assert {"epochs", "batch", "blur", *methods.AUGMENTED} <= set(STATED)  # what health.json says of the training
    run = run_of(tmp_path)
    run.config["train"] = {"models": [{"name": "vae", "epochs": 150, "batch": 8, "flip": False}]}
    found = {"kind": "vae", "latent": 16, "verdict": "healthy", "kept_epoch": 203, "epochs": 400, "batch": 4, "linear": "pca",
             "flip": True, "blur": 4.0, "mix": 0.5, "noise": 0.2, "jitter": 0.0, "people_training": 9, "people_validation": 2,
             "people_test": 1}  # fmt: skip
    path = tmp_path / f"train/vae/{FIT}/health.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    said = methods.models(run)
    assert "weights of epoch 203 kept (at most 400 epochs, batches of 4)" in said and "150" not in said
    assert "trained with mirror images of scans, averages of two people in place of 50% of scans" in said
    assert "blurred by 4 mm" in said and "jitter" not in said
    path.write_text(json.dumps(found | {"linear": "none", "flip": False}))
    assert "blurred" not in methods.models(run) and "mirror" not in methods.models(run)


def test_repeated_sessions_are_described_where_they_were_tested(tmp_path: Path):
    row = {"score": "dx", "model": "vae", "fold": 0, "seed": 0, "term": "within", "family": "binomial (GEE)", "n": 20, "n_scans": 55,
           "exchangeability": "sessions within a person", "status": "ok"}  # fmt: skip
    assert methods_tests.repeated(run_of(tmp_path)) == ""
    said = methods_tests.repeated(run_of(tmp_path, findings__mixed=pd.DataFrame([row, row | {"latent": "mu_001"}])))
    assert said.count("dx, within: binomial (GEE), n = 20 people with 55 scans") == 1
    assert methods_tests.repeated(run_of(tmp_path, findings__mixed=pd.DataFrame([row | {"status": "flat"}]))) == ""
