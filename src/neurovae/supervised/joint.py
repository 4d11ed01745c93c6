"""Judge a joint model in people who were left out of each fit: scores from the image, the image from scores, health."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t

from neurovae.cli import Json, cli
from neurovae.design.design import first_scans, join
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret.images import write_maps
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import masked, read_mask, read_volumes
from neurovae.predict.leakage import refuse
from neurovae.stats.products import products
from neurovae.supervised import competitors, joint_fold
from neurovae.supervised.cases import left_out, same_scores
from neurovae.supervised.joint_fold import Fold
from neurovae.supervised.joint_tables import (
    BASE,
    BLOCKS,
    IMAGES,
    LEFT_OUT,
    METHOD,
    SCORES,
    image_rows,
    long,
    score_rows,
)
from neurovae.train import supervision, weights
from neurovae.train.models.joint import network
from neurovae.train.models.joint_inputs import components_of

LATENTS = "ridge on unsupervised latents"


class Given(NamedTuple):
    """What the folds share: people, packed volumes with the products of scans, unsupervised latents, and settings."""

    everybody: pd.DataFrame
    table: pd.DataFrame  # a row per person: the first usable scan
    array: np.ndarray
    scans: pd.DataFrame
    brain: np.ndarray
    gram: np.ndarray
    unsupervised: dict[int, pd.DataFrame]
    relatives: dict[str, list[str]]
    seed: int


class Out(NamedTuple):
    """Of one fold: predictions, squared errors of images by method, rows of health, changes (scores, voxels)."""

    predictions: pd.DataFrame
    errors: pd.DataFrame
    health: list[dict[str, Any]]
    changes: np.ndarray


def run(
    *,
    cohort: Path,
    qc: Path,
    volumes: Path,
    rows: Path,
    mask: Path,
    training_scores: list[Path],
    latents: list[Path],
    weights: list[Path],
    unsupervised: list[Path],
    relatives: Json,
    bootstraps: int,
    seed: int,
    scores: Path,
    images: Path,
    left: Path,
    blocks: Path,
    mean: Path,
    low: Path,
    high: Path,
) -> None:
    """Write what a joint model and its competitors predict of the people who were left out of each fold.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun joint

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        training_scores: what the model of each fold was given.
        latents: latents.parquet of each fold.
        weights: of each fold.
        unsupervised: latents.parquet of the primary unsupervised model: one for all folds, or one per fold.
        relatives: scores that are hidden from the clinical encoder where one is predicted, by that one.
        bootstraps: resamples of people for the intervals.
        seed: of samples and resamples.
        scores: Parquet to write, also as TSV: a row per score, method and inputs.
        images: the same, a row per method: the image from the scores.
        left: the same, a row per left-out person, score, method and inputs.
        blocks: the same, a row per fold, split and block: health.
        mean: NIfTI to write, a volume per score: change of the decoded image per unit, mean of the folds.
        low: the same, the lower end of the interval over folds.
        high: the same, the upper end.

    Raises:
        InputError: every sign that a score of test people has entered the fit of a model.
    """
    everybody = read_parquet(cohort)
    refuse(latents, weights, everybody)
    array, scans = read_volumes(volumes, rows)
    brain = read_mask(mask)
    table = first_scans(join(everybody, left_out([read_parquet(path) for path in latents]), read_parquet(qc)))
    beside = {int(one["fold"].iloc[0]): one for one in map(latent_table.read, unsupervised)}
    given = Given(everybody, table, array, scans, brain, products(array, brain), beside, relatives, seed)
    found = [_judged(model, file, given) for model, file in zip(weights, training_scores, strict=True)]
    predictions = pd.concat([one.predictions for one in found], ignore_index=True)
    predictions = predictions.sort_values("volume", kind="stable", ignore_index=True)
    base = {name: predictions[name].iloc[0] for name in BASE}
    of_images = pd.concat([one.errors for one in found], ignore_index=True)
    write_both(scores, tidy(score_rows(predictions, base, bootstraps, seed), SCORES))
    write_both(images, tidy(image_rows(of_images, base, bootstraps, seed), IMAGES))
    write_both(left, tidy(predictions.drop(columns="volume").to_dict("records"), LEFT_OUT))
    write_both(blocks, tidy([row for one in found for row in one.health], BLOCKS))
    changes = np.array([one.changes for one in found])  # (folds, scores, voxels)
    half = t.ppf(0.975, len(changes) - 1) * changes.std(axis=0, ddof=1) / np.sqrt(len(changes))
    for path, values in ((mean, 0 * half), (low, -half), (high, half)):
        write_maps(path, changes.mean(axis=0) + values, mask)


def _judged(path: Path, training_scores: Path, given: Given) -> Out:
    """What the model of one fold and its competitors say of the people whom the fold left out."""
    tensors, meta = _loaded(path)
    fold, items = int(meta["fold"]), meta["architecture"]["items"]
    split_of = {person: split for split, members in meta["people"].items() for person in members}
    split = given.scans["person"].map(split_of).to_numpy()
    file = supervision.read(training_scores, meta["options"]["supervised_by"], given.scans, split, fold)
    same_scores(file.table, given.everybody, file.scores, fold)
    people = given.table.assign(split=given.table["person"].map(split_of))
    packed = pd.Index(given.scans["scan"]).get_indexer(people["scan"])
    model = Fold(network(tensors, meta["architecture"]), items, tensors,
                 components_of(given.array, packed, given.brain, tensors), people[file.scores].to_numpy(float),
                 given.seed)  # fmt: skip
    z = _beside(given.unsupervised, fold, people["scan"])
    out = of_fold(model, people, masked(given.array[packed], given.brain), given.gram[np.ix_(packed, packed)], z,
                  given.relatives)  # fmt: skip
    print(f"fold {fold}: {(people['split'] == 'test').sum()} left-out people", flush=True)
    base = {"track": supervision.SUPERVISED, "model": str(given.table["latents_model"].iloc[0]), "kind": meta["kind"],
            "seed": meta["seed"]}  # fmt: skip
    place = {one["name"]: k for k, one in enumerate(items)}  # in the maps, also if nobody left out has a score
    more = base | {"fold": fold}
    return out._replace(
        predictions=out.predictions.assign(volume=out.predictions["score"].map(place), **more),
        errors=out.errors.assign(fold=fold),
        health=[more | {"clinical_weight": meta["architecture"]["clinical_weight"]} | row for row in out.health],
    )


def of_fold(
    model: Fold, people: pd.DataFrame, voxels: np.ndarray, gram: np.ndarray, z: np.ndarray,
    relatives: dict[str, list[str]],
) -> Out:  # fmt: skip
    """Predictions and errors of the test people of one fold.

    Args:
        model: with components and scores of all people in `people`.
        people: a row per person: scan, person, split.
        voxels: their masked voxels (people, voxels).
        gram: products of their scans (people, people).
        z: their unsupervised latents (people, latents), NaN where there are none.
        relatives: scores hidden where one is predicted.
    """
    split = people["split"].to_numpy(str)
    train, test = np.flatnonzero(split != "test"), np.flatnonzero(split == "test")
    own = Fold(model.model, model.items, model.tensors, model.x[test], model.y[test], model.seed)
    images = competitors.coordinates(gram, train, test)
    y, new = model.y[train], model.y[test]
    mean, keys = np.nanmean(y, axis=0), people.iloc[test][["scan", "person"]]
    tables = []
    for inputs in joint_fold.INPUTS:
        value, low, high = joint_fold.predicted(own, inputs, relatives)
        tables.append(long(keys, model.items, new, mean, METHOD, inputs, value, low, high))
    others = competitors.scores_from_image(images, y)
    if np.isfinite(z).any():
        others[LATENTS] = competitors.ridge(z[train], z[test], y)
    tables += [long(keys, model.items, new, mean, name, "image", value) for name, value in others.items()]
    decoded = joint_fold.image_from_scores(own, own.y)
    errors = {METHOD: np.square(voxels[test] - decoded).sum(axis=1, dtype=np.float64)}
    errors |= competitors.image_from_scores(images, y, new)
    known = ~np.isnan(new).all(axis=1)
    wide = keys.assign(total=images.total, **errors)[known]
    return Out(pd.concat(tables, ignore_index=True), wide, joint_fold.health(model, split),
               joint_fold.change_per_unit(model))  # fmt: skip


def _beside(tables: dict[int, pd.DataFrame], fold: int, scans: pd.Series) -> np.ndarray:
    """Unsupervised latents (people, latents) of the fold's own model, or of the one for all folds."""
    table = tables.get(fold, next(iter(tables.values()))) if len(tables) != 1 else next(iter(tables.values()))
    return np.asarray(table.set_index("scan")[latent_table.columns(table)].reindex(scans).to_numpy(float))


def _loaded(path: Path) -> tuple[weights.Tensors, dict[str, Any]]:
    tensors, meta = weights.load_own(path)
    if meta.get("track") != supervision.SUPERVISED or meta["kind"] != "joint":
        raise InputError(f"{path}: kind {meta['kind']}, not a joint model")
    return tensors, meta


if __name__ == "__main__":
    cli(run)
