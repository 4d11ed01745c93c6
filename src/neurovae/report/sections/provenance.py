"""What made the results: versions, commit, the configuration, and every table with its path."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import yaml

from neurovae.provenance.record import FOLDER, commit
from neurovae.report.blocks import Block, Run, details, facts, table

PACKAGES = ["neurovae", "torch", "numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "nibabel", "nilearn",
            "antspyx", "deepbet", "matplotlib", "snakemake"]  # fmt: skip
ENDINGS = {".tsv", ".parquet", ".json", ".npy", ".safetensors", ".gz", ".txt"}
LEFT = {
    FOLDER,
    "logs",
    "benchmarks",
    "derivatives",
    "bids",
    "truth",
    "extract",
    "register",
    "verdict.txt",  # made from the report: there or not, depending on whether it was made before
    "normalise",
}  # besides, a file per scan or job


def versions() -> list[tuple[str, str]]:
    """Python and the packages that the stages use, as installed here."""
    return [("Python", platform.python_version()), *((name, _version(name)) for name in PACKAGES)]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def provenance(run: Run) -> list[Block]:
    """Versions, commit, configuration as YAML, and the files of the run."""
    settings = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True, width=100)
    made = [("commit", commit()), ("fit shown", run.fit), ("results", run.cohort.name), *versions()]
    files = listed(run.cohort)
    heads = {"file": "file", "kB": "kB"}
    return [
        facts(made, "this Python environment"),
        details("The whole configuration, with defaults", [{"kind": "pre", "text": settings}]),
        table(
            files,
            heads,
            f"results/{run.cohort.name}",
            f"{len(files)} files of results (logs and files per scan are left out)",
        ),
    ]


def listed(folder: Path) -> pd.DataFrame:
    """Every result file below the folder, by path, with its size in kB."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in ENDINGS and not LEFT & set(path.relative_to(folder).parts) and not path.name.startswith(".")
    ]
    rows = [{"file": str(path.relative_to(folder)), "kB": round(path.stat().st_size / 1000, 1)} for path in found]
    return pd.DataFrame(rows, columns=["file", "kB"])
