"""Stability over random seeds: latent spaces, latents, score directions and associations of one model.

Latent k of one seed does not correspond to latent k of another. Latent spaces are compared as a whole, in held-out
people; single latents only after one-to-one matching; score directions by their values in those people and by their
decoded maps.
"""

import importlib
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.audit.seeds import Fit, alike, distinct, read
from neurovae.audit.similarity import MATCH, PEOPLE, by_chance, cka, correlations, match, min_people, procrustes
from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.io.progress import steps
from neurovae.io.volumes import read_mask
from neurovae.train.weights import has_decoder

DRAWS = 200  # random orders of people, for the chance level
ALPHA = 0.05
PAIR = {"model": "object", "fold": "Int64", "seed": "Int64", "other_seed": "Int64"}
AFTER = {"n": "Int64", "status": "object", "reason": "object", "verdict": "object"}
NUMBERS = ["cka", "procrustes_r2", "procrustes_chance", "matched_chance", "r_people", "r_map", "p", "p_other"]
COLUMNS = PAIR | {"kind": "object", "score": "object", "latents": "Int64", "matched": "Int64"} | dict.fromkeys(
    NUMBERS, "float64"
) | AFTER  # fmt: skip
MATCHES = PAIR | {"latent": "object", "counterpart": "object", "r": "float64"} | AFTER
REPLICATED = {"score": "object", "model": "object", "fold": "Int64", "seed": "Int64", "latent": "object",
              "seeds": "Int64", "counterparts": "Int64", "agree": "Int64", "replicated": "object",
              "status": "object", "reason": "object", "verdict": "object"}  # fmt: skip
TOO_FEW = "too few people"
ONE = {"status": "one seed", "reason": "nothing to compare with; add seeds to train.seeds"}
SAME = {
    "status": "same latents",
    "reason": "both seeds gave the same numbers: the model is deterministic, or the network kept its initial weights; "
    "this is no replication",
}


def run(
    *,
    latents: list[Path],
    weights: list[Path],
    mask: Path,
    glm: list[Path],
    omnibus: list[Path],
    directions: list[Path],
    out: Path,
    matches: Path,
    replicated: Path,
) -> None:
    """Compare the seeds of one model and fold (.parquet, .tsv); the lists hold a file per seed, in one order.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun stability

    Args:
        latents: latents.parquet.
        weights: weights.safetensors.
        mask: the fixed mask.
        glm: glm.parquet.
        omnibus: omnibus.parquet, a row per score with p.
        directions: directions.parquet, score x latent with weight and pattern.
        out: table of pairs of seeds: spaces, and per score directions and omnibus p.
        matches: table of latents and their counterparts in each other seed.
        replicated: table of score x latent: in how many of the other seeds the association is significant too.
    """
    keys, fits = read(latents, weights, glm, omnibus, directions)
    fits_used = [fit for fit in fits if not fit.stopped]
    rows_stopped = [{"seed": fit.seed, **_stopped(fit)} for fit in fits if fit.stopped]
    row_single = [{"seed": fit.seed, "verdict": fit.verdict, **ONE} for fit in fits_used if len(fits_used) == 1]
    in_mask = read_mask(mask)
    pairs = [
        row for a, b in steps(list(combinations(fits_used, 2)), "pairs of seeds") for row in compare(a, b, in_mask)
    ]
    matched_rows = [row for a, b in permutations(fits_used, 2) for row in match_rows(a, b)]
    counts = [row for fit in fits_used for row in replication(fit, fits_used, matched_rows)]
    write_both(out, tidy([keys | row for row in pairs + row_single + rows_stopped], COLUMNS))
    write_both(matches, tidy([keys | row for row in matched_rows + row_single + rows_stopped], MATCHES))
    write_both(replicated, tidy([keys | row for row in counts + rows_stopped], REPLICATED))
    print(f"{len(fits_used)} seeds of {keys['model']}, fold {keys['fold']}, compared", flush=True)


def _stopped(fit: Fit) -> dict[str, Any]:
    reason = fit.glm["reason"].iloc[0] if len(fit.glm) else "no associations"
    return {"status": "not tested", "reason": reason, "verdict": fit.verdict}


def compare(a: Fit, b: Fit, mask: np.ndarray) -> list[dict[str, Any]]:
    """One row for the two spaces, then one per score for its direction, with the omnibus p of both."""
    x, y = a.held.to_numpy(float), b.held.to_numpy(float)
    shared = {"seed": a.seed, "other_seed": b.seed, "n": len(x), "verdict": a.verdict, "status": "ok", "reason": ""}
    identical = SAME if alike(a, b) else {}
    shared |= identical
    scores = list(dict.fromkeys(name for name in a.directions["score"] if name in set(b.directions["score"])))
    return [shared | space(x, y) | identical] + [shared | direction(a, b, score, mask) for score in scores]


