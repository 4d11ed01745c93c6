"""A model's own latents, given back as a table in a cohort without images, must give the model's own tables."""

from pathlib import Path
from typing import Any

import inference as half
import nibabel as nib
import numpy as np
import pandas as pd
import tiny
from inference import World

from neurovae import latents
from neurovae.train import fit

KINDS: dict[str, dict[str, Any]] = {
    "pca": {"n_latent": 3, "flip": False, "blur": 0.0},
    "vae": tiny.SETTINGS,
}
TABLE = {"n_latent": None, "standardise": False, "columns": "mu_*", "seen": "yes"}
KEPT = ["scan", "person", "model", "fold", "seed", "split"]


def packed(world: World, folder: Path) -> dict[str, Path]:
    """Volumes in which the world's latents drive smooth fields, as packed files, with one split per person."""
    fields = tiny.cohort(1)[0].shape[1:]
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in fields), indexing="ij")
    drawn = world.latents.filter(like="mu_").to_numpy()
    noise = 0.1 * np.random.default_rng(0).normal(size=(len(drawn), *fields))
    volumes = 1 + np.tensordot(drawn, np.stack([x * y, np.sin(3 * z), x**2 - y]), 1) + noise
    files = {name: folder / f"{name}.{end}" for name, end in
             (("volumes", "npy"), ("rows", "parquet"), ("mask", "nii.gz"), ("folds", "tsv"))}  # fmt: skip
    np.save(files["volumes"], np.where(tiny.MASK, volumes, 0).astype(np.float16))
    rows = world.cohort[["scan", "person", "session"]].assign(acquisition="", run="")
    rows.assign(preproc_sha256=[f"{k:x}" for k in range(len(rows))]).to_parquet(files["rows"])
    nib.save(nib.Nifti1Image(tiny.MASK.astype(np.uint8), np.eye(4)), files["mask"])
    people = list(dict.fromkeys(world.cohort["person"]))
    pd.DataFrame({"person": people, "split_0": tiny.roles(len(people))}).to_csv(files["folds"], sep="\t", index=False)
    return files


def inferred(files: dict[str, Path], folder: Path, kind: str, options: dict[str, Any], table: str = "") -> Path:
    """`latents.parquet` of one model; with a table, volumes and mask are not given."""
    folder.mkdir()
    used = {name: Path("") if table and name in ("volumes", "mask") else path for name, path in files.items()}
    model, out = folder / "w.safetensors", folder / "latents.parquet"
    fit.run(**used, out=model, history=folder / "h.parquet", kind=kind, fold=0, seed=0, device="cpu", options=options,
            table=table)  # fmt: skip
    del used["folds"]
    latents.run(**used, model=model, name="vae", out=out, index=folder / "i.parquet", table=table)
    return out


def worlds(world: World, folder: Path, kind: str) -> tuple[World, World]:
    """The world with a model's latents, and with these latents read from its `latents.parquet` as a table."""
    files = packed(world, folder)
    own = inferred(files, folder / "own", kind, KINDS[kind])
    given = inferred(files, folder / "given", "table", TABLE, str(own))
    tables = [pd.read_parquet(path) for path in (own, given)]
    parts = [table[[*KEPT, *table.filter(regex="^mu_").columns]] for table in tables]
    return half.changed(world, latents=parts[0]), half.changed(world, latents=parts[1])


def apart(world: World, folder: Path, kind: str, learners: tuple[str, ...], rounding: float = 1e-9) -> list[str]:
    """What the tables of the model and of its latents given back do not agree on."""
    own, given = worlds(world, folder, kind)
    base = half.inference(own, learners)
    names = own.latents.columns.symmetric_difference(given.latents.columns)
    return [*names, *half.differing(base, half.inference(given, learners), rounding=rounding)]
