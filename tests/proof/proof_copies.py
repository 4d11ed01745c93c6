"""The same scan planted again under another id or session, as files that differ: each copy must be found, nothing else."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import collapse_models as tiny
import nibabel as nib
import numpy as np
import pandas as pd
from proof_lines import Check

from neurovae.preprocess.duplicates import duplicates

COPIES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "the same voxels, compressed anew": lambda x, rng: x,
    "flipped in storage": lambda x, rng: x,
    "rescaled": lambda x, rng: 1.3 * x,
    "shifted": lambda x, rng: x + 50,
    "noise of +-1": lambda x, rng: x + rng.integers(-1, 2, x.shape),
}


def copied(name: str | None, session: bool) -> bool:
    """Whether a copy of a person's scan, under another id or session, is found, and nothing else is."""
    volumes, rng = tiny.people(seed=5).astype(np.float32), np.random.default_rng(0)
    table = pd.DataFrame({"scan": tiny.PERSON, "person": tiny.PERSON, "session": None})
    with tempfile.TemporaryDirectory() as folder:
        sources = {scan: Path(folder) / f"{scan}.nii" for scan in [*tiny.PERSON, "again"]}
        for scan, volume in zip(tiny.PERSON, volumes, strict=True):
            _store(sources[scan], 500 * volume, False)
        if name is not None:
            sources["again"] = Path(folder) / "again.nii.gz"
            changed = COPIES[name](500 * volumes[7], rng)
            _store(sources["again"], changed, name.startswith("flipped"))
            packed = np.where(tiny.MASK, (changed - changed[tiny.MASK].mean()) / 500 + 1, 0).astype(np.float32)
            volumes = np.concatenate([volumes, packed[None]])
            again = {"scan": "again", "person": table["person"][7] if session else "sub-99", "session": "ses-2"}
            table = pd.concat([table, pd.DataFrame([again])], ignore_index=True)
        found = duplicates(volumes, table, tiny.MASK, {scan: (path, "") for scan, path in sources.items()})
    found = found[found["duplicate"].astype(bool)]
    return list(found["scan_b"]) == ["again"] if name is not None else len(found) > 0


def _store(path: Path, volume: np.ndarray, flipped: bool) -> None:
    affine = np.diag([4.0, 4, 4, 1])
    data = np.round(volume).astype(np.int16)
    if flipped:  # the same world positions, the first axis stored from the other end
        data, affine[0, 0], affine[0, 3] = data[::-1], -4.0, 4.0 * (len(data) - 1)
    nib.save(nib.Nifti1Image(data, affine), path)


def checks() -> list[Check]:
    """Each copy found under another id and under another session; no pair where nothing was planted."""
    listed = []
    for name in COPIES:
        found = sum(copied(name, session) for session in (False, True))
        text = f"copy planted under another id, then another session: {name}"
        listed.append(Check(text, f"{found} of 2", "2 of 2", found == 2, 2))
    wrong = copied(None, session=False)
    listed.append(Check("no copy planted among 60 people", "found" if wrong else "none", "none", not wrong, 60))
    return listed
