"""neurovae as a module of somebody else's Snakefile, run from another folder: the same results, down to the bytes.

`make reproduce` runs a module from scratch to the end.
"""

import shutil

import pandas as pd
import pytest
import yaml
from project import CONFIG, MODULE, Project, contents, jobs_of

STAGES = ("cohort", "preprocess", "train", "latents", "associate")
ENDINGS = (".parquet", ".tsv", ".json", ".safetensors", ".npy", ".nii.gz")


@pytest.fixture(scope="module")
def study(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder with a Snakefile of its own that uses the finished run's code on a copy of its cohort."""
    study = Project(tmp_path_factory.mktemp("module") / "study")
    study.folder.mkdir()
    shutil.copytree(finished.bids, study.bids)
    (study.folder / "Snakefile").write_text(MODULE.format(path=str(finished.folder / "Snakefile")))
    return study


def test_one_core_and_a_full_path_at_another_place_give_the_same_bytes(study: Project, finished: Project) -> None:
    before = contents(finished)
    study.write({**CONFIG, "cohort": {**CONFIG["cohort"], "bids": str(study.bids)}}, "study.yaml")
    done = study.snakemake("--cores", "1", "results/tiny/associate/vae/fold-0_seed-0/glm.parquet", config=None)
    assert done.returncode == 0, done.stdout[-6000:]
    first, second = contents(finished, *STAGES), contents(study, *STAGES)
    assert str(study.bids) in second.pop("cohort/source.json").decode()  # it is there to remember it
    assert sum(name.endswith(".parquet") for name in second) == 10
    assert {name for name in second if name.endswith(ENDINGS) and second[name] != first.get(name)} == set()
    assert contents(finished) == before, "a module writes where it is used"


def test_a_module_goes_on_with_a_run_from_another_folder(study: Project, finished: Project) -> None:
    for name in ("results", ".snakemake"):
        shutil.rmtree(study.folder / name, ignore_errors=True)
        shutil.copytree(finished.folder / name, study.folder / name)
    study.write(CONFIG, "study.yaml")
    assert study.plan("strongest", "all", config=None) == {"strongest"}
    (study.results / "report" / "summary.txt").unlink()
    done = study.snakemake("--cores", "2", "strongest", "all", config=None)
    assert done.returncode == 0, done.stdout[-6000:]
    assert jobs_of(done.stdout) == {"strongest", "summary", "report", "verdict"}
    assert contents(study, "report") == contents(finished, "report")
    assert len(pd.read_csv(study.folder / "strongest.tsv", sep="\t")) == 1
    assert yaml.safe_load((study.folder / "study.yaml").read_text()) == CONFIG
    assert study.plan("strongest", "all", config=None) == set()
