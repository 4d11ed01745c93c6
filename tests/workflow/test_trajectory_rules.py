"""Jobs of trajectories: only where a model is named, and only if people were seen twice; visits of a simulated cohort."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from growth_cohort import draw
from project import Project, copy_code

PEOPLE = 60
OWN = {"times", "trajectory emb", "forecast emb", "trajectories", "plot_trajectory"}


def config(**trajectory: Any) -> dict[str, Any]:
    return {
        "cohort": {
            "name": "visits",
            "participants": "../p.tsv",
            "scores": [{"name": "motor", "type": "continuous"}],
            "confounds": [{"name": "age", "type": "continuous"}, {"name": "sex", "type": "categorical"}],
            "time": {"column": "age"},
        },
        "train": {
            "folds": [0, 1, 2, 3, 4],
            "models": [{"name": "emb", "kind": "table", "path": "../v.tsv", "n_latent": 4, "seen": False}],
        },
        "trajectory": {"permutations": 1000, "bootstraps": 200} | trajectory,
        "associate": {"permutations": 999},
        "predict": {"bootstraps": 100, "permutations": 19, "importance": 1},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Code, a participants table with a row per visit, and four latents, the first of which changes with `motor`."""
    made = Project(tmp_path_factory.mktemp("visits") / "code")
    copy_code(made.folder)
    table = draw(1, people=PEOPLE, latents=4, score_on_change=1.5).table
    keys = table[["person", "session"]].set_axis(["participant_id", "session_id"], axis=1)
    columns = {"age": (table["age_first"] + table["years"]).round(2), "sex": table["sex"]}
    keys.assign(**columns, motor=table["score"].round(3)).to_csv(made.folder.parent / "p.tsv", sep="\t", index=False)
    latents = table[[name for name in table if str(name).startswith("mu_")]].round(4).add_prefix("z")
    keys.join(latents).to_csv(made.folder.parent / "v.tsv", sep="\t", index=False)
    made.write(config(models=["emb"]))
    for name, models in (("on.yaml", ["emb"]), ("off.yaml", [])):
        one_fold = config(models=models)
        one_fold["train"]["folds"] = [0]
        made.write(one_fold, name)
    return made


def test_off_by_default_and_its_own_jobs_where_asked_for(project: Project) -> None:
    without, with_all = project.plan(config="off.yaml"), project.plan(config="on.yaml")
    assert with_all - without == OWN and without < with_all


def test_one_session_is_refused_before_the_first_job(project: Project) -> None:
    whole = config(models=["emb"])
    whole["cohort"]["participants"] = "../once.tsv"
    pd.read_csv(project.folder.parent / "p.tsv", sep="\t", dtype=str).drop_duplicates("participant_id").to_csv(
        project.folder.parent / "once.tsv", sep="\t", index=False
    )
    project.write(whole, "once.yaml")
    done = project.snakemake("-n", config="once.yaml")
    assert done.returncode and f"0 of {PEOPLE} people have two or more sessions, at least 10" in done.stdout


def test_simulated_visits_are_listed_before_they_exist(project: Project) -> None:
    visits = {"most": 3, "years": 2, "dropout": 0.2, "new_scanner": 0.5}
    whole: dict[str, Any] = {
        "cohort": {"name": "sim", "site": "site", "simulate": {"people": 30, "seed": 1, "visits": visits}},
        "train": {"models": [{"name": "pca", "kind": "pca", "n_latent": 4}]},
        "trajectory": {"models": ["pca"]},
    }
    project.write(whole, "sim.yaml")
    jobs = project.plan(config="sim.yaml")
    assert {
        "simulate",
        "times",
        "trajectory pca",
        "forecast pca",
        "yearly pca",
        "volume_change pca",
        "plot_trajectory",
    } <= jobs
    del whole["cohort"]["simulate"]["visits"]
    project.write(whole, "sim.yaml")
    done = project.snakemake("-n", config="sim.yaml")
    assert done.returncode and "(or set cohort.simulate.visits)" in done.stdout


@pytest.mark.chain
def test_the_whole_chain(project: Project) -> None:
    project.run()
    results = project.folder / "results" / "visits"
    change = pd.read_csv(results / "trajectory/change.tsv", sep="\t")
    assert change["p_maxt"].min() < 0.01 and (change["status"] == "ok").all() and (change["n"] == PEOPLE).all()
    forecast = pd.read_csv(results / "trajectory/forecast.tsv", sep="\t").set_index("measure")
    ratios, coverage = forecast.loc["error ratio"], forecast.loc["coverage of the 90 % interval"]
    assert set(ratios["space"]) == {"latents"} and (ratios["n"] == PEOPLE).all() and len(ratios) == 2
    assert (ratios["ci_low"] < 1).all()  # 60 people are too few to be better than the last visit
    assert coverage["ci_low"] <= 0.9 <= coverage["ci_high"]
    page = Path(results / "report/report.html").read_text(encoding="utf-8")
    assert 'id="trajectories"' in page and "hidden last visit of 60 unseen participants" in page
    assert np.isfinite(pd.read_parquet(results / "trajectory/times.parquet")["years"]).all()
