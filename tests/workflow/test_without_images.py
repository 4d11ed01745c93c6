"""A cohort without images: which jobs there are, and the whole chain from two tables to a report without voxels."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project import Project, copy_code

PEOPLE = 60
LATER = {"univariate", "multivariable", "omnibus", "mixed", "confounds", "sites", "stability", "predict"}
SHARED = {"folds", "rows", "cohort", "power", "dimension", "compare", "predictions", "findings", "summary", "report",
          "verdict", "plot_train", "plot_associate", "plot_predict", "plot_audit"}  # fmt: skip
IMAGES = re.compile(r"\b(scans?|brain|voxels?|T1-weighted|quality control|preprocessed|not drawn|No map)\b")


def config(**cohort: Any) -> dict[str, Any]:
    return {
        "cohort": {
            "name": "tables",
            "participants": "../p.tsv",
            "site": "site",
            "scores": [
                {"name": "motor", "type": "continuous"},
                {"name": "ill", "type": "binary", "positive": "yes"},
            ],
            "confounds": [{"name": "age", "type": "continuous"}],
            **cohort,
        },
        "train": {
            "models": [
                {"name": "all", "kind": "table", "path": "../v.tsv", "seen": False},
                {"name": "two", "kind": "table", "path": "../v.tsv", "n_latent": 2, "seen": False},
            ]
        },
        "associate": {"permutations": 999},
        "predict": {"bootstraps": 100, "permutations": 19, "importance": 1},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Code, and two tables with two sessions of some people; r0 drives the scores."""
    made = Project(tmp_path_factory.mktemp("tables") / "code")
    copy_code(made.folder)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"participant_id": [f"sub-{k:02d}" for k in range(PEOPLE)], "session_id": "1"})
    rows["site"] = rng.choice(["A", "B"], PEOPLE)
    rows = pd.concat([rows, rows.head(20).assign(session_id="2")], ignore_index=True)
    z = pd.DataFrame(rng.normal(size=(len(rows), 5)).round(4)).add_prefix("r")
    signal = z["r0"] + 0.5 * rng.normal(size=len(rows))
    scores = {"age": rng.uniform(50, 80, len(rows)).round(1), "motor": signal.round(3)}
    people = rows.assign(**scores, ill=np.where(signal > 0, "yes", "no"))
    people.to_csv(made.folder.parent / "p.tsv", sep="\t", index=False)
    rows.join(z).drop(columns="site").to_csv(made.folder.parent / "v.tsv", sep="\t", index=False)
    made.write(config())
    return made


def test_the_jobs_are_those_that_need_no_image(project: Project) -> None:
    jobs = project.plan()
    of_model = LATER | {"train", "health", "latents"}
    assert jobs == SHARED | {f"{job} {model}" for job in of_model for model in ("all", "two")}


def test_another_kind_is_refused_before_the_first_job(project: Project) -> None:
    whole = config()
    whole["train"]["models"].append({"name": "vae", "kind": "vae"})
    project.write(whole, "other.yaml")
    done = project.snakemake("-n", config="other.yaml")
    assert done.returncode and "train.models 'vae': a vae needs images, and the cohort has none" in done.stdout


def text(page: Path) -> str:
    """What a reader sees of a report, without its configuration and list of files."""
    html = re.sub(r"<(script|style)[^>]*>.*?</\1>|src=\"data:[^\"]*\"", "", page.read_text(), flags=re.S)
    body = html.split('id="provenance"')[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.mark.chain
def test_the_whole_chain(project: Project) -> None:
    project.run()
    results = project.folder / "results" / "tables"
    kept = pd.read_parquet(results / "preprocess/volumes.parquet")
    assert len(kept) == PEOPLE + 20 and not (results / "interpret").exists()
    assert {path.name for path in (results / "preprocess").glob("[!.]*")} == {"volumes.parquet", "qc.parquet", "qc.tsv"}
    glm = pd.read_parquet(results / "associate/all/fold-0_seed-0/glm.parquet").set_index(["score", "latent"])
    motor = glm.loc["motor"]
    assert motor["p"].idxmin() == "mu_r0" and motor.loc["mu_r0", "p"] < 1e-3 < motor.drop("mu_r0")["p"].min()
    assert motor.loc["mu_r0", "n"] == PEOPLE
    mixed = pd.read_parquet(results / "associate/all/fold-0_seed-0/mixed.parquet").query("status == 'ok'")
    assert mixed["n_scans"].max() == PEOPLE + 20
    predicted = pd.read_csv(results / "predict/predictions.tsv", sep="\t")
    assert set(predicted["model"]) == {"all", "two"}
    compared = pd.read_csv(results / "predict/comparisons.tsv", sep="\t").query("against == 'two'")
    assert set(compared["model"]) == {"all"} and (compared.query("score == 'motor'")["difference"] > 0).all()
    said = text(results / "report/report.html")
    assert f"{PEOPLE} participants with {PEOPLE + 20} sessions" in said
    assert sorted(set(IMAGES.findall(said))) == []
    assert "Map:" not in (results / "report/summary.txt").read_text()
