"""VAE against PCA of the time points of `abide`, at 5, 10, 20 and 40 latents: variance explained in people left out.

    python tests/proof/networks.py results/abide/blocks/function [latents,latents [fold ...]]
    python tests/proof/networks.py results/abide/blocks/function halves [latents [split ...]]

Five folds of people, drawn at random; of the other people, one in eight decides when the VAE stops. The interval of the
difference is a bootstrap over people. `halves`: the people are divided in two at random, each method is fitted to each
half (an eighth of which decides when the VAE stops), and maps are matched one to one by |r| over parcels. No number was chosen among settings: those of `train.models.networks` are used.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

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
        people=np.arange(len(series)), n_latent=n_latent, method=method, rotate="varimax",
    )  # fmt: skip
    runs = [run.astype(np.float64) for run in series[split == "test"]]
    error = [np.square(run - networks.reconstructed(run, tensors, architecture)).sum() for run in runs]
    return np.array(error), np.array([np.square(run - tensors["mean"]).sum() for run in runs])


def halves(series: Series, names: list[str], n_latent: int, seed: int) -> dict[str, float]:
    """Mean |r| of the matched maps of two halves of the people, by method."""
    order, found = np.random.default_rng([seed, 3]).permutation(len(series)), {}
    for method in ("vae", "pca", "ica"):
        maps = []
        for half in (order[: len(order) // 2], order[len(order) // 2 :]):
            split = np.full(len(series), "test", dtype="U10")
            split[half] = "training"
            split[half[::8]] = "validation"
            tensors, architecture, _ = networks.fit(
                series, split, MASK, seed=0, device="cpu", names=names, volumes=np.empty(0),
                rows=np.arange(len(series)), people=np.arange(len(series)), n_latent=n_latent, method=method, rotate="varimax",
            )  # fmt: skip
            maps.append(networks.maps(tensors, architecture, series[split == "training"]))
        r = np.abs(np.corrcoef(*maps)[:n_latent, n_latent:])
        found[method] = float(r[linear_sum_assignment(-r)].mean())
    return found


def read(folder: Path) -> tuple[Series, list[str]]:
    """The cleaned series of each person, and the names of the parcels."""
    runs, parcels = pd.read_parquet(folder / "series.parquet"), pd.read_parquet(folder / "parcels.parquet")
    places = [[(a, n)] for a, n in zip(runs["start"], runs["n_time"], strict=True)]
    return Series(np.load(folder / "series.npy", mmap_mode="r"), places), parcels.loc[
        parcels["kept"], "parcel"
    ].tolist()


def main(folder: Path, sizes: list[int], chosen: list[int]) -> None:
    """A line per number of latents."""
    series, names = read(folder)
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


def main_halves(folder: Path, n_latent: int, splits: list[int]) -> None:
    """A line per division of the people."""
    series, names = read(folder)
    for seed in splits:
        said = ", ".join(f"{name} {r:.3f}" for name, r in halves(series, names, n_latent, seed).items())
        print(f"{n_latent} latents, two halves of {len(series)} people, split {seed}: mean |r| {said}", flush=True)


if __name__ == "__main__":
    if sys.argv[2:3] == ["halves"]:
        main_halves(Path(sys.argv[1]), int([*sys.argv[3:], "10"][0]), list(map(int, sys.argv[4:])) or [0])
        sys.exit()
    asked = list(map(int, sys.argv[2].split(","))) if sys.argv[2:] else list(SIZES)
    main(Path(sys.argv[1]), asked, list(map(int, sys.argv[3:])) or list(range(FOLDS)))
