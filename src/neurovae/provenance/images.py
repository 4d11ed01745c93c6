"""Compare scans, preprocessed images and packed rows with the digests in manifests and sidecars."""

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
    """Return path of each scan that was preprocessed -> its digest by the manifest of its batch, and the manifest."""
    digest_of: dict[str, tuple[str, str]] = {}
    for batch_list in sorted((cohort / "preprocess" / "extract").glob("*.list")):
        manifest = batch_list.with_suffix(".tsv")
        recorded = {row["scan"]: row.get("source_sha256") for row in table(manifest)} if manifest.exists() else {}
        digest_of |= {
            row["source"]: (recorded[row["scan"]], str(manifest))
            for row in _read(batch_list, read_list, "extract")
            if recorded.get(row["scan"])
        }
    return digest_of


def _read(path: Path, read: Callable[[Path], Any], rule: str) -> Any:
    """Read a file; InputError with its name where it is damaged."""
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


def changed_scans(scans: dict[str, tuple[str, str]], current: Mapping[str, str | None]) -> Iterator[str]:
    """Yield scans whose digest has changed since they were preprocessed."""
    for path, (recorded, manifest) in scans.items():
        if current[path] != recorded:
            yield f"{path}: changed since it was preprocessed; --forcerun {manifest}"


def sidecars(cohort: Path) -> dict[Path, str]:
    """Return each preprocessed image -> its digest by its sidecar."""
    digest_of: dict[Path, str] = {}
    for path in sorted((cohort / "preprocess" / "derivatives").rglob("*.json")):
        images = _read(path, _sidecar, "extract").get("Images", {})
        digest_of |= {path.parent / name: digest for name, digest in images.items()}
    return digest_of


def changed_images(images: dict[Path, str]) -> Iterator[str]:
    """Yield preprocessed images that differ from their sidecars."""
    for path in steps(list(images), "images"):
        if not path.exists() or sha256(path) != images[path]:
            change = "differs from its sidecar" if path.exists() else "missing"
            yield f"{path}: {change}; --forcerun extract (intact scans are kept)"


def rows(cohort: Path) -> dict[str, str]:
    """Return each packed scan -> the digest of the image that was packed."""
    path = cohort / "preprocess" / "volumes.parquet"
    packed = _read(path, read_parquet, "pack") if path.exists() else pd.DataFrame({"scan": [], "preproc_sha256": []})
    packed = packed[packed["preproc_sha256"] != ""]  # without images there is none
    return dict(zip(packed["scan"], packed["preproc_sha256"], strict=True))


def changed_rows(packed: dict[str, str], images: dict[Path, str]) -> Iterator[str]:
    """Yield packed scans whose image was made again since, or is missing."""
    current = set(images.values())
    for scan, recorded in packed.items():
        if recorded not in current:
            yield f"{scan}: packed from an image that no sidecar has; --forcerun pack"
