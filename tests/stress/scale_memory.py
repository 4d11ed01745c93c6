"""Does the memory grow with the cohort? The commands of qc, pack, duplicates, train, latents, health on simulated volumes."""

import json
import shutil
import sys
from pathlib import Path

import scale_volumes
from lines import said
from project import ROOT
from scale_measure import Cost, measured, surroundings

FLAT = 1.2  # a command's memory at the larger number of volumes over that at the smaller
GIVEN = {"qc": 2000, "duplicates": 4000}  # what holds a row or a projection per scan: the rule's mem_mb
SCANS = 100_000  # that it must suffice for
MOST = 8000  # MB, where a command is stopped
PCA = {"n_latent": 8, "flip": True, "blur": 0}  # without blurred copies, which take most of the time
VAE = {
    **PCA, "blur": 4, "linear": "pca", "base_channels": 4, "dropout": 0.2, "reconstruction": "gaussian", "sigma": 1, "divergence": "kl",
    "beta": 1, "noise": 0.2, "jitter": 0, "mixup": 0.5, "learning_rate": 0.001, "weight_decay": 0.01, "clip": 10000,
    "batch": 32, "accumulate": 1, "epochs": 1, "patience": 15,
}  # fmt: skip


def memory(folder: Path, few: int, many: int) -> None:
    """Each command on few and on many volumes, a line each."""
    costs = {count: _run(folder / str(count), count) for count in (few, many)}
    for step, other in costs[many].items():
        one = costs[few][step]
        found = f"{one.own:.0f} -> {other.own:.0f} MB ({other.own / one.own:.2f} x)"
        passed, bar = other.own <= FLAT * one.own, f"<= {FLAT} x"
        if step in GIVEN:
            reached = other.own + (other.own - one.own) / (many - few) * (SCANS - many)
            found += f", by a straight line {reached:.0f} MB for {SCANS:,}"
            passed, bar = reached <= GIVEN[step], f"<= {GIVEN[step]} MB, its mem_mb"
        found += f"; with pages of mapped files {one.whole:.0f} -> {other.whole:.0f} MB"
        found += f"; CPU {one.cpu:.0f} -> {other.cpu:.0f} s" + ("; stopped" if other.status else "")
        what = f"memory of {step}, {few:,} -> {many:,} volumes of {scale_volumes.VOXEL_MM:g} mm:"
        said(passed and not other.status, what, found, bar, many)


def _run(folder: Path, count: int) -> dict[str, Cost]:
    """What each command costs on so many volumes; the images are removed once they are packed."""
    batches = scale_volumes.prepare(folder, count)
    found = {}
    for step, command in _commands(folder, batches).items():
        out = folder / f"{step}.log"
        found[step] = measured([sys.executable, "-m", *command], out, most=MOST, env=surroundings(ROOT))
        assert found[step].status in (0, -9), f"{step}: {out.read_text()[-3000:]}"
        if step == "pack":
            shutil.rmtree(folder / "derivatives")
    _complete(folder, count)
    shutil.rmtree(folder)
    return found


def _commands(folder: Path, batches: list[str]) -> dict[str, list[str]]:
    """The rules' commands, by step."""
    packed = {"volumes": "volumes.npy", "rows": "volumes.parquet", "mask": "mask.nii.gz"}
    read = [text for name, file in packed.items() for text in (f"--{name}", str(folder / file))]
    manifests = ["--manifests", str(folder / "normalise"), "--batches", json.dumps(batches)]
    grid = [
        "--derivatives",
        str(folder / "derivatives"),
        "--suffix",
        "T1w",
        "--voxel_mm",
        f"{scale_volumes.VOXEL_MM:g}",
    ]
    qc = ["neurovae.preprocess.qc", *manifests, "--thresholds", "{}", "--max_failed", "0.2", "--out"]
    lists = ["--lists", str(folder / "extract"), "--batches", json.dumps(batches), "--nonfinite", "fail"]
    found = {
        "qc": [*qc, str(folder / "qc.parquet")],
        "pack": ["neurovae.preprocess.pack", *manifests, *grid, *read, "--qc", str(folder / "qc.parquet")],
        "duplicates": ["neurovae.preprocess.duplicates", *read, *lists, "--out", str(folder / "duplicates.tsv")],
    }
    for kind, options in (("pca", PCA), ("vae", VAE)):
        made = {name: str(folder / f"{kind}-{name}") for name in ("weights.safetensors", "history.parquet")}
        fit = ["--kind", kind, "--options", json.dumps(options), "--fold", "0", "--seed", "0", "--device", "cpu"]
        fit += ["--folds", str(folder / "folds.tsv"), "--out", made["weights.safetensors"]]
        found[f"train ({kind})"] = ["neurovae.train.fit", *read, *fit, "--history", made["history.parquet"]]
    model = [*read, "--model", made["weights.safetensors"]]
    judged = ["--history", made["history.parquet"], "--seed", "0"]
    found["latents"] = [
        "neurovae.latents",
        *model,
        "--name",
        "vae",
        "--out",
        str(folder / "latents.parquet"),
        "--index",
        str(folder / "latent_index.parquet"),
    ]
    found["health"] = ["neurovae.train.health.health", *model, *judged, "--out", str(folder / "health.json")]
    return found


def _complete(folder: Path, count: int) -> None:
    """Every volume is packed, and has finite latents."""
    import numpy as np
    import pandas as pd

    packed, latents = np.load(folder / "volumes.npy", mmap_mode="r"), pd.read_parquet(folder / "latents.parquet")
    whole = len(packed) == len(latents) == count and bool(np.isfinite(latents.filter(regex="^mu_")).all(axis=None))
    said(whole, "packed, and with finite latents:", f"{len(packed):,} and {len(latents):,}", f"{count:,}", count)
