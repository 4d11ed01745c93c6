"""Models of other cohorts, which entries of train.models use: what their folders say before the first job.

Standard library only. What needs an image or an array, such as the mask itself, is checked by the first job
(`export.source`).
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurovae.errors import InputError
from neurovae.io.exported import CENTRED, FILES, description, inner_kind
from neurovae.plan import start_models

SAME = {"voxel_mm": ("voxel_mm",), "Normalisation": ("normalise", "method"), "transform": ("register", "transform")}
ALIKE = {
    "bias_field": ("register", "bias_field"),
    "template_voxel_mm": ("register", "template_mm"),
    "extraction": ("extract", "method"),
}
EXTRACTION = {
    "deepbet": "deepbet",
    "antspyx": "template",
    "mask": "mask",
    "already": "none",
}  # by first word


def folder(entry: dict[str, Any]) -> str | None:
    """The folder of the exported model that an entry of train.models uses, if any."""
    return entry.get("path") if entry["kind"] == "frozen" else entry.get("start_from")


def inputs(entries: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The files of each model's source, inputs of its training; none for most models."""
    found = {name: folder(entry) for name, entry in entries.items()}
    return {name: [str(Path(path) / file) for file in FILES] if path else [] for name, path in found.items()}


def flags(entries: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The option that names each model's source; empty for most models."""
    found = {name: folder(entry) for name, entry in entries.items()}
    return {name: f"--source {shlex.quote(path)}" if path else "" for name, path in found.items()}


def sized(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The train section with the number of latents and the kind of the source of each entry that has one, and notes.

    Raises:
        InputError: a folder that is not there or no export, or one of other preprocessing than this run's.
    """
    models, faults, notes = [], [], []
    for entry in config["train"]["models"]:
        is_frozen = entry["kind"] == "frozen"
        if not is_frozen and not entry.get("start_from"):
            models.append(entry)
            continue
        place = f"train.models {entry['name']!r}"
        key, images = "path" if is_frozen else "start_from", config["cohort"].get("suffix") or "T1w"
        found = problems(place, key, folder(entry), config["preprocess"], images)
        if not found[0]:
            meta = description(Path(str(folder(entry))))
            kind, architecture = inner_kind(meta), meta["architecture"]
            if is_frozen:
                found[0].extend(_of_frozen(place, entry, meta))
                models.append({**entry, "n_latent": architecture["n_latent"], "inner": kind})
            else:
                found[0].extend(start_models.problems(place, entry, kind, architecture))
                models.append({**entry, "source_latents": architecture["n_latent"], "source_kind": kind})
        faults += found[0]
        notes += found[1]
    if faults:
        raise InputError(faults)
    return {**config["train"], "models": models}, notes


def problems(
    place: str, key: str, path: str | None, preprocess: dict[str, Any], suffix: str
) -> tuple[list[str], list[str]]:
    """Problems and notes of an exported folder: its files, and its preprocessing against that of this run.

    Args:
        place: of the entry in the configuration.
        key: of the entry that names the folder.
        path: the folder.
        preprocess: section of the configuration.
        suffix: BIDS suffix of this run's images, which names their contrast.
    """
    if not path:
        return [f"{place}: {key} is not given; give the folder that `python -m neurovae export` wrote"], []
    missing = [name for name in FILES if not (Path(path) / name).is_file()]
    if missing:
        what = f"has no {', '.join(missing)}" if Path(path).is_dir() else "is no folder"
        return [f"{place}: {key} {path!r} {what}; give the folder that `python -m neurovae export` wrote"], []
    try:
        description(Path(path))
        way = json.loads((Path(path) / "preprocessing.json").read_text(encoding="utf-8"))
    except (InputError, ValueError) as error:
        return [f"{place}: {error}"], []
    different = _different(way, preprocess, SAME)
    faults = [
        f"{place}: {name} is {own} in this run, but {theirs} in {path}; set preprocess.{name} to {theirs}, or leave "
        "the model out"
        for name, own, theirs in different
    ]
    faults += _other_reference(place, path, way, preprocess["normalise"])
    if (images := way.get("suffix", suffix)) != suffix:
        faults.append(
            f"{place}: cohort.suffix is {suffix} in this run, but the model in {path} was fitted to {images} images; "
            "give a model of the same images"
        )
    extraction = {EXTRACTION.get(method.split()[0]) for method in _several(way.get("methods"))} - {None}
    way |= {"extraction": "/".join(sorted(map(str, extraction)))} if extraction else {}
    notes = [
        f"{place}: preprocess.{name} is {own} in this run, but {theirs} in {path}, so that latents may differ a little"
        for name, own, theirs in _different(way, preprocess, ALIKE)
    ]
    return faults, notes


def _several(value: str | list[str] | None) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def _other_reference(place: str, path: str, way: dict[str, Any], normalise: dict[str, Any]) -> list[str]:
    """The problem of intensities that were divided by the mean of another region than in the other cohort."""
    theirs, given = way.get("normalise.reference"), normalise.get("reference") or "brain"
    if normalise["method"] != "reference" or theirs is None or not (given == "brain" or Path(given).is_file()):
        return []  # a file that is not there is refused by `graph`
    own = given
    if given != "brain":
        with open(given, "rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
    if own == theirs:
        return []
    said = [one if one == "brain" else f"a mask with SHA-256 {str(one)[:12]}..." for one in (own, theirs)]
    return [
        f"{place}: preprocess.normalise.reference is {said[0]} in this run, but {said[1]} in {path}; use the same "
        "region, or leave the model out"
    ]


def _different(
    way: dict[str, Any], preprocess: dict[str, Any], compared: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, Any, Any]]:
    """Keys of the preprocess section whose values differ from those of an export, with both values."""
    rows = []
    for name, keys in compared.items():
        own: Any = preprocess
        for key in keys:
            own = own[key]
        theirs = way.get(name, own)
        if theirs != own:
            rows.append((".".join(keys), own, theirs))
    return rows


def _of_frozen(place: str, entry: dict[str, Any], meta: dict[str, Any]) -> list[str]:
    """Values of a frozen entry that its source cannot have."""
    kind, size = inner_kind(meta), meta["architecture"]["n_latent"]
    found = []
    if entry["n_latent"] not in (None, size):
        found.append(f"{place}: n_latent is {entry['n_latent']}, but the model has {size}; leave n_latent out")
    if entry["centre"] == "own" and kind not in CENTRED:
        found.append(f"{place}: centre is own, but a {kind} has no mean image; set centre: source")
    return found
