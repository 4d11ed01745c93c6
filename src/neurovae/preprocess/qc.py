"""Exclude scans by absolute thresholds; a table of the user can override each verdict."""

from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.cli import Json, cli
from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.plan import user_tables
from neurovae.preprocess.batch import read_list
from neurovae.preprocess.columns import NOTES
from neurovae.preprocess.description import describe
from neurovae.preprocess.placement import offset_warnings

NOT_SHOWN = ("source_sha256", "source_volume", "preproc_sha256")  # of the manifests, not of the quality table


def run(
    *,
    manifests: Path,
    batches: list[str],
    thresholds: Json,
    override: Path | None,
    max_failed: float,
    out: Path,
    lists: Path | None = None,
    derivatives: Path | None = None,
    source: str = "",
) -> None:
    """Write the quality table of all scans, as Parquet and TSV, and describe the derivatives as a BIDS dataset.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun qc

    Args:
        manifests: folder of the batches' manifests.
        batches: the batches' names.
        thresholds: `column: [lowest, highest]`, null for no threshold.
        override: table (scan, keep = yes or no, reason) that overrides the thresholds.
        max_failed: fraction of failed scans above which the job fails.
        out: Parquet file to write.
        lists: folder of the batches' lists of scans, each of which must be in a manifest.
        derivatives: folder of the preprocessed scans, where the files that BIDS asks for are written.
        source: folder or table that the scans came from.
    """
    table = pd.concat([read_manifest(manifests / f"{name}.tsv") for name in batches], ignore_index=True)
    if lists is not None:
        refuse_missing(table, [row["scan"] for name in batches for row in read_list(lists / f"{name}.list")])
    refuse_copies(table)
    table = apply_thresholds(table.sort_values("scan", ignore_index=True), thresholds)
    if override is not None:
        table = apply_override(table, override)
    for warning in offset_warnings(table):
        print(f"warning: {warning}")
    _announce(table, max_failed)
    quality_table = table.drop(columns=[name for name in NOT_SHOWN if name in table])
    write_table(out, quality_table)
    write_table(out.with_suffix(".tsv"), quality_table)
    if derivatives is not None:
        describe(derivatives, source)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read one batch's manifest; causes stay text."""
    text = {name: str for name in ("scan", "status", "cause", *NOT_SHOWN)}
    return pd.read_csv(path, sep="\t", dtype=text, keep_default_na=False, na_values=["n/a", "nan", "inf", "-inf"])


def refuse_missing(table: pd.DataFrame, expected: list[str]) -> None:
    """Raise InputError if a scan is in no manifest: a truncated manifest would silently remove people."""
    missing = sorted(set(expected) - set(table["scan"]))
    if missing:
        raise InputError(
            f"{len(missing)} of {len(expected)} scans are in no manifest of normalise ({', '.join(missing[:5])}); "
            "one is damaged: rerun with --forcerun extract (finished scans are kept)"
        )


def refuse_copies(table: pd.DataFrame) -> None:
    """Raise InputError if one file is given for two people, who could end up in different splits."""
    if "source_sha256" not in table:
        return
    problems = []
    volumes = table["source_volume"] if "source_volume" in table else pd.Series(0, index=table.index)
    for _, rows in table.dropna(subset=["source_sha256"]).groupby(["source_sha256", volumes.fillna(-1)], sort=False):
        people = sorted({scan.split("_")[0] for scan in rows["scan"]})
        if len(people) > 1:
            problems.append(f"{', '.join(people)}: identical files; remove the duplicates, or correct the ids")
        elif len(rows) > 1:
            print(f"warning: {', '.join(rows['scan'])} are identical files")
    if problems:
        raise InputError(problems)


def apply_thresholds(table: pd.DataFrame, thresholds: dict[str, Any]) -> pd.DataFrame:
    """Add `excluded` and `reason` ("mask_dice .71 below .80"); a failed scan is excluded with its cause."""
    no_column = [name for name in thresholds if name not in table and (table["status"] == "ok").any()]
    if no_column:
        raise InputError(
            f"preprocess.qc.thresholds {no_column}: no such quality column; there are {sorted(table.columns)}"
        )
    reasons = [_reason(row, thresholds) for row in table.to_dict("records")]
    return table.assign(excluded=[bool(reason) for reason in reasons], reason=reasons)


def _reason(row: dict[Any, Any], thresholds: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return f"failed: {row['cause']}"
    reasons = []
    for name, (low, high) in sorted(thresholds.items()):
        value, note = row[name], f" ({NOTES[name]})" if name in NOTES else ""
        if low is not None and not value >= low:
            reasons.append(f"{name} {value:.4g} below {low:g}{note}")
        if high is not None and not value <= high:
            reasons.append(f"{name} {value:.4g} above {high:g}{note}")
    return "; ".join(reasons)


def apply_override(table: pd.DataFrame, override: Path) -> pd.DataFrame:
    """Apply the user's decisions; a scan that failed cannot be kept."""
    verdicts, problems = user_tables.override(override, table["scan"])
    table = table.set_index("scan", drop=False)
    problems += [
        f"{override.name}: {scan} has failed and cannot be kept; remove its row, or repair the scan"
        for scan, (keep, _) in verdicts.items()
        if keep and table.loc[scan, "status"] != "ok"
    ]
    if problems:
        raise InputError(problems)
    for scan, (keep, reason) in verdicts.items():
        table.loc[scan, ["excluded", "reason"]] = [not keep, f"by hand: {reason}"]
    return table.reset_index(drop=True)


def _announce(table: pd.DataFrame, max_failed: float) -> None:
    excluded = table[table["excluded"]]
    print(
        f"{len(table) - len(excluded)} of {len(table)} scans pass",
        *(f"{r.scan}: {r.reason}" for r in excluded.itertuples()),
        sep="\n",
    )
    failed = table[table["status"] != "ok"]
    if len(failed) > max_failed * len(table) or len(excluded) == len(table):
        causes = [f"  {row.scan}: {row.reason}" for row in excluded.itertuples()]
        raise InputError([f"{len(failed)} of {len(table)} scans failed and {len(excluded)} are excluded:", *causes])


if __name__ == "__main__":
    cli(run)
