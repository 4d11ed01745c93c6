"""Provenance: versions, commit, configuration, and every file of results."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import yaml

from neurovae.provenance.record import FOLDER, commit
from neurovae.report.blocks import Block, details, facts, table
from neurovae.report.results import Run, health

PACKAGES = ["neurovae", "torch", "numpy", "scipy", "pandas", "scikit-learn", "statsmodels", "nibabel", "nilearn",
            "antspyx", "deepbet", "matplotlib", "snakemake"]  # fmt: skip
ENDINGS = {".tsv", ".parquet", ".json", ".npy", ".safetensors", ".gz", ".txt"}
OMITTED = {FOLDER, "logs", "benchmarks", "derivatives", "bids", "truth", "extract", "register", "normalise",
           "verdict.txt"}  # a file per scan or job; and a file that is made after the report  # fmt: skip


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
    pairs = [("commit", commit()), ("fold and seed shown", run.fit), ("results", run.cohort.name)]
    pairs += [*sources(run), *versions()]
    files = listed(run.cohort)
    title = f"{len(files)} result files (logs and files per scan are omitted)"
    return [
        facts(pairs, "the Python environment of the report"),
        details("The whole configuration, with defaults", [{"kind": "pre", "text": settings}]),
        table(files, {"file": "file", "kB": "kB"}, f"results/{run.cohort.name}", title),
    ]


def sources(run: Run) -> list[tuple[str, str]]:
    """The model of another cohort that each model is or starts from: its weights, participants and licence."""
    found = {model: (health(run, model) or {}).get("source") for model in run.ordered()}
    return [
        (f"source of {model}", f"{source['kind']} of {source['people']['training']} training participants, weights "
         f"{source['exported_from']}, licence: {source['licence']}")
        for model, source in found.items() if source
    ]  # fmt: skip


def listed(folder: Path) -> pd.DataFrame:
    """Every result file below the folder, by path, with its size in kB."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in ENDINGS
        and not OMITTED & set(path.relative_to(folder).parts)
        and not path.name.startswith(".")
    ]
    rows = [{"file": str(path.relative_to(folder)), "kB": round(path.stat().st_size / 1000, 1)} for path in found]
    return pd.DataFrame(rows, columns=["file", "kB"])
