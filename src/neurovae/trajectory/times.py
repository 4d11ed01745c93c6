"""Write the time of each scan: years since the person's first session, and the age there."""

from pathlib import Path

import pandas as pd

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.plan.index import look, written
from neurovae.plan.visit_times import times

COLUMNS = {"scan": "object", "person": "object", "session": "object", "years": "float64", "age_first": "float64"}


def run(*, cohort: Json, age: str | None = None, out: Path) -> None:
    """Write the time of each scan as Parquet and TSV.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun times

    Args:
        cohort: the config section.
        age: column with the age at a scan or at the first one; none: age is not used.
        out: times.parquet.

    Raises:
        InputError: sessions without a time, or in an impossible order.
    """
    index = look(written(cohort))
    timed = times(cohort, index, age)
    if index.problems or timed.problems:
        raise InputError(index.problems + timed.problems)
    rows = [
        (scan.scan, scan.person, scan.session, timed.years[scan.scan], timed.age.get(scan.scan)) for scan in index.scans
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    write_table(out, table)
    write_table(out.with_suffix(".tsv"), table)
    repeated = table.groupby("person")["session"].nunique()
    print(f"{(repeated > 1).sum()} of {len(repeated)} people have two or more sessions", flush=True)


if __name__ == "__main__":
    cli(run)
