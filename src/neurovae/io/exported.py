"""What an exported folder says of its model, without arrays: standard library only, for the plan and the jobs alike."""

import json
import re
from pathlib import Path
from typing import Any

from neurovae.errors import InputError

FILES = ("weights.safetensors", "mask.nii.gz", "preprocessing.json", "README.md")  # of an exported folder
CENTRED = ("vae", "autoencoder", "pca", "pca_localised")  # kinds whose mean image can be re-estimated
LONGEST = 2**30  # bytes of a header; a longer one means that the file is no safetensors file


def header(path: Path) -> dict[str, Any] | None:
    """The description in a safetensors file's header, 8 bytes of length and JSON; None: no weights of neurovae."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(size)) if size < LONGEST else {}
        parsed: dict[str, Any] = json.loads(found["__metadata__"]["neurovae"])
    except (ValueError, KeyError, TypeError):
        return None
    return parsed


def description(folder: Path) -> dict[str, Any]:
    """The description in the weights of an exported folder: kind, architecture, options, people as counts.

    Raises:
        InputError: not the weights of an exported model.
    """
    meta = header(folder / FILES[0])
    if meta is None:
        raise InputError(f"{folder / FILES[0]}: not weights of neurovae; export the model again")
    if "exported_from" not in meta:
        raise InputError(
            f"{folder}: weights as they were trained, which list the people of that cohort; export them "
            "(python -m neurovae export) and give the exported folder"
        )
    return meta


def inner_kind(meta: dict[str, Any]) -> str:
    """The kind of a model; of a frozen one, that of the model it was taken from."""
    return str(meta["architecture"].get("inner", meta["kind"]))


def licence(folder: Path) -> str:
    """The licence in the front matter of an exported folder's card."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    match = re.search(r"^license: *['\"]?(.+?)['\"]?$", text.split("\n---", 1)[0], flags=re.M)
    return match[1] if match else "unknown"
