"""Who and what was tested: the scans that quality left, the rows with a p, and effect and max-T of a row in words."""

from typing import Any

import pandas as pd

from neurovae.report.blocks import Run, interval, read

COHORT, QUALITY = "cohort/cohort.parquet", "preprocess/qc.tsv"
LEVEL = 0.05


def scans(run: Run) -> pd.DataFrame | None:
    """The scans of the run that were analysed; None where the cohort's table is not there."""
    people = read(run, COHORT)
    return None if people is None else analysed(people, read(run, QUALITY))


def analysed(people: pd.DataFrame, checks: pd.DataFrame | None) -> pd.DataFrame:
    """Rows of the cohort's table that quality did not exclude (no quality table: all); an unknown site is missing."""
    out = set() if checks is None else set(checks.loc[checks["excluded"].astype(bool), "scan"])
    kept = people[~people["scan"].isin(out)].reset_index(drop=True)
    return kept.assign(site=kept["site"].where(kept["site"] != "n/a"))


def tested(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that have a p of the regression or of max-T alone, the strongest by max-T first.

    A latent that tells a binary score apart without error has no finite estimate, but a max-T p like any other.
    """
    kept = rows[(rows["status"] == "ok") | rows["p_maxt"].notna()]
    size = -pd.to_numeric(kept["maxt_statistic"]).abs()  # it orders those that share the smallest p there can be
    return kept.assign(size=size).sort_values(["p_maxt", "size", "p"]).drop(columns="size")


def below(rows: pd.DataFrame) -> str:
    """ "2 of 16" of the tested rows of a score: latents with max-T p below .05; or why max-T was not run."""
    if rows["p_maxt"].isna().all():
        first = rows.iloc[0]
        return f"max-T not run: {first['maxt_status']}: {first['maxt_reason']}"
    return f"{int((rows['p_maxt'] < LEVEL).sum())} of {len(rows)}"


def estimate(row: dict[Any, Any], positive: Any = None) -> str:
    """ "+0.52 [+0.40, +0.65]", with the class that is up where it is given; or why there is no estimate."""
    if row["status"] != "ok":
        return f"no estimate: {row['status']}"
    return interval(row["effect"], row["ci_low"], row["ci_high"]) + ("" if positive is None else f", up: {positive}")


def positive(run: Run, score: Any) -> Any:
    """The value of a binary score that counts as 1, where the configuration gives one."""
    entries = run.config.get("cohort", {}).get("scores", [])
    found = [entry.get("positive") for entry in entries if (entry["name"], entry["type"]) == (score, "binary")]
    return found[0] if found else None


def levels(values: pd.Series, up: Any) -> pd.Series:
    """A binary score (0 and 1) by the name `up` of its class 1, where there is one; other columns as they are."""
    return values if up is None else values.map({1.0: str(up), 0.0: f"not {up}"})


def brief(value: float) -> str:
    """A p in two significant digits, a missing one as n/a."""
    return "n/a" if pd.isna(value) else f"{value:.2g}"
