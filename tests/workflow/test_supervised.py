"""The supervised track through snakemake: what a supervised model adds to a run, and what a changed score reruns."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from project import CONFIG, HEADING, Project, moved

from neurovae.plan import index, supervised
from neurovae.plan.config import load_schema, validate

ENTRY = {"name": "axis", "kind": "aligned", "supervised_by": ["severity"]}
JOINT = {"name": "both", "kind": "joint", "supervised_by": ["severity"], "clinical_weight": [1], "epochs": 2}
FITTED = {(rule, model) for rule in ("training_scores", "train", "latents") for model in ("axis", "both")}
OWN = FITTED | {("aligned", "axis"), ("joint", "both")}
SHOWN = {(rule, "") for rule in ("supervised", "plot_supervised", "plot_joint", "summary", "report", "verdict")}


def planned(project: Project) -> set[tuple[str, str]]:
    """Rules that a dry run schedules, with their models; of all folds together."""
    done = project.snakemake("-n")
    assert done.returncode == 0, done.stdout[-6000:]
    parts = HEADING.split(done.stdout)[1:]
    jobs = set()
    for rule, body in zip(parts[::2], parts[1::2], strict=True):
        model = re.search(r"^ +wildcards: .*model=([^,\s]+)", body.split("\n\n")[0], flags=re.M)
        jobs.add((rule, model[1] if model else ""))
    return jobs - {("all", "")}


def changed(project: Project, column: int) -> None:
    """Another value of a score of the second person: column 4 is severity, 5 is shuffled."""
    path = project.bids / "participants.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    rows[2][column] = f"{float(rows[2][column]) + 0.01:.4f}"
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n")


@pytest.fixture(scope="module")
def run(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = moved(finished, tmp_path_factory.mktemp("supervised"))
    config = copy.deepcopy(CONFIG)
    config["train"]["models"] += [ENTRY, JOINT]
    config["supervised"] = {"permutations": 199, "splits": 4, "bootstraps": 100}
    project.write(config)
    assert planned(project) == OWN | SHOWN  # every fold, and nothing unsupervised
    project.run()
    return project


def test_the_run_says_which_track_a_number_is_of(run: Project) -> None:
    tests = pd.read_csv(run.results / "supervised" / "tests.tsv", sep="\t")
    assert list(tests["track"]) == ["supervised"] and list(tests["score"]) == ["severity"]
    assert tests["partial_r"][0] > 0.4 and tests["p_permutation"][0] < 0.05
    for fold in range(5):
        given = pd.read_parquet(run.results / "supervised" / "axis" / "training_scores" / f"fold-{fold}.parquet")
        assert list(given) == ["scan", "person", "severity", "confound:age", "confound:sex", "confound:site"]
    page = (run.results / "report" / "report.html").read_text()
    assert "supervised, cross-fitted" in page and "Unsupervised: no score entered" in page
    assert "supervised models" in (run.results / "report" / "summary.txt").read_text()


@pytest.mark.parametrize(("column", "refitted"), [(4, True), (5, False)])
def test_a_changed_score_refits_the_models_that_declare_it_alone(
    run: Project, tmp_path: Path, column: int, refitted: bool
) -> None:
    project = moved(run, tmp_path / "copy")
    changed(project, column)
    jobs = planned(project)
    assert ("cohort", "") in jobs
    assert {job for job in jobs if job[0] in ("training_scores", "train", "latents", "health")} == (
        FITTED if refitted else set()
    )


@pytest.mark.parametrize("permutations", [0, 2])
def test_a_network_is_fitted_again_for_a_test_only_where_that_is_asked(
    run: Project, tmp_path: Path, permutations: int
) -> None:
    project = moved(run, tmp_path / "copy")
    config = copy.deepcopy(CONFIG)
    config["train"]["models"] += [ENTRY, {**ENTRY, "name": "net", "network": "perceptron"}]
    config["supervised"] = {"permutations": 199, "splits": 4, "bootstraps": 100, "network_permutations": permutations}
    project.write(config)
    jobs = planned(project)
    assert {("train", "net"), ("aligned", "net")} <= jobs and not {("train", "axis"), ("aligned", "axis")} & jobs
    assert (("aligned_refits", "net") in jobs) == (permutations > 0) and ("aligned_refits", "axis") not in jobs


def digests(bids: Path, change: Callable[[str], str]) -> str:
    """The digest of the scores that the model declares, after a change of the participants table."""
    table = bids / "participants.tsv"
    table.write_text(change(table.read_text()))
    config = validate({"cohort": {**CONFIG["cohort"], "bids": str(bids)}}, load_schema())
    return supervised.digest(ENTRY, config["cohort"], index.look(config["cohort"]))


def test_the_digest_follows_declared_values_alone(prepared: Project, tmp_path: Path) -> None:
    project = moved(prepared, tmp_path / "copy")
    before = digests(project.bids, lambda text: text)
    assert digests(project.bids, lambda text: text + "\n") == before
    changed(project, 5)
    assert digests(project.bids, lambda text: text) == before
    changed(project, 4)
    after = digests(project.bids, lambda text: text)
    assert after != before
    changed(project, 1)  # age, a confound
    assert digests(project.bids, lambda text: text) not in (before, after)
