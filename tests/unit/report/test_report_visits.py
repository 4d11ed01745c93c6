"""Days between scan and score in the report."""

from pathlib import Path

import pandas as pd

from neurovae.report.results import Run
from neurovae.report.sections import visits


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
    assert visits.caveats(run, "motor") == [words] and visits.caveats(run, "mmse") == visits.caveats(run, "x") == []
    kinds = [block["kind"] for block in visits.visits(run)]
    assert kinds == ["heading", "table", "note", "table"]
    assert [cell[0] for cell in visits.visits(run)[1]["rows"][0]] == ["updrs.csv", "date", "1"]


def test_no_limit_and_no_visits(tmp_path):
    """Without a limit there is no caveat, without visit tables no section."""
    run = run_of(tmp_path, caveat_days=None)
    assert visits.caveats(run, "motor") == [] and [block["kind"] for block in visits.visits(run)] == [
        "heading",
        "table",
        "table",
    ]
    (tmp_path / "cohort/visits.tsv").write_text(
        "\t".join(["scan", "table", "row", "visit", "by", "days", "reason"]) + "\n"
    )
    assert visits.visits(run) == []
