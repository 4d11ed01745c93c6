"""No prediction table from people on both sides of a split: the ids in the weights are held against latents and folds.

The weights file itself carries who was fitted on and who stopped the training; the latents' `model_hash` covers values
and description of the weights, so that neither a table beside them nor weights of another fold can pass for the model.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import SPLITS
from neurovae.train.weights import load_own, model_hash

SHOWN = 5  # people named per problem
STAMPS = ("fold", "seed", "model_hash", "data_hash")  # one value per latents table


def refuse(latents: list[Path], weights: list[Path], cohort: pd.DataFrame, freeze: bool = False) -> None:
    """Raise InputError with every reason why predictions from these latents would leak, or cannot be shown not to.

    With a model per outer fold, nobody tested there may be in "training" or "validation". One model for all folds
    (transductive) may know them; its ids and its hash must agree all the same.

    Args:
        latents: latents tables, one, or one per outer fold.
        weights: the weights of each, in the same order.
        cohort: cohort table; its columns person and fold say who is tested where.
        freeze: people whom the weights do not name are new ones, and held out; else they are refused.

    Raises:
        InputError: the problems, each with fold, people, file.
    """
    if len(latents) != len(weights):
        raise InputError(f"predict: {len(latents)} latents tables, {len(weights)} weights files; give the same number")
    problems = several_folds(cohort)
    folds = []
    for table_path, weights_path in zip(latents, weights, strict=True):
        tensors, meta = load_own(weights_path)
        table = read_parquet(table_path)
        problems += _within(weights_path, meta)
        problems += _stamps(table_path, table, weights_path, {**meta, "model_hash": model_hash(tensors, meta)})
        if set(table["fold"]) == {meta["fold"]}:  # of another fold, all people would differ
            problems += _sides(table_path, table, weights_path, meta, freeze)
        folds.append((int(meta["fold"]), weights_path, meta, set(table["person"])))
    known = set().union(*(people for *_, people in folds))
    outer = sorted(int(k) for k in cohort.loc[cohort["person"].isin(known), "fold"].unique())
    if len(folds) > 1 or [fold for fold, *_ in folds] == outer:
        for fold, path, meta, people in folds:
            tested = people & set(cohort.loc[cohort["fold"] == fold, "person"])
            problems += seen_by_model(f"{_name(path)}, fold {fold}", tested, meta["people"])
    if problems:
        raise InputError(problems)


def several_folds(table: pd.DataFrame) -> list[str]:
    """Problems of a table (person, fold): people who are tested in more than one fold."""
    counts = table.groupby("person")["fold"].nunique()
    twice = counts.index[counts > 1]
    if not len(twice):
        return []
    return [f"cohort table: {_people(twice)} in several folds; all scans of a person belong in one"]


def seen_by_model(place: str, tested: set[str], people: dict[str, list[str]]) -> list[str]:
    """Problems of one fold: people it tests whom its model was fitted on, or stopped on."""
    words = {"training": "trained on", "validation": "stopped on"}
    return [
        f"{place}: the model was {word} {_people(both)}, whom this fold tests; train it without them"
        for split, word in words.items()
        if (both := tested & set(people[split]))
    ]


def _within(path: Path, meta: dict[str, Any]) -> list[str]:
    """People whom the weights themselves name in two sets."""
    found = []
    for k, first in enumerate(SPLITS):
        for second in SPLITS[k + 1 :]:
            if both := set(meta["people"][first]) & set(meta["people"][second]):
                place = f"{_name(path)}, fold {meta['fold']}: {_people(both)}"
                found.append(f"{place} in '{first}' and in '{second}'; rerun with --forcerun train")
    return found


def _stamps(path: Path, table: pd.DataFrame, weights_path: Path, meta: dict[str, Any]) -> list[str]:
    """Are fold, seed and hashes of the table those of the weights?"""
    names = latent_table.columns(table)
    found = []
    if len(names) != meta["architecture"]["n_latent"]:
        own = f"the model of {_name(weights_path)} has {meta['architecture']['n_latent']}"
        found.append(
            f"{_name(path)}, fold {meta['fold']}: {len(names)} latents, {own}; chosen latents would leak the score: "
            "rerun with --forcerun latents"
        )
    constant = [name for name in names if table[name].nunique() == 1]
    if constant and len(table) > 1:
        named = ", ".join(map(str, constant[:5])) + (" ..." if len(constant) > 5 else "")
        found.append(
            f"{_name(path)}, fold {meta['fold']}: {named} the same for every scan; rerun with --forcerun latents"
        )
    for stamp in STAMPS:
        values = sorted(set(table[stamp].astype(str)))
        if values != [str(meta[stamp])]:
            told = f"{_name(path)}, fold {meta['fold']}: {stamp} is {', '.join(values)}"
            own = f"that of {_name(weights_path)} is {meta[stamp]}"
            found.append(f"{told}, {own}; these latents are not from these weights: rerun with --forcerun latents")
    return found


def _sides(path: Path, table: pd.DataFrame, weights_path: Path, meta: dict[str, Any], freeze: bool) -> list[str]:
    """Is `split` of every person the one that the weights file holds? A frozen model does not know new people."""
    own = {person: split for split in SPLITS for person in meta["people"][split]}
    true = table["person"].map(own).fillna("test" if freeze else "unknown")
    wrong = table.assign(true=true)[table["split"] != true]
    found = []
    for (split, true), rows in wrong.assign(split=wrong["split"].astype(str)).groupby(["split", "true"]):
        place = f"{_name(path)}, fold {meta['fold']}: split of {_people(rows['person'])} is '{split}'"
        found.append(f"{place}, in {_name(weights_path)} '{true}'; rerun with --forcerun latents")
    return found


def _name(path: Path) -> str:
    return "/".join(Path(path).parts[-3:])


def _people(people: Iterable[str]) -> str:
    names = sorted(set(people))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
