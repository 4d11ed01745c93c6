"""Read the fits of one model and fold with different seeds; a fit of another model or fold is refused."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.design.tables import STOPPING
from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.train import weights as stored


class Fit(NamedTuple):
    """One seed: latents of held-out people (by person), mean and SD over all people, weights, and associations."""

    seed: int
    held: pd.DataFrame
    mean: np.ndarray  # (latents,) over all people
    spread: np.ndarray  # (latents,) likewise; the unit of associate's weights and patterns
    tensors: stored.Tensors
    meta: dict[str, Any]
    glm: pd.DataFrame
    omnibus: pd.DataFrame
    directions: pd.DataFrame
    verdict: str

    @property
    def stopped(self) -> bool:
        """Whether the latents of this seed are not tested."""
        return self.verdict.split(";")[0] in STOPPING


def read(
    latents: list[Path], weights: list[Path], glm: list[Path], omnibus: list[Path], directions: list[Path]
) -> tuple[dict[str, Any], list[Fit]]:
    """Model and fold, and the fits in the order of the files.

    Raises:
        InputError: lists of unequal length, several models or folds, a seed twice, or other people held out.
    """
    lists = [latents, weights, glm, omnibus, directions]
    if len({len(paths) for paths in lists}) > 1:
        raise InputError(
            f"stability: lists of {', '.join(str(len(paths)) for paths in lists)} files; give one per seed"
        )
    tables = [latent_table.read(path) for path in latents]
    keys = sorted({key for table in tables for key in zip(table["model"], table["fold"], strict=True)})
    if len(keys) != 1:
        raise InputError(f"stability: latents of several models or folds, {keys}; give the seeds of one")
    fits = [_fit(table, *map(Path, paths)) for table, *paths in zip(tables, *lists[1:], strict=True)]
    seeds = [fit.seed for fit in fits]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"stability: seeds {seeds}; give each seed once")
    if any(list(fit.held.index) != list(fits[0].held.index) for fit in fits):
        raise InputError("stability: the seeds have different test people; rerun train with one folds.tsv")
    return {"model": str(keys[0][0]), "fold": int(keys[0][1])}, fits


def alike(a: Fit, b: Fit) -> bool:
    """Whether two seeds gave identical latents: they are then one model, and their agreement is no evidence."""
    return np.array_equal(a.held.to_numpy(float), b.held.to_numpy(float))


def distinct(fits: list[Fit]) -> list[Fit]:
    """Return the first of each set of fits with the same latents."""
    kept_fits: list[Fit] = []
    for fit in fits:
        kept_fits += [] if any(alike(fit, other) for other in kept_fits) else [fit]
    return kept_fits


def _fit(table: pd.DataFrame, weights: Path, glm: Path, omnibus: Path, directions: Path) -> Fit:
    first = table.sort_values("scan").drop_duplicates("person").set_index("person")
    names = latent_table.columns(table)
    tensors, meta = stored.load(weights)
    tests = read_parquet(glm)
    verdict = str(tests["verdict"].iloc[0]) if len(tests) else ""
    mu, held = first[names].to_numpy(float), first.loc[first["split"] == "test", names]
    tables = (tests, read_parquet(omnibus), read_parquet(directions), verdict)
    return Fit(int(table["seed"].iloc[0]), held, mu.mean(axis=0), mu.std(axis=0, ddof=1), tensors, meta, *tables)
