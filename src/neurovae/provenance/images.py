"""Are scans, preprocessed images and packed rows those that manifests and sidecars speak of?"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from neurovae.errors import InputError
from neurovae.io.files import sha256
from neurovae.io.parquet import read_parquet
from neurovae.io.progress import steps
from neurovae.preprocess.batch import read_list


def sources(cohort: Path) -> dict[str, tuple[str, str]]:
    """Path of each scan that was preprocessed -> its digest by the manifest of its batch, and the manifest."""
    found: dict[str, tuple[str, str]] = {}
    for listed in sorted((cohort / "preprocess" / "extract").glob("*.list")):
        manifest = listed.with_suffix(".tsv")
        noted = {row["scan"]: row.get("source_sha256") for row in table(manifest)} if manifest.exists() else {}
        found |= {
            row["source"]: (noted[row["scan"]], str(manifest))
            for row in _read(listed, read_list, "extract")
            if noted.get(row["scan"])
        }
    return found


def _read(path: Path, read: Callable[[Path], Any], rule: str) -> Any:
    """What a file holds, or InputError with its name where it is damaged."""
    try:
        return read(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: damaged, cannot be read ({error}); --forcerun {rule}") from error


def _sidecar(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def changed_scans(scans: dict[str, tuple[str, str]], now: Mapping[str, str | None]) -> Iterator[str]:
    """Scans whose digest now is not that of when they were preprocessed."""
    for path, (noted, manifest) in scans.items():
        if now[path] != noted:
            yield f"{path}: other than when it was preprocessed; --forcerun {manifest}"


def sidecars(cohort: Path) -> dict[Path, str]:
    """Each preprocessed image -> its digest by its sidecar."""
    found: dict[Path, str] = {}
    for path in sorted((cohort / "preprocess" / "derivatives").rglob("*.json")):
        images = _read(path, _sidecar, "extract").get("Images", {})
        found |= {path.parent / name: digest for name, digest in images.items()}
    return found


def changed_images(images: dict[Path, str]) -> Iterator[str]:
    """Preprocessed images other than their sidecars say."""
    for path in steps(list(images), "images"):
        if not path.exists() or sha256(path) != images[path]:
            what = "other than its sidecar says" if path.exists() else "not there any more"
            yield f"{path}: {what}; --forcerun extract (it keeps scans that are whole)"


def rows(cohort: Path) -> dict[str, str]:
    """Each packed scan -> the digest of the image that was packed."""
    path = cohort / "preprocess" / "volumes.parquet"
    packed = _read(path, read_parquet, "pack") if path.exists() else pd.DataFrame({"scan": [], "preproc_sha256": []})
    return dict(zip(packed["scan"], packed["preproc_sha256"], strict=True))


def changed_rows(packed: dict[str, str], images: dict[Path, str]) -> Iterator[str]:
    """Packed scans whose image was made anew since, or is not there."""
    there = set(images.values())
    for scan, noted in packed.items():
        if noted not in there:
            yield f"{scan}: packed from an image that no sidecar has; --forcerun pack"
