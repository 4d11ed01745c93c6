"""The people of one score in the supervised track: who was fitted on in which fold, who is tested, with which columns.

What the models were given is compared with the cohort's table and the folds, so that a file of scores that was made in
another way (residuals over all people, other values, people of the test fold) is refused and not tested.
"""

from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.design import relatives
from neurovae.errors import InputError
from neurovae.stats.aligned import Part
from neurovae.stats.basis import expand
from neurovae.stats.exchangeability import family_strata, site_strata
from neurovae.supervised.inference import Cases
from neurovae.train.supervision import CONFOUND, Scores, design


def left_out(latents: list[pd.DataFrame]) -> pd.DataFrame:
    """The test rows of the latents of all folds, which hold every scan once.

    Raises:
        InputError: latents of an unsupervised model, or a scan that is tested in several folds or in none.
    """
    if any((table["track"] != "supervised").any() for table in latents):
        raise InputError("latents: not of a supervised model (track); name it in associate and predict instead")
    rows = pd.concat([table[table["split"] == "test"] for table in latents], ignore_index=True)
    repeated = sorted(set(rows.loc[rows["scan"].duplicated(), "scan"]))
    missing = sorted(set(latents[0]["scan"]) - set(rows["scan"]))
    if repeated or missing:
        raise InputError(
            f"latents: {', '.join((repeated or missing)[:5])} tested in {'several folds' if repeated else 'no fold'}; "
            "rerun with --forcerun folds"
        )
    return rows


def people(files: dict[int, Scores], score: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per person with score and all confounds: scan, person, fold, score and confounds of the files.

    Args:
        files: what the model of each fold was given.
        score: its name.
        table: joined cohort and test latents, a row per usable scan.

    Raises:
        InputError: a file that holds people of its own test fold, or lacks others, or other values than the cohort.
    """
    of_fold = {fold: _complete(found, score, table) for fold, found in files.items()}
    everyone = pd.concat(list(of_fold.values())).drop_duplicates("person").sort_values("person", ignore_index=True)
    fold = everyone["person"].map(table.drop_duplicates("person").set_index("person")["fold"])
    problems = []
    for k, found in of_fold.items():
        expected, has = set(everyone["person"][fold != k]), set(found["person"])
        if has & set(everyone["person"][fold == k]):
            problems.append(f"scores of fold {k}: {_some(has - expected)} are tested there, and their scores were used")
        elif has != expected:
            problems.append(f"scores of fold {k}: {_some(expected - has)} are missing though outside its test fold")
        truth = table.set_index("scan").loc[found["scan"], score].to_numpy(float)
        if not np.allclose(truth, found[score].to_numpy(float), rtol=1e-9, atol=0):
            problems.append(f"scores of fold {k}: values of {score} are not those of the cohort's table")
    if problems:
        raise InputError([f"{problem}; rerun with --forcerun training_scores" for problem in problems])
    return everyone.assign(fold=fold.to_numpy(int))


def _complete(found: Scores, score: str, table: pd.DataFrame) -> pd.DataFrame:
    """As `train.supervision.cases` chooses them."""
    rows = found.table[found.table["scan"].isin(table["scan"])]
    return rows.dropna(subset=[score, *confounds_of(found, score)]).drop_duplicates("person")


def same_scores(given: pd.DataFrame, everybody: pd.DataFrame, names: list[str], fold: int) -> None:
    """Refuse a file of scores that does not hold exactly the values of the people outside the fold.

    Raises:
        InputError: people of the fold, others that are missing, or other values than the cohort's table.
    """
    known = everybody.set_index("scan")
    place, again = f"scores of fold {fold}", "rerun with --forcerun training_scores"
    tested = set(everybody.loc[everybody["fold"] == fold, "person"])
    problems = []
    if seen := sorted(tested & set(given["person"])):
        problems.append(f"{place}: {', '.join(seen[:5])} are tested there, and their scores were used; {again}")
    outside = everybody[(everybody["fold"] != fold) & everybody["session_order"].notna()]
    if lost := sorted(set(outside["person"]) - set(given["person"])):
        problems.append(f"{place}: {', '.join(lost[:5])} are missing though outside its test fold; {again}")
    both = given[given["scan"].isin(known.index)]
    for name in names:
        truth = known.loc[both["scan"], name].to_numpy(float)
        if not np.allclose(truth, both[name].to_numpy(float), rtol=1e-9, atol=0, equal_nan=True):
            problems.append(f"{place}: values of {name} are not those of the cohort's table; {again}")
    if problems:
        raise InputError(problems)


def confounds_of(found: Scores, score: str) -> list[str]:
    """Columns of the confounds of a score."""
    return [name for name in found.confounds if name != CONFOUND + score]


def cases(chosen: pd.DataFrame, score: str, confounds: list[str], table: pd.DataFrame, gram: np.ndarray) -> Cases:
    """Positions, designs and exchangeable rows of the people in `chosen` (of `people`); gram: (n, n) in that order."""
    fold = chosen["fold"].to_numpy(int)
    parts = []
    for k in np.unique(fold):
        train = np.flatnonzero(fold != k)
        parts.append(Part(train, np.flatnonzero(fold == k), design(chosen.iloc[train], confounds)))
    matched = table.set_index("scan").loc[chosen["scan"]].reset_index()
    related = relatives(matched, np.arange(len(matched)))
    strata = family_strata(site_strata(matched["site"].to_numpy()), related)
    family = np.arange(len(matched)) if related is None else related
    return Cases(gram, chosen[score].to_numpy(float), design(chosen, confounds), fold, parts, strata, family)


def expected(chosen: pd.DataFrame, score: str, confounds: list[str], part: Part, z: np.ndarray) -> np.ndarray:
    """What the confounds of the test people predict (n,), with coefficients of the training people alone.

    Levels that no training person has count as the mean of the training people. z: what the image predicts of the
    training people (n,), 0 for the confounds alone.
    """
    train, test = chosen.iloc[part.train], chosen.iloc[part.test]
    blocks = [(np.ones((len(train), 1)), np.ones((len(test), 1)))]
    for name in confounds:
        kind = "continuous" if pd.api.types.is_float_dtype(train[name]) else "categorical"
        own, other = (expand(name, kind, train[name], values[name])[1] for values in (train, test))
        if kind == "categorical":
            other = np.where(test[name].isin(train[name]).to_numpy()[:, None], other, own.mean(axis=0))
        blocks.append((own, other))
    x_train, x_test = (np.hstack([block[k] for block in blocks]) for k in (0, 1))
    return np.asarray(x_test @ np.linalg.lstsq(x_train, train[score].to_numpy(float) - z, rcond=None)[0])


def described(chosen: pd.DataFrame, score: str, confounds: list[str], declared: list[dict[str, Any]]) -> str:
    """The confounds of a score in words."""
    names = [name.removeprefix(CONFOUND) for name in confounds]
    left = [one["name"] for one in declared if one["name"] == score]
    text = ", ".join(names) or "none"
    return text + (f"; {', '.join(left)} left out (it is the score)" if left else "")


def _some(names: set[str], most: int = 5) -> str:
    return ", ".join(sorted(names)[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
