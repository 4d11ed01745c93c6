"""VAE against PCA of the time points of `abide`, at 5, 10, 20 and 40 latents: variance explained in people left out.

    python tests/proof/networks.py results/abide/blocks/function [latents,latents [fold ...]]

Five folds of people, drawn at random; of the other people, one in eight decides when the VAE stops. The interval of the
difference is a bootstrap over people. No number was chosen among settings: those of `train.models.networks` are used.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from neurovae.train.health.measures import gain
from neurovae.train.inputs import Series
from neurovae.train.models import networks

SIZES, FOLDS = (5, 10, 20, 40), 5
MASK = np.zeros((0, 0, 0), bool)


def errors(
    series: Series, split: np.ndarray, names: list[str], n_latent: int, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Squared error, and squared distance to the training mean, of each person of the test set."""
    tensors, architecture, _ = networks.fit(
        series, split, MASK, seed=0, device="cpu", names=names, volumes=np.empty(0), rows=np.arange(len(series)),
        people=np.arange(len(series)), n_latent=n_latent, method=method,
    )  # fmt: skip
    runs = [run.astype(np.float64) for run in series[split == "test"]]
    error = [np.square(run - networks.reconstructed(run, tensors, architecture)).sum() for run in runs]
    return np.array(error), np.array([np.square(run - tensors["mean"]).sum() for run in runs])


def main(folder: Path, sizes: list[int], chosen: list[int]) -> None:
    """A line per number of latents."""
    runs, parcels = pd.read_parquet(folder / "series.parquet"), pd.read_parquet(folder / "parcels.parquet")
    names = parcels.loc[parcels["kept"], "parcel"].tolist()
    series = Series(
        np.load(folder / "series.npy", mmap_mode="r"),
        [[(a, n)] for a, n in zip(runs["start"], runs["n_time"], strict=True)],
    )
    order = np.random.default_rng(0).permutation(len(series))
    fold_of = np.empty(len(series), int)
    fold_of[order] = np.arange(len(series)) % FOLDS
    for n_latent in sizes:
        parts = []
        for fold in chosen:
            split = np.where(fold_of == fold, "test", "training").astype("U10")
            rest = order[fold_of[order] != fold]
            split[rest[::8]] = "validation"
            vae, total = errors(series, split, names, n_latent, "vae")
            pca, _ = errors(series, split, names, n_latent, "pca")
            parts.append(np.array([vae, pca, total]))
        vae, pca, total = np.concatenate(parts, axis=1)
        people = np.arange(len(total))
        values = {
            "VAE": gain(vae, total, total, people, 0),
            "PCA": gain(pca, total, total, people, 0),
            "VAE - PCA": gain(vae, pca, total, people, 0),
        }
        said = ", ".join(f"{name} {value:.4f} [{low:.4f}, {high:.4f}]" for name, (value, low, high) in values.items())
        print(f"{n_latent} latents, {len(total)} people of {len(chosen)} folds: {said}", flush=True)


if __name__ == "__main__":
    asked = list(map(int, sys.argv[2].split(","))) if sys.argv[2:] else list(SIZES)
    main(Path(sys.argv[1]), asked, list(map(int, sys.argv[3:])) or list(range(FOLDS)))
