"""Column types, q values, verdicts and files that all tables of tests share."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.train.health.verdicts import STOPPING as STOPPING


def tidy(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """Build a table with exactly these columns (name -> dtype), in this order; values that a row lacks are missing."""
    rows = list(rows)
    untyped = {name for row in rows for name in row} - set(columns)
    if untyped:
        raise KeyError(f"columns without a type: {sorted(untyped)}")
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
    """Read one model's health file: its verdict with caveats ("healthy; hyperparameters transductive"), and the reason.

    A verdict in STOPPING comes alone, and its caveats follow the reason. With train.keep_collapsed it carries its
    caveats and stops nothing.

    Raises:
        InputError: the file holds no verdict.
    """
    try:
        health = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: damaged, not valid JSON ({error}); rerun with --forcerun health") from None
    if "verdict" not in health:
        keys = ", ".join(sorted(health)) or "nothing"
        raise InputError(f"{path}: no key 'verdict', found {keys}; rerun with --forcerun health")
    verdict, reason, caveats = str(health["verdict"]), str(health.get("reason") or ""), health.get("caveats", [])
    if verdict in STOPPING and not health.get("kept_collapsed", False):
        return verdict, "; ".join([reason, *caveats])
    return "; ".join([verdict, *caveats]), reason


def joint_verdict(verdicts: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Combine the verdicts of several models, by fold and seed.

    If one of them stops, all stop, and the reason names it. Otherwise: the distinct verdicts, then the caveats.
    """
    for name, (verdict, reason) in verdicts.items():
        if verdict in STOPPING:
            return verdict, f"{name}: {reason}" if len(verdicts) > 1 else reason
    parts = [text.split("; ") for text, _ in verdicts.values()]
    return "; ".join(dict.fromkeys([part[0] for part in parts] + [caveat for part in parts for caveat in part[1:]])), ""
