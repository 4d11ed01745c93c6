"""The data of a test: the joined table, a score's values, and its confounds as columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neurovae.design.complete_cases import complete, crowded, determining, explained, modal_rest, silent
from neurovae.errors import InputError
from neurovae.io.latent_table import columns
from neurovae.plan.variants import enhanced
from neurovae.stats.basis import expand, independent

RESIDUAL_DF = 10  # fewer than this many people beyond the confound columns: not tested
RARER_CLASS = 5  # a binary score needs this many people in its rarer class
EVENTS = 10  # a survival score needs this many people whose event was observed
NOT_MADE = "not made for survival"
NOT_MADE_HERE = "this table is not made for a time to event; its tests are in glm, spline, permute, omnibus and predict"
ORDER = ["person", "session_order", "session", "enhanced", "acquisition", "run"]


@dataclass(frozen=True)
class Design:
    """The complete cases of one score. `rows`: of the table; x: intercept and confounds; `status`: can it be tested."""

    rows: np.ndarray  # (n,) positions in the table
    y: np.ndarray  # (n,); of a survival score (n, 3): entry, time, event
    x: np.ndarray  # (n, 1 + confound columns)
    text: str
    status: str
    reason: str
    family: np.ndarray | None = None  # (n,) codes of the families, where some people are related
    imputed: int = 0  # rows that have a confound by imputation


def join(cohort: pd.DataFrame, latents: pd.DataFrame, qc: pd.DataFrame) -> pd.DataFrame:
    """Join the tables to one row per usable scan: columns of the cohort, `mu_*`, `latents_*`, `qc_*`.

    Sorted by person, sessions in time, acquisition, run. Every scan with latents must have exactly one row in each
    table. Scans that qc excludes are left out. Nobody here trained a frozen model: all people are test people to it.
    """
    problems = [
        f"{name}: scan {scan} has several rows; keep one"
        for name, table in (("cohort table", cohort), ("latents", latents), ("qc table", qc))
        for scan in sorted(set(table.loc[table["scan"].duplicated(), "scan"]))
    ]
    problems += [
        f"latents: scan {scan} has no row in the {name}; rerun the stages from one cohort"
        for name, table in (("cohort table", cohort), ("qc table", qc))
        for scan in sorted(set(latents["scan"]) - set(table["scan"]))
    ]
    if problems:
        raise InputError(problems)
    refuse_supervised(latents)
    mu = columns(latents)
    with_inputs = ["inputs"] if "inputs" in latents else []
    provenance = latents[["scan", "person", "model", "fold", "seed", "split", *with_inputs]].add_prefix("latents_")
    if "kind" in latents and (latents["kind"] == "frozen").all():
        provenance["latents_split"] = "test"
    with_provenance = pd.concat([provenance.rename(columns={"latents_scan": "scan"}), latents[mu]], axis=1)
    table = with_provenance.merge(cohort, on="scan", validate="one_to_one")
    table = table.merge(qc.add_prefix("qc_").rename(columns={"qc_scan": "scan"}), on="scan", validate="one_to_one")
    problems = [
        f"latents: scan {row.scan} belongs to {row.latents_person}, in the cohort table to {row.person}"
        for row in table[table["person"] != table["latents_person"]].itertuples()
    ]
    problems += [f"latents: {name} is not finite everywhere" for name in mu if not np.isfinite(table[name]).all()]
    if problems:
        raise InputError(problems)
    return in_order(table[~table["qc_excluded"].astype(bool)])


def refuse_supervised(latents: pd.DataFrame) -> None:
    """Raise InputError where latents of a supervised model are those of people whose scores entered its fit.

    They follow the score in these people whether or not it is in the images, so that no test of them means anything.
    """
    if "track" not in latents:
        return
    seen = latents[(latents["track"] == "supervised") & (latents["split"] != "test")]
    if len(seen):
        names, people = ", ".join(sorted(set(seen["model"]))), sorted(set(seen["person"]))
        raise InputError(
            f"latents of {names}: a supervised model, with {len(people)} people on whose scores it was fitted "
            f"({', '.join(people[:3])}{' ...' if len(people) > 3 else ''}); in-sample latents are neither tested nor "
            "predicted from. Its tests in left-out people are in results/<cohort>/supervised"
        )


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by person, then by sessions in time; without `session_order`, by the labels of the sessions.

    Within a session, scans without contrast agent come first.
    """
    ordered = table if "session_order" in table else table.assign(session_order=1)
    ordered = ordered.assign(enhanced=table["scan"].map(enhanced))
    return ordered.sort_values([*ORDER, "scan"], key=_natural).drop(columns="enhanced").reset_index(drop=True)


