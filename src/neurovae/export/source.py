"""Read an exported folder: the model of another cohort, with its preprocessing and its mask."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurovae.errors import InputError
from neurovae.io import exported
from neurovae.io.images import read_image
from neurovae.io.volumes import read_mask
from neurovae.train import weights


class Source(NamedTuple):
    """A model of another cohort: tensors, description (people as counts), preprocessing.json and mask (x, y, z)."""

    tensors: weights.Tensors
    meta: dict[str, Any]
    preprocessing: dict[str, Any]
    mask: np.ndarray
    licence: str

    @property
    def record(self) -> dict[str, Any]:
        """What provenance and the methods text name: hash, kind, people, licence, and its own source."""
        architecture = self.meta["architecture"]
        chain = {"source": architecture["source"]} if "source" in architecture else {}
        return {
            "exported_from": self.meta["exported_from"],
            "kind": exported.inner_kind(self.meta),
            "n_latent": architecture["n_latent"],
            "people": self.meta["people"],
            "fold": self.meta["fold"],
            "seed": self.meta["seed"],
            "data_hash": self.meta.get("data_hash"),
            "neurovae": self.preprocessing.get("neurovae", "unknown"),
            "licence": self.licence,
            **chain,
        }


def read(folder: Path, mask: Path | None = None) -> Source:
    """Read an exported folder.

    Args:
        folder: that `python -m neurovae export` has written.
        mask: the fixed mask of this run, which must be the model's; None: it is not compared.

    Raises:
        InputError: a file is missing, or grid or mask differ from this run's.
    """
    missing = [name for name in exported.FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder}: has no {', '.join(missing)}; give the folder that `python -m neurovae export` wrote"
        )
    meta = exported.description(folder)
    tensors = weights.load(folder / "weights.safetensors")[0]
    way = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    own = folder / "mask.nii.gz"
    if mask is not None and (different := differences(own, mask)):
        raise InputError([f"{folder}: {line}" for line in different])
    return Source(tensors, meta, way, read_mask(own), exported.licence(folder))


def differences(theirs: Path, ours: Path) -> list[str]:
    """How the mask of a model differs from that of this run: shape, affine or voxels, each with both values."""
    remedy = "give a model of the same grid, or set preprocess.voxel_mm to the model's"
    a, b = read_image(theirs), read_image(ours)
    if a.shape != b.shape:
        return [f"its grid is {_text(a.shape)}, that of this run {_text(b.shape)}; {remedy}"]
    if not np.allclose(a.affine, b.affine, atol=1e-4):
        return [f"the affine of its grid is {a.affine.tolist()}, that of this run {b.affine.tolist()}; {remedy}"]
    inside = read_mask(theirs), read_mask(ours)
    if (inside[0] != inside[1]).any():
        voxels = [int(mask.sum()) for mask in inside]
        unequal = int((inside[0] != inside[1]).sum())
        return [
            f"its mask has {voxels[0]} voxels, that of this run {voxels[1]}, and {unequal} differ; preprocess with the "
            "version of neurovae that made the model"
        ]
    return []


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
