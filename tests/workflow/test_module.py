"""neurovae as a module of somebody else's Snakefile, run from another folder to the end of a tiny cohort."""

import copy
import shutil
from pathlib import Path

import pandas as pd
import yaml
from project import CONFIG, PEOPLE, Project

SNAKEFILE = """
configfile: "study.yaml"


module neurovae:
    snakefile:
        {path!r}
    config:
        config


use rule * from neurovae


rule strongest:
    input:
        "results/tiny/findings/associations.tsv",
    output:
        "strongest.tsv",
    shell:
        "head -n 2 {{input}} > {{output}}"
"""


def test_a_module_runs_to_the_end_from_another_folder(prepared: Project, tmp_path: Path) -> None:
    study = Project(tmp_path / "study")
    study.folder.mkdir()
    shutil.copytree(prepared.bids, study.bids)
    for number in range(13, PEOPLE + 2):
        shutil.rmtree(study.bids / f"sub-{number:02d}")
    config = copy.deepcopy(CONFIG)
    config["cohort"]["scores"] = config["cohort"]["scores"][:1]
    config["cohort"]["confounds"] = []
    config["preprocess"]["batches"] = 1
    config["train"]["models"] = [{"name": "pca", "kind": "pca", "n_latent": 2, "flip": False}]
    study.write(config, "study.yaml")
    (study.folder / "Snakefile").write_text(SNAKEFILE.format(path=str(prepared.folder / "Snakefile")))
    done = study.snakemake("--cores", "2", "strongest", "all", config=None)
    assert done.returncode == 0, done.stdout[-6000:]
    assert (study.results / "report" / "report.html").stat().st_size > 100_000
    assert len(pd.read_parquet(study.results / "cohort" / "cohort.parquet")) == 12
    assert len(pd.read_csv(study.folder / "strongest.tsv", sep="\t")) == 1
    assert yaml.safe_load((study.folder / "study.yaml").read_text()) == config
    assert not (prepared.folder / "results" / "tiny").exists(), "a module writes where it is used"
    again = study.snakemake("-n", "strongest", "all", config=None)
    assert "Nothing to be done" in again.stdout, again.stdout[-3000:]
