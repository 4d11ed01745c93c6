"""Simulated truth for models of blocks: shared and private factors by fused models, and planted networks in 4-D data.

    python tests/proof/planted_blocks.py factors [people [seed ...]]
    python tests/proof/planted_blocks.py networks [people [volumes [seed ...]]]

`factors`: R2 in test participants of each factor from the shared latents, inferred from both blocks and from either
alone; bars: shared factors .6 and .4 at least, private ones .1 at most. `networks`: mean |r| of planted maps with those
of each method, matched one to one; bars: .8, and CanICA's less .05. Defaults of all models and of nilearn are used, but
DictLearning is fitted by least-angle regression, since its coordinate descent does not converge.
"""

import sys

import nibabel as nib
import numpy as np
from nilearn.decomposition import CanICA, DictLearning
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LinearRegression

from neurovae.blocks import clean
from neurovae.cohort import simulate_blocks
from neurovae.plan import kinds
from neurovae.plan.config import load_schema, validate
from neurovae.preprocess import grid
from neurovae.train.models import fused, linear_blocks, networks
from neurovae.train.side_by_side import Part, SideBySide

VOXEL_MM, TR_S = 8.0, 2.0
NO_MASK = np.zeros((0, 0, 0), bool)
CLEANING = {"drop_first": 0, "detrend": True, "high_pass_hz": None, "low_pass_hz": None, "scrub_mm": None,
            "zscore": True}  # fmt: skip
METHODS = ("vae", "pca", "ica")


def split_of(n: int) -> np.ndarray:
    """65 % train, 10 % decide when training stops, and the others are tested."""
    training, validation = int(0.65 * n), int(0.1 * n)
    return np.repeat(["training", "validation", "test"], [training, validation, n - training - validation])


def matched(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """|r| of each true map (maps, voxels) with its partner among those found, one to one."""
    r = np.abs(np.corrcoef(true, found)[: len(true), len(true) :])
    return np.asarray(r[linear_sum_assignment(-r)])


def cleaned(
    people: int, volumes: int, seed: int, signal_to_noise: float
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Planted maps, runs (volumes, voxels) without what 24 parameters of motion explain, and the mask."""
    mask, maps = simulate_blocks.networks(VOXEL_MM, seed)
    runs = []
    for k in range(people):
        values, motion = simulate_blocks.one_run(maps, mask, VOXEL_MM, volumes, TR_S, signal_to_noise, [seed, 1, k])
        table = motion.filter(regex="^(trans|rot)_").fillna(0).to_numpy()
        still = np.zeros(values.shape[1], bool)
        runs.append(clean.run(values, still, None, table, None, TR_S, CLEANING, f"run {k}").values.astype(np.float32))
    return maps, runs, mask


class Runs(list[np.ndarray]):
    """A list that is indexed like an array."""

    def __getitem__(self, part: object) -> "list[np.ndarray]":  # type: ignore[override]
        return [list.__getitem__(self, int(k)) for k in np.arange(len(self))[part]]


def of_networks(people: int, volumes: int, seed: int, signal_to_noise: float = 1.0) -> dict[str, np.ndarray]:
    """|r| of each planted network by method."""
    maps, runs, mask = cleaned(people, volumes, seed, signal_to_noise)
    split, found = split_of(people), {}
    training = [run for run, one in zip(runs, split, strict=True) if one == "training"]
    names = [f"v{k}" for k in range(maps.shape[1])]
    for method in METHODS:
        tensors, architecture, _ = networks.fit(
            Runs(runs), split, NO_MASK, seed=seed, device="cpu", names=names, volumes=np.empty(0),
            rows=np.arange(people), people=np.arange(people), n_latent=len(maps), method=method, rotate="varimax",
        )  # fmt: skip
        found[method] = matched(networks.maps(tensors, architecture, training), maps)
    affine = grid.box(VOXEL_MM)[1]
    images = [simulate_blocks.image(run, mask, affine) for run in training]
    inside = nib.Nifti1Image(mask.astype(np.uint8), affine)
    keys = {"n_components": len(maps), "mask": inside, "smoothing_fwhm": None, "random_state": seed,
            "standardize": False}  # fmt: skip
    for name, model in (("CanICA", CanICA(**keys)), ("DictLearning", DictLearning(**keys, method="lars"))):
        found[name] = matched(model.fit(images).components_, maps)
    return found


def r2(z: np.ndarray, factors: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Variance of each factor that latents explain in test participants."""
    model = LinearRegression().fit(z[split != "test"], factors[split != "test"])
    error = factors[split == "test"] - model.predict(z[split == "test"])
    return np.asarray(1 - np.square(error).sum(axis=0) / np.square(factors[split == "test"]).sum(axis=0))


def of_factors(people: int, seed: int, signal_to_noise: float = 1.0) -> dict[str, dict[str, np.ndarray]]:
    """R2 of shared and private factors from the shared latents, by model and by the blocks that they are inferred from."""
    made = simulate_blocks.factors(people, simulate_blocks.SIZES, signal_to_noise, seed)
    rows, split = np.arange(people), split_of(people)
    parts = [Part(name, "table", x.shape[1], x.astype(np.float32), rows)
             for name, x in zip("ab", made.features, strict=True)]  # fmt: skip
    array, found = SideBySide(parts), {}
    entry = {"name": "f", "kind": "fused", "blocks": ["a", "b"]}
    given = {"cohort": {"name": "c", "participants": "p.tsv"}, "train": {"models": [entry]}}
    options = validate(given, load_schema())["train"]["models"][0]
    for name in ("fused", *linear_blocks.METHODS):
        module = fused if name == "fused" else linear_blocks
        keys = {key: one for key, one in options.items() if key not in kinds.NOT_OPTIONS}
        more = {} if name == "fused" else {"twin": name}
        tensors, architecture, _ = module.fit(array, split, NO_MASK, seed=seed, device="cpu", **{**keys, **more})
        found[name] = {}
        for inputs, has in (("both", [1, 1]), ("a", [1, 0]), ("b", [0, 1])):
            use = np.array(has, bool)[:, None] & np.ones((2, people), bool)
            z = module.embed(array[:], NO_MASK, tensors, architecture, use)[0][:, : architecture["n_shared"]]
            found[name][f"shared from {inputs}"] = r2(z, made.shared, split)
            found[name][f"private from {inputs}"] = np.concatenate([r2(z, own, split) for own in made.private])
    return found


def main(what: str, numbers: list[int]) -> None:
    """A line per method."""
    if what == "networks":
        people, volumes, *seeds = [*numbers, *[200, 120, 0][len(numbers) :]]
        for seed in seeds:
            for method, r in of_networks(people, volumes, seed).items():
                print(f"networks, {people} people, seed {seed}: {method:<13}{r.mean():.3f} (lowest {r.min():.3f})",
                      flush=True)  # fmt: skip
        return
    people, *seeds = [*numbers, *[200, 0][len(numbers) :]]
    for seed in seeds:
        for name, values in of_factors(people, seed).items():
            said = ", ".join(f"{key} {', '.join(f'{one:.2f}' for one in r)}" for key, r in values.items())
            print(f"factors, {people} people, seed {seed}: {name}: {said}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], list(map(int, sys.argv[2:])))
