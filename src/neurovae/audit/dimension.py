"""Intrinsic dimension of the scans and latents, the number of latents it suggests, and concentration of the prior.

Concentration (the tutorial's appendix A, corrected): the fraction of a ball's volume in its outer shell is
1 - (1 - e/R)^n. The quantity compared with the prior's shell is E|z|^2 = |mu|^2 + sum sigma^2 (prior: d, SD sqrt(2 d)),
since |mu| always lies inside. Its spread over people is that of |z|^2 itself: Var E|z|^2 + E[sum 4 mu^2 sigma^2 +
2 sigma^4].
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.audit.components import above_noise, participation, products, shell, variances
from neurovae.audit.intrinsic import coordinates, intrinsic
from neurovae.cli import cli
from neurovae.design.tables import tidy, write_both
from neurovae.io import latent_table
from neurovae.io.progress import steps
from neurovae.io.volumes import given, masked, read_mask, read_volumes

MAX_PEOPLE = 500  # from more people, so many are drawn: time and memory grow with their square
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
        volumes: packed volumes; empty: the cohort has no images, and only latents are described.
        rows: table of their rows.
        mask: the fixed mask.
        latents: latents.parquet of each model.
        out: table of measures.
        seed: of the halves of people, the noise, and of people drawn where there are very many.
    """
    array, table = read_volumes(volumes, rows)
    results = cohort(array, _people(table, seed), read_mask(mask), seed) if given(volumes) else []
    for path in steps(latents, "models"):
        table_of_model = latent_table.read(path)
        keys = {name: table_of_model[name].iloc[0] for name in ("model", "fold", "seed")}
        results += [keys | row for row in model(table_of_model.iloc[_people(table_of_model, seed)], seed)]
    write_both(out, tidy(results, COLUMNS))
    print(
        *[f"{r['measure']}: {r['value']:.1f}" for r in results if "model" not in r and "value" in r][:5],
        sep="\n",
        flush=True,
    )


def _people(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Return positions of one scan per person, of at most MAX_PEOPLE people, in the table's order."""
    first = np.flatnonzero(~table["person"].duplicated())
    if len(first) > MAX_PEOPLE:
        first = np.sort(np.random.default_rng(seed).choice(first, MAX_PEOPLE, replace=False))
    return first


def cohort(array: np.ndarray, people: np.ndarray, mask: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Rows of the preprocessed volumes (scans, x, y, z): dimension, components, and suggested number of latents."""
    volumes = np.asarray(array[people])
    centred = products(masked(volumes, mask))
    measures = intrinsic(coordinates(centred), seed)
    spread = variances(centred)
    count, part = above_noise(volumes, mask, seed), participation(spread)
    measures += [
        {"measure": "participation ratio", "value": part, "n": len(people), **OK},
        {"measure": "components above smooth noise", "value": count, "n": len(people), **OK},
        suggested(count, measures, len(people)),
    ]
    estimates = [row for row in measures[:2] if row["status"] == "ok"]
    measures += [_shell(row["value"], f"dimension by {row['measure']}", len(people)) for row in estimates]
    return [{"what": "volumes"} | row for row in measures]


def suggested(count: int, measures: list[dict[str, Any]], people: int) -> dict[str, Any]:
    """Suggest the larger of components above smooth noise and the dimension by MLE, rounded up.

    TwoNN is not used: with few people it reflects the noise of the scans, and its interval is wide.
    """
    dimension = max(
        (math.ceil(row["value"]) for row in measures if row["measure"] == "MLE" and row["status"] == "ok"), default=0
    )
    reason = (
        f"the larger of {count} (principal components above the level of spatially smooth noise) and {dimension} "
        f"(intrinsic dimension by MLE). Both are biased downwards in small samples (here {people}), so this is a lower "
        "bound: train larger models too, and compare their held-out variance explained"
    )
    return {
        "measure": "latents suggested",
        "value": max(count, dimension),
        "n": people,
        "status": "ok",
        "reason": reason,
    }


def model(latents: pd.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Rows of one model's latents, a scan per person: dimension, |z|^2 per split against the prior, its shell."""
    names = latent_table.columns(latents)
    mu = latents[names].to_numpy(float)
    measures = [row | {"split": "all"} for row in intrinsic(mu, seed)]
    variance = np.exp(latents[latent_table.logvar(names)].to_numpy(float))
    calibrated = bool(latents["logvar_calibrated"].iloc[0])
    for split in ("training", "test"):
        in_split = (latents["split"] == split).to_numpy()
        measures += [
            row | {"split": split, "n": int(in_split.sum())}
            for row in norms(mu[in_split], variance[in_split], calibrated)
        ]
    return [
        {"what": "latents"} | row for row in [*measures, _shell(len(names), "dimension of the prior", len(latents))]
    ]


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
    posterior_spread = (4 * mu**2 * variance + 2 * variance**2).sum(axis=1)
    mean, error = float(square.mean()), float(square.std(ddof=1) / math.sqrt(len(mu)))
    reason = "" if calibrated else "the loss does not constrain the posterior variances (logvar is not calibrated)"
    rows[0] |= {"value": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error}
    rows[1] |= {"value": math.sqrt(square.var(ddof=1) + posterior_spread.mean())}
    return [row | {"status": "ok", "reason": reason} for row in rows]


def _shell(dimension: float, what: str, people: int) -> dict[str, Any]:
    reason = (
        f"fraction of the volume of a {dimension:.3g}-dimensional ball ({what}) in the outer {100 * THICKNESS:g} % of "
        f"its radius: 1 - (1 - {THICKNESS:g})^{dimension:.3g}"
    )
    value = shell(THICKNESS, dimension)
    return {"measure": "share in the shell", "value": value, "n": people, "status": "ok", "reason": reason}


if __name__ == "__main__":
    cli(run)
