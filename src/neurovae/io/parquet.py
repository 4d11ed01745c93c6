"""Write tables as Parquet or TSV, beside their final name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.io.files import write_beside


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet or, by the ending, as TSV with `n/a` for missing values."""
    write: Callable[[Path], Any] = (
        (lambda name: table.to_csv(name, sep="\t", index=False, na_rep="n/a"))
        if Path(path).suffix == ".tsv"
        else (lambda name: table.to_parquet(name, index=False))
    )
    with write_beside(path) as temporary:
        write(temporary)
