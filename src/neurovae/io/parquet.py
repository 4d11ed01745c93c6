"""Read tables from Parquet; write them as Parquet or TSV, beside their final name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from neurovae.io.files import write_beside


def read_parquet(path: Path | str, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file as a table, read in this thread.

    `pandas.read_parquet` starts threads that now and then abort a process which ends soon afterwards ("terminate called
    without an active exception", apache/arrow issue 34314).

    Args:
        path: the file.
        columns: those to read; None: all.
    """
    with Path(path).open("rb") as file:
        return (
            pq.ParquetFile(file, pre_buffer=False).read(columns=columns, use_threads=False).to_pandas(use_threads=False)
        )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet or, by the ending, as TSV with `n/a` for missing values."""
    write: Callable[[Path], Any] = (
        (lambda name: table.to_csv(name, sep="\t", index=False, na_rep="n/a"))
        if Path(path).suffix == ".tsv"
        else (lambda name: table.to_parquet(name, index=False))
    )
    with write_beside(path) as temporary:
        write(temporary)
