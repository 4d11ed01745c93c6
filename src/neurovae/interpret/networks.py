"""Write maps of functional networks, of the group and of each person, and how stable participants' features are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from nilearn.image import resample_to_img

from neurovae.cli import Json, cli
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret import network_maps, retest
from neurovae.interpret.images import write_folder
from neurovae.io.files import write_beside
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.train import inputs, weights
from neurovae.train.models import networks

METHODS = ("regression", "lasso", "dual")
KEYS = {"model": "string", "fold": "int64", "seed": "int64"}
COLUMNS = KEYS | {"network": "int64", "course_sd": "float64", "people": "int64", "split_half_r": "float64",
                  "template_map": "Int64", "template_r": "float64"}  # fmt: skip
MAPS = KEYS | {"network": "int64", "parcel": "string", "name": "string", "x_mm": "float64", "y_mm": "float64",
               "z_mm": "float64"} | dict.fromkeys(METHODS, "float64")  # fmt: skip
PEOPLE = KEYS | {"scan": "string", "person": "string", "split": "string", "identified": "boolean",
                 "identified_of": "int64"}  # fmt: skip


def run(*, volumes: Path, rows: Path, model: Path, name: str, table: str, block: Json, out: Path, maps: Path,
        people: Path, images: Path, template: str = "") -> None:  # fmt: skip
    """Write networks, network_maps and network_people (.parquet, .tsv) and, of a block of 4-D images, NIfTI maps.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun networks

    Args:
        volumes: packed volumes, or empty.
        rows: table of their rows.
        model: weights of a model of kind networks.
        name: the model's name in the configuration.
        table: series.npy of the block.
        block: the entry of `cohort.blocks`.
        out: a row per network.
        maps: a row per network and parcel or voxel.
        people: a row per person.
        images: folder of NIfTI maps; empty without 4-D images.
        template: NIfTI whose maps, or labels, the networks are compared with; empty: none.
    """
    torch.set_num_threads(1)
    tensors, meta = weights.load_own(model)
    given = inputs.read(volumes, rows, table, meta["architecture"]["columns"])
    keys = {"model": name, "fold": meta["fold"], "seed": meta["seed"]}
    training = np.flatnonzero(given.table["person"].isin(meta["people"]["training"]))
    group = _group(given.array, training, tensors, meta["architecture"])
    parcels = read_parquet(Path(table).parent / "parcels.parquet").query("kept").reset_index(drop=True)
    places = _places(block, parcels["parcel"].astype(str).tolist())
    with write_folder(images) as folder:
        halves = _each(given, tensors, meta["architecture"], group["regression"], places, folder)
        if places is not None:
            for method in METHODS:
                places.write(group[method], folder / f"group_{method}.nii.gz")
    of_people, r = _people(given.table, meta, halves)
    write_both(people, tidy([keys | row for row in of_people], PEOPLE))
    similar = _templates(template, places, group["regression"], block)
    n = sum(row["split"] == "test" for row in of_people)
    write_both(out, tidy([keys | {"network": k, "people": n, "course_sd": group["sd"][k], "split_half_r": r[k]} |
                          similar[k] for k in range(len(r))], COLUMNS))  # fmt: skip
    write_both(maps, tidy(_map_rows(keys, group, parcels), MAPS))
    print(f"{len(r)} networks, {len(training)} training scans, {n} test scans", flush=True)


class Places:
    """Where each parcel or voxel lies on the grid of atlas or mask."""

    def __init__(self, image: Any, index: np.ndarray) -> None:
        self.affine, self.index = image.affine, index  # (x, y, z), position of the parcel, -1 outside

    def write(self, values: np.ndarray, path: Path) -> None:
        """Write maps (maps, parcels) as a 4-D image in single precision, 0 outside."""
        padded = np.hstack([values, np.zeros((len(values), 1))]).astype(np.float32)
        with write_beside(path) as temporary:
            nib.save(nib.Nifti1Image(np.moveaxis(padded[:, self.index], 0, -1), self.affine), temporary)

    def average(self, data: np.ndarray) -> np.ndarray:
        """Mean in each parcel (maps, parcels) of maps (x, y, z, maps) on this grid."""
        inside = self.index >= 0
        labels, values = self.index[inside], data[inside]
        counts = np.bincount(labels)
        return np.array([np.bincount(labels, one) / counts for one in values.T])


def _places(block: dict[str, Any], names: list[str]) -> Places | None:
    """Places of parcels (labels of the atlas) or voxels (i_j_k in the mask); None of time series."""
    if block["type"] != "bold":
        return None
    image: Any = nib.load(block["atlas"] or block["mask"])
    if block["atlas"]:
        data = np.asarray(image.dataobj).round().astype(int)
        index = np.full(data.shape, -1)
        for k, label in enumerate(names):
            index[data == int(label)] = k
        return Places(image, index)
    index = np.full(image.shape[:3], -1)
    index[tuple(np.array([one.split("_") for one in names], int).T)] = np.arange(len(names))
    return Places(image, index)


def _runs(array: Any, rows: np.ndarray) -> Iterator[np.ndarray]:
    return (array[[row]][0].astype(np.float64) for row in rows)


def _group(array: Any, training: np.ndarray, tensors: Any, architecture: dict[str, Any]) -> dict[str, np.ndarray]:
    """Maps of the training people: regression on all courses, and means of their own maps; SD of the courses."""
    regression = networks.maps(tensors, architecture, networks.Stream(array, training))
    own: dict[str, Any] = {"lasso": 0.0, "dual": 0.0, "sd": 0.0}
    for x in steps(list(training), "group maps", len(training)):
        one = next(_runs(array, np.array([x])))
        z = networks.courses(one, tensors, architecture)
        own["lasso"] += network_maps.lasso(one, z) / len(training)
        own["dual"] += network_maps.dual(one, regression) / len(training)
        own["sd"] += z.std(axis=0, ddof=1) / len(training)
    return {"regression": regression, **own}


def _each(given: Any, tensors: Any, architecture: dict[str, Any], group: np.ndarray, places: Places | None,
          images: Path) -> np.ndarray:  # fmt: skip
    """Features of both halves of each scan (2, scans, features); each person's maps are written on the way."""
    found = []
    for k, scan in enumerate(steps(given.table["scan"], "people", len(given.table))):
        one = given.array[[k]][0].astype(np.float64)
        if places is not None:
            places.write(network_maps.dual(one, group), images / f"{scan}_dual.nii.gz")
        middle = len(one) // 2
        found.append([networks.features(half, networks.courses(half, tensors, architecture))
                      for half in (one[:middle], one[middle:])])  # fmt: skip
    return np.array(found).swapaxes(0, 1)


