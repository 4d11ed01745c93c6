"""What the associate tables share: column types, q values, the verdict of the model, Parquet with TSV beside it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from neurovae.errors import InputError
from neurovae.parquet import write_table

STOPPING = ("collapsed", "diverged", "untrained")  # verdicts after which nobody tests the latents


def tidy(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """Table with exactly these columns (name -> dtype) in this order; what a row lacks is missing."""
    rows = list(rows)
    unknown = {name for row in rows for name in row} - set(columns)
    if unknown:
        raise KeyError(f"columns without a type: {sorted(unknown)}")
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=dtype) for name, dtype in columns.items()}
    )


def write_both(path: Path, table: pd.DataFrame) -> None:
    """Write the table as Parquet and, under the same name, as TSV."""
    write_table(Path(path), table)
    write_table(Path(path).with_suffix(".tsv"), table)


def bh(p: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, int]:
    """Benjamini-Hochberg q values over the tested rows (missing elsewhere) and the number of tests."""
    q = np.full(len(p), np.nan)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q, int(tested.sum())


def read_verdict(path: Path) -> tuple[str, str]:
    """Verdict and reason of one model from its health file."""
    health = json.loads(Path(path).read_text(encoding="utf-8"))
    if "verdict" not in health:
        raise InputError(f"{Path(path).name}: no key 'verdict'; expected a verdict or 'not judged'")
    return str(health["verdict"]), str(health.get("reason") or "")


def joint_verdict(verdicts: list[tuple[str, str]]) -> tuple[str, str]:
    """Verdict of several models used together: one that stops stops all, else the distinct ones."""
    for verdict, reason in verdicts:
        if verdict in STOPPING:
            return verdict, reason
    return "; ".join(dict.fromkeys(verdict for verdict, _ in verdicts)), ""
