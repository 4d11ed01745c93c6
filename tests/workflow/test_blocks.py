"""Blocks in the workflow: which jobs there are, what reruns them, and the chain from series to predictions."""

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest
from functional import xcpd
from project import CONFIG, Copy, Project, contents, copy_code
from project import PEOPLE as SCANS

PEOPLE = 40
OF_SCANS = [f"results/tiny/latents/{model}/fold-0_seed-0/latents.parquet" for model in ("vae", "pca-3")]


def config(**rest: Any) -> dict[str, Any]:
    blocks = [
        {"name": "structure", "type": "table", "path": "../fs.tsv"},
        {"name": "rest", "type": "timeseries", "path": "../xcpd", **rest},
    ]
    models = [
        {"name": "structure", "kind": "table", "block": "structure", "seen": False},
        {"name": "rest", "kind": "table", "block": "rest", "n_latent": 3, "seen": False},
        {"name": "nets", "kind": "networks", "block": "rest", "n_latent": 2},
    ]
    return {
        "cohort": {
            "name": "two",
            "participants": "../p.tsv",
            "scores": [{"name": "motor", "type": "continuous"}],
            "folds": {"n": 4},
            "blocks": blocks,
        },
        "train": {"models": models},
        "associate": {"permutations": 999},
        "predict": {"bootstraps": 100, "permutations": 19, "importance": 1},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Code, participants, a table in which f1 is the score, and series of all but one."""
    made = Project(tmp_path_factory.mktemp("blocks") / "code")
    copy_code(made.folder)
    rng, ids = np.random.default_rng(0), [f"sub-{k:02d}" for k in range(PEOPLE)]
    table = pd.DataFrame(rng.normal(size=(PEOPLE, 3)).round(4), columns=["f1", "f2", "f3"])
    table.insert(0, "participant_id", ids)
    table.to_csv(made.folder.parent / "fs.tsv", sep="\t", index=False)
    motor = table["f1"] + 0.3 * rng.normal(size=PEOPLE)
    pd.DataFrame({"participant_id": ids, "motor": motor.round(3)}).to_csv(
        made.folder.parent / "p.tsv", sep="\t", index=False
    )
    for k in range(PEOPLE - 1):
        xcpd(made.folder.parent / "xcpd", f"{k:02d}", k)
    made.write(config())
    return made


def test_each_block_is_a_job(project: Project) -> None:
    jobs = project.plan()
    assert {"blocks_table", "blocks_series", "plot_blocks"} <= {job.split()[0] for job in jobs}
    assert {"train structure", "train rest", "networks nets"} <= jobs


def test_without_blocks_there_is_no_such_job(project: Project) -> None:
    whole = config()
    del whole["cohort"]["blocks"]
    whole["train"]["models"] = [{"name": "t", "kind": "table", "path": "../fs.tsv"}]
    project.write(whole, "plain.yaml")
    done = project.snakemake("-n", config="plain.yaml")
    assert not done.returncode and "blocks_" not in done.stdout


def test_faults_end_the_run_before_the_first_job(project: Project) -> None:
    project.write(config(low_pass_hz=0.4, entities={"task": "rest"}), "wrong.yaml")
    done = project.snakemake("-n", config="wrong.yaml")
    assert done.returncode and "a repetition time of 2 s holds frequencies below 0.25 only" in done.stdout


def with_a_table(project: Project) -> None:
    """Write a table beside a cohort of scans, and a configuration whose second block and last model it is."""
    table = pd.DataFrame(np.random.default_rng(3).normal(size=(SCANS + 1, 3)), columns=["f1", "f2", "f3"])
    table.insert(0, "participant_id", [f"sub-{k + 1:02d}" for k in range(SCANS + 1)])
    table.to_csv(project.folder.parent / "fs.tsv", sep="\t", index=False)
    whole = deepcopy(CONFIG)
    whole["cohort"]["blocks"] = [
        {"name": "image", "type": "volumes"},
        {"name": "structure", "type": "table", "path": "../fs.tsv"},
    ]
    whole["train"]["models"].append({"name": "structure", "kind": "table", "block": "structure", "seen": False})
    project.write(whole)


def test_a_table_beside_the_scans_changes_no_command_of_their_models(prepared: Project, elsewhere: Copy) -> None:
    project = elsewhere(prepared)
    alone = project.snakemake("-n", "-p", *OF_SCANS).stdout
    with_a_table(project)
    assert commands(project.snakemake("-n", "-p", *OF_SCANS).stdout) == commands(alone)
    assert {"blocks_table structure", "blocks_table"} & project.plan() and len(commands(alone)) > 5


def test_a_table_beside_the_scans_changes_no_byte_of_their_models(finished: Project, elsewhere: Copy) -> None:
    project = elsewhere(finished)
    before = contents(project, "train/vae", "train/pca-3", "latents/vae", "latents/pca-3")
    with_a_table(project)
    assert project.plan(*OF_SCANS) == set()  # neither settings nor inputs of these models have changed
    project.run("results/tiny/latents/structure/fold-0_seed-0/latents.parquet")
    project.run("--forcerun", "train", "latents", "--", *OF_SCANS)
    after = contents(project, "train/vae", "train/pca-3", "latents/vae", "latents/pca-3")
    names = [name for name in before if name.endswith((".safetensors", ".parquet"))]
    assert len(names) > 4 and all(after[name] == before[name] for name in names)


def commands(text: str) -> list[str]:
    """The shell commands that `snakemake -n -p` prints."""
    return sorted(line for line in text.splitlines() if "neurovae." in line and "--" in line)


@pytest.mark.chain
def test_the_whole_chain(project: Project) -> None:
    project.run()
    results = project.folder / "results" / "two"
    latents = pd.read_parquet(results / "latents/rest/fold-0_seed-0/latents.parquet")
    assert len(latents) == PEOPLE - 1 and set(latents["inputs"]) == {"rest"}
    glm = pd.read_parquet(results / "associate/structure/fold-0_seed-0/glm.parquet").set_index("latent")
    assert glm["p"].idxmin() == "mu_f1" and glm.loc["mu_f1", "p"] < 1e-6
    motion = {name: pd.read_parquet(results / f"associate/{name}/fold-0_seed-0/glm.parquet")["confounds"] for name in
              ("rest", "structure")}  # fmt: skip
    assert motion["rest"].str.contains("mean_fd").all() and not motion["structure"].str.contains("mean_fd").any()
    page = (results / "report/report.html").read_text()
    assert "39 of 40 participants have rest" in page and "features of the block rest, without a decoder" in page
    assert (results / "report/rest_block.png").exists()
    assert (results / "report/nets_fold-0_seed-0_networks.png").exists() and "nets: functional networks" in page
