"""Intrinsic dimension of the scans and latents, the number of latents it suggests, and concentration of the prior.

Concentration (the tutorial's appendix A, corrected): the share of a ball's volume in its outer shell is
1 - (1 - e/R)^n. The quantity compared with the prior's shell is E|z|^2 = |mu|^2 + sum sigma^2 (prior: d, SD sqrt(2 d)),
since |mu| always lies inside. Its spread over people is that of |z|^2 itself: Var E|z|^2 + E[sum 4 mu^2 sigma^2 +
2 sigma^4].
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.audit.components import participation, products, shell, standing_out, variances
from neurovae.audit.intrinsic import coordinates, intrinsic
from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.io.volumes import masked, read_mask, read_volumes

MOST = 500  # people; more are drawn at random, since distances and noise cost people squared
THICKNESS = 0.1  # of the shell, in radii
COLUMNS = {"what": "object", "model": "object", "fold": "Int64", "seed": "Int64", "split": "object",
           "measure": "object", "value": "float64", "low": "float64", "high": "float64", "half": "float64",
           "expected": "float64", "n": "Int64", "status": "object", "reason": "object"}  # fmt: skip
OK = {"status": "ok", "reason": ""}


def run(*, volumes: Path, rows: Path, mask: Path, latents: list[Path], out: Path, seed: int = 0) -> None:
    """Write dimension and concentration of the cohort's volumes and of every model's latents (.parquet, .tsv).

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun dimension

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        latents: latents.parquet of each model.
        out: table of measures.
        seed: of the halves of people, the noise, and of people drawn where there are very many.
    """
    array, table = read_volumes(volumes, rows)
    found = cohort(array, _people(table, seed), read_mask(mask), seed)
    for path in steps(latents, "models"):
        one = read_parquet(path)
        same = {name: one[name].iloc[0] for name in ("model", "fold", "seed")}
        found += [same | row for row in model(one.iloc[_people(one, seed)], seed)]
    write_both(out, tidy(found, COLUMNS))
    print(
        *[f"{r['measure']}: {r['value']:.1f}" for r in found if "model" not in r and "value" in r][:5],
        sep="\n",
        flush=True,
    )


def _people(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Positions of one scan per person, of MOST people at most, in the table's order."""
    first = np.flatnonzero(~table["person"].duplicated())
    if len(first) > MOST:
        first = np.sort(np.random.default_rng(seed).choice(first, MOST, replace=False))
    return first


def cohort(array: np.ndarray, people: np.ndarray, mask: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Rows of the preprocessed volumes (scans, x, y, z): dimension, components, and the number of latents suggested."""
    volumes = np.asarray(array[people])
    centred = products(masked(volumes, mask))
    found = intrinsic(coordinates(centred), seed)
    spread = variances(centred)
    count, part = standing_out(volumes, mask, seed), participation(spread)
    found += [
        {"measure": "participation ratio", "value": part, "n": len(people), **OK},
        {"measure": "components above smooth noise", "value": count, "n": len(people), **OK},
        suggested(count, found, len(people)),
    ]
    tested = [row for row in found[:2] if row["status"] == "ok"]
    found += [_shell(row["value"], f"dimension by {row['measure']}", len(people)) for row in tested]
    return [{"what": "volumes"} | row for row in found]


def suggested(count: int, found: list[dict[str, Any]], people: int) -> dict[str, Any]:
    """The components above smooth noise, or the dimension by MLE, rounded up, where that is larger.

    TwoNN is not used: with few people it reflects the noise of the scans, and its interval is wide.
    """
    least = max(
        (math.ceil(row["value"]) for row in found if row["measure"] == "MLE" and row["status"] == "ok"), default=0
    )
    reason = (
        f"the larger of {count} components above smooth noise and a dimension of {least} (MLE); {people} people: few "
        "people bias both downwards, so this is a lower bound; compare the held-out variance explained of larger models"
    )
    return {"measure": "latents suggested", "value": max(count, least), "n": people, "status": "ok", "reason": reason}


def model(latents: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Rows of one model's latents, a scan per person: dimension, |z|^2 per split against the prior, its shell."""
    names = latent_table.columns(latents)
    mu = latents[names].to_numpy(float)
    found = [row | {"split": "all"} for row in intrinsic(mu, seed)]
    variance = np.exp(latents[latent_table.logvar(names)].to_numpy(float))
    calibrated = bool(latents["logvar_calibrated"].iloc[0])
    for split in ("training", "test"):
        inside = (latents["split"] == split).to_numpy()
        found += [
            row | {"split": split, "n": int(inside.sum())} for row in norms(mu[inside], variance[inside], calibrated)
        ]
    return [{"what": "latents"} | row for row in [*found, _shell(len(names), "latents of the prior", len(latents))]]


def norms(mu: np.ndarray, variance: np.ndarray, calibrated: bool) -> list[dict[str, Any]]:
    """Mean and spread of |z|^2 over people (n, latents) beside those of the prior, d and sqrt(2 d)."""
    size = mu.shape[1]
    rows: list[dict[str, Any]] = [
        {"measure": "mean |z|^2", "expected": float(size)},
        {"measure": "spread of |z|^2", "expected": math.sqrt(2 * size)},
    ]
    if len(mu) < 2:
        return [row | {"status": "too few people", "reason": f"{len(mu)} people"} for row in rows]
    if not np.isfinite(variance).all():
        return [row | {"status": "no variances", "reason": "the model has no posterior variance"} for row in rows]
    square = np.square(mu).sum(axis=1) + variance.sum(axis=1)
    within = (4 * mu**2 * variance + 2 * variance**2).sum(axis=1)
    mean, error = float(square.mean()), float(square.std(ddof=1) / math.sqrt(len(mu)))
    reason = "" if calibrated else "the loss does not constrain the posterior variances (logvar is not calibrated)"
    rows[0] |= {"value": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error}
    rows[1] |= {"value": math.sqrt(square.var(ddof=1) + within.mean())}
    return [row | {"status": "ok", "reason": reason} for row in rows]


def _shell(dimension: float, what: str, people: int) -> dict[str, Any]:
    reason = (
        f"of a ball's volume in its outer {THICKNESS:g} of the radius, n = {dimension:.3g} ({what}); 1 - (1 - e/R)^n"
    )
    value = shell(THICKNESS, dimension)
    return {"measure": "share in the shell", "value": value, "n": people, "status": "ok", "reason": reason}


if __name__ == "__main__":
    cli(run)
