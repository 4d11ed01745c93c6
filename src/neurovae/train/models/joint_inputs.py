"""What a joint model is fitted to: components of the images beside coded scores, a row per scan."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurovae.errors import InputError
from neurovae.io.volumes import chunks, masked
from neurovae.train.models.principal_components import principal
from neurovae.train.supervision import Scores
from neurovae.train.weights import Tensors


class Inputs(NamedTuple):
    """Rows (people and scans, components and scores) in training order, their split, and what describes them."""

    values: np.ndarray
    split: np.ndarray
    people: np.ndarray
    items: list[dict[str, Any]]
    tensors: Tensors  # mean and components of the image


def inputs(
    volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, scores: Scores, scans: pd.DataFrame,
    declared: list[dict[str, Any]], n_components: int,
) -> Inputs:  # fmt: skip
    """Components and coded scores of every scan outside the test fold, and of people with scores alone."""
    training = np.flatnonzero(split == "training")
    if len(training) < 4:
        raise InputError(f"{len(training)} training scans; a joint model needs at least 4, and some hundreds to work")
    found = principal(volumes, training, mask, n_latent=min(n_components, len(training) - 1), flip=False, blur=0.0)
    tensors = {"mean": found.mean, "components": found.components}
    own = np.flatnonzero(split != "test")
    image = components_of(volumes, own, mask, tensors)
    table = scores.table.drop_duplicates("scan").set_index("scan")
    alone = table[~table.index.isin(scans["scan"])]  # scores of people whose scan is missing or was excluded
    of_scans = table.reindex(scans["scan"].to_numpy()[own])
    items = [_described(one, table[one["name"]].to_numpy(float)) for one in declared]
    codes = np.column_stack([coded(one, pd.concat([of_scans, alone])[one["name"]].to_numpy(float)) for one in items])
    image = np.concatenate([image, np.full((len(alone), image.shape[1]), np.nan, np.float32)])
    is_training = np.r_[split[own] == "training", np.ones(len(alone), bool)]
    for one, values in zip(items, codes.T, strict=True):
        known = values[is_training & ~np.isnan(values)]
        one |= {"mean": float(known.mean()) if len(known) else 0.0, "scale": float(known.std()) if len(known) else 1.0}
        one["scale"] = one["scale"] or 1.0
        if one["type"] == "ordinal":
            one["frequencies"] = np.bincount(known.astype(int), minlength=len(one["levels"])).tolist()
    values = np.concatenate([image, codes], axis=1).astype(np.float32)
    names = np.concatenate([scans["person"].to_numpy(object)[own], alone["person"].to_numpy(object)])
    return Inputs(values, np.r_[split[own].astype(object), ["training"] * len(alone)], names, items, tensors)


def _described(one: dict[str, Any], values: np.ndarray) -> dict[str, Any]:
    """An item as the weights hold it; levels of an ordinal one are those that occur outside the test fold."""
    item: dict[str, Any] = {"name": one["name"], "type": one["type"]}
    if one["type"] == "ordinal":
        item["levels"] = [float(level) for level in np.unique(values[~np.isnan(values)])]
    if one["type"] == "bounded":
        item |= {"lowest": float(one["bounds"][0]), "total": float(one["bounds"][1] - one["bounds"][0])}
    return item


def coded(item: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Values of a score as its likelihood reads them: the place of a level (the nearest), points above the lowest."""
    if item["type"] == "ordinal":
        distance = np.abs(values[:, None] - np.array(item["levels"]))
        return np.where(np.isnan(values), np.nan, np.nan_to_num(distance).argmin(axis=1))
    return np.asarray((values - item.get("lowest", 0.0)).round() if item["type"] == "bounded" else values)


def uncoded(item: dict[str, Any], codes: np.ndarray) -> np.ndarray:
    """The reverse; between two levels, in proportion."""
    if item["type"] == "ordinal":
        return np.asarray(np.interp(codes, np.arange(len(item["levels"])), item["levels"]))
    return np.asarray(codes + item.get("lowest", 0.0))


def components_of(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, tensors: Tensors) -> np.ndarray:
    """Scores on the image's components (rows, components)."""
    parts = [
        (masked(volumes[rows[part]], mask) - tensors["mean"]) @ tensors["components"].T for part in chunks(len(rows))
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(tensors["components"])), np.float32)