def _people(table: pd.DataFrame, meta: dict[str, Any], halves: np.ndarray) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows of the people, with identification within their split, and the agreement of SDs in the test set."""
    split_of = {person: split for split, people in meta["people"].items() for person in people}
    split = table["person"].map(split_of).fillna("test").to_numpy(str)
    is_own, number = np.zeros(len(table), bool), np.zeros(len(table), int)
    for one in np.unique(split):
        rows = np.flatnonzero(split == one)
        number[rows] = len(rows)
        is_own[rows] = retest.identified(*halves[:, rows]) if len(rows) > 1 else False
    found = [{"scan": row.scan, "person": row.person, "split": split[k], "identified": bool(is_own[k]),
              "identified_of": int(number[k])} for k, row in enumerate(table.itertuples())]  # fmt: skip
    test = np.flatnonzero(split == "test")
    return found, retest.agreement(*halves[:, test])[: meta["architecture"]["n_latent"]]


def _templates(path: str, places: Places | None, group: np.ndarray, block: dict[str, Any]) -> list[dict[str, Any]]:
    """The most similar map of the template (from 1), or its label, for each network, and |r| over parcels or voxels.

    Raises:
        InputError: a template for a block without places.
    """
    if not path:
        return [{}] * len(group)
    if places is None:
        raise InputError(f"{path}: the parcels of block {block['name']!r} have no place in the brain; leave "
                         "interpret.network_template out, or give a block of type bold")  # fmt: skip
    image: Any = nib.load(path)
    labelled = image.ndim == 3
    reference = nib.Nifti1Image(np.zeros(places.index.shape, np.float32), places.affine)
    how = "nearest" if labelled else "continuous"
    data = np.asarray(resample_to_img(image, reference, interpolation=how, force_resample=True).dataobj)
    names = np.unique(data[data > 0].round()).astype(int) if labelled else np.arange(1, data.shape[-1] + 1)
    maps = np.stack([data.round() == one for one in names], axis=-1).astype(float) if labelled else data
    r = network_maps.similarity(group, places.average(maps))
    return [{"template_map": int(names[one.argmax()]), "template_r": float(one.max())} for one in np.nan_to_num(r)]


def _map_rows(keys: dict[str, Any], group: dict[str, np.ndarray], parcels: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per network and parcel."""
    columns = parcels[["parcel", "name", "x_mm", "y_mm", "z_mm"]].to_dict("records")
    return [keys | {"network": k, **row} | {method: group[method][k, p] for method in METHODS}
            for k in range(len(group["regression"])) for p, row in enumerate(columns)]  # fmt: skip


if __name__ == "__main__":
    cli(run)
