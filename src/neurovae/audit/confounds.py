"""Sensitivity checks for confounding: the variance of every latent and score that nuisances explain.

R2 of least squares on a nuisance's columns (splines of 3 df, dummies), adjusted (Ezekiel 1930: 1 - (1 - R2) (n - 1) /
(n - k - 1), 0 on average where nothing is explained), with its F test and q within latents, regions and scores.
`beyond` is what the nuisance adds to the declared confounds, which every test accounts for: the difference of the two
adjusted R2, and the F test of the added columns. Caveats are based on `beyond` alone, so that a nuisance that is merely
correlated with a declared confound raises none.

A score has a caveat when an undeclared nuisance explains at least `min_variance_explained` of it with q < .05. An
association of a score with a latent has one when the same undeclared nuisance explains that much of the latent and is
also associated with the score (q < .05): a nuisance of the latent alone adds noise to the association, but cannot
produce it. The variance that regional volumes explain is reported and is never a caveat.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f

from neurovae.audit.nuisances import WORDS, Nuisance, columns_of, nuisances, read_regions
from neurovae.cli import Json, cli
from neurovae.design.design import RESIDUAL_DF, design, first_scans, join, score_values
from neurovae.design.rows import provenance, stopped
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.io import latent_table, missing
from neurovae.io.parquet import read_parquet
from neurovae.stats.basis import independent

ALPHA = 0.05
BEYOND = "beyond the declared confounds"
KEYS = {"kind": "object", "latent": "object", "score": "object", "model": "object", "fold": "Int64", "seed": "Int64"}
AFTER = {"status": "object", "reason": "object", "verdict": "object"}
NUMBERS = ["r2", "r2_adjusted", "p", "q", "r2_beyond", "p_beyond", "q_beyond"]
COLUMNS = KEYS | {"nuisance": "object", "nuisance_kind": "object", "columns": "object", "declared": "boolean"} | {
    "n": "Int64", "df": "Int64", "df_beyond": "Int64"} | dict.fromkeys(NUMBERS, "float64") | {
    "flagged": "boolean", "family_size": "Int64"} | AFTER  # fmt: skip
CAVEATS = KEYS | {"nuisance": "object", "r2": "float64", "flagged": "boolean", "text": "object"} | AFTER


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    volumes: Path | None,
    min_variance_explained: float,
    out: Path,
    caveats: Path,
    codes: Json | None = None,
) -> None:
    """Write what nuisances explain of each latent and score, and which of these are caveats (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun confounds

    Args:
        cohort: cohort.parquet.
        latents: latents.parquet of one model.
        qc: qc.parquet.
        health: health.json of the model.
        scores: the scores of the configuration.
        confounds: the declared confounds of the configuration.
        volumes: table of regional volumes by scan or participant_id; null or empty: none.
        min_variance_explained: adjusted R2 beyond the declared confounds from which on a nuisance is a caveat.
        out: table of latent or score x nuisance.
        caveats: table with a row per latent, per score, and per association of a score with a latent.
        codes: `missing` and `not_missing` of the cohort section, for the table of volumes.
    """
    verdict, reason = read_verdict(health)
    table = first_scans(join(read_parquet(cohort), latent_table.read(latents), read_parquet(qc)))
    if verdict in STOPPING:
        rows = [stopped(table, verdict, reason)]
        caveat_rows = [rows[0] | {"kind": "association"}]
    else:
        table, regions = read_regions(volumes, table, missing.codes(codes or {}))
        rows = [row | {"verdict": verdict} for row in audit(table, scores, confounds, regions, min_variance_explained)]
        caveat_rows = summary(rows)
    write_both(out, tidy(rows, COLUMNS))
    write_both(caveats, tidy(caveat_rows, CAVEATS))
    texts = [row["text"] for row in caveat_rows if row["kind"] == "score" and row.get("flagged")]
    print(*texts or ["no score is associated with an undeclared nuisance"], sep="\n", flush=True)


def audit(
    table: pd.DataFrame,
    scores: list[dict[str, Any]],
    confounds: list[dict[str, Any]],
    regions: list[str],
    min_variance_explained: float,
) -> list[dict[str, Any]]:
    """Test every latent and every score against every nuisance and region; q within latents, regions and scores."""
    entries = nuisances(table, scores, confounds, regions)
    names = latent_table.columns(table)
    base = design(table, {"name": names[0], "type": "continuous"}, confounds, with_split=False)
    keys, z = provenance(table), table[names].to_numpy(float)
    rows = []
    for nuisance in entries:
        results = zip(names, _explained(table, z, base.rows, base.x, nuisance), strict=True)
        rows += [keys | {"kind": "latent", "latent": name} | result for name, result in results]
    for score in scores:
        cases = design(table, score, confounds, with_split=False)
        y = score_values(table, score)[:, None]
        no_cases = {"status": cases.status, "reason": cases.reason} if not len(cases.rows) else {}
        for nuisance in (entry for entry in entries if entry.kind != "region" and entry.name != score["name"]):
            score_keys = keys | {"kind": "score", "score": score["name"]}
            rows.append(score_keys | _explained(table, y, cases.rows, cases.x, nuisance)[0] | no_cases)
    return _with_flags(rows, min_variance_explained)


def _explained(
    table: pd.DataFrame, y: np.ndarray, rows: np.ndarray, x: np.ndarray, nuisance: Nuisance
) -> list[dict[str, Any]]:
    """Test how much a nuisance explains in each column of y (people, m), alone and beyond x, given for `rows`."""
    shared = {
        "nuisance": nuisance.name,
        "nuisance_kind": nuisance.kind,
        "columns": ", ".join(nuisance.columns),
        "declared": nuisance.declared,
    }
    if not len(rows):
        return [shared | {"status": "nobody to test", "reason": "no person has the score and all confounds"}] * y.shape[
            1
        ]
    if nuisance.reason:
        return [shared | {"status": "no such numbers", "reason": nuisance.reason}] * y.shape[1]
    complete, block = columns_of(table, nuisance, rows)
    x, z = x[np.isin(rows, complete)], y[complete]
    shared |= {"n": len(complete), "df": block.shape[1]}
    if not block.shape[1]:
        return [shared | {"status": "constant nuisance", "reason": "it does not vary"}] * y.shape[1]
    if len(complete) - x.shape[1] - block.shape[1] < RESIDUAL_DF:
        reason = f"{len(complete)} people for {x.shape[1] + block.shape[1]} columns"
        return [shared | {"status": "too few people", "reason": reason}] * y.shape[1]
    total, beyond = explained(z, np.ones((len(z), 1)), block), explained(z, x, block)
    constant = shared | {"status": "constant", "reason": "it does not vary between people"}
    results = [
        {"r2": a[0], "r2_adjusted": a[1], "p": a[2], "df_beyond": beyond[3], "r2_beyond": b[1], "p_beyond": b[2]}
        for a, b in zip(zip(*total[:3], strict=True), zip(*beyond[:3], strict=True), strict=True)
    ]
    varying = np.ptp(z, axis=0) > 0
    return [
        shared | {"status": "ok", "reason": ""} | row if is_varying else constant
        for row, is_varying in zip(results, varying, strict=True)
    ]


def explained(y: np.ndarray, x: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return added R2, added adjusted R2, p (each (m,)) and df of `block` beyond x in columns of y (n, m).

    Where x holds all of the block, both R2 are 0 and p is missing.
    """
    n = len(y)
    full = np.column_stack([x, block])
    full = full[:, independent(full)]
    total = np.square(y - y.mean(axis=0)).sum(axis=0)
    low, high = (np.square(y - a @ np.linalg.lstsq(a, y, rcond=None)[0]).sum(axis=0) for a in (x, full))
    df = full.shape[1] - x.shape[1]
    variance = total / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # columns of y that do not vary have no shares
        adjusted = (low / (n - x.shape[1]) - high / (n - full.shape[1])) / variance
        ratio = (low - high) / max(df, 1) / (high / (n - full.shape[1]))
        added_r2 = (low - high) / total
    p = f.sf(ratio, df, n - full.shape[1]) if df else np.full(y.shape[1], np.nan)
    return added_r2, adjusted if df else np.zeros(y.shape[1]), p, df


def _with_flags(rows: list[dict[str, Any]], min_variance_explained: float) -> list[dict[str, Any]]:
    """Add q within each family (latents, regions, scores) and whether the row is flagged."""
    family = np.array([f"{row['kind']} {row['nuisance_kind']}" for row in rows], dtype=object)
    for name in ("p", "p_beyond"):
        for name_of_family in dict.fromkeys(family):
            p = np.array([row.get(name, np.nan) for row in rows], float)
            q, m = bh(p, (family == name_of_family) & np.isfinite(p))
            for k in np.flatnonzero(family == name_of_family):
                rows[k] = rows[k] | {name.replace("p", "q", 1): q[k]} | ({"family_size": m} if name == "p" else {})
    large_enough = [row.get("r2_beyond", 0.0) >= min_variance_explained for row in rows]
    return [row | {"flagged": _undeclared(row) and ok} for row, ok in zip(rows, large_enough, strict=True)]


def _undeclared(row: dict[str, Any]) -> bool:
    """Whether the row is an undeclared nuisance with q < .05; for a latent, regions and scores are no nuisances."""
    nuisance = row["nuisance_kind"] == "nuisance" or row["kind"] == "score"
    return bool(nuisance and not row["declared"] and row["q_beyond"] < ALPHA)  # a missing q is not below


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per latent, score and association: its caveat in words, or else the nuisance that explains the most."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["nuisance_kind"] == "nuisance" or row["kind"] == "score":
            groups.setdefault((row["kind"], row.get("latent"), row.get("score")), []).append(row)
    caveat_rows = [_caveat_row(group) for group in groups.values()]
    parts = [[group for key, group in groups.items() if key[0] == kind] for kind in ("latent", "score")]
    return caveat_rows + [_association(latent, score) for score in parts[1] for latent in parts[0]]


def _caveat_row(group: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of one latent or score."""
    keys = {key: group[0].get(key) for key in (*KEYS, "verdict")}
    ok_rows = [row for row in group if row["status"] == "ok"]
    if not ok_rows:
        return keys | {"flagged": False, "text": "", "status": group[0]["status"], "reason": group[0]["reason"]}
    flagged = sorted((row for row in ok_rows if row["flagged"]), key=lambda row: -row["r2_beyond"])
    strongest = flagged[0] if flagged else max(ok_rows, key=lambda row: row["r2_adjusted"])
    target = "this latent's variance" if strongest["kind"] == "latent" else f"the variance in {strongest['score']}"
    if flagged:
        text = f"{_in_words(flagged)} of {target} {BEYOND}"
    elif strongest["q"] < ALPHA:
        text = f"{_in_sentence(strongest)} explains {_percent(strongest['r2_adjusted'])} of {target}"
        text += " (a declared confound)" if strongest["declared"] else ""
    else:
        text = ""
    keys |= {"nuisance": strongest["nuisance"], "r2": strongest["r2_beyond" if flagged else "r2_adjusted"]}
    return keys | {"flagged": bool(flagged), "text": text, "status": "ok", "reason": ""}


def _association(latent: list[dict[str, Any]], score: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of one score with one latent: flagged by the nuisances that explain both."""
    row = _caveat_row(latent) | {"kind": "association", "score": score[0]["score"]}
    score_nuisances = {of["nuisance"] for of in score if of["status"] == "ok" and _undeclared(of)}
    shared = sorted(
        (of for of in latent if of["flagged"] and of["nuisance"] in score_nuisances), key=lambda of: -of["r2_beyond"]
    )
    if not shared:
        return row | {"flagged": False}
    are = "is" if len(shared) == 1 else "are"
    text = f"{_in_words(shared)} of this latent's variance {BEYOND} and {are} also associated with {row['score']}"
    return row | {"flagged": True, "text": text, "nuisance": shared[0]["nuisance"], "r2": shared[0]["r2_beyond"]}


def _in_words(rows: list[dict[str, Any]]) -> str:
    """`head size explains 27 %, rotation 12 %`."""
    first, *others = [(_in_sentence(row), _percent(row["r2_beyond"])) for row in rows]
    return ", ".join([" explains ".join(first), *(" ".join(other) for other in others)])


def _in_sentence(row: dict[str, Any]) -> str:
    return WORDS.get(row["nuisance"], row["nuisance"])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


if __name__ == "__main__":
    cli(run)
