"""The report counts who was analysed: no participant or site is lost in a table or a figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from report_tests import AGE, DX, FIT, PEOPLE, joined, run_of
from univariate_rows import glm_rows, permute_rows

from neurovae.associate import permute as permutation
from neurovae.design.tables import tidy
from neurovae.report.figures import columns, scores
from neurovae.report.figures import latents as drawn
from neurovae.report.results import Run, analysed
from neurovae.report.sections import findings, latents, methods_data, participants

pytestmark = pytest.mark.filterwarnings("error")


def cohort_of(tmp_path: Path, **config: Any) -> Run:
    """40 participants, the first ten excluded by quality, six without a site; a confound that is called site."""
    rng = np.random.default_rng(0)
    names = [f"sub-{k:02d}" for k in range(40)]
    table = pd.DataFrame({"scan": names, "person": names, "site": ["A", "B"] * 20, "dx": [0.0, 1.0] * 20})
    table = table.assign(session="", acquisition="", run="", fold=0, age=rng.normal(60, 8, 40))
    table.loc[7:12, "site"] = "n/a"
    checks = pd.DataFrame({"scan": names, "excluded": [True] * 10 + [False] * 30, "template_r": 0.5, "reason": ""})
    run = run_of(tmp_path, preprocess__qc=checks, cohort__excluded=pd.DataFrame(columns=["scan", "person", "reason"]))
    table.to_parquet(tmp_path / "cohort/cohort.parquet")
    folder = tmp_path / f"latents/vae/{FIT}"
    folder.mkdir(parents=True)
    z = pd.DataFrame(rng.normal(size=(30, 2)), columns=["mu_000", "mu_001"])
    points = table.loc[10:, ["scan", "person"]].reset_index(drop=True).assign(split="test")
    pd.concat([points, z], axis=1).to_parquet(folder / "latents.parquet")
    run.config["cohort"]["confounds"] = [AGE, {"name": "site", "type": "categorical"}]
    return run


def test_participants_whom_quality_control_excludes_are_not_counted(tmp_path: Path):
    run = cohort_of(tmp_path)
    said = methods_data.participants(run)
    assert "The analysis included 30 participants from 2 sites, with one T1-weighted scan each." in said
    assert "10 of 40 scans failed quality control and were excluded." in said
    assert "The site of 3 scans was unknown." in said
    blocks = participants.participants(run)
    assert (
        "30 of 40 participants and 30 of 40 scans passed quality control and were analysed, from 2 sites"
        in blocks[0]["text"]
    )
    assert "not known: 3" in blocks[0]["text"]
    table = next(block for block in blocks if block["kind"] == "table")
    heads = [head["name"] for head in table["heads"]]
    assert "site A" in heads and "site n/a" not in heads and "site nan" not in heads
    cells = dict(zip(heads, [cell[0] for cell in table["rows"][0]], strict=True))
    assert cells["participants"] == "30" and cells["mean ± SD, or counts"] == "PD: 15, other group: 15"
    first = findings.findings(run)[0]["text"]
    assert first.startswith(
        "30 participants with 30 scans were analysed. Excluded: 10 scans by quality control, 0 scans"
    )


def test_a_confound_that_is_called_site_does_not_stop_the_report(tmp_path: Path):
    blocks = latents.latents(cohort_of(tmp_path))
    assert sum(block["kind"] == "figure" for block in blocks) == 2


def test_without_a_quality_table_everybody_is_analysed():
    people = pd.DataFrame({"scan": ["a", "b"], "site": ["n/a", "A"]})
    assert analysed(people, None)["site"].isna().tolist() == [True, False]


def test_no_participant_of_any_site_is_left_out_of_a_figure():
    rng = np.random.default_rng(1)
    people = pd.DataFrame({"site": [f"site {k % 20}" for k in range(200)], "age": rng.normal(60, 8, 200)})
    people = people.assign(sex=rng.choice(["F", "M"], 200), **{"mu_000": rng.normal(size=200), "mu_001": people["age"]})
    people.loc[:4, "site"] = None
    axes = columns.histograms(people, ["age", "sex", "site"]).axes
    heights = [sum(patch.get_height() for patch in axis.patches) for axis in axes[:3]]  # stacked: counts
    assert heights == [200, 200, 195]
    axis = drawn.pairs(people, ["mu_000", "mu_001"], ["site"]).axes[0]
    assert sum(len(points.get_offsets()) for points in axis.collections) == 200
    words = [text.get_text() for text in axis.get_legend().get_texts()]
    assert len(words) == 8 and "others (13)" in words
    assert columns.pooled(people["age"]) is people["age"]


def test_the_figure_shows_one_scan_of_each_participant_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = joined(["A"] * PEOPLE)
    table.loc[0, "age"] = np.nan  # is not tested
    later = table.assign(scan=table["scan"] + "_ses-2", session="2")
    table = pd.concat([table.assign(session="1"), later.iloc[1:]], ignore_index=True)
    table.loc[5, "excluded"] = True  # the first scan of a participant: the second takes its place
    kept = table[~table["excluded"]].sort_values("scan").reset_index(drop=True)
    rows = pd.DataFrame(glm_rows(kept, DX, [AGE])).assign(verdict="healthy")
    rows.to_parquet(tmp_path / "glm.parquet")
    tidy(permute_rows(kept, [DX], [AGE], 199, 0), permutation.COLUMNS).to_parquet(tmp_path / "permute.parquet")
    curve = dict.fromkeys(["latent_value", "fitted", "low", "high"], 0.0) | {"score": "age", "latent": "", "curve": ""}
    pd.DataFrame([curve]).to_parquet(tmp_path / "curves.parquet")
    split = [
        name for name in table if not name.startswith(("mu_", "latents_")) and name not in ("model", "seed", "split")
    ]
    table[split].drop(columns="excluded").to_parquet(tmp_path / "cohort.parquet")
    z = [name for name in table if name.startswith("mu_")]
    table[["scan", "person", "model", "fold", "seed", "split", *z]].to_parquet(tmp_path / "latents.parquet")
    table[["scan", "excluded"]].to_parquet(tmp_path / "qc.parquet")
    figures: list[Figure] = []
    monkeypatch.setattr(scores, "save", lambda figure, out: figures.append(figure))
    names = ("cohort", "latents", "qc", "glm", "permute", "curves")
    scores.draw(**{name: tmp_path / f"{name}.parquet" for name in names}, scores=[DX], confounds=[AGE], most=2, name="vae",
               out=tmp_path / "x.png")  # fmt: skip
    axis = figures[0].axes[0]
    labels = ("training or validation set", "test set")
    points = sum(len(part.get_offsets()) for part in axis.collections if part.get_label() in labels)
    assert rows["n"].iloc[0] == 59 and points == 59
    assert axis.get_title() == "separation\nmax-T p = 0.005; no spline; n = 59" and axis.get_xlabel() == "mu_000"
