"""Is it really the disease: the share of every latent, and of every score, that nuisances explain.

R2 of least squares on a nuisance's columns (splines of 3 df, dummies), adjusted (Ezekiel 1930: 1 - (1 - R2) (n - 1) /
(n - k - 1), 0 on average where nothing is explained), with its F test and q over everything x nuisances. `beyond` is
what the nuisance adds to the declared confounds, which the tests account for: adjusted R2 of both less that of the
confounds, and the F test of the added columns. What is flagged rests on `beyond`, so that a column that merely goes
with a declared confound raises no alarm. A latent that codes a region's volume is no alarm either: regions are told.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f

from neurovae.audit.nuisances import Nuisance, columns_of, nuisances, read_regions
from neurovae.cli import Json, cli
from neurovae.design.design import RESIDUAL_DF, design, first_scans, join, score_values
from neurovae.design.rows import provenance, stopped
from neurovae.design.tables import STOPPING, bh, read_verdict, tidy, write_both
from neurovae.io import latent_table, missing
from neurovae.stats.basis import independent

ALPHA = 0.05
KEYS = {"kind": "object", "latent": "object", "score": "object", "model": "object", "fold": "Int64", "seed": "Int64"}
AFTER = {"status": "object", "reason": "object", "verdict": "object"}
NUMBERS = ["r2", "r2_adjusted", "p", "q", "r2_beyond", "p_beyond", "q_beyond"]
COLUMNS = KEYS | {"nuisance": "object", "nuisance_kind": "object", "columns": "object", "declared": "boolean"} | {
    "n": "Int64", "df": "Int64", "df_beyond": "Int64"} | dict.fromkeys(NUMBERS, "float64") | {
    "flagged": "boolean", "family_size": "Int64"} | AFTER  # fmt: skip
FLAGS = KEYS | {"nuisance": "object", "r2": "float64", "flagged": "boolean", "text": "object"} | AFTER


def run(
    *,
    cohort: Path,
    latents: Path,
    qc: Path,
    health: Path,
    scores: Json,
    confounds: Json,
    volumes: Path | None,
    flag: float,
    out: Path,
    flags: Path,
    codes: Json | None = None,
) -> None:
    """Write what nuisances explain of each latent and score, and which of these are flagged (.parquet, .tsv).

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
        flag: adjusted share beyond the declared confounds from which on an undeclared nuisance is flagged.
        out: table of latent or score x nuisance.
        flags: table of latents and scores, a row each.
        codes: `missing` and `not_missing` of the cohort section, for the table of volumes.
    """
    verdict, reason = read_verdict(health)
    table = first_scans(join(pd.read_parquet(cohort), pd.read_parquet(latents), pd.read_parquet(qc)))
    if verdict in STOPPING:
        rows = named = [stopped(table, verdict, reason)]
    else:
        table, regions = read_regions(volumes, table, missing.codes(codes or {}))
        rows = [row | {"verdict": verdict} for row in audit(table, scores, confounds, regions, flag)]
        named = summary(rows)
    write_both(out, tidy(rows, COLUMNS))
    write_both(flags, tidy(named, FLAGS))
    print(*[row["text"] for row in named if row.get("flagged")] or ["nothing flagged"], sep="\n", flush=True)


def audit(
    table: pd.DataFrame,
    scores: list[dict[str, Any]],
    confounds: list[dict[str, Any]],
    regions: list[str],
    flag: float,
) -> list[dict[str, Any]]:
    """Rows of every latent and every score against every nuisance and region; q within latents, regions and scores."""
    found = nuisances(table, scores, confounds, regions)
    names = latent_table.columns(table)
    base = design(table, {"name": names[0], "type": "continuous"}, confounds, with_split=False)
    same, z = provenance(table), table[names].to_numpy(float)
    rows = []
    for nuisance in found:
        results = zip(names, _explained(table, z, base.rows, base.x, nuisance), strict=True)
        rows += [same | {"kind": "latent", "latent": name} | result for name, result in results]
    for score in scores:
        cases = design(table, score, confounds, with_split=False)
        y = score_values(table, score)[:, None]
        alone = {"status": cases.status, "reason": cases.reason} if not len(cases.rows) else {}
        for nuisance in (entry for entry in found if entry.kind != "region" and entry.name != score["name"]):
            said = same | {"kind": "score", "score": score["name"]}
            rows.append(said | _explained(table, y, cases.rows, cases.x, nuisance)[0] | alone)
    return _judged(rows, flag)


def _explained(
    table: pd.DataFrame, y: np.ndarray, rows: np.ndarray, x: np.ndarray, nuisance: Nuisance
) -> list[dict[str, Any]]:
    """What the nuisance explains of each column of y (people, m), alone and beyond x, which holds for `rows`."""
    said = {
        "nuisance": nuisance.name,
        "nuisance_kind": nuisance.kind,
        "columns": ", ".join(nuisance.columns),
        "declared": nuisance.declared,
    }
    if not len(rows):
        return [said | {"status": "nobody to test", "reason": "no person has the score and all confounds"}] * y.shape[1]
    if nuisance.reason:
        return [said | {"status": "no such numbers", "reason": nuisance.reason}] * y.shape[1]
    known, block = columns_of(table, nuisance, rows)
    x, z = x[np.isin(rows, known)], y[known]
    said |= {"n": len(known), "df": block.shape[1]}
    if not block.shape[1]:
        return [said | {"status": "constant nuisance", "reason": "it does not vary"}] * y.shape[1]
    if len(known) - x.shape[1] - block.shape[1] < RESIDUAL_DF:
        few = f"{len(known)} people for {x.shape[1] + block.shape[1]} columns"
        return [said | {"status": "too few people", "reason": few}] * y.shape[1]
    alone, beyond = explained(z, np.ones((len(z), 1)), block), explained(z, x, block)
    constant = said | {"status": "constant", "reason": "it does not vary between people"}
    tested = [
        {"r2": a[0], "r2_adjusted": a[1], "p": a[2], "df_beyond": beyond[3], "r2_beyond": b[1], "p_beyond": b[2]}
        for a, b in zip(zip(*alone[:3], strict=True), zip(*beyond[:3], strict=True), strict=True)
    ]
    varies = np.ptp(z, axis=0) > 0
    return [
        said | {"status": "ok", "reason": ""} | row if moves else constant
        for row, moves in zip(tested, varies, strict=True)
    ]


def explained(y: np.ndarray, x: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Added R2, added adjusted R2, p (each (m,)) and columns that count, of `block` beyond x in columns of y (n, m).

    Where x holds all of the block, the shares are 0 and p is missing.
    """
    n = len(y)
    whole = np.column_stack([x, block])
    whole = whole[:, independent(whole)]
    total = np.square(y - y.mean(axis=0)).sum(axis=0)
    low, high = (np.square(y - a @ np.linalg.lstsq(a, y, rcond=None)[0]).sum(axis=0) for a in (x, whole))
    added = whole.shape[1] - x.shape[1]
    share = total / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # columns of y that do not vary have no shares
        adjusted = (low / (n - x.shape[1]) - high / (n - whole.shape[1])) / share
        ratio = (low - high) / max(added, 1) / (high / (n - whole.shape[1]))
        gained = (low - high) / total
    p = f.sf(ratio, added, n - whole.shape[1]) if added else np.full(y.shape[1], np.nan)
    return gained, adjusted if added else np.zeros(y.shape[1]), p, added


