"""Designs of a score whose missing confounds are imputed, several times over (Rubin 1987).

Associations: a confound is drawn given the other confounds, the score and the latents. The analysis holds these too: an
imputation that did not know the score would bias effects towards 0, one that did not know a latent would leave part of
its confounding in (van Buuren 2018, section 6.3.2; Meng 1994, Stat Sci 9:538, on congeniality). The score enters as a
line, which is right to first order for every type under its usual link; a survival score as its event and the
Nelson-Aalen cumulative hazard at its time (White & Royston 2009, Stat Med 28:1982). Site and `split` are never imputed.
"""

import numpy as np
import pandas as pd

from neurovae.design.complete_cases import Used, complete
from neurovae.design.design import Design, design, score_values, survival_values, used_confounds
from neurovae.io.latent_table import columns
from neurovae.stats.basis import moves
from neurovae.stats.chained import Variable, drawn
from neurovae.stats.cox import baseline, risk_sets

NOT_IMPUTED = "not imputed in this test"
NEVER = ("site", "split")
Filled = dict[str, pd.Series]  # confound -> its column of the table, without gaps where the score is known
Row = dict[str, object]


def designs(
    table: pd.DataFrame, score: Row, confounds: list[Row], imputations: int, seed: int, survival: bool = False
) -> list[Design]:
    """The design of one score in each of `imputations` completed tables, all of the same people.

    survival: of `design`.

    One design, of the complete cases, where imputations is 0 or nobody lacks a confound that can be imputed.
    """
    known = score_values(table, score)
    used = used_confounds(table, score, confounds, True)[0]
    rows = scored(table, known, used, True)
    gaps = missing(used, rows) if imputations else {}
    if not gaps:
        return [design(table, score, confounds, survival=survival)]
    rng = np.random.default_rng(seed)
    z = table[columns(table)].to_numpy(float)
    copies = [fill(used, rows, _fixed(table, score), z, rng) for _ in range(imputations)]
    text = f"imputed ({imputations} times): {', '.join(f'{name} of {n} people' for name, n in gaps.items())}"
    while True:
        found = [design(table, score, confounds, filled=filled, survival=survival) for filled in copies]
        common = set.intersection(*(set(one.rows) for one in found))
        if all(len(one.rows) == len(common) for one in found):
            return [said(one, text) for one in found]
        gone = ~np.isin(np.arange(len(table)), list(common))  # alone in a level of one copy: left out of all
        table = table.assign(**{str(score["name"]): table[score["name"]].mask(gone)})


def without_score(table: pd.DataFrame, score: Row, confounds: list[Row], seed: int) -> tuple[Filled, str]:
    """One completion of the confounds in which no score takes part, and what it fills in words; empty where nothing.

    It says who enters a prediction; the values that predict are learnt in every training set (`predict.features`).
    """
    used = used_confounds(table, score, confounds, False)[0]
    rows = scored(table, score_values(table, score), used, False)
    gaps = missing(used, rows)
    if not gaps:
        return {}, ""
    z, rng = table[columns(table)].to_numpy(float), np.random.default_rng(seed)
    text = f"imputed in each training set: {', '.join(f'{name} of {n} scans' for name, n in gaps.items())}"
    return fill(used, rows, np.empty((len(table), 0)), z, rng), text


def _fixed(table: pd.DataFrame, score: Row) -> np.ndarray:
    """The score as columns (rows of the table, columns), missing where it is."""
    if score["type"] != "survival":
        return score_values(table, score)[:, None]
    values = survival_values(table, score)
    known = np.isfinite(values[:, 1])
    risk = risk_sets(values[known])
    times, hazard = baseline(risk, np.zeros(int(known.sum())))
    at = np.append(0.0, hazard)[np.searchsorted(times, values[:, 1], side="right")]
    return np.column_stack([values[:, 2], np.where(known, at, np.nan)])


def scored(table: pd.DataFrame, values: np.ndarray, used: Used, per_person: bool) -> np.ndarray:
    """Positions of the rows that enter where confounds are imputed: those with the score and what is never imputed."""
    return complete(table, values, [entry for entry in used if entry[0] in NEVER], per_person)[0]


def missing(used: Used, rows: np.ndarray) -> dict[str, int]:
    """How many of these rows lack which confound, of those that somebody has and that can be imputed."""
    counts = {name: int(column.iloc[rows].isna().sum()) for name, _, column in used if name not in NEVER}
    return {name: count for name, count in counts.items() if 0 < count < len(rows)}


def complete_only(
    rows: list[Row], table: pd.DataFrame, scores: list[Row], confounds: list[Row], imputations: int
) -> list[Row]:
    """Rows of a test that is of complete cases whatever was asked for; those that imputation would change say so."""
    notes: dict[object, str] = {}
    for score in scores if imputations else []:
        used = used_confounds(table, score, confounds, True)[0]
        if gaps := missing(used, scored(table, score_values(table, score), used, False)):
            notes[score["name"]] = f"complete cases: {', '.join(gaps)} {NOT_IMPUTED}"
    said = {name: {"reason": note} for name, note in notes.items()}
    return [
        row
        | (said[row["score"]] | ({"reason": f"{row['reason']}; {notes[row['score']]}"} if row.get("reason") else {}))
        if row.get("score") in notes
        else row
        for row in rows
    ]


def fill(used: Used, rows: np.ndarray, fixed: np.ndarray, helpers: np.ndarray, rng: np.random.Generator) -> Filled:
    """One imputation of the confounds of these rows; fixed, helpers: (all rows, columns), of `chained.drawn`."""
    among = [entry for entry in used if entry[2].iloc[rows].notna().any()]
    variables = [variable(kind, column.iloc[rows]) for _, kind, column in among]
    donors = drawn(variables, fixed[rows], helpers[rows], rng)
    filled = {}
    for (name, _, column), of in zip(among, donors.T, strict=True):
        values = column.copy()
        values.iloc[rows] = column.iloc[rows[of]].to_numpy()
        filled[name] = values
    return {name: values for name, values in filled.items() if name not in NEVER}


def variable(kind: str, values: pd.Series) -> Variable:
    """A confound as columns: a number standardised, a category as its indicators but one; 0 where it is missing."""
    known = values.notna().to_numpy()
    if kind == "categorical":
        levels = sorted(set(values[known].astype(str)))
        return Variable((values.astype(str).to_numpy()[:, None] == np.array(levels[1:], str)).astype(float), known)
    x = values.to_numpy(float)[:, None]
    centre, spread = x[known].mean(), x[known].std() if moves(x[known])[0] else np.inf
    return Variable(np.where(known[:, None], (x - centre) / spread, 0.0), known)


def said(one: Design, text: str) -> Design:
    """The design with the imputation in its text."""
    head, *rest = one.text.split("; ")
    return Design(
        one.rows, one.y, one.x, "; ".join([head, text, *rest]), one.status, one.reason, one.family, one.imputed
    )
