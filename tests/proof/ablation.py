"""What each switch of the default recipe does to the test variance explained on `ixi`, and what the latents lose against voxels.

`make ixi` must have run. Nothing of the first table has seen a score; the second looks at age, once the recipe is
committed. Every fit is kept in results/ixi/ablation, so that a run that was stopped goes on.
"""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student
from sklearn.kernel_ridge import KernelRidge

from neurovae.cohort.folds import assign
from neurovae.io.files import write_beside
from neurovae.io.volumes import masked, read_mask, read_volumes
from neurovae.plan.config import load_schema, validate
from neurovae.plan.kinds import NOT_OPTIONS
from neurovae.train.models import pca, vae

RESULTS = Path("results/ixi")
FOLDS, SEEDS, SHUFFLES = 5, (0, 1, 2), (0, 1, 2)
DENSE = {"network": "dense", "n_latent": 48}
ALONE = {**DENSE, "linear": "none", "epochs": 60}
ROWS: dict[str, dict[str, Any]] = {
    "default": {},
    "no mirror images": {"flip": False},
    "no cross-fitting": {"cross_fit": 0},
    "sigma 1": {"sigma": 1},
    "no learning-rate cycle": {"learning_rate_cycle": False},
    "mosaics": {"mosaic": 1},
    "pair mixing": {"mixup": 0.5},
    "input noise": {"noise": 0.2},
    "8 channels": {"base_channels": 8},
    "local network on a PCA of 48": {"linear": "pca", "n_latent": 48},
    "dense network": DENSE,
    "dense network, localised": {**DENSE, "linear": "localised"},
    "dense network alone": ALONE,
    "dense network alone, no switch on": {**ALONE, "flip": False, "mixup": 0, "dropout": 0, "noise": 0},
}


@cache
def packed() -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    volumes, rows = read_volumes(RESULTS / "preprocess" / "volumes.npy", RESULTS / "preprocess" / "volumes.parquet")
    return np.asarray(volumes), rows, read_mask(RESULTS / "preprocess" / "mask.nii.gz")


def options(row: str) -> dict[str, Any]:
    """The options of a row's VAE as the schema fills them in."""
    given = {"name": "x", "kind": "vae", **ROWS[row]}
    train = {"train": {"models": [given]}, "cohort": {"name": "x"}}
    entry = validate(train, load_schema())["train"]["models"][0]
    return {key: value for key, value in entry.items() if key not in NOT_OPTIONS}


def parts(shuffle: int, fold: int) -> np.ndarray:
    """Split of each scan, folds dealt with another seed per shuffle; shuffle 0 is the chain's own."""
    _, rows, _ = packed()
    dealt = assign([(person, "n/a", "") for person in rows["person"]], n=FOLDS, seed=shuffle, stop=0.125)
    known = {row["person"]: row[f"split_{fold}"] for row in dealt}
    return np.array([known[person] for person in rows["person"]])


def fit(row: str, shuffle: int, fold: int, seed: int) -> Path:
    """Fit one row's model; per held-out person the errors of the model, its linear part, PCA, and the training mean."""
    out = RESULTS / "ablation" / f"{row.replace(' ', '-')}_{shuffle}_{fold}_{seed}.npz"
    if out.exists():
        return out
    torch.set_num_threads(1)
    volumes, _, mask = packed()
    split, of_row = parts(shuffle, fold), options(row)
    tensors, architecture, history = vae.fit(volumes, split, mask, seed=seed, device="cpu", **of_row)
    same = {key: of_row[key] for key in ("n_latent", "flip", "blur")}
    baseline, sizes, _ = pca.fit(volumes, split, mask, seed=seed, device="cpu", capped=True, **same)
    x = masked(volumes, mask)
    mean = x[split == "training"].mean(axis=0)
    mu, _ = vae.embed(volumes, mask, tensors, architecture)
    linear = vae.linear_only(tensors)
    shown = {
        "vae": vae.reconstruct(mu, mask, tensors, architecture),
        "linear": vae.reconstruct(vae.embed(volumes, mask, linear, architecture)[0], mask, linear, architecture),
        "pca": pca.reconstruct(pca.embed(volumes, mask, baseline, sizes)[0], mask, baseline, sizes),
        "mean": np.broadcast_to(mean, x.shape),
    }
    errors = {name: np.square(x - x_hat).sum(axis=1, dtype=np.float64) for name, x_hat in shown.items()}
    stop = [line for line in history if line["split"] == "validation"]
    kept = min(stop, key=lambda line: line["loss"])["epoch"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_beside(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, mu=mu, split=split, kept=kept, epochs=stop[-1]["epoch"], **errors)
    return out


def share(found: list[Any], name: str, split: str = "test") -> float:
    """1 - error over distance to the mean, summed over the people of all folds before dividing."""
    return 1 - _total(found, name, split) / _total(found, "mean", split)


def _total(found: list[Any], name: str, split: str) -> float:
    return float(sum(fold[name][fold["split"] == split].sum() for fold in found))


def gain(runs: list[list[Any]], against: str, draws: int = 2000) -> tuple[float, float, float]:
    """Share of the VAE minus another's, mean over seeds, with a 95 % interval over people drawn with replacement."""
    less = np.mean(
        [np.concatenate([(f[against] - f["vae"])[f["split"] == "test"] for f in run]) for run in runs], axis=0
    )
    total = np.concatenate([fold["mean"][fold["split"] == "test"] for fold in runs[0]])
    drawn = np.random.default_rng(0).multinomial(len(less), np.full(len(less), 1 / len(less)), size=draws)
    low, high = np.quantile(drawn @ less / (drawn @ total), [0.025, 0.975])
    return float(less.sum() / total.sum()), float(low), float(high)


def seeds(row: str) -> tuple[int, ...]:
    """Seeds of a row: several of the default, one of each switch."""
    return SEEDS if row == "default" else SEEDS[:1]


def table(names: list[str]) -> Iterator[dict[str, Any]]:
    """A row per switch: test variance explained of each seed, of the linear part and PCA, and the gains over them."""
    for name in names:
        runs = [[np.load(fit(name, 0, fold, seed)) for fold in range(FOLDS)] for seed in seeds(name)]
        shares = [share(run, "vae") for run in runs]
        yield {
            "row": name,
            "share": round(float(np.mean(shares)), 4),
            "lowest": round(min(shares), 4),
            "highest": round(max(shares), 4),
            "training": round(float(np.mean([share(run, "vae", "training") for run in runs])), 3),
            "linear part": round(float(np.mean([share(run, "linear") for run in runs])), 4),
            "pca": round(share(runs[0], "pca"), 4),
            "over linear [95 %]": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*gain(runs, "linear")),
            "over pca [95 %]": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*gain(runs, "pca")),
            "kept epoch": " ".join(str(int(fold["kept"])) for run in runs for fold in run),
        }


