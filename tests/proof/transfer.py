"""What a model of a larger cohort gives a small one, on `ixi`: a source of 65 people, cohorts of 10, 20 and 40 others.

`make ixi` must have run, up to its packed volumes. In each of five draws the 120 people are divided at random: 65 for
the source, 15 for the test, 40 for the cohort, of which the first 10, 20 or all are used (an eighth of them, two at
least, for validation). All are healthy and from the same three scanners: transfer between scanners is not shown here.
Components never see a score; age is predicted from latents by the ridge of `predict`, fitted in the small cohort.
Intervals are bootstraps over test people, models held fixed. Each fit is kept, so that a stopped run goes on.
With `--simulated N` the source is N simulated heads instead (`transfer_simulated`).
"""

import argparse
import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
import transfer_simulated
from matplotlib.figure import Figure

from neurovae.export.source import Source
from neurovae.io.files import write_json
from neurovae.io.volumes import masked, read_mask, read_volumes
from neurovae.plan.config import load_schema, validate
from neurovae.predict.features import LATENTS, feature_maker, split_rows
from neurovae.predict.linear import fitted
from neurovae.train.models import frozen, pca, pca_localised, vae

SOURCE, TEST, SIZES, DRAWS, RESAMPLED = 65, 15, (10, 20, 40), 5, 2000
VARIANTS = {"frozen": "#0072b2", "pooled": "#d55e00", "scratch": "#666666"}  # colours that the colour-blind can tell
ENTRIES: dict[str, dict[str, Any]] = {
    "pca": {"kind": "pca", "n_latent": 16},
    "pca_localised": {"kind": "pca_localised", "n_latent": 100, "taper_mm": [60]},
    "vae": {"kind": "vae", "network": "local", "n_latent": 100, "flip": True, "taper_mm": [60]},
}
MODULES = {"pca": pca, "pca_localised": pca_localised, "vae": vae}
LEFT_OUT = ("name", "kind", "transductive", "start_from")
Row = dict[str, Any]


def options(name: str) -> dict[str, Any]:
    """The options of an entry as the schema fills them in."""
    train = {"train": {"models": [{"name": "x", **ENTRIES[name]}]}, "cohort": {"name": "x"}}
    entry = validate(train, load_schema())["train"]["models"][0]
    return {key: value for key, value in entry.items() if key not in LEFT_OUT}


