"""Days between scans and the visits that scores are from: their range, and a caveat where they are long."""

import pandas as pd

from neurovae.design import delays
from neurovae.report.blocks import Block, heading, note, table, text
from neurovae.report.results import COHORT, QUALITY, Run, analysed, read

VISITS = "cohort/visits.tsv"
HEADS = {"score": "score", "n": "scans with a date", "median": "median, days", "low": "first, days",
         "high": "last, days", "long": "beyond the limit"}  # fmt: skip
ROWS = {"table": "table", "by": "row found by", "reason": "no row because", "n": "scans"}


def visits(run: Run) -> list[Block]:
    """How scans were given rows of visit tables, and how far in time these lie; nothing where there are none."""
    given = read(run, VISITS)
    if given is None or given.empty:
        return []
    found = ranges(run)
    limit = run.config.get("cohort", {}).get("caveat_days")
    counts = given.groupby(["table", "by", "reason"], dropna=False, as_index=False).agg(n=("scan", "size"))
    blocks = [heading("Visits"), table(counts, ROWS, VISITS, "How each scan was given a row of the clinical tables")]
    if found.empty:
        return [*blocks, text("Days between scan and visit are not known: dates of scans or visits are missing.")]
    blocks += [note(line) for line in found["caveat"] if line]
    caption = "Days from the scan to the score, negative where the score was taken first"
    return [*blocks, table(found, HEADS, COHORT, caption + (f"; limit {limit:g} days" if limit is not None else ""))]


def ranges(run: Run) -> pd.DataFrame:
    """A row per score with days: their range over the scans analysed, and the caveat, empty where there is none."""
    whole = read(run, COHORT)
    if whole is None:
        return pd.DataFrame()
    return delays.ranges(analysed(whole, read(run, QUALITY)), run.config.get("cohort", {}).get("caveat_days"))
