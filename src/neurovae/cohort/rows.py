"""The rows of a cohort without images: what packing writes of scans, without volumes and without quality measures."""

from pathlib import Path

import pandas as pd

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.plan import user_tables
from neurovae.plan.index import read

KEYS = ["scan", "person", "session", "acquisition", "run"]


def run(*, cohort: Json, override: Path | None, rows: Path, qc: Path) -> None:
    """Write the table of rows that are analysed, and which rows of the participants table are excluded by hand.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun rows

    Args:
        cohort: `participants`, `name`, `rename`, `site`, `family` and `folds` of the section; scores are not read.
        override: table (scan, keep = yes or no, reason) of rows to exclude by hand; empty: none.
        rows: Parquet to write, as `pack` writes it for scans: scan, person, session, acquisition, run, digest (none).
        qc: Parquet to write: scan, status, cause, excluded, reason; also as TSV.

    Raises:
        InputError: every problem of the tables, or no participant remains.
    """
    scans = read(cohort)
    table = pd.DataFrame([{name: getattr(scan, name) for name in KEYS} for scan in scans])
    verdicts, problems = user_tables.override(override, table["scan"]) if override else ({}, [])
    reasons = {scan: f"by hand: {reason}" for scan, (keep, reason) in verdicts.items() if not keep}
    if problems or len(reasons) == len(table):
        raise InputError(problems or [f"{override}: all {len(table)} rows are excluded; keep some"])
    excluded = table["scan"].isin(list(reasons))
    quality = table[["scan"]].assign(
        status="ok", cause="", excluded=excluded, reason=table["scan"].map(reasons).fillna("")
    )
    write_table(qc, quality)
    write_table(qc.with_suffix(".tsv"), quality)
    write_table(rows, table[~excluded].assign(preproc_sha256="").reset_index(drop=True))
    print(f"{(~excluded).sum()} rows of {table['person'][~excluded].nunique()} people", flush=True)


if __name__ == "__main__":
    cli(run)
