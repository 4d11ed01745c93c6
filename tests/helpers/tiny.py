"""A cohort small enough to train on in a second: people who differ along three smooth fields."""

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

SHAPE = (16, 24, 16)
MASK = np.zeros(SHAPE, dtype=bool)
MASK[2:14, 3:21, 2:14] = True
ROLES = ["training", "training", "training", "validation", "test"]
LINEAR = dict(n_latent=3, flip=True, blur=0.0)
NETWORK = dict(
    **LINEAR, linear="pca", base_channels=4, dropout=0.1, reconstruction="gaussian", sigma=1.0, noise=0.1, jitter=0.0, mixup=0.0,
    learning_rate=1e-3, weight_decay=0.01, clip=1e4, batch=4, accumulate=1, epochs=3, patience=3,
)  # fmt: skip
SETTINGS: dict[str, Any] = dict(**NETWORK, divergence="kl", beta=1.0)
PLAIN = dict(dropout=0.0, noise=0.0, flip=False)  # nothing is drawn but the batches and the samples


def cohort(people: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Volumes (scans, x, y, z) and the split of each."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij")
    fields = np.stack([x * y, np.sin(3 * z), x**2 - y])
    volumes = 1 + np.tensordot(rng.normal(size=(people, 3)), fields, 1) + 0.1 * rng.normal(size=(people, *SHAPE))
    return np.where(MASK, volumes, 0).astype(np.float16), np.array(roles(people))


def roles(people: int) -> list[str]:
    """The split of each of so many people."""
    return list(itertools.islice(itertools.cycle(ROLES), people))


def packed(folder: Path, people: int = 24) -> dict[str, Path]:
    """The same cohort as packed files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"sub-{i:02d}" for i in range(people)]
    np.save(folder / "v.npy", cohort(people)[0])
    table = pd.DataFrame({"scan": names, "person": names, "session": "", "acquisition": "", "run": ""})
    table.assign(preproc_sha256=[f"{i:x}" for i in range(people)]).to_parquet(folder / "v.parquet")
    nib.save(nib.Nifti1Image(MASK.astype(np.uint8), np.eye(4)), folder / "m.nii.gz")
    folds = pd.DataFrame({"person": names, "site": "n/a", "fold": 0, "split_0": roles(people)})
    folds.to_csv(folder / "f.tsv", sep="\t", index=False)
    files = {"volumes": "v.npy", "rows": "v.parquet", "mask": "m.nii.gz", "folds": "f.tsv"}
    return {key: folder / name for key, name in files.items()}
