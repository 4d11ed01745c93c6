"""A training run as its own process."""

import json
from pathlib import Path
from typing import Any


def command(files: dict[str, Path], folder: Path, options: dict[str, Any]) -> list[str]:
    """The options of `fit` on the command line."""
    named = {**files, "out": folder / "w.safetensors", "history": folder / "h.parquet", "state": folder / "state"}
    named |= {"kind": "vae", "fold": 0, "seed": 5, "device": "cpu", "options": json.dumps(options), "code": "c"}
    return [text for key, value in named.items() for text in (f"--{key}", str(value))]


def written(folder: Path) -> tuple[bytes, bytes]:
    """Weights and history."""
    return (folder / "w.safetensors").read_bytes(), (folder / "h.parquet").read_bytes()
