"""Leakage check of predictions: the ids in the weights are compared with the latents and the folds.

The weights file itself lists training and validation people; the latents' `model_hash` covers values and description of
the weights, so that neither another table nor weights of another fold can be mistaken for the model's.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.errors import InputError
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import SPLITS
from neurovae.train.weights import load_own, model_hash

MAX_NAMES = 5  # people named per problem
STAMPS = ("fold", "seed", "model_hash", "data_hash")  # one value per latents table


def refuse(latents: list[Path], weights: list[Path], cohort: pd.DataFrame, freeze: bool = False) -> None:
    """Raise InputError with every reason why predictions from these latents leak, or cannot be shown not to.

    With a model per outer fold, no person tested there may be in its "training" or "validation" set. One model for all
    folds (transductive) may have been trained on them; its ids and its hash must still agree.

    Args:
        latents: latents tables, one, or one per outer fold.
        weights: the weights of each, in the same order.
        cohort: cohort table; its columns person and fold say who is tested where.
        freeze: people who are not listed in the weights are new, and held out; without it they are refused.

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
    people_with_latents = set().union(*(people for *_, people in folds))
    outer = sorted(int(k) for k in cohort.loc[cohort["person"].isin(people_with_latents), "fold"].unique())
    if len(folds) > 1 or [fold for fold, *_ in folds] == outer:
        for fold, path, meta, people in folds:
            tested = people & set(cohort.loc[cohort["fold"] == fold, "person"])
            problems += seen_by_model(f"{_name(path)}, fold {fold}", tested, meta["people"])
    if problems:
        raise InputError(problems)


def policy(found: str, health: list[Path]) -> str:
    """The policy of predictions, given that of the folds: latents from a table may know more, or less, than the folds.

    An encoder that was trained on these people (`seen: yes`) is transductive, whatever is fitted here. Columns that are
    used as they are, without mean, scale or components of training people, are the same in every fold; only with
    `seen: no` is it known that these people are new to the encoder. So are they to the frozen model of another cohort.

    Args:
        found: "per fold" or "transductive", of the folds' models.
        health: health.json of these models.
    """
    judged = [json.loads(path.read_text(encoding="utf-8")) for path in health]
    if any(one.get("seen") == "yes" for one in judged):
        return "transductive"
    as_they_are = [
        one.get("seen") == "no" and one.get("standardise") is False and one.get("components") is False for one in judged
    ]
    elsewhere = [one.get("kind") == "frozen" and one.get("centre") == "source" for one in judged]
    if elsewhere and all(elsewhere):
        return "per fold"
    return "per fold" if as_they_are and all(as_they_are) else found


def several_folds(table: pd.DataFrame) -> list[str]:
    """List people of a table (person, fold) who are tested in more than one fold."""
    counts = table.groupby("person")["fold"].nunique()
    repeated = counts.index[counts > 1]
    if not len(repeated):
        return []
    return [f"cohort table: {_people(repeated)} in several folds; all scans of a person belong in one"]


def seen_by_model(place: str, tested: set[str], people: dict[str, list[str]]) -> list[str]:
    """List people whom one fold tests although its model was trained or stopped on them."""
    verbs = {"training": "trained on", "validation": "stopped on"}
    return [
        f"{place}: the model was {word} {_people(shared)}, whom this fold tests; train it without them"
        for split, word in verbs.items()
        if (shared := tested & set(people[split]))
    ]


def _within(path: Path, meta: dict[str, Any]) -> list[str]:
    """List people whom the weights themselves have in two sets."""
    problems = []
    for k, first in enumerate(SPLITS):
        for second in SPLITS[k + 1 :]:
            if shared := set(meta["people"][first]) & set(meta["people"][second]):
                place = f"{_name(path)}, fold {meta['fold']}: {_people(shared)}"
                problems.append(f"{place} in '{first}' and in '{second}'; rerun with --forcerun train")
    return problems


def _stamps(path: Path, table: pd.DataFrame, weights_path: Path, meta: dict[str, Any]) -> list[str]:
    """Compare fold, seed and hashes of the table with those of the weights."""
    names, architecture = latent_table.columns(table), meta["architecture"]
    size = len(architecture["latents"]) if architecture.get("latents") else architecture["n_latent"]
    problems = []
    if len(names) != size:
        of_weights = f"the model of {_name(weights_path)} has {size}"
        problems.append(
            f"{_name(path)}, fold {meta['fold']}: {len(names)} latents, {of_weights}; "
            "chosen latents would leak the score: rerun with --forcerun latents"
        )
    unused = {latent_table.MU + one for one in meta["architecture"].get("unused", [])}  # as the weights say
    constant = [name for name in names if table[name].nunique() == 1 and name not in unused]
    if constant and len(table) > 1:
        some_names = ", ".join(map(str, constant[:5])) + (" ..." if len(constant) > 5 else "")
        problems.append(
            f"{_name(path)}, fold {meta['fold']}: {some_names} the same for every scan; rerun with --forcerun latents"
        )
    for stamp in STAMPS:
        values = sorted(set(table[stamp].astype(str)))
        if values != [str(meta[stamp])]:
            of_table = f"{_name(path)}, fold {meta['fold']}: {stamp} is {', '.join(values)}"
            of_weights = f"that of {_name(weights_path)} is {meta[stamp]}"
            problems.append(
                f"{of_table}, {of_weights}; these latents are not from these weights: rerun with --forcerun latents"
            )
    return problems


def _sides(path: Path, table: pd.DataFrame, weights_path: Path, meta: dict[str, Any], freeze: bool) -> list[str]:
    """Compare each person's `split` with the weights file; a frozen model does not list new people."""
    split_of = {person: split for split in SPLITS for person in meta["people"][split]}
    expected = table["person"].map(split_of).fillna("test" if freeze else "unknown")
    mismatches = table.assign(true=expected)[table["split"] != expected]
    problems = []
    for (split, expected), rows in mismatches.assign(split=mismatches["split"].astype(str)).groupby(["split", "true"]):
        place = f"{_name(path)}, fold {meta['fold']}: split of {_people(rows['person'])} is '{split}'"
        problems.append(f"{place}, in {_name(weights_path)} '{expected}'; rerun with --forcerun latents")
    return problems


def _name(path: Path) -> str:
    return "/".join(Path(path).parts[-3:])


def _people(people: Iterable[str]) -> str:
    names = sorted(set(people))
    others = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + others
