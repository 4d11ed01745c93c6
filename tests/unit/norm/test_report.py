"""The command of brain age, its figure, and the sections of the report: numbers of the tables in sentences."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import ndtr
from simulated_prediction import CONFOUNDS, cohort

from neurovae.interpret.images import write_image
from neurovae.io.parquet import read_parquet
from neurovae.norm import brain_age
from neurovae.norm.deviation import CALIBRATION, PEOPLE
from neurovae.predict import leakage
from neurovae.report.figures import norm as figure
from neurovae.report.plots import people as plots
from neurovae.report.results import Run
from neurovae.report.sections import methods, norm
from neurovae.report.viewer.maps import deviations

SCORES: list[dict[str, Any]] = [{"name": "memory", "type": "continuous"}, {"name": "ill", "type": "binary"}]
NAMES = {"ages": "brain_age", "metrics": "brain_age_metrics", "groups": "brain_age_groups", "tests": "brain_age_tests"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Brain age of a model per fold, with two thirds of the people as the reference; some others are too old."""
    folder, patch = tmp_path_factory.mktemp("norm"), pytest.MonkeyPatch()
    table, latents, qc = cohort(people=90)
    table["site"] = np.where(np.arange(90) % 3 == 0, "B", "A")
    table.loc[::3, "age"] = np.linspace(30, 95, 30)
    latents["mu_000"] = (table["age"] - 50) / 20 + 0.5 * np.random.default_rng(0).normal(size=90)
    own, files = folder / "norm" / "vae", []
    (folder / "cohort").mkdir()
    (folder / "report").mkdir()
    own.mkdir(parents=True)
    table.to_parquet(folder / "cohort" / "cohort.parquet")
    qc.to_parquet(folder / "qc.parquet")
    words = np.where(np.arange(90) % 3 == 0, "no", "yes")
    reference = table[["person"]].assign(reference=words)
    reference.to_csv(folder / "cohort" / "reference.tsv", sep="\t", index=False)
    for k in range(5):
        at = folder / f"fold-{k}_seed-1"
        at.mkdir()
        seen = (table["fold"] != k) & (words == "yes")
        latents.assign(fold=k, split=np.where(seen, "training", "test")).to_parquet(at / "latents.parquet")
        (at / "health.json").write_text(json.dumps({"verdict": "healthy"}))
        files.append(at)
    patch.setattr(leakage, "refuse", lambda *_: None)  # there are no weights
    brain_age.run(
        cohort=folder / "cohort" / "cohort.parquet", latents=[at / "latents.parquet" for at in files], index=[],
        weights=[], qc=folder / "qc.parquet", health=[at / "health.json" for at in files], scores=SCORES,
        confounds=CONFOUNDS, age="age", inner=3, harmonise="none", new_site="mean", seed=0, bootstraps=100,
        permutations=99, reference=folder / "cohort" / "reference.tsv",
        **{key: own / f"{name}.parquet" for key, name in NAMES.items()},
    )  # fmt: skip
    patch.undo()
    config = {"norm": {"permutations": 99, "sex": "sex", "smooth_mm": 8}, "cohort": {"reference_group": {}}}
    return Run(folder, ["vae"], "fold-0_seed-1", "vae", [], folder, config)


def test_the_tables_hold_reference_and_others(run: Run):
    ages, metrics, groups, tests = (
        read_parquet(run.cohort / "norm" / "vae" / f"{name}.parquet") for name in NAMES.values()
    )
    assert len(ages) == 90 and ages["reference"].sum() == 60 and 0 < ages["extrapolated"].sum() < 10
    assert (ages.loc[ages["extrapolated"], "true_age"] > ages.loc[ages["reference"], "true_age"].max()).all()
    assert set(metrics["people"]) == {"reference", "others"} and set(groups["grouping"]) == {"reference", "ill"}
    assert set(groups.loc[groups["grouping"] == "ill", "level"]) == {"0", "1"}
    assert list(tests["score"]) == ["memory", "ill"] and (tests["status"] == "ok").all()
    assert set(tests["n"]) == {90 - ages["extrapolated"].sum()} and not tests["p_permutation"].isna().any()


