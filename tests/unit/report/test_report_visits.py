"""Days between scan and score in the report."""

from pathlib import Path

import pandas as pd

from neurovae.design import delays
from neurovae.plan.config import load_schema, validate
from neurovae.report.results import COHORT, QUALITY, Run, read
from neurovae.report.sections import visits
from neurovae.report.sections.methods_data import preprocessing

FILES = "fmriprep/sub-*/anat/{bids}_space-MNI152NLin2009cAsym_res-2_desc-preproc_T1w.nii.gz"


def run_of(folder: Path, **cohort) -> Run:
    """A results folder with four scans, one excluded, and days of two scores."""
    (folder / "cohort").mkdir()
    (folder / "preprocess").mkdir()
    names = [f"sub-{turn}" for turn in range(4)]
    days = {"days_motor": [-400.0, -10.0, 30.0, 999.0], "days_mmse": [0.0, 1.0, None, 2.0]}
    pd.DataFrame({"scan": names, "person": names, "site": "A", **days}).to_parquet(folder / "cohort/cohort.parquet")
    checks = pd.DataFrame({"scan": names, "excluded": [False, False, False, True], "reason": ""})
    checks.to_csv(folder / "preprocess/qc.tsv", sep="\t", index=False)
    given = {
        "scan": names,
        "table": "updrs.csv",
        "row": [2, 3, 4, 5],
        "visit": "BL",
        "by": ["visit", "visit", "date", "visit"],
    }
    pd.DataFrame({**given, "days": days["days_motor"], "reason": ""}).to_csv(
        folder / "cohort/visits.tsv", sep="\t", index=False, na_rep="n/a"
    )
    return Run(folder, ["pca"], "fold-0_seed-0", "pca", [], folder, {"cohort": cohort})


def test_ranges_and_caveat(tmp_path):
    """Over the scans analysed: the excluded one, 999 days away, does not count."""
    run = run_of(tmp_path, caveat_days=180)
    found = visits.ranges(run).set_index("score")
    assert found.loc["motor", ["n", "median", "low", "high", "long"]].tolist() == [3, -10, -400, 30, 1]
    words = "motor was taken more than 180 days before or after the scan for 1 of 3 scans (-400 to +30 days)"
    assert found.loc["motor", "caveat"] == words and found.loc["mmse", "caveat"] == ""
    people = delays.usable(read(run, COHORT), read(run, QUALITY))
    tests = delays.with_delay(pd.DataFrame({"score": ["motor", "mmse", None]}), people, 180)
    assert tests["score_delay"].fillna("").tolist() == [words, "", ""]
    assert delays.with_delay(tests, people, None)["score_delay"].isna().all()
    assert delays.with_delay(tests, people.drop(columns=["days_motor", "days_mmse"]), 180)["score_delay"].isna().all()
    kinds = [block["kind"] for block in visits.visits(run)]
    assert kinds == ["heading", "table", "note", "table"]
    assert [cell[0] for cell in visits.visits(run)[1]["rows"][0]] == ["updrs.csv", "date", "1"]


def test_methods_name_the_masks_and_the_template(tmp_path):
    """Every method of extraction has its sentence; the template is that of the names of the files."""
    section = load_schema()["properties"]["preprocess"]
    settings = validate({"cohort": {"name": "x", "files": FILES, "masks": FILES}, "audit": {}}, load_schema())
    for method in section["properties"]["extract"]["properties"]["method"]["enum"]:
        settings["preprocess"]["extract"]["method"] = method
        settings["preprocess"]["register"]["transform"] = "none"
        words = preprocessing(Run(tmp_path, ["pca"], "fold-0_seed-0", "pca", [], tmp_path, settings))
        assert "Images were in MNI space (MNI152NLin2009cAsym) and were resampled" in words
    assert "brain masks of the tool" in preprocessing(
        Run(
            tmp_path,
            ["pca"],
            "fold-0_seed-0",
            "pca",
            [],
            tmp_path,
            {**settings, "preprocess": {**settings["preprocess"], "extract": {"method": "mask"}}},
        )
    )


def test_no_limit_and_no_visits(tmp_path):
    """Without a limit there is no caveat, without visit tables no section."""
    run = run_of(tmp_path, caveat_days=None)
    assert visits.ranges(run)["caveat"].eq("").all() and [block["kind"] for block in visits.visits(run)] == [
        "heading",
        "table",
        "table",
    ]
    (tmp_path / "cohort/visits.tsv").write_text(
        "\t".join(["scan", "table", "row", "visit", "by", "days", "reason"]) + "\n"
    )
    assert visits.visits(run) == []
