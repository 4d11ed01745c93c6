"""A block of a user's table: its numeric columns, a row per scan that has one."""

from pathlib import Path

import numpy as np
import pandas as pd

from neurovae.blocks.wide_table import read_table
from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io import blocks
from neurovae.io.missing import codes
from neurovae.io.parquet import write_table
from neurovae.plan.index import read as read_scans
from neurovae.plan.latent_tables import latents


def run(*, cohort: Json, block: Json, out: Path) -> None:
    """Write a block of type table: rows.parquet, features.parquet, values.npy and quality.tsv.

    Example:
        snakemake --cores 2 --configfile config/abide.yaml --forcerun blocks_table

    Args:
        cohort: `participants` or the source of images, `name`, `rename`, `site`, `family` and `folds` of the section;
            scores are not read.
        block: the entry of `cohort.blocks`.
        out: folder to write.

    Raises:
        InputError: every problem of the table, with its row or column.
    """
    scans = read_scans(cohort)
    table, faults = read_table(block["path"], codes(cohort))
    found = latents(table, faults, [scan.keys for scan in scans], block["columns"])
    if found.problems:
        raise InputError(found.problems)
    for note in found.notes:
        print(f"warning: {note}", flush=True)
    used = [scan for scan in scans if scan.scan in found.values]
    values = np.array([[found.values[scan.scan][name] for name in found.regions] for scan in used], np.float32)
    no_number = pd.array([None] * len(used), "Int64")
    rows = pd.DataFrame([{"scan": scan.scan, "person": scan.person, "session": scan.session} for scan in used])
    rows = rows.assign(block=block["name"], source_path=block["path"], source_volume=no_number, n_time=no_number)
    rows = rows.assign(row=[found.rows[scan.scan].number for scan in used], tr_s=np.nan)
    features = pd.DataFrame({"feature": found.regions, "name": found.regions})
    features["network"] = pd.Series([None] * len(features), dtype=object)
    features = features.assign(x_mm=np.nan, y_mm=np.nan, z_mm=np.nan)
    blocks.write(out, blocks.Block(rows, features, values))
    has_row = [scan.scan in found.values for scan in scans]
    status = pd.DataFrame({"scan": [scan.scan for scan in scans], "person": [scan.person for scan in scans],
                           "session": [scan.session for scan in scans],
                           "status": np.where(has_row, "ok", "no row"),
                           "reason": np.where(has_row, "", "no row of this block")})  # fmt: skip
    write_table(out / "quality.tsv", status)
    print(f"{len(used)} of {len(scans)} have block {block['name']}; {len(found.regions)} features", flush=True)


if __name__ == "__main__":
    cli(run)
