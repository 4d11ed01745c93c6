"""Runs of functional data are streamed: seconds per run and memory of the block and of a model of networks.

    python tests/stress/streams.py [runs [volumes [voxels [networks]]]]

Each run is a link to one of ten random .npy files, so that the disk holds the cleaned series alone. Memory is what no
file stands behind (anonymous), as the largest of the readings that a thread takes every tenth of a second.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from neurovae.blocks import series
from neurovae.plan.config import load_schema, validate
from neurovae.train import inputs
from neurovae.train.models import networks

FILES = 10
NAME = "sub-{k:05d}_task-rest_timeseries.npy"


def anonymous_mb() -> float:
    """Memory of this process that no file stands behind, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


@contextmanager
def measured(what: str, runs: int) -> Iterator[None]:
    """Print seconds per run and peak memory of a block of code."""
    readings, done = [anonymous_mb()], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            readings.append(anonymous_mb())

    thread, start, cpu = threading.Thread(target=watch), time.monotonic(), time.process_time()
    thread.start()
    yield
    done.set()
    thread.join()
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    print(f"{what}: {runs} runs, {seconds / runs:.3f} s per run ({cpu / runs:.3f} s of CPU), {max(readings):.0f} MB at "
          f"most, {readings[0]:.0f} MB before", flush=True)  # fmt: skip


def write(folder: Path, runs: int, volumes: int, voxels: int) -> None:
    """Participants and a link to one of ten files for each."""
    rng = np.random.default_rng(0)
    (folder / "files").mkdir()
    for k in range(min(FILES, runs)):
        loadings = rng.standard_normal((8, voxels), np.float32)
        noise = rng.standard_normal((volumes, voxels), np.float32)
        np.save(folder / "files" / f"{k}.npy", rng.standard_normal((volumes, 8), np.float32) @ loadings + noise)
    (folder / "runs").mkdir()
    for k in range(runs):
        (folder / "runs" / NAME.format(k=k)).hardlink_to(folder / "files" / f"{k % FILES}.npy")
    people = pd.DataFrame({"participant_id": [f"sub-{k:05d}" for k in range(runs)]})
    people.to_csv(folder / "participants.tsv", sep="\t", index=False)


def main(runs: int, volumes: int, voxels: int, n_latent: int) -> None:
    """Make the block, then fit the VAE of networks to its runs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, runs, volumes, voxels)
        entry = {"name": "rest", "type": "timeseries", "path": str(folder / "runs"), "connectivity": "none"}
        given = {"name": "c", "participants": str(folder / "participants.tsv"), "blocks": [entry]}
        cohort = validate({"cohort": given}, load_schema())["cohort"]
        with measured("block", runs):
            series.run(cohort=cohort, block=cohort["blocks"][0], out=folder / "rest")
        table = pd.read_parquet(folder / "rest" / "series.parquet")
        array = inputs.Series(np.load(folder / "rest" / "series.npy", mmap_mode="r"),
                              [[(a, n)] for a, n in zip(table["start"], table["n_time"], strict=True)])  # fmt: skip
        split = np.where(np.arange(runs) % 8 == 0, "validation", "training")
        with measured("networks", runs):
            networks.fit(array, split, np.zeros((0, 0, 0), bool), seed=0, device="cpu", names=[str(k) for k in range(voxels)],
                         volumes=np.empty(0), rows=np.arange(runs), people=np.arange(runs), n_latent=n_latent,
                         method="vae", rotate="varimax")  # fmt: skip


if __name__ == "__main__":
    main(*[*map(int, sys.argv[1:]), *[1000, 200, 5000, 10][len(sys.argv) - 1 :]])