def first_scans(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per person: the first usable scan of those for cross-sectional tests."""
    return table[table["session_order"].notna()].drop_duplicates("person", keep="first").reset_index(drop=True)


def score_values(table: pd.DataFrame, score: dict[str, Any]) -> np.ndarray:
    """Return the score as floats, missing as NaN.

    Binary scores are 0 or 1, bounded ones a fraction of their range, ordinal ones their numbers, survival ones times.
    """
    name, kind = score["name"], score["type"]
    if kind == "survival":
        return survival_values(table, score)[:, 1]
    if name not in table:
        raise InputError(f"cohort table: no column '{name}', which associate tests as a score")
    if kind == "binary" and table[name].dtype == object:
        return np.where(table[name].isna(), np.nan, (table[name] == score.get("positive")).astype(float))
    try:
        values = pd.to_numeric(table[name]).to_numpy(float)
    except ValueError as error:
        raise InputError(f"cohort table: score '{name}' is not numeric ({error})") from error
    finite = values[np.isfinite(values)]
    low, high = score["bounds"] if kind == "bounded" else (0.0, 1.0)
    impossible = {
        "binary": np.full(len(finite), len(set(finite)) > 2),
        "count": (finite < 0) | (finite != np.round(finite)),
        "bounded": (finite < low) | (finite > high),
        "gamma": finite <= 0,
    }.get(kind, np.zeros(len(finite), bool))
    if impossible.any():
        examples = ", ".join(f"{value:g}" for value in sorted(set(finite[impossible]))[:3])
        raise InputError(
            f"cohort table: score '{name}' is declared {kind}, found {examples}; correct the values or the type"
        )
    if kind == "binary" and len(set(finite)) == 2:
        values = np.where(np.isnan(values), np.nan, (values == finite.max()).astype(float))
    return (values - low) / (high - low) if kind == "bounded" else values


def survival_values(table: pd.DataFrame, score: dict[str, Any]) -> np.ndarray:
    """Return entry, time and event of each row (n, 3), all missing where one is.

    Raises:
        InputError: a column is not there, or values that `cohort.check` refuses.
    """
    name = score["name"]
    columns = [name, f"{name}_event"] + [f"{name}_entry"] * bool(score.get("entry"))
    if absent := [column for column in columns if column not in table]:
        raise InputError(f"cohort table: no column '{absent[0]}', which the survival score '{name}' needs")
    time, event, *rest = (pd.to_numeric(table[column]).to_numpy(float) for column in columns)
    values = np.column_stack([rest[0] if rest else np.zeros(len(time)), time, event])
    values[~np.isfinite(values).all(axis=1)] = np.nan
    entry, time, event = values.T
    wrong = np.isfinite(time) & (~np.isin(event, (0, 1)) | (time < entry) | ((time == entry) & (event == 1)))
    if wrong.any():
        raise InputError(
            f"cohort table: survival score '{name}': {wrong.sum()} rows end before they begin, or have an event other "
            "than 0 and 1; rerun the cohort stage (--forcerun cohort)"
        )
    return values


def used_confounds(
    table: pd.DataFrame, score: dict[str, Any], confounds: list[dict[str, Any]], with_split: bool
) -> tuple[list[tuple[str, str, pd.Series]], list[str]]:
    """Return (name, type, values) of each confound that is used for this score, and notes on those that are not.

    Measures of a block are confounds of latents that were inferred from it. Site is added when there are several
    sites, `split` when some people were in the training set and some were not.
    """
    used, notes = [], []
    for confound in confounds:
        if _of_other_block(table, confound):
            continue
        column = _qc_column(confound) if confound.get("from") == "preprocess" else confound["name"]
        if column not in table:
            raise InputError(
                f"{'qc' if column.startswith('qc_') else 'cohort'} table: no confound '{confound['name']}'"
            )
        if _same_source(score, confound):
            notes.append(f"{confound['name']} left out (it is the score)")
        else:
            used.append((confound["name"], confound["type"], _finite(table[column])))
    site = table["site"].replace("n/a", None)
    used = [(name, kind, site if name == "site" else column) for name, kind, column in used]
    if site.nunique() > 1 and "site" not in [name for name, *_ in used]:
        used.append(("site", "categorical", site))
    training = (table["latents_split"] == "training").map({True: "training", False: "others"})
    if with_split and training.nunique() > 1:
        used.append(("split", "categorical", training))
    return used, notes


def design(
    table: pd.DataFrame,
    score: dict[str, Any],
    confounds: list[dict[str, Any]],
    with_split: bool = True,
    per_person: bool = True,
    drop_silent: bool = True,
    filled: dict[str, pd.Series] | None = None,
    survival: bool = False,
) -> Design:
    """Build the complete cases of one score with intercept and confounds; one scan per person if asked for.

    People alone in a category level are left out, and so are levels that hold no information (see
    `complete_cases.silent`). The latter looks at the score, and must not be done where people are predicted.

    filled: confounds by name with imputed values, in the place of the table's (`design.imputed`).
    survival: whether the caller knows what to do with a survival score; without it such a score has nobody, and a
    status that says so.
    """
    values = score_values(table, score)
    if score["type"] == "survival" and not survival:
        return _not_made()
    used, notes = used_confounds(table, score, confounds, with_split)
    known = {name: column for name, _, column in used}
    used = [(name, kind, (filled or {}).get(name, column)) for name, kind, column in used]
    in_order_of_notes = sorted(used, key=lambda entry: entry[0] in (filled or {}))  # first what is not imputed
    rows, more_notes = complete(table, values, in_order_of_notes, per_person)
    notes, all_rows = notes + more_notes, rows
    person = table["person"] if "person" in table else pd.Series(np.arange(len(table)))
    x, text = _confound_matrix(used, rows)
    while len(rows) > x.shape[1]:
        excluded, reasons = silent(score["type"], values[rows], used if drop_silent else [], rows)
        if not excluded.any() and (excluded := _alone(x, used, person, rows)).any():
            reasons = [f"{person.iloc[rows[excluded]].nunique()} people left out (alone in a level)"]
        if not excluded.any():
            break
        notes, rows = notes + reasons, rows[~excluded]
        x, text = _confound_matrix(used, rows)
    y = values[rows] if score["type"] != "survival" else survival_values(table, score)[rows]
    family = relatives(table, rows)
    status, reason = _usable(y, x, score["type"], family)
    observed = values[all_rows]
    if y.ndim == 1 and len(observed) and np.ptp(observed) > 0 and (not len(y) or status == "explained by confounds"):
        determinants = determining(observed, used, all_rows) if not len(y) else determining(y, used, rows)
        unit, who = ("people", "who are") if per_person else ("scans", "that are")
        units = f"each of the {len(observed)} {unit}" if not len(y) else f"each of the {len(y)} {unit} {who} left"
        status, reason = "explained by confounds", f"{determinants} the score of {units}: nothing is left to test"
    text = "; ".join(["none" if not text else text, *notes])
    gaps = pd.DataFrame({name: known[name].iloc[rows].isna() for name in filled or {}})
    return Design(rows, y, x, text, status, reason, family, int(gaps.any(axis=1).sum()))


def relatives(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray | None:
    """Return the family codes of these rows, (n,), or None where no two of them are related."""
    if "family" not in table:
        return None
    pairs = table[["person", "family"]].iloc[rows]
    return pd.factorize(pairs["family"])[0] if pairs["family"].nunique() < pairs["person"].nunique() else None


def _confound_matrix(used: list[tuple[str, str, pd.Series]], rows: np.ndarray) -> tuple[np.ndarray, str]:
    names, blocks = ["intercept"], [np.ones((len(rows), 1))]
    texts: list[str] = []
    if not len(rows):
        return blocks[0], ""
    for name, kind, column in used:
        values = column.iloc[rows]
        block_names, block, text = expand(name, kind, values, values)
        names, blocks, texts = names + block_names, [*blocks, block], [*texts, text]
    x = np.hstack(blocks)
    kept_columns = independent(x)
    dropped = [name for name, keep in zip(names, kept_columns, strict=True) if not keep]
    if dropped:
        texts.append(f"dropped as constant or collinear: {', '.join(dropped)}")
    return x[:, kept_columns], ", ".join(texts)


def _not_made() -> Design:
    return Design(np.empty(0, int), np.empty(0), np.ones((0, 1)), "none", NOT_MADE, NOT_MADE_HERE)


def _usable(y: np.ndarray, x: np.ndarray, kind: str, family: np.ndarray | None) -> tuple[str, str]:
    if kind != "survival" and len(y) and np.ptp(y) == 0:
        return "constant score", f"every one of {len(y)} people has the same value"
    if len(y) - x.shape[1] - 1 < RESIDUAL_DF:
        return "too few people", f"{len(y)} people for {x.shape[1] - 1} confound columns"
    if family is not None and (n_families := int(family.max()) + 1) - x.shape[1] - 1 < RESIDUAL_DF:
        return "too few people", f"{n_families} families for {x.shape[1] - 1} confound columns"
    if kind in ("count", "bounded", "ordinal") and (rest := modal_rest(y)) < RARER_CLASS:
        return "too few people", f"{rest} people beside the commonest value"
    if kind == "binary" and (rarer := int(min(y.sum(), len(y) - y.sum()))) < RARER_CLASS:
        return "too few people", f"{rarer} people in the rarer class"
    if kind == "survival":
        return _events(y, x)
    if explained(y, x):
        return "explained by confounds", ""
    return "ok", crowded(kind, y)


def _events(y: np.ndarray, x: np.ndarray) -> tuple[str, str]:
    """Whether there are enough events: EVENTS, and as many again as columns.

    With 10 columns and 29 events of 118 people the scaled likelihood ratio rejects 5.8 % of true nulls at 5 %.
    """
    events, needed = int(y[:, 2].sum()), max(EVENTS, x.shape[1] + EVENTS // 2)
    if events < needed:
        return "too few events", f"{events} events for {x.shape[1] - 1} confound columns, {needed} are needed"
    return "ok", ""


def _alone(x: np.ndarray, used: list[tuple[str, str, pd.Series]], person: pd.Series, rows: np.ndarray) -> np.ndarray:
    """Which rows a column of x explains without error, or are those of the only person of a level, however many."""
    alone = np.sum(np.linalg.qr(x)[0] ** 2, axis=1) > 1 - 1e-8
    for level in (column.iloc[rows].astype(str) for _, kind, column in used if kind == "categorical"):
        alone |= (person.iloc[rows].groupby(level.to_numpy()).transform("nunique") == 1).to_numpy()
    return np.asarray(alone)


def _finite(column: pd.Series) -> pd.Series:
    """A measurement that is infinite (a ratio to no noise at all) counts as missing."""
    return column.mask(np.isinf(column)) if pd.api.types.is_float_dtype(column) else column


def _same_source(score: dict[str, Any], confound: dict[str, Any]) -> bool:
    if confound.get("from", "table") != "table":
        return False
    return score["name"] == confound["name"] or _source(score) == _source(confound)


def _of_other_block(table: pd.DataFrame, confound: dict[str, Any]) -> bool:
    """Whether a confound is a measure of a block from which no row of the table was inferred."""
    if confound.get("from") != "blocks" or "latents_inputs" not in table:
        return False
    return all(confound["block"] not in inputs.split("+") for inputs in table["latents_inputs"].unique())


def _source(entry: dict[str, Any]) -> str:
    return str(entry.get("time") or entry.get("column") or entry["name"])


def _qc_column(confound: dict[str, Any]) -> str:
    return f"qc_{_source(confound)}"


def _natural(column: pd.Series) -> pd.Series:
    return (
        column.astype(object)
        .where(column.notna(), "")
        .astype(str)
        .str.replace(r"\d+", lambda match: match.group().zfill(9), regex=True)
    )
