"""Brain age and norm on the packed scans of a finished run: the test of the gap on null scores, and planted patients.

    python tests/proof/norm.py --results results/ixi --model vae --age age --sex sex

Null scores depend on age (a random parabola) and sex, and on nothing else: the test of the gap should reject 5 %, the
naive correlation with the uncorrected gap rejects nearly always. Patients are planted in the packed scans (30 of them
get a smooth random pattern with a given share of the voxel variance between people); what finds them is compared by AUC.
The model of the planted patients is a PCA of the others' training scans, so that a seed takes seconds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score

from neurovae.design.design import first_scans
from neurovae.interpret.atlas import read_atlas
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import masked, read_mask, read_volumes
from neurovae.norm import calibration, gap_test, latent, maps
from neurovae.norm.held_out import HeldOut

SCORES, PERMUTATIONS = 300, 999
PATIENTS, FOLDS, COMPONENTS, SEEDS = 30, 5, 48, 10
STRENGTHS = (0.01, 0.025, 0.05)
EXTREME, EVERY, FWHM = 2.6, 4, 2.0  # z of an extreme voxel, of every fourth one; smoothing in voxels of 4 mm


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--age", default="age")
    parser.add_argument("--sex", default="sex")
    parser.add_argument("--scores", type=int, default=SCORES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--other", type=Path, help="results folder of a cohort of another scanner, on the same grid")
    options = parser.parse_args()
    if options.scores:
        null_scores(options.results, options.model, options.age, options.sex, options.scores)
    if options.seeds:
        planted(options.results, options.age, options.sex, options.seeds)
    if options.other:
        another_site(options.results, options.other, options.age, options.sex)


def null_scores(results: Path, model: str, age: str, sex: str, count: int) -> None:
    """Rejections of the test of the gap, by t and by permutation, and of the naive correlation."""
    ages = read_parquet(results / "norm" / model / "brain_age.parquet")
    cohort = read_parquet(results / "cohort" / "cohort.parquet")
    table = ages.drop(columns=["session", "fold", "model", "seed", "policy", "verdict"]).merge(
        cohort.drop(columns="person"), on="scan"
    )
    table = table.assign(latents_split="test", latents_model=model, latents_fold=0, latents_seed=0)
    rng, years = np.random.default_rng(0), stats.zscore(table["true_age"].to_numpy(float))
    confounds = [{"name": age, "type": "continuous"}, {"name": sex, "type": "categorical"}]
    entry = {"name": age, "type": "continuous"}
    small = {"p": 0, "p_permutation": 0, "naive_p": 0}
    for draw in range(count):
        line, bend, of_sex = rng.normal(size=3)
        known = line * years + bend * years**2 / 2 + of_sex * (table[sex] == table[sex].iloc[0])
        scored = table.assign(null=known + rng.normal(size=len(table)))
        row = gap_test.tests(scored, [{"name": "null", "type": "continuous"}], confounds, entry, PERMUTATIONS, draw)[0]
        for name in small:
            small[name] += row[name] < 0.05
    low, high = stats.binom.ppf([0.005, 0.995], count, 0.05) / count
    first = ages["true_age"]
    print(
        f"null scores: {count}, n = {len(table)}, ages {first.min():.0f} to {first.max():.0f}, bounds {low:.3f} to {high:.3f}"
    )
    for name, value in small.items():
        print(f"  {name} < .05: {value / count:.3f}")


def planted(results: Path, age: str, sex: str, seeds: int) -> None:
    """AUC of each way to find the patients, by strength, with an interval over seeds."""
    folder = results / "preprocess"
    array, scans = read_volumes(folder / "volumes.npy", folder / "volumes.parquet")
    mask = read_mask(folder / "mask.nii.gz")
    labels, names = read_atlas(results / "interpret" / "atlas.nii.gz", folder / "mask.nii.gz")
    cohort = read_parquet(results / "cohort" / "cohort.parquet").set_index("scan").loc[scans["scan"]].reset_index()
    table = first_scans(cohort)
    table = table[table[age].notna() & table[sex].notna()]
    volumes = masked(array[pd.Index(scans["scan"]).get_indexer(table["scan"])], mask)
    found: dict[tuple[float, str], list[float]] = {}
    share = []
    for strength in STRENGTHS:
        for seed in range(seeds):
            z, ways, people = _seed(volumes, mask, labels, names["index"].to_numpy(), table, age, sex, strength, seed)
            share.append(calibration.overall(z[people.reference], np.arange(people.reference.sum()), 100, 0)["share"])
            for way, value in ways.items():
                found.setdefault((strength, way), []).append(roc_auc_score(~people.reference, value))
    print(
        f"planted: {PATIENTS} of {len(table)}, PCA {COMPONENTS}, {seeds} seeds; regions beyond 1.96 in the reference: {np.mean(share):.3f}"
    )
    for (strength, way), values in found.items():
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        print(
            f"  {strength:.3f} {way:36s} AUC {np.mean(values):.3f} [{np.mean(values) - half:.3f}, {np.mean(values) + half:.3f}]"
        )


def another_site(results: Path, other: Path, age: str, sex: str) -> None:
    """People of another scanner under the norm: what a difference between scanners alone looks like."""
    mask = read_mask(results / "preprocess" / "mask.nii.gz")
    labels, names = read_atlas(results / "interpret" / "atlas.nii.gz", results / "preprocess" / "mask.nii.gz")
    parts = []
    for folder in (results, other):
        array, scans = read_volumes(folder / "preprocess" / "volumes.npy", folder / "preprocess" / "volumes.parquet")
        table = first_scans(read_parquet(folder / "cohort" / "cohort.parquet"))
        table = table[table["scan"].isin(scans["scan"]) & table[age].notna() & table[sex].notna()]
        parts.append((table, masked(array[pd.Index(scans["scan"]).get_indexer(table["scan"])], mask)))
    (own, x), (new, y) = parts
    inside = new[age].between(own[age].min(), own[age].max()).to_numpy()
    whole, x = pd.concat([own, new[inside]], ignore_index=True), np.vstack([x, y[inside]])
    reference = np.arange(len(whole)) < len(own)
    fold = np.random.default_rng(0).permutation(np.arange(len(whole)) % FOLDS)
    people = _people(whole, reference, fold, age, sex)
    z, ways = _ways(x, people, mask, labels, names["index"].to_numpy())
    print(f"another site: {inside.sum()} of {len(new)} people within the ages of the {len(own)} of the reference")
    for name, group in (("reference", reference), ("other site", ~reference)):
        share = calibration.overall(z[group], np.arange(group.sum()), 2000, 0)
        print(f"  regions beyond 1.96, {name}: {share['share']:.3f} [{share['low']:.3f}, {share['high']:.3f}]")
    for way, value in ways.items():
        middle = [float(np.median(value[group])) for group in (reference, ~reference)]
        print(f"  {way:36s} AUC {roc_auc_score(~reference, value):.3f}, medians {middle[0]:.3f} and {middle[1]:.3f}")


def _seed(
    volumes: np.ndarray, mask: np.ndarray, labels: np.ndarray, index: np.ndarray, table: pd.DataFrame, age: str,
    sex: str, strength: float, seed: int,
) -> tuple[np.ndarray, dict[str, np.ndarray], HeldOut]:  # fmt: skip
    rng = np.random.default_rng([seed, round(1000 * strength)])
    n = len(table)
    patient = np.isin(np.arange(n), rng.choice(n, PATIENTS, replace=False))
    x = volumes + _pattern(volumes, mask, patient, strength, rng)
    fold = rng.permutation(np.arange(n) % FOLDS)
    people = _people(table, ~patient, fold, age, sex)
    return *_ways(x, people, mask, labels, index), people


def _people(table: pd.DataFrame, reference: np.ndarray, fold: np.ndarray, age: str, sex: str) -> HeldOut:
    described = table.assign(reference=reference, age_of=table[age].astype(float), sex_of=table[sex].astype(str))
    return HeldOut(described.reset_index(drop=True), fold, fold)


def _ways(
    x: np.ndarray, people: HeldOut, mask: np.ndarray, labels: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """z of the regions by the model, and the number of each person by each way; x: (people, voxels)."""
    patient, fold = ~people.reference, people.fold
    residual, by_fold = np.empty_like(x), np.full((FOLDS, len(x)), np.nan)
    years, sexes = people.table["age_of"].to_numpy(), people.table["sex_of"].to_numpy(str)
    for k in range(FOLDS):
        train, unseen = ~patient & (fold != k), patient | (fold == k)
        mean = x[train].mean(axis=0)
        axes = np.linalg.svd(x[train] - mean, full_matrices=False)[2][:COMPONENTS]
        mu = (x - mean) @ axes.T
        here = fold == k
        residual[here] = x[here] - mean - mu[here] @ axes
        own, others = here & ~patient, unseen & patient
        pair = latent.percentiles(mu[own], years[own], sexes[own], mu[others], years[others], sexes[others])
        by_fold[k, own], by_fold[k, others] = pair
    smooth, of_image = (maps.smoothed(one, mask, FWHM) for one in (residual, x))
    z, z_bare, z_image = (maps.crossfit(one[:, ::EVERY], people)[0] for one in (smooth, residual, of_image))
    regions = maps.crossfit(maps.region_means(smooth, labels, index), people)[0]
    regions_of_image = maps.crossfit(maps.region_means(of_image, labels, index), people)[0]
    return (
        regions,
        {
            "model: extreme voxels": (np.abs(z) > EXTREME).mean(axis=1),
            "model, not smoothed: extreme voxels": (np.abs(z_bare) > EXTREME).mean(axis=1),
            "no model: extreme voxels": (np.abs(z_image) > EXTREME).mean(axis=1),
            "model: largest region": np.abs(regions).max(axis=1),
            "no model: largest region": np.abs(regions_of_image).max(axis=1),
            "model: percentile of latents": latent.combined(by_fold),
        },
    )


def _pattern(
    volumes: np.ndarray, mask: np.ndarray, patient: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Three smooth blobs of random sign, in patients alone, with a severity; its mean square is the given share."""
    field = np.zeros(mask.shape)
    for place in rng.choice(np.flatnonzero(mask), 3, replace=False):
        field.flat[place] = rng.choice([-1, 1])
    pattern = ndimage.gaussian_filter(field, 3.0)[mask]
    severity = np.where(patient, rng.uniform(0.5, 1.5, len(patient)), 0.0)
    total = strength * volumes.var(axis=0).sum()
    return (severity[:, None] * pattern * np.sqrt(total / np.square(pattern).sum())).astype(np.float32)


if __name__ == "__main__":
    main()