def drawn(draw: int, size: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits (people,) of the source's people, and of those of the small cohort with its test people; "" elsewhere."""
    order = np.random.default_rng(draw).permutation(people)
    source, test, pool = np.split(order, [SOURCE, SOURCE + TEST])
    split = dealt(pool[:size], people)
    split[test] = "test"
    return dealt(source, people), split


def dealt(members: np.ndarray, people: int) -> np.ndarray:
    """Split (people,) with an eighth of the members for validation, two at least, and the others for training."""
    split = np.full(people, "", dtype="<U10")
    held = max(2, round(len(members) / 8))
    split[members[held:]], split[members[:held]] = "training", "validation"
    return split


def fit(name: str, volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, source: Source | None) -> Any:
    """Tensors and architecture of an entry; without a source a PCA has as many components as there are, at most."""
    more: Row = {"source": source} if source else {}
    more |= {"capped": True} if name == "pca" and not source else {}
    return MODULES[name].fit(volumes, split, mask, seed=0, device="cpu", **options(name), **more)[:2]


def exported(name: str, tensors: Any, architecture: Row, split: np.ndarray, mask: np.ndarray) -> Source:
    """A source as its exported folder would give it."""
    people = {one: int((split == one).sum()) for one in ("training", "validation", "test")}
    meta = {
        "kind": name,
        "architecture": architecture,
        "options": options(name),
        "people": people,
        "fold": 0,
        "seed": 0,
    }
    return Source(tensors, {**meta, "exported_from": "transfer"}, {}, mask, "cc-by-sa-3.0")


def measured(module: Any, model: Any, volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, age: np.ndarray) -> Row:
    """Errors of the test people: of their scans, and of their ages as predicted from latents."""
    tensors, architecture = model
    train, test = (np.flatnonzero(np.isin(split, names)) for names in (["training", "validation"], ["test"]))
    mu = module.embed(volumes, mask, tensors, architecture)[0]
    x_hat = module.reconstruct(mu[test], mask, tensors, architecture)
    x, mean = masked(volumes[test], mask), masked(volumes[split == "training"], mask).mean(axis=0)
    known = train[np.isfinite(age[train])]  # the age of a few is not known
    parts = split_rows(feature_maker(LATENTS, mu.astype(float), []), np.arange(len(age)), known, test, 5, 0)
    intercept, coefficients, _ = fitted(parts, age[:, None], False)
    predicted = intercept + parts.x_test @ coefficients
    return {
        "person": test.tolist(),
        "error": np.square(x - x_hat).sum(axis=1, dtype=np.float64).tolist(),
        "total": np.square(x - mean).sum(axis=1, dtype=np.float64).tolist(),
        "age_error": np.square(age[test] - predicted[:, 0]).tolist(),
        "age_total": np.square(age[test] - age[known].mean()).tolist(),
        "weight": architecture.get("source_weight"),
        "taper_mm": architecture.get("taper_mm"),
        "n_latent": architecture["n_latent"],
    }


def rows(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """A row per model, draw, size and variant; those that are kept are read."""
    stage = args.results / "preprocess"
    packed, table = read_volumes(stage / "volumes.npy", stage / "volumes.parquet")
    volumes, mask = np.asarray(packed), read_mask(stage / "mask.nii.gz")
    people = pd.read_csv(args.participants, sep="\t").set_index("participant_id")
    age = people.loc[table["person"], "age"].to_numpy(float)
    heads = simulated(args, folder) if args.simulated else None
    prefix = f"simulated-{args.simulated}-" if args.simulated else ""

    @lru_cache(maxsize=1)
    def source(name: str, draw: int) -> Source:
        scans = volumes if heads is None else heads
        split = drawn(draw, 0, len(volumes))[0] if heads is None else dealt(np.arange(len(heads)), len(heads))
        tensors, architecture = fit(name, scans, split, mask, None)
        return exported(name, tensors, architecture, split, mask)

    for name, draw, size, variant in product(args.models, range(args.draws), SIZES, VARIANTS):
        path = folder / f"{prefix}{name}-{draw}-{size}-{variant}.json"
        if not path.is_file():
            split = drawn(draw, size, len(volumes))[1]
            given = source(name, 0 if args.simulated else draw)
            module, model = started(name, variant, volumes, split, mask, given)
            write_json(path, measured(module, model, volumes, split, mask, age))
        kept = json.loads(path.read_text())
        print(name, draw, size, variant, round(1 - sum(kept["error"]) / sum(kept["total"]), 3), flush=True)
        yield {"model": name, "draw": draw, "size": size, "variant": variant, **kept}


def started(name: str, variant: str, volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, given: Source) -> Any:
    """Module and model of a variant: the source with the mean of these people, trained on, or without it."""
    if variant == "frozen":
        return frozen, frozen.fit(volumes, split, mask, seed=0, device="cpu", source=given, centre="own")[:2]
    return MODULES[name], fit(name, volumes, split, mask, given if variant == "pooled" else None)


def simulated(args: argparse.Namespace, folder: Path) -> np.ndarray:
    """Volumes of the simulated source, made on the first run."""
    mask = nib.load(args.results / "preprocess" / "mask.nii.gz")
    return transfer_simulated.kept(mask, args.simulated, folder / f"simulated-{args.simulated}.npy", args.jobs)


def explained(parts: pd.DataFrame, error: str, total: str) -> tuple[float, float, float]:
    """1 - sum of errors / sum of totals over all draws, with its 95 % bootstrap interval over people."""
    both = _by_person(parts, [error, total])
    return _interval([1 - both[pick, 0].sum() / both[pick, 1].sum() for pick in _picks(len(both))])


def gained(one: pd.DataFrame, other: pd.DataFrame, error: str, total: str) -> tuple[float, float, float]:
    """What the first explains beyond the second, likewise."""
    a, b = _by_person(one, [error, total]), _by_person(other, [error])
    return _interval([(b[pick, 0].sum() - a[pick, 0].sum()) / a[pick, 1].sum() for pick in _picks(len(a))])


def _by_person(parts: pd.DataFrame, columns: list[str]) -> np.ndarray:
    scans = parts.explode(["person", "error", "total", "age_error", "age_total"])
    return scans[["person", *columns]].astype(float).groupby("person")[columns].sum().to_numpy()


def _picks(count: int) -> Iterator[np.ndarray]:
    yield np.arange(count)
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLED):
        yield rng.integers(count, size=count)


def _interval(values: list[float]) -> tuple[float, float, float]:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return values[0], float(low), float(high)


MEASURES = {
    "held-out variance explained": ("error", "total"),
    "R2 of age": ("age_error", "age_total"),
}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per model, size, variant and measure, with the difference from scratch."""
    found = []
    for (name, size, variant), parts in table.groupby(["model", "size", "variant"], sort=False):
        scratch = table[(table["model"] == name) & (table["size"] == size) & (table["variant"] == "scratch")]
        for measure, columns in MEASURES.items():
            value, low, high = explained(parts, *columns)
            row = {
                "model": name,
                "people": size,
                "variant": variant,
                "measure": measure,
                "value": value,
                "low": low,
                "high": high,
            }
            more = gained(parts, scratch, *columns) if variant != "scratch" else (np.nan,) * 3
            row |= dict(zip(("beyond_scratch", "beyond_low", "beyond_high"), more, strict=True))
            row |= {"draws": len(parts), "weights": " ".join(f"{one:g}" for one in parts["weight"].dropna())}
            found.append(row)
    return pd.DataFrame(found)


def draw_figure(table: pd.DataFrame, path: Path) -> None:
    """A panel per measure and model: the variants over the size of the small cohort."""
    names = list(dict.fromkeys(table["model"]))
    figure = Figure(figsize=(4.2 * len(names), 6.4), layout="constrained")
    axes = figure.subplots(len(MEASURES), len(names), squeeze=False)
    for (i, measure), (j, name) in ((a, b) for a in enumerate(MEASURES) for b in enumerate(names)):
        axis = axes[i][j]
        for k, (variant, colour) in enumerate(VARIANTS.items()):
            part = table.query("model == @name and measure == @measure and variant == @variant")
            at = part["people"].to_numpy(float) * 1.04 ** (k - 1)
            error = [part["value"] - part["low"], part["high"] - part["value"]]
            axis.errorbar(at, part["value"], error, color=colour, marker="osD"[k], capsize=3, label=variant)
        axis.set(xscale="log", xticks=SIZES, xticklabels=SIZES, xlabel="people in the small cohort", ylabel=measure)
        axis.minorticks_off()
        axis.set_title(f"{name}, {ENTRIES[name]['n_latent']} latents", fontsize=10)
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Fit what is not there yet; write the table and the figure; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/ixi"))
    parser.add_argument("--participants", type=Path, default=Path("../shared/data/ixi/participants.tsv"))
    parser.add_argument("--out", type=Path, default=Path("results/ixi/transfer"))
    parser.add_argument("--models", nargs="+", default=["pca", "pca_localised"], choices=list(ENTRIES))
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--simulated", type=int, default=0, help="heads of a simulated source; 0: people of ixi")
    parser.add_argument("--jobs", type=int, default=1, help="heads simulated at a time")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    table = summary(pd.DataFrame(rows(args, args.out)))
    name = "-".join([f"simulated-{args.simulated}"] * bool(args.simulated) + args.models)
    table.to_csv(args.out / f"{name}.tsv", sep="\t", index=False, float_format="%.4f")
    draw_figure(table, args.out / f"{name}.png")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
