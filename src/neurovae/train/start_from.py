"""A model that starts from a larger cohort's, beside that model as it is and the same entry without it."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurovae.cli import Json, cli
from neurovae.design.tables import tidy
from neurovae.errors import InputError
from neurovae.io.parquet import write_table
from neurovae.io.volumes import chunks, data_hash, masked, read_mask, read_volumes
from neurovae.train import weights
from neurovae.train.health.examine import Model
from neurovae.train.health.measures import gain, mean_image, variance_explained

COLUMNS = {
    "start_from": "string",
    "variant": "string",
    "model": "string",
    "fold": "int64",
    "seed": "int64",
    "kind": "string",
    "n_latent": "int64",
    "training_people": "int64",
    "source_people": "Int64",
    "source_weight": "float64",
    "held_out_people": "int64",
    "variance_explained_test": "float64",
    "best": "boolean",
    "difference": "float64",
    "difference_low": "float64",
    "difference_high": "float64",
}


def run(*, volumes: Path, rows: Path, mask: Path, train: Path, models: Json, fits: Json, out: Path) -> None:
    """Write a table with a row per variant, fold and seed: variance explained in the test set, and differences.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun start_from

    Args:
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        train: folder of the trained models.
        models: names of the entries with `start_from`.
        fits: folds and seeds ("fold-0_seed-0").
        out: TSV to write.

    Raises:
        InputError: weights were fitted on other packed data.
    """
    torch.set_num_threads(1)
    array, scans = read_volumes(volumes, rows)
    brain, found = read_mask(mask), []
    for name in models:
        for fit in fits:
            paths = {
                one: train / one / fit / "weights.safetensors" for one in (name, f"{name}-frozen", f"{name}-scratch")
            }
            fitted = {one: _model(path, brain, data_hash(scans)) for one, path in paths.items()}
            found += compared(name, fitted, array, scans["person"].to_numpy())
    write_table(out, tidy(found, COLUMNS))


def _model(path: Path, mask: np.ndarray, packed: str) -> Model:
    tensors, meta = weights.load_own(path)
    if meta["data_hash"] != packed:
        raise InputError(f"{path}: fitted on other volumes than those that are packed; rerun with --forcerun train")
    module = importlib.import_module(f"neurovae.train.models.{meta['kind']}")
    return Model(module=module, tensors=tensors, meta=meta, mask=mask)


def compared(name: str, models: dict[str, Model], array: np.ndarray, person: np.ndarray) -> list[dict[str, Any]]:
    """A row per variant. Differences are to the best, with a 95 % bootstrap interval over people, models held fixed.

    Args:
        name: of the entry, the first of the models.
        models: the variants by name, of one fold and seed.
        array: packed volumes (scans, x, y, z).
        person: person of each scan (scans,).
    """
    meta, mask = models[name].meta, models[name].mask

    def scans_of(indices: np.ndarray) -> np.ndarray:
        return masked(array[indices], mask)

    mean = mean_image(scans_of, np.flatnonzero(np.isin(person, meta["people"]["training"])))
    test = np.flatnonzero(np.isin(person, meta["people"]["test"]))
    errors = {one: np.concatenate([_error(model, array[test[part]]) for part in chunks(len(test))])
              for one, model in models.items()}  # fmt: skip
    total = np.concatenate(
        [np.square(scans_of(test[part]) - mean).sum(axis=1, dtype=np.float64) for part in chunks(len(test))]
    )
    explained = {one: variance_explained(error, total) for one, error in errors.items()}
    best = max(explained, key=explained.__getitem__)
    rows = []
    for one, model in models.items():
        values: tuple[float | None, ...] = (None, None, None)
        if one != best:
            values = gain(errors[one], errors[best], total, person[test], meta["seed"])
        rows.append(
            described(name, one, model)
            | {"held_out_people": len(meta["people"]["test"]), "variance_explained_test": explained[one]}
            | {"best": one == best}
            | dict(zip(("difference", "difference_low", "difference_high"), values, strict=True))
        )
    return rows


def _error(model: Model, volumes: np.ndarray) -> np.ndarray:
    """Squared reconstruction error of each scan."""
    x_hat = model.decode(model.encode(volumes)[0])
    return np.square(masked(volumes, model.mask) - x_hat).sum(axis=1, dtype=np.float64)


def described(name: str, one: str, model: Model) -> dict[str, Any]:
    """What a variant is, and on how many people of which cohort it was trained."""
    meta, architecture = model.meta, model.meta["architecture"]
    started = "fine-tuned" if architecture.get("source_network") else "pooled"
    variant = started if one == name else one.removeprefix(f"{name}-")
    source = architecture.get("source")
    return {
        "start_from": name,
        "variant": variant,
        "model": one,
        "fold": meta["fold"],
        "seed": meta["seed"],
        "kind": architecture.get("inner", meta["kind"]),
        "n_latent": architecture["n_latent"],
        "training_people": 0 if variant == "frozen" else len(meta["people"]["training"]),
        "source_people": source["people"]["training"] if source else None,
        "source_weight": architecture.get("source_weight") if one == name else None,
    }


if __name__ == "__main__":
    cli(run)