def space(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """CKA, Procrustes and matched latents of two spaces (people, latents), with chance levels (random order)."""
    row: dict[str, Any] = {"kind": "space", "latents": x.shape[1]}
    if len(x) < PEOPLE:
        return row | {"status": TOO_FEW, "reason": f"{len(x)} held-out people; CKA needs {PEOPLE}"}
    chance_r2, chance_matched = by_chance(x, y, DRAWS, seed=0)
    n_matched = int((match(correlations(x, y)) >= 0).sum()) if len(x) >= min_people(y.shape[1]) else None
    numbers = {"cka": cka(x, y), "procrustes_r2": procrustes(x, y), "procrustes_chance": chance_r2}
    return row | numbers | {"matched": n_matched, "matched_chance": chance_matched}


def direction(a: Fit, b: Fit, score: str, mask: np.ndarray) -> dict[str, Any]:
    """Two seeds' directions of one score: correlation over held-out people, of the decoded maps, both omnibus p."""
    p = [_omnibus(fit.omnibus, score) for fit in (a, b)]
    row: dict[str, Any] = {"kind": "direction", "score": score, "p": p[0], "p_other": p[1]}
    directions_of = [fit.directions[fit.directions["score"] == score].set_index("latent") for fit in (a, b)]
    if any(table[["weight", "pattern"]].isna().any(axis=None) or len(table) < 2 for table in directions_of):
        reason = next(
            (str(table["reason"].iloc[0]) for table in directions_of if "reason" in table and table["reason"].iloc[0]),
            "",
        )
        return row | {"status": "no direction", "reason": reason or "a seed has no direction for this score"}
    people, maps = [], []
    for fit, table in zip((a, b), directions_of, strict=True):
        table = table.loc[fit.held.columns]
        weight = np.divide(table["weight"], fit.spread, out=np.zeros(len(table)), where=fit.spread > 0)
        people.append(fit.held.to_numpy(float) @ weight)
        maps += [decoded(fit, table["pattern"].to_numpy(float), mask)] if has_decoder(fit.meta) else []
    return row | {"r_people": _r(*people), "r_map": _r(*maps) if maps else np.nan}


def decoded(fit: Fit, pattern: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Map (voxels of the mask,) of a pattern (latents, in SDs): decode(mean + pattern) - decode(mean)."""
    module = importlib.import_module(f"neurovae.train.models.{fit.meta['kind']}")
    pair = np.stack([fit.mean + pattern * fit.spread, fit.mean]).astype(np.float32)
    high, low = module.reconstruct(pair, mask, fit.tensors, fit.meta["architecture"])
    change: np.ndarray = high.astype(np.float64) - low
    return change


def _r(a: np.ndarray, b: np.ndarray) -> float:
    return float(correlations(a[:, None], b[:, None])[0, 0]) if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan


def _omnibus(table: pd.DataFrame, score: str) -> float:
    p = table.loc[table["score"] == score, "p"]
    return float(p.iloc[0]) if len(p) else np.nan


def match_rows(a: Fit, b: Fit) -> list[dict[str, Any]]:
    """One row per latent of a: its counterpart in b, or none; r is that of the counterpart, else the largest.

    With fewer people than `min_people` no latent has a counterpart.
    """
    r, n, n_needed = (
        correlations(a.held.to_numpy(float), b.held.to_numpy(float)),
        len(a.held),
        min_people(len(b.held.columns)),
    )
    identical, ok = SAME if alike(a, b) else {}, {"status": "ok", "reason": ""}
    none = {"status": "no counterpart", "reason": f"no unmatched latent with |r| >= {MATCH:g} in held-out people"}
    if n < n_needed:
        none = {
            "status": TOO_FEW,
            "reason": f"{n} held-out people; with fewer than {n_needed}, |r| >= {MATCH:g} is common by chance",
        }
    rows = []
    for k, column in enumerate(match(r) if n >= n_needed or identical else np.full(len(r), -1)):
        strongest = int(np.abs(r[k]).argmax()) if column < 0 else int(column)
        row = {"seed": a.seed, "other_seed": b.seed, "latent": a.held.columns[k], "r": r[k, strongest], "n": n}
        row |= {"counterpart": b.held.columns[column], **ok} if column >= 0 else none
        rows.append(row | {"verdict": a.verdict} | identical)
    return rows


def replication(fit: Fit, fits_used: list[Fit], matched_rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows score x latent: in how many other seeds the counterpart has q < .05 with the same sign ("2 of 4").

    Seeds with the same latents count once.
    """
    others = {other.seed: other.glm.set_index(["score", "latent"]) for other in distinct([fit, *fits_used])[1:]}
    no_match = SAME["status"] if len(fits_used) > 1 else ONE["status"]
    pairs = {(row["latent"], row["other_seed"]): row for row in matched_rows if row["seed"] == fit.seed}
    rows = []
    for test in fit.glm.to_dict("records"):
        row = {name: test.get(name) for name in ("score", "seed", "latent", "status", "reason", "verdict")}
        matches_of_latent = {seed: pairs[test["latent"], seed] for seed in others}
        counterparts = {
            seed: found_match for seed, found_match in matches_of_latent.items() if found_match["status"] == "ok"
        }
        agree = sum(
            _agrees(test, others[seed].loc[(test["score"], found_match["counterpart"])], found_match["r"])
            for seed, found_match in counterparts.items()
        )
        text = (
            f"{agree} of {len(others)}"
            if counterparts
            else next((found_match["status"] for found_match in matches_of_latent.values()), no_match)
        )
        row |= {"seeds": len(others), "counterparts": len(counterparts), "agree": agree}
        rows.append(row | {"replicated": text if test["status"] == "ok" else None})
    return rows


def _agrees(test: dict[Any, Any], other: pd.Series, r: float) -> bool:
    return bool(other["q"] < ALPHA and np.sign(other["effect"]) * np.sign(r) == np.sign(test["effect"]))


if __name__ == "__main__":
    cli(run)