def _judged(rows: list[dict[str, Any]], flag: float) -> list[dict[str, Any]]:
    """Add q within each family (latents, regions, scores) and what is flagged."""
    family = np.array([f"{row['kind']} {row['nuisance_kind']}" for row in rows], dtype=object)
    for name in ("p", "p_beyond"):
        for each in dict.fromkeys(family):
            p = np.array([row.get(name, np.nan) for row in rows], float)
            q, m = bh(p, (family == each) & np.isfinite(p))
            for k in np.flatnonzero(family == each):
                rows[k] = rows[k] | {name.replace("p", "q", 1): q[k]} | ({"family_size": m} if name == "p" else {})
    for k, row in enumerate(rows):
        alarm = not row["declared"] and (row["nuisance_kind"] == "nuisance" or row["kind"] == "score")
        shown = row.get("r2_beyond", 0.0) >= flag and row["q_beyond"] < ALPHA  # a missing q is not below
        rows[k] = row | {"flagged": bool(alarm and shown)}
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per latent and per score: what is flagged ("rotation .34, noise .12"), else what explains the most."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["nuisance_kind"] == "nuisance" or row["kind"] == "score":
            groups.setdefault((row["kind"], row.get("latent"), row.get("score")), []).append(row)
    return [_named(group) for group in groups.values()]


def _named(group: list[dict[str, Any]]) -> dict[str, Any]:
    same = {key: group[0].get(key) for key in (*KEYS, "verdict")}
    tested = [row for row in group if row["status"] == "ok"]
    if not tested:
        return same | {"flagged": False, "text": "", "status": group[0]["status"], "reason": group[0]["reason"]}
    flagged = sorted((row for row in tested if row["flagged"]), key=lambda row: -row["r2_beyond"])
    most = flagged[0] if flagged else max(tested, key=lambda row: row["r2_adjusted"])
    if flagged:
        text = ", ".join(f"{row['nuisance']} {_short(row['r2_beyond'])}" for row in flagged)
    else:
        text = f"{most['nuisance']} {_short(most['r2_adjusted'])}" if most["q"] < ALPHA else ""
        text += " (declared)" if text and most["declared"] else ""
    if flagged and group[0]["kind"] == "score":
        text = f"{group[0]['score']} goes with {text}, not declared"
    same |= {"nuisance": most["nuisance"], "r2": most["r2_beyond" if flagged else "r2_adjusted"]}
    return same | {"flagged": bool(flagged), "text": text, "status": "ok", "reason": ""}


def _short(share: float) -> str:
    return f"{share:.2f}".replace("0.", ".", 1)


if __name__ == "__main__":
    cli(run)
