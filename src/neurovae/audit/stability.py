"""Stability over random seeds: latent spaces, latents, score directions and associations of one model.

Latent k of one seed does not correspond to latent k of another. Latent spaces are compared as a whole, in people whom
no seed was trained on; single latents only after one-to-one matching; score directions by their values in those people
and by their decoded maps.
"""

import importlib
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.audit.seeds import Fit, alike, distinct, read
from neurovae.audit.similarity import MATCH, PEOPLE, by_chance, cka, correlations, fewest, match, procrustes
from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.io.progress import steps
from neurovae.io.volumes import read_mask

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
FEW = "too few people"
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
        replicated: table of score x latent: how many of the other seeds found it too.
    """
    same, fits = read(latents, weights, glm, omnibus, directions)
    used = [fit for fit in fits if not fit.stopped]
    rest = [{"seed": fit.seed, **_stopped(fit)} for fit in fits if fit.stopped]
    alone = [{"seed": fit.seed, "verdict": fit.verdict, **ONE} for fit in used if len(used) == 1]
    inside = read_mask(mask)
    pairs = [row for a, b in steps(list(combinations(used, 2)), "pairs of seeds") for row in compare(a, b, inside)]
    found = [row for a, b in permutations(used, 2) for row in matched(a, b)]
    counts = [row for fit in used for row in replication(fit, used, found)]
    write_both(out, tidy([same | row for row in pairs + alone + rest], COLUMNS))
    write_both(matches, tidy([same | row for row in found + alone + rest], MATCHES))
    write_both(replicated, tidy([same | row for row in counts + rest], REPLICATED))
    print(f"{len(used)} seeds of {same['model']}, fold {same['fold']}, compared", flush=True)


def _stopped(fit: Fit) -> dict[str, Any]:
    reason = fit.glm["reason"].iloc[0] if len(fit.glm) else "no associations"
    return {"status": "not tested", "reason": reason, "verdict": fit.verdict}


def compare(a: Fit, b: Fit, mask: np.ndarray) -> list[dict[str, Any]]:
    """One row for the two spaces, then one per score for its direction, with the omnibus p of both."""
    x, y = a.held.to_numpy(float), b.held.to_numpy(float)
    same = {"seed": a.seed, "other_seed": b.seed, "n": len(x), "verdict": a.verdict, "status": "ok", "reason": ""}
    clones = SAME if alike(a, b) else {}
    same |= clones
    scores = list(dict.fromkeys(name for name in a.directions["score"] if name in set(b.directions["score"])))
    return [same | space(x, y) | clones] + [same | direction(a, b, score, mask) for score in scores]


def space(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """CKA, Procrustes and matched latents of two spaces (people, latents), with chance levels (random order)."""
    row: dict[str, Any] = {"kind": "space", "latents": x.shape[1]}
    if len(x) < PEOPLE:
        return row | {"status": FEW, "reason": f"{len(x)} held-out people; CKA needs {PEOPLE}"}
    shares, counts = by_chance(x, y, DRAWS, seed=0)
    found = int((match(correlations(x, y)) >= 0).sum()) if len(x) >= fewest(y.shape[1]) else None
    numbers = {"cka": cka(x, y), "procrustes_r2": procrustes(x, y), "procrustes_chance": shares}
    return row | numbers | {"matched": found, "matched_chance": counts}


def direction(a: Fit, b: Fit, score: str, mask: np.ndarray) -> dict[str, Any]:
    """Two seeds' directions of one score: correlation over held-out people, of the decoded maps, both omnibus p."""
    p = [_omnibus(fit.omnibus, score) for fit in (a, b)]
    row: dict[str, Any] = {"kind": "direction", "score": score, "p": p[0], "p_other": p[1]}
    ways = [fit.directions[fit.directions["score"] == score].set_index("latent") for fit in (a, b)]
    if any(way[["weight", "pattern"]].isna().any(axis=None) or len(way) < 2 for way in ways):
        said = next((str(way["reason"].iloc[0]) for way in ways if "reason" in way and way["reason"].iloc[0]), "")
        return row | {"status": "no direction", "reason": said or "a seed has no direction for this score"}
    people, maps = [], []
    for fit, way in zip((a, b), ways, strict=True):
        way = way.loc[fit.held.columns]
        weight = np.divide(way["weight"], fit.spread, out=np.zeros(len(way)), where=fit.spread > 0)
        people.append(fit.held.to_numpy(float) @ weight)
        maps.append(decoded(fit, way["pattern"].to_numpy(float), mask))
    return row | {"r_people": _r(*people), "r_map": _r(*maps)}


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


def matched(a: Fit, b: Fit) -> list[dict[str, Any]]:
    """One row per latent of a: its counterpart in b, or none; r is that of the counterpart, else the largest.

    Fewer people than `fewest`: none has a counterpart.
    """
    r, n, least = correlations(a.held.to_numpy(float), b.held.to_numpy(float)), len(a.held), fewest(len(b.held.columns))
    clones, ok = SAME if alike(a, b) else {}, {"status": "ok", "reason": ""}
    none = {"status": "no counterpart", "reason": f"no unmatched latent with |r| >= {MATCH:g} in held-out people"}
    if n < least:
        none = {
            "status": FEW,
            "reason": f"{n} held-out people; with fewer than {least}, |r| >= {MATCH:g} is common by chance",
        }
    rows = []
    for k, other in enumerate(match(r) if n >= least or clones else np.full(len(r), -1)):
        most = int(np.abs(r[k]).argmax()) if other < 0 else int(other)
        row = {"seed": a.seed, "other_seed": b.seed, "latent": a.held.columns[k], "r": r[k, most], "n": n}
        row |= {"counterpart": b.held.columns[other], **ok} if other >= 0 else none
        rows.append(row | {"verdict": a.verdict} | clones)
    return rows


def replication(fit: Fit, used: list[Fit], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows score x latent: in how many other seeds the counterpart has q < .05 with the same sign ("2 of 4").

    Seeds with the same latents count once.
    """
    others = {other.seed: other.glm.set_index(["score", "latent"]) for other in distinct([fit, *used])[1:]}
    nobody = SAME["status"] if len(used) > 1 else ONE["status"]
    pairs = {(row["latent"], row["other_seed"]): row for row in found if row["seed"] == fit.seed}
    rows = []
    for test in fit.glm.to_dict("records"):
        row = {name: test.get(name) for name in ("score", "seed", "latent", "status", "reason", "verdict")}
        ways = {seed: pairs[test["latent"], seed] for seed in others}
        partners = {seed: way for seed, way in ways.items() if way["status"] == "ok"}
        agree = sum(
            _agrees(test, others[seed].loc[(test["score"], way["counterpart"])], way["r"])
            for seed, way in partners.items()
        )
        text = f"{agree} of {len(others)}" if partners else next((way["status"] for way in ways.values()), nobody)
        row |= {"seeds": len(others), "counterparts": len(partners), "agree": agree}
        rows.append(row | {"replicated": text if test["status"] == "ok" else None})
    return rows


def _agrees(test: dict[Any, Any], other: pd.Series, r: float) -> bool:
    return bool(other["q"] < ALPHA and np.sign(other["effect"]) * np.sign(r) == np.sign(test["effect"]))


if __name__ == "__main__":
    cli(run)
