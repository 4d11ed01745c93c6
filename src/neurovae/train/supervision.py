"""The file of scores that a supervised model reads: exactly the declared columns of people outside the test fold."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet
from neurovae.stats.basis import expand, independent

KEYS = ["scan", "person"]
CONFOUND = "confound:"  # before the name of a confound, which may be a score too
SUPERVISED = "supervised"  # the track of a model that a score entered


class Scores(NamedTuple):
    """Rows of people outside the test fold, in the order of their sessions, and which columns are what."""

    table: pd.DataFrame  # scan, person, scores, and confounds as `confound:<name>`
    scores: list[str]
    confounds: list[str]


def read(path: Path, wanted: list[str], scans: pd.DataFrame, split: np.ndarray, fold: int) -> Scores:
    """Read the file of one fold and refuse whatever a model of this fold may not see.

    Args:
        path: Parquet with scan, person, the scores and then the confounds.
        wanted: the scores that the model declares (supervised_by).
        scans: rows of the packed volumes.
        split: split of each in this fold.
        fold: its number.

    Raises:
        InputError: scores of test people, other scores than declared, people who are not those of the folds.
    """
    table = read_parquet(path)
    names = [str(name) for name in table.columns]
    place = f"{'/'.join(path.parts[-4:])}, fold {fold}"
    again = "rerun with --forcerun training_scores"
    own = [name for name in names if not name.startswith(CONFOUND)]
    if own != [*KEYS, *wanted]:
        raise InputError(
            f"{place}: has the columns {', '.join(own)}, not exactly scan, person and the declared scores "
            f"{', '.join(wanted)} beside the confounds; {again}"
        )
    split_of = dict(zip(scans["person"], split, strict=True))
    tested = sorted({person for person in table["person"] if split_of.get(person) == "test"})
    owner = dict(zip(scans["scan"], scans["person"], strict=True))
    others = [scan for scan, person in table[KEYS].to_numpy() if owner.get(scan, person) != person]
    problems = []
    if tested:
        problems.append(f"{place}: holds scores of {_some(tested)}, whom this fold tests; {again}")
    if others:
        problems.append(f"{place}: {_some(others)} belong to other people in the packed scans; {again}")
    if problems:
        raise InputError(problems)
    return Scores(table, list(wanted), [name for name in names if name.startswith(CONFOUND)])


def cases(found: Scores, score: str, scans: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return packed rows (n,), score (n,) and design (n, columns) of the people who can be fitted on.

    Of each person the first scan that is packed and has the score and all confounds.

    Args:
        found: of `read`.
        score: its name.
        scans: rows of the packed volumes.

    Raises:
        InputError: fewer than three people beyond the columns of the design.
    """
    used = [name for name in found.confounds if name != CONFOUND + score]
    complete = found.table[found.table["scan"].isin(scans["scan"])].dropna(subset=[score, *used])
    complete = complete.drop_duplicates("person")
    x = design(complete, used)
    if len(x) < x.shape[1] + 3:
        raise InputError(
            f"{score}: {len(x)} people with the score and all confounds, {x.shape[1]} columns of the design; a model "
            "supervised by it needs more people or fewer confounds"
        )
    return pd.Index(scans["scan"]).get_indexer(complete["scan"]), complete[score].to_numpy(float), x


def design(table: pd.DataFrame, confounds: list[str]) -> np.ndarray:
    """Intercept and confounds (n, columns): splines of numbers, dummies of texts; knots and levels are these rows'."""
    blocks = [np.ones((len(table), 1))]
    for name in confounds:
        kind = "continuous" if pd.api.types.is_float_dtype(table[name]) else "categorical"
        blocks.append(expand(name, kind, table[name], table[name])[1])
    x = np.hstack(blocks)
    return x[:, independent(x)]


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
