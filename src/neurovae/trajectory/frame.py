"""The visits of a model: one scan per session with latents, time and confounds, as a design for growth models."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import relatives, used_confounds
from neurovae.errors import InputError
from neurovae.stats.basis import expand, independent

THREE = 10  # people with three or more visits from which on slopes vary between people
AGE, YEARS = "age at first session", "years"
ONLY_LEVEL = f"level (fewer than {THREE} people have three visits, so slopes do not vary in the model)"
RELATED = "some people are related: p and interval from a jackknife over families"
Row = dict[str, Any]
Used = list[tuple[str, str, pd.Series]]


@dataclass(frozen=True)
class Frame:
    """Complete visits. `names`: of the columns of x; `personal`: those that do not change within any person."""

    rows: np.ndarray  # (n,) positions in the table
    x: np.ndarray  # (n, columns): intercept, age at the first session, years, confounds
    names: list[str]
    personal: np.ndarray  # (columns,) bool
    t: np.ndarray  # (n,) years since the person's first session
    person: np.ndarray  # (n,) codes 0..P-1 in the order of the rows
    text: str
    family: np.ndarray | None = None  # (P,) codes of the families, where some people are related

    @property
    def people(self) -> int:
        """Number of people."""
        return int(self.person.max()) + 1 if len(self.person) else 0

    @property
    def counts(self) -> np.ndarray:
        """Visits of each person, (P,)."""
        return np.bincount(self.person)

    @property
    def slopes(self) -> bool:
        """Whether enough people have three or more visits for slopes that vary."""
        return int((self.counts > 2).sum()) >= THREE

    @property
    def first(self) -> np.ndarray:
        """Position of each person's first visit among the rows of x, (P,)."""
        return np.unique(self.person, return_index=True)[1]


def timed(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Add `years` and `age_first` to a joined table, with one scan per session, by person and time.

    table: of `design.join`, in the order of sessions: of several scans of a session the first usable one is kept.

    Raises:
        InputError: a scan without a time.
    """
    joined = table.merge(times[["scan", "years", "age_first"]], on="scan", how="left", validate="one_to_one")
    if joined["years"].isna().any():
        scan = joined.loc[joined["years"].isna(), "scan"].iloc[0]
        raise InputError(f"trajectory: scan {scan} has no time; rerun with --forcerun times")
    joined = joined.drop_duplicates(["person", "session"])
    start = joined.groupby("person")["years"].transform("min")  # an excluded first scan starts no clock
    joined = joined.assign(years=joined["years"] - start, age_first=joined["age_first"] + start)
    return joined.sort_values(["person", "years"], kind="stable").reset_index(drop=True)


def confounds_of(table: pd.DataFrame, confounds: list[Row], age: str | None, with_split: bool) -> Used:
    """Return the confounds of a design; that of the column of age is left out, since age has a term of its own."""
    others = [item for item in confounds if (item.get("column") or item["name"]) != age]
    return used_confounds(table, {"name": ""}, others, with_split)[0]


def frame(table: pd.DataFrame, used: Used, fitted: np.ndarray | None = None, mean_age: float | None = None) -> Frame:
    """Build the design of the visits that have all confounds.

    Args:
        table: of `timed`.
        used: confounds.
        fitted: (rows of the table,) the visits by which levels, knots and the mean age are set; None: all of them.
        mean_age: in place of that of the fitted people.
    """
    chosen = np.ones(len(table), bool) if fitted is None else fitted
    age = table["age_first"]
    present = (age.notna() | age.isna().all()).to_numpy()
    notes = [f"{table['person'][~present].nunique()} people without age left out"] if not present.all() else []
    for name, _, column in used:
        missing = present & column.isna().to_numpy()
        notes += [f"{missing.sum()} scans without {name} left out"] if missing.any() else []
        present &= column.notna().to_numpy()
    rows = np.flatnonzero(present)
    people = pd.factorize(table["person"].iloc[rows])[0]
    t = table["years"].to_numpy(float)[rows]
    blocks, names = [np.ones((len(rows), 1))], ["intercept"]
    texts: list[str] = []
    if age.notna().any():
        of_person = table[chosen & present].drop_duplicates("person")["age_first"]
        centre = float(of_person.mean()) if mean_age is None else mean_age
        blocks.append(age.to_numpy(float)[rows, None] - centre)
        names.append(AGE)
    blocks.append(t[:, None])
    names.append(YEARS)
    for name, kind, column in used:
        own, block, words = expand(name, kind, column[chosen & present], column.iloc[rows])
        blocks, names, texts = [*blocks, block], [*names, *own], [*texts, words]
    x = np.hstack(blocks)
    kept = independent(x[chosen[rows]])
    dropped = [name for name, keep in zip(names, kept, strict=True) if not keep]
    texts += [f"dropped as constant or collinear: {', '.join(dropped)}"] if dropped else []
    text = "; ".join([", ".join(texts) or "none", *notes])
    x, names = x[:, kept], [name for name, keep in zip(names, kept, strict=True) if keep]
    related = relatives(table, rows[np.unique(people, return_index=True)[1]])
    return Frame(rows, x, names, personal(x, people), t, people, text, related)


def personal(x: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Which columns have one value in all visits of each person."""
    if not len(x):
        return np.ones(x.shape[1], bool)
    first = np.unique(person, return_index=True)[1]
    return np.asarray((np.abs(x - x[first][person]) <= 1e-9 * np.maximum(np.abs(x).max(axis=0), 1e-300)).all(axis=0))