def ridge(gram: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Kernel ridge of centred y, its penalty chosen among eleven by 5 inner folds of the training people."""
    inner = np.arange(len(train)) % 5
    scale = np.trace(gram[np.ix_(train, train)]) / len(train)
    penalties = scale * np.logspace(-4, 1, 11)

    def predicted(a: np.ndarray, b: np.ndarray, penalty: float) -> np.ndarray:
        model = KernelRidge(alpha=penalty, kernel="precomputed").fit(gram[np.ix_(a, a)], y[a] - y[a].mean())
        return y[a].mean() + model.predict(gram[np.ix_(b, a)])

    def loss(penalty: float) -> float:
        pairs = [(train[inner != k], train[inner == k]) for k in range(5)]
        return sum(float(np.square(y[b] - predicted(a, b, penalty)).sum()) for a, b in pairs)

    return predicted(train, test, min(penalties, key=loss))


def age() -> Iterator[str]:
    """R2 of age from latents and from voxels on the same 3 x 5 folds, and their difference (Nadeau and Bengio 2003)."""
    volumes, rows, mask = packed()
    table = pd.read_csv("../shared/data/ixi/participants.tsv", sep="\t", na_values=["n/a"]).set_index("participant_id")
    y = table["age"].reindex(rows["person"]).to_numpy(float)
    known = np.isfinite(y)
    r2: dict[str, list[float]] = {"voxels": [], "latents": []}
    for shuffle in SHUFFLES:
        for fold in range(FOLDS):
            found = np.load(fit("default", shuffle, fold, 0))
            train, test = (
                np.flatnonzero(known & chosen) for chosen in (found["split"] != "test", found["split"] == "test")
            )
            for name, features in (("voxels", masked(volumes, mask)), ("latents", found["mu"])):
                centred = features - features[train].mean(axis=0)
                guess = ridge((centred @ centred.T).astype(np.float64), y, train, test)
                r2[name].append(1 - np.square(y[test] - guess).mean() / np.square(y[test] - y[train].mean()).mean())
    for name, values in r2.items():
        yield f"age: R2 of ridge on {name}, mean over {len(values)} folds {np.mean(values):.3f}, n {known.sum()}"
    less = np.subtract(r2["latents"], r2["voxels"])
    error = np.std(less, ddof=1) * np.sqrt(1 / len(less) + 1 / (FOLDS - 1))
    half = student.ppf(0.975, len(less) - 1) * error
    yield f"age: latents minus voxels {less.mean():+.3f} [{less.mean() - half:+.3f}, {less.mean() + half:+.3f}] (bar: above -.05)"


def main(asked: list[str]) -> None:
    names = [name for name in ROWS if not asked or name in asked]
    jobs = [(name, 0, fold, seed) for name in names for seed in seeds(name) for fold in range(FOLDS)]
    jobs += [("default", shuffle, fold, 0) for shuffle in SHUFFLES[1:] for fold in range(FOLDS)]
    with ProcessPoolExecutor(int(os.environ.get("CORES", "2"))) as pool:
        for number, path in enumerate(pool.map(fit, *zip(*jobs, strict=True)), start=1):
            print(f"{number}/{len(jobs)} {path.stem}", flush=True)
    found = pd.DataFrame(table(names))
    found.to_csv(RESULTS / "ablation" / "table.tsv", sep="\t", index=False)
    print(
        json.dumps(options("default")),
        f"\n{len(packed()[1])} people, {FOLDS} folds, seeds {SEEDS} of the default, {SEEDS[:1]} of the others",
    )
    print(found.to_string(index=False))
    for line in age() if "age" in asked or not asked else []:
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
