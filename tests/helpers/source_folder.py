"""An exported model of a tiny cohort, from which another one starts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from neurovae.export import export
from neurovae.train import fit

WAY = {"Normalisation": "zscore", "Transform": "affine", "SpatialReference": "MNI152NLin2009aSym"}
RUN: dict[str, Any] = {"fold": 0, "seed": 0, "device": "cpu"}


def packed(folder: Path, people: int = 24, seed: int = 0) -> dict[str, Path]:
    """Packed files of so many people."""
    files = tiny.packed(folder, people)
    np.save(files["volumes"], tiny.cohort(people, seed)[0])
    return files


def trained(folder: Path, kind: str, options: dict[str, Any], people: int = 24, seed: int = 0, **more: Any) -> Path:
    """Weights of a model of so many people; the packed files lie beside them."""
    files, model = packed(folder, people, seed), folder / "w.safetensors"
    fit.run(**files, out=model, history=folder / "h.parquet", kind=kind, options=options, **RUN, **more)
    return model


def given_away(model: Path, out: Path, licence: str = "cc-by-4.0") -> Path:
    """The exported folder of a model."""
    folder = model.parent
    (folder / "health.json").write_text(json.dumps({"verdict": "healthy", "reason": "", "caveats": []}))
    (folder / "derivatives").mkdir(exist_ok=True)
    (folder / "derivatives" / "sub-01_desc-preproc_T1w.json").write_text(json.dumps(WAY))
    beside = {"mask": folder / "m.nii.gz", "health": folder / "health.json", "derivatives": folder / "derivatives"}
    export.run(model=model, out=out, licence=licence, **beside)
    return out


def exported(folder: Path, kind: str = "pca", options: dict[str, Any] | None = None, people: int = 60) -> Path:
    """The exported folder of a larger cohort's model."""
    return given_away(trained(folder / "a", kind, options or tiny.LINEAR, people, 1), folder / "exported")
