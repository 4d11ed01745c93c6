"""A small chain of recorded results."""

import os
import subprocess
import sys
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
def made(tmp_path: Path) -> Path:
    """A folder in which a command has made a table of four others."""
    stage = tmp_path / "results" / "tiny" / "predict"
    for name in ("vae/seed-0", "voxels"):
        (stage / name).mkdir(parents=True)
        pd.DataFrame({"score": ["motor"], "value": [len(name)]}).to_parquet(stage / name / "predict.parquet")
    for name, column in (("cohort/cohort", "days_motor"), ("preprocess/qc", "excluded")):
        (stage.parent / name).parent.mkdir()
        pd.DataFrame({"scan": ["s"], column: [0.0]}).to_parquet(stage.parent / f"{name}.parquet")
    done = python(tmp_path, *COMMAND)
    assert done.returncode == 0, done.stderr
    return tmp_path
