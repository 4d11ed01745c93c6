"""A small chain of recorded results."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from project import ROOT

COMMAND = [
    "-m", "neurovae.predict.summary", "--folder", "results/tiny/predict", "--models", '["vae"]', "--seeds", "[0]",
    "--cohort", "results/tiny/cohort/cohort.parquet", "--qc", "results/tiny/preprocess/qc.parquet",
    "--out", "results/tiny/predict/predictions.tsv",
]  # fmt: skip


def python(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python on our package in a folder."""
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a command has made a table of four others."""
    shutil.copytree(_once(tmp_path_factory.getbasetemp() / "recorded"), tmp_path, dirs_exist_ok=True)
    return tmp_path


@cache
def _once(folder: Path) -> Path:
    """The command is run once; tests change copies, whose times are the same."""
    stage = folder / "results" / "tiny" / "predict"
    for name in ("vae/seed-0", "voxels"):
        (stage / name).mkdir(parents=True)
        pd.DataFrame({"score": ["motor"], "value": [len(name)]}).to_parquet(stage / name / "predict.parquet")
    for name, column in (("cohort/cohort", "days_motor"), ("preprocess/qc", "excluded")):
        (stage.parent / name).parent.mkdir()
        pd.DataFrame({"scan": ["s"], column: [0.0]}).to_parquet(stage.parent / f"{name}.parquet")
    done = python(folder, *COMMAND)
    assert done.returncode == 0, done.stderr
    return folder
