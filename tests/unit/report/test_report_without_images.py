"""The report of a cohort without images: sessions in place of scans, and no sections on images."""

from pathlib import Path

import numpy as np
import pandas as pd
import tiny

from neurovae.audit import dimension
from neurovae.predict import summary as predictions
from neurovae.report import page, summary
from neurovae.report.figures import dimension as figure
from neurovae.report.results import COHORT, EXCLUDED, QUALITY, Run
from neurovae.report.sections import methods_data
from neurovae.report.sections.participants import participants

CONFIG = {"cohort": {"participants": "p.tsv", "scores": [], "confounds": []}, "preprocess": {"voxel_mm": 2}}


def run(folder: Path, **cohort: str) -> Run:
    """A run of three people, one with two sessions, and a fourth who is excluded by hand."""
    scans = ["sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1", "sub-3_ses-1", "sub-4_ses-1"]
    people = pd.DataFrame({"scan": scans, "person": [scan[:5] for scan in scans], "site": list("AABBB")})
    people = people.assign(session=[scan[-1] for scan in scans], acquisition="", run="", session_order=[1, 2, 1, 1, 1])
    files = {path: folder / path for path in (COHORT, EXCLUDED, QUALITY)}
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    people.to_parquet(files[COHORT])
    out = people[["scan"]].assign(excluded=people["scan"] == scans[-1], reason="")
    out.to_csv(files[QUALITY], sep="\t", index=False)
    pd.DataFrame({"scan": ["n/a"], "person": ["sub-9"], "reason": ["x"]}).to_csv(files[EXCLUDED], sep="\t", index=False)
    config = {**CONFIG, "cohort": {**CONFIG["cohort"], **cohort}}
    return Run(folder, [], "fold-0_seed-0", "t", [], page.CAPTIONS, config)


def test_participants_have_sessions_and_no_scan_is_mentioned(tmp_path: Path) -> None:
    tables = run(tmp_path)
    assert methods_data.participants(tables) == (
        "Participants. The analysis included 3 participants with 4 sessions from 2 sites, without images. 2 table rows had been "
        "excluded."
    )
    first = participants(tables)[0]["text"]
    assert first == (
        "3 participants with 4 sessions were analysed, from 2 sites (B: 2, A: 1). 1 participant had been excluded by hand."
    )
    assert methods_data.preprocessing(tables) == ""
    assert tables.worded("one scan per participant; n, not scans; a scanner") == (
        "one session per participant; n, not sessions; a scanner"
    )
    images = run(tmp_path, bids="b")
    assert images.worded("one scan") == "one scan" and images.unit == "scan"
    assert "quality control" in participants(images)[0]["text"] and "T1-weighted" in methods_data.participants(images)


def test_the_summary_counts_people_and_sessions() -> None:
    people = pd.DataFrame({"person": ["a", "a", "b"]})
    assert summary.analysed_people(people, 1, 2, images=False) == (
        "2 participants, 3 sessions analysed; excluded: 1 row, and 2 by hand"
    )
    assert summary.analysed_people(people.tail(2), 0, 0, images=False).startswith("2 participants analysed; ")
    assert "3 scans analysed" in summary.analysed_people(people, 1, 2, images=True)


def test_the_dimension_is_that_of_the_latents_alone(tmp_path: Path) -> None:
    scans = [f"sub-{k:02d}" for k in range(40)]
    rows = pd.DataFrame({"scan": scans, "person": scans})
    rows.to_parquet(tmp_path / "rows.parquet")
    z = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3))).add_prefix("mu_00")
    z = z.join(z.rename(columns=lambda name: name.replace("mu", "logvar")) * np.nan)
    keys = rows.assign(model="t", fold=0, seed=0, split=tiny.roles(40), logvar_calibrated=False)
    keys.join(z).to_parquet(tmp_path / "latents.parquet")
    out = tmp_path / "dimension.tsv"
    dimension.run(volumes=Path(""), rows=tmp_path / "rows.parquet", mask=Path(""), latents=[tmp_path / "latents.parquet"],
                  out=out)  # fmt: skip
    found = pd.read_csv(out, sep="\t")
    assert set(found["what"]) == {"latents"}
    assert 2 < found.loc[found["measure"] == "MLE", "value"].iloc[0] < 4  # three independent normal latents
    figure.draw(table=out, out=tmp_path / "d.png")
    assert (tmp_path / "d.png").stat().st_size > 5000


def test_predictions_are_brought_together_without_voxels(tmp_path: Path) -> None:
    folder = tmp_path / "t" / "seed-0"
    folder.mkdir(parents=True)
    pd.DataFrame({"score": ["a"], "model": ["t"], "value": [0.5]}).to_parquet(folder / "predict.parquet")
    people = pd.DataFrame({"scan": ["s"], "person": ["p"]})
    people.to_parquet(tmp_path / "c.parquet")
    people.assign(excluded=False).to_parquet(tmp_path / "q.parquet")
    files = {"cohort": tmp_path / "c.parquet", "qc": tmp_path / "q.parquet", "out": tmp_path / "o.tsv"}
    predictions.run(folder=tmp_path, models=["t"], seeds=[0], **files, images=False)
    assert list(pd.read_csv(tmp_path / "o.tsv", sep="\t")["model"]) == ["t"]
