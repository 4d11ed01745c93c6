"""The tables of latents that every model kind writes: `latents.parquet` and the `latent_index.parquet` beside it.

This is the one place that knows how latents are named. Elsewhere a latent's name is a label and never parsed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet

MU, LOGVAR, KL = "mu_", "logvar_", "kl_"  # before the id of a latent: posterior mean, log-variance, KL
INDEX = "latent_index.parquet"
ROLES = ("free", "map", "global", "shared", "private", "aligned", "network")
PLACE = {
    "block": "object", "target": "object", "channel": "Int64", "i": "Int64", "j": "Int64", "k": "Int64",
    "x_mm": "float64", "y_mm": "float64", "z_mm": "float64", "radius_mm": "float64", "region": "object",
}  # fmt: skip  # null where a latent has none


def columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of `table` that hold latents, in its order (in `latents.parquet` that of `position`)."""
    return [str(name) for name in table.columns if str(name).startswith(MU)]


def read(path: Path) -> pd.DataFrame:
    """Read `latents.parquet`: a row per scan, that of all blocks which a person has (see `whole`)."""
    return whole(read_parquet(path))


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """Return, of each scan, the row inferred from most blocks: a model of several blocks has rows of each alone too."""
    kept = of_most_blocks(table)
    return table if kept.all() else table[kept].reset_index(drop=True)


def of_most_blocks(table: pd.DataFrame) -> np.ndarray:
    """Whether each row is that of its scan which was inferred from most blocks.

    table: with `scan` and, if scans can have several rows, `inputs`.
    """
    if "inputs" not in table:
        return np.ones(len(table), bool)
    count = table["inputs"].str.count(r"\+")
    return (count == count.groupby(table["scan"]).transform("max")).to_numpy(bool)


def by_role(table: pd.DataFrame, index: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each role with the table of its latents alone; they are tested and corrected together.

    table: rows of `latents.parquet`, joined with others or not; index: a row per latent.

    Raises:
        InputError: the index describes other latents than the table has.
    """
    names = columns(table)
    if set(names) != set(index["latent"]):
        raise InputError(
            f"{INDEX}: describes {len(index)} latents, not the {len(names)} of latents.parquet; "
            "rerun with --forcerun latents"
        )
    for role in index.sort_values("position")["role"].unique():
        other_latents = index.loc[index["role"] != role, "latent"]
        yield str(role), table.drop(columns=other_latents)


def sizes(indices: list[Path]) -> list[np.ndarray] | None:
    """Sizes (latents,) from each `latent_index.parquet`, in the order of the columns; None: not known."""
    found = [read_parquet(path).sort_values("position")["size"].to_numpy(float) for path in indices]
    return found if found and all(np.isfinite(one).all() and one.any() for one in found) else None


def logvar(latents: list[str]) -> list[str]:
    """Return the columns of the log-variances of these latents."""
    return [LOGVAR + short(name) for name in latents]


def short(latent: str) -> str:
    """Return the id of a latent, for axes and titles: "mu_shared_00" is "shared_00"."""
    return latent.removeprefix(MU)


def ids(meta: dict[str, Any]) -> list[str]:
    """Return the ids of a model's latents: those in its weights file, else zero-padded numbers."""
    architecture = meta["architecture"]
    return architecture.get("latents") or [f"{k:03d}" for k in range(architecture["n_latent"])]


def with_places(index: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Return the index with role and place of each latent, in the same order; places: some of `PLACE`, and role."""
    kinds = {name: PLACE[name] for name in places.columns if name in PLACE}
    return index.assign(role=places["role"].to_numpy(), **{name: places[name].astype(kinds[name]) for name in kinds})


def index_of(
    names: list[str], mu: np.ndarray, logvar: np.ndarray, split: np.ndarray, splits: tuple[str, ...], active: Any
) -> pd.DataFrame:
    """Build the index: a row per latent with role, place and, per split, variance over people and mean KL (nats).

    Args:
        names: latents, in their order.
        mu, logvar: posterior means and log-variances (scans, latents).
        split: split of each scan.
        active: variance over training people above which a latent is in use; None where the loss has no KL.
    """
    nats = (mu**2 + np.exp(logvar) - 1 - logvar) / 2
    table = pd.DataFrame({"latent": names, "position": np.arange(len(names)), "role": "free"})
    table = table.assign(**{name: pd.Series([None] * len(names), dtype=kind) for name, kind in PLACE.items()})
    table["comparable_across_folds"] = False
    for name in splits:
        table[f"variance_{name}"] = mu[split == name].var(axis=0)
        table[f"kl_{name}"] = nats[split == name].mean(axis=0)
    table["size"] = np.nan  # `latents.sizes` knows it
    table["logvar"] = logvar[split == splits[0]].mean(axis=0)
    in_use = pd.Series([None] * len(names)) if active is None else table[f"variance_{splits[0]}"] > active
    return table.assign(active=in_use.astype("boolean"))