def test_the_section_has_the_numbers_and_says_what_is_not_comparable(run: Run):
    figure.brain_age(
        **{key: run.cohort / "norm" / "vae" / f"{NAMES[key]}.parquet" for key in ("ages", "groups", "metrics")},
        out=run.cohort / "report" / "vae_brainage.png",
    )
    with Image.open(run.cohort / "report" / "vae_brainage.png") as image:
        assert image.width > 800
    blocks = norm.norm(run)
    words = " ".join(block.get("text", "") for block in blocks)
    metrics = read_parquet(run.cohort / "norm" / "vae" / "brain_age_metrics.parquet")
    mae = metrics[(metrics["people"] == "reference") & (metrics["metric"] == "mae")].iloc[0]
    assert f"{mae['value']:.2f} [{mae['ci_low']:.2f}, {mae['ci_high']:.2f}] years in 60 participants" in words
    assert "all without correction for age" in words and "predicting the mean age" in words
    assert "share no site" in words and "outside the ages of the reference" in words
    assert not any("corrected R" in str(block) for block in blocks)
    text, works = methods.cited([methods.norm(run)])
    assert "from 99 permutations" in text[0] and any("Pitfalls in brain age" in one for one in works)


def test_a_run_without_it_has_no_section(tmp_path: Path):
    empty = Run(tmp_path, ["vae"], "fold-0_seed-0", "vae", [], tmp_path, {})
    assert norm.norm(empty) == [] and methods.norm(empty) == ""


def test_the_section_of_deviations_is_no_diagnosis_and_shows_the_calibration(run: Run):
    people = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in PEOPLE.items()})
    rows = [{"scan": f"s{k}", "person": f"p{k}", "reference": k > 0, "age": 50.0 + k, "n_reference": 48, "status": "ok",
             "outermost_centile": 6.04, "extreme": 0.01 * k, "extreme_image": 0.01, "d2_percentile": 20.0 * k,
             "extrapolated": False, "reason": ""} for k in range(5)]  # fmt: skip
    cells = [
        {
            "way": "model",
            "scope": "all regions",
            "level": "everybody",
            "share": 0.051,
            "low": 0.04,
            "high": 0.062,
            "n": 60,
        }
    ]
    cells += [{"way": "model", "scope": "region and age tercile", "level": f"r{k}", "tercile": k, "share": 0.05 * k,
               "low": 0.0, "high": 0.12, "within": k < 3, "n": 20} for k in (1, 2, 3)]  # fmt: skip
    folder = run.cohort / "norm" / "vae"
    tables = {"deviation": pd.concat([people, pd.DataFrame(rows)]), "deviation_calibration": pd.DataFrame(cells)}
    tables["deviation_calibration"] = tables["deviation_calibration"].reindex(columns=list(CALIBRATION))
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
        table.to_parquet(folder / f"{name}.parquet")
    out = run.cohort / "report" / "vae_deviation.png"
    figure.deviation(people=folder / "deviation.parquet", calibrated=folder / "deviation_calibration.parquet", out=out)
    with Image.open(out) as image:
        assert image.width > 1000
    words = " ".join(block.get("text", "") for block in norm.norm(run))
    assert "A deviation is not a diagnosis." in words and "no centile below 6.0 % or above 94.0 %" in words
    assert "5.1 % [4.0, 6.2] of the regions of 60 held-out reference participants" in words
    assert "1 of 3 cells" in words and "Normative deviation" in methods.norm(run)
    assert "of the other folds" in methods.norm(run) and "folds were combined" in methods.norm(run)
    alone = methods.norm(replace(run, config=run.config | {"train": {"folds": [0]}}))
    assert "of the other 4 of 5 parts" in alone and "folds were combined" not in alone
    tables["deviation"].assign(status="latents alone").to_csv(folder / "deviation.tsv", sep="\t", index=False)
    assert "shrinkage covariance" in methods.norm(run) and "The residual of each" not in methods.norm(run)


def test_a_prediction_that_is_no_better_than_the_mean_is_named():
    row = {"people": "reference", "metric": "r2", "value": -0.01, "ci_high": 0.13}
    [line] = norm.uninformative(pd.DataFrame([row | {"ci_low": -0.14}]))
    assert "not predicted better than by its mean (R² -0.01 [-0.14, 0.13])" in line
    assert norm.uninformative(pd.DataFrame([row | {"ci_low": 0.02}])) == []


