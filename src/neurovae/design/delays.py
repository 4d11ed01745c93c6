"""Days between scans and the visits that scores are from: their range, and a caveat where they are long."""

from typing import Any

import pandas as pd

DAYS = "days_"  # begins the columns of the cohort's table


def usable(people: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """Rows of the cohort's table whose scans passed the quality control."""
    return people[~people["scan"].isin(checks.loc[checks["excluded"].astype(bool), "scan"])]


def ranges(people: pd.DataFrame, limit: float | None) -> pd.DataFrame:
    """A row per score with days: scans, median, lowest and highest days, those beyond the limit, and the caveat.

    Args:
        people: rows of the cohort's table; days are negative where the score was taken before the scan.
        limit: days from which on a score has a caveat; None: no caveat.
    """
    names = [str(column) for column in people if str(column).startswith(DAYS)]
    return pd.DataFrame([_range(name, people[name].dropna(), limit) for name in names if people[name].notna().any()])


def with_delay(tests: pd.DataFrame, people: pd.DataFrame, limit: float | None) -> pd.DataFrame:
    """Tests with `score_delay`: the caveat of a score that was taken long before or after the scans, if any."""
    day_ranges = ranges(people, limit)
    words = {row["score"]: row["caveat"] for row in day_ranges.to_dict("records") if row["caveat"]}
    return tests.assign(score_delay=tests["score"].map(words).astype(object))


def _range(column: str, delays: pd.Series, limit: float | None) -> dict[str, Any]:
    long = 0 if limit is None else int((delays.abs() > limit).sum())
    score = column.removeprefix(DAYS)
    low, high = float(delays.min()), float(delays.max())
    words = (
        f"{score} was taken more than {limit or 0:g} days before or after the scan for {long} of {len(delays)} scans "
        f"({low:+g} to {high:+g} days)"
    )
    row = {"score": score, "n": len(delays), "median": float(delays.median()), "low": low, "high": high, "long": long}
    return row | {"caveat": words if long else ""}
