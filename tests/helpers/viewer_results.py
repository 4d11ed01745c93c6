"""Maps that the viewer can be built from, with hostile names."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tiny import MASK

from neurovae.interpret.images import in_file, write_maps

FIT = "fold-0_seed-0"


AFFINE = np.array([[4.0, 0, 0, -30], [0, 4, 0, -50], [0, 0, 4, -28], [0, 0, 0, 1]])


QUANTILES = [0.05, 0.5, 0.95]


HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>\"'&"


def results(folder: Path, models: list[str], score: str = "motor", latents: int = 3, size: float = 4.0) -> Path:
    """A results folder with what the viewer reads: known volumes on the tiny mask, z = 2 at the peak of latent 1."""
    mask = folder / "preprocess" / "mask.nii.gz"
    mask.parent.mkdir(parents=True)
    affine = AFFINE @ np.diag([size / 4] * 3 + [1])
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), affine), mask)
    rng = np.random.default_rng(0)
    for model in models:
        out = folder / "interpret" / model / FIT
        middle = rng.normal(size=MASK.sum()).astype(np.float32)
        for k in range(latents):
            change = np.outer([-1, 0, 1], rng.normal(size=MASK.sum()) * (k + 1)).astype(np.float32)
            path = out / "traversals" / f"mu_{k:03d}_change.nii.gz"
            write_maps(path, change, mask)
            write_maps(path.with_name(f"mu_{k:03d}.nii.gz"), middle + change, mask)
            told = {"Quantiles": QUANTILES, "Values": [-1.0, 0.0, 1.0]}
            path.with_name(f"mu_{k:03d}_change.json").write_text(json.dumps(told))
        parts = {"map": change[2], "low": change[2] - 1, "high": change[2] + 1, "p": np.where(change[2] > 1, 0.01, 0.5),
                 "from": middle + change[0], "to": middle + change[2]}  # fmt: skip
        for name, values in parts.items():
            write_maps(out / "maps" / f"{in_file(score)}_{name}.nii.gz", values, mask)
        write_maps(out / "jacobian" / f"{in_file(score)}_logjacobian.nii.gz", change[2] / 10, mask)
        write_maps(out / "samples" / "path.nii.gz", middle + np.outer(np.arange(4), change[2]), mask)
        found = {
            "score": [score],
            "unit": ["+1 SD of the score"],
            "smallest_p": [0.01],
            "voxels": [int(MASK.sum())],
            "voxels_below_05": [3],
            **{f"peak_{axis}": [0.0] for axis in "xyz"},
            "status": ["ok"],
            "reason": [""],
        }
        pd.DataFrame(found).to_parquet(out / "maps.parquet")
        tests = folder / "associate" / model / FIT / "permute.parquet"
        tests.parent.mkdir(parents=True)
        names = [f"mu_{k:03d}" for k in range(latents)]
        table = pd.DataFrame({"score": score, "latent": names, "p_maxt": np.linspace(0.9, 0.1, latents)})
        table.to_parquet(tests)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results(tmp_path_factory.mktemp("viewer") / "tiny", ["vae", "pca"])