def with_person(run: Run, row: dict[str, Any]) -> Run:
    """The run with deviations of 20 reference people and one other, 41 regions, maps and packed scans."""
    rng, shape = np.random.default_rng(0), (10, 12, 10)
    mask = np.zeros(shape, bool)
    mask[1:9, 1:11, 1:9] = True
    folder, own = run.cohort / "preprocess", run.cohort / "norm" / "vae"
    folder.mkdir(exist_ok=True)
    (own / "deviation_maps").mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), np.diag([4.0, 4, 4, 1])), folder / "mask.nii.gz")
    np.save(folder / "volumes.npy", rng.normal(3, 1, (21, *shape)).astype(np.float16))
    common = {"age": 50.0, "n_reference": 40, "status": "ok", "reason": "", "extreme": 0.01, "extreme_image": 0.02,
              "d2_percentile": 60.0, "d2_folds": 2, "site": "A", "extrapolated": False, "outermost_centile": 7.2}  # fmt: skip
    rows = [common | {"scan": f"s{k}", "person": f"p{k}", "reference": k > 0} for k in range(21)]
    rows[0] |= row
    people = pd.DataFrame(rows).reindex(columns=list(PEOPLE))
    people[["scan", "person"]].to_parquet(folder / "volumes.parquet")
    parts = [{"scan": "s0", "person": "p0", "reference": False, "way": way, "region": f"r{k}", "hemisphere": "left",
              "z": -k / 10, "centile": 100 * ndtr(-k / 10), "centile_low": 100 * ndtr(-k / 10 - 0.5),
              "centile_high": 100 * ndtr(-k / 10 + 0.5)} for way in ("model", "image") for k in range(41)]  # fmt: skip
    for name, table in (("deviation", people), ("deviation_regions", pd.DataFrame(parts))):
        table.to_csv(own / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
        table.to_parquet(own / f"{name}.parquet")
    for way in ("model", "image"):
        write_image(own / f"deviation_maps/s0_{way}_z.nii.gz", rng.normal(size=mask.sum()), folder / "mask.nii.gz", "z")
    plots.run(results=run.cohort, models=["vae"], people=["p0", "p99"])
    return replace(run, config=run.config | {"norm": {**run.config["norm"], "people": ["p0", "p99"]}})


def test_a_participant_who_was_asked_for_has_a_page(run: Run):
    """Numbers beside the reference, no diagnosis, regions by |z|, a figure and the viewer's map; a stranger is named."""
    asked = with_person(run, {"extreme": 0.123, "d2_percentile": 97.0})
    people = pd.read_csv(asked.cohort / "norm/vae/deviation.tsv", sep="\t", keep_default_na=False, na_values="n/a")
    page, stranger = (norm.person(asked, "vae", name, people)[0] for name in ("p0", "p99"))
    words = str(page["blocks"])
    assert "12.3 % of the scan" in words and "(reference: median 1.0 %, 95th percentile 1.0 %)" in words
    assert "percentile 97 of the reference" in words and norm.NO_DIAGNOSIS in words
    assert "No reference participant is of site" not in words
    kinds = [block["kind"] for block in page["blocks"]]
    assert kinds[-2:] == ["figure", "table"] and "excluded, without age" in str(stranger)
    assert "-4.0" in str(page["blocks"][-1]["rows"][0]) or "-4" in str(page["blocks"][-1]["rows"][0])
    [shown] = deviations(asked.cohort, "vae", ["p0", "p99"])
    assert shown.label == "p0: deviation (no diagnosis)" and len(shown.files) == len(shown.frames) == 2
    with Image.open(asked.cohort / "report" / "vae_p0_person.png") as image:
        assert image.width > 1500


def test_what_else_may_explain_a_deviation_is_said(run: Run):
    asked = with_person(run, {"site": "B", "extrapolated": True})
    people = pd.read_csv(asked.cohort / "norm/vae/deviation.tsv", sep="\t", keep_default_na=False, na_values="n/a")
    words = str(norm.person(asked, "vae", "p0", people))
    assert "No reference participant is of site B" in words and "outside the ages of the reference" in words
