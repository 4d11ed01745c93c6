"""A planted effect in real heads: how much of it latents keep, against all voxels. `make planted`; age is never read.

    python tests/proof/planted.py [RESULTS [DATA [SEEDS]]]

The ventricles of the heads in DATA (`ixi`, with DLMUSE labels) are changed as in `planted_cohort`; RESULTS is the folder
of a run of config/ixi.yaml with `preprocess.voxel_mm: 2`. On the run's five folds, the planted score is predicted by the
pipeline's ridge regression from principal components, localised components and all voxels of the 4 mm grid. Components
are those of each fold's training people, the settings those that validation people choose. Everything is kept in
RESULTS/planted, so that a run that was stopped goes on.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from planted_cohort import COARSE, JUDGING, NODES, SHARES, Head, Tuning, head, limited, scores
from planted_models import MOST, Components, Fits, all_tapers, by_number, kept, localised, plain
from planted_warp import exponential, jacobian

from neurovae.io.files import write_beside, write_json
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import masked, splits
from neurovae.predict import features, voxels
from neurovae.predict.compare import against
from neurovae.predict.features import LATENTS, Features, split_rows
from neurovae.predict.folds import Cases
from neurovae.predict.metrics import metric_table
from neurovae.predict.predict import cross_validate
from neurovae.preprocess import grid

FOLDS, INNER = 5, 3
EVERY = 4  # of the people, those from whose changes the strengths are found
CHECKED = 10  # of the people, those whose planted volume is measured
PCA, LOCALISED = (16, 48), (48, 100, 200, 400)  # latents, besides as many as a PCA has
TAPER = 90.0  # mm, of the localised components that are judged
REAL = "real"  # the cohort without a planted effect
Cohort = tuple[float, int]  # share of the voxel variance, seed of the score


class Project:
    """A run's people, folds and mask, and the folder of what is made from them."""

    def __init__(self, results: Path, data: Path) -> None:
        self.results, self.data, self.out = results, data, results / "planted"
        self.rows = read_parquet(results / "preprocess" / "volumes.parquet")
        self.people = list(self.rows["person"])
        self.splits = [splits(self.rows, results / "cohort" / "folds.tsv", fold) for fold in range(FOLDS)]
        self.mask = grid.brain_mask(COARSE)
        self.out.mkdir(parents=True, exist_ok=True)

    def head(self, person: str) -> Head:
        return head(self.results, self.data, person)

    def volumes(self, name: str) -> np.ndarray:
        array: np.ndarray = np.load(self.out / f"{name}.npy").astype(np.float32)
        return array

    def keep(self, name: str, array: np.ndarray) -> None:
        with write_beside(self.out / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, array)


class Columns(NamedTuple):
    """What predicts in a fold: a function of rows, and the size of each latent (voxels have none)."""

    features: Features
    size: np.ndarray | None = None


def named(cohort: Cohort) -> str:
    return f"planted-{cohort[0]:g}-{cohort[1]}"


def strengths(project: Project) -> dict[float, float]:
    """Standard deviation of the log change for each share of the voxel variance, from some people's changes."""
    path = project.out / "strengths.json"
    if path.exists():
        return {float(share): sd for share, sd in json.loads(path.read_text(encoding="utf-8")).items()}
    changes = []
    for person in project.people[::EVERY]:
        one = project.head(person)
        plain_volume = one.planted(0.0)
        changes.append([(one.planted(node) - plain_volume)[project.mask] for node in NODES])
    variance = masked(project.volumes(REAL), project.mask).var(axis=0, ddof=1, dtype=np.float64).sum()
    tuning = Tuning(np.array(changes, np.float32), float(variance))
    found = {share: tuning.sd(share) for share in SHARES}
    write_json(path, {str(share): round(sd, 4) for share, sd in found.items()})
    print(f"standard deviation of the log volume by share of the voxel variance: {found}", flush=True)
    return found


def plant(project: Project, cohorts: list[Cohort]) -> None:
    """Write the packed volumes of the cohorts that are missing, and print what was measured in some people's labels."""
    if not (project.out / f"{REAL}.npy").exists():
        project.keep(REAL, np.array([project.head(person).planted(0.0) for person in project.people], np.float16))
    sds = strengths(project)
    missing = [cohort for cohort in cohorts if not (project.out / f"{named(cohort)}.npy").exists()]
    z = {cohort: scores(cohort[1], len(project.people)) for cohort in missing}
    made: dict[Cohort, list[np.ndarray]] = {cohort: [] for cohort in missing}
    errors, smallest = [0.0], np.inf
    for i, person in enumerate(project.people if missing else []):
        one = project.head(person)
        for cohort in missing:
            change = float(limited(sds[cohort[0]] * z[cohort][i]))
            made[cohort].append(one.planted(change).astype(np.float16))
            if i % CHECKED == 0:
                errors.append(abs(one.reached(change) - change))
                smallest = min(smallest, jacobian(exponential(np.float32(one.time(change)) * one.flow)).min())
        if i % CHECKED == CHECKED - 1:
            print(f"planted {i + 1}/{len(project.people)}", flush=True)
    for cohort, volumes in made.items():
        project.keep(named(cohort), np.array(volumes))
    if missing:
        print(f"measured less prescribed log volume: at most {max(errors):.3f}, mean {np.mean(errors[1:]):.3f}; "
              f"smallest Jacobian {smallest:.3f}", flush=True)  # fmt: skip


def cases(project: Project, y: np.ndarray, name: str, columns: list[Columns]) -> Cases:
    """The folds of one score with the columns of each, as `predict` and `voxels` make them."""
    fold = np.argmax([split == "test" for split in project.splits], axis=0)
    table = pd.DataFrame({"scan": project.rows["scan"], "person": project.people, "session": "", "fold": fold})
    base = {"score": "planted", "type": "continuous", "model": name, "seed": 0, "harmonised": "none"}
    parts = [
        split_rows(
            of.features,
            np.array(project.people),
            np.flatnonzero(fold != k),
            np.flatnonzero(fold == k),
            INNER,
            0,
            of.size,
        )
        for k, of in enumerate(columns)
    ]
    return Cases(table, y, np.ones((len(y), 1)), False, base | {"policy": "per fold"}, [], {LATENTS: parts})


def best_pca(volumes: np.ndarray, split: np.ndarray, mask: np.ndarray) -> Components:
    """The PCA of scans, of scans and mirror images, or of blurred copies too, that validation people favour."""
    rows, x = np.flatnonzero(split == "training"), masked(volumes[split == "validation"], mask)
    ways: list[dict[str, Any]] = [{"flip": False, "blur": 0}, {"blur": 0}, {}]
    return max((plain(volumes, rows, mask, **way) for way in ways), key=lambda found: float(found.explained(x)[-1]))


def of_latents(found: list[Components], x: np.ndarray, n: int) -> list[Columns]:
    """Scores of each fold and their sizes; components are orthonormal, so that a size is a standard deviation."""
    scores_of = [np.float64(one.scores(x, n)) for one in found]
    return [Columns(features.feature_maker(LATENTS, z, []), z.std(axis=0)) for z in scores_of]


def columns_of(project: Project, cohort: Cohort, real: list[Fits]) -> dict[str, list[Columns]]:
    """The columns of each model and of the voxels in each fold.

    real: localised components of the scans without a planted effect, of each fold, from which those of the cohort begin.
    """
    volumes, mask = project.volumes(named(cohort)), project.mask
    x, local = masked(volumes, mask), []
    for fold, split in enumerate(project.splits):
        rows, first = np.flatnonzero(split == "training"), real[fold][TAPER].components
        fit = partial(localised, volumes, rows, mask, TAPER, MOST, first, 1)
        local.append(kept(project.out / "components" / f"{named(cohort)}-{fold}.npz", fit))
    pcas = [best_pca(volumes, split, mask) for split in project.splits]
    columns = {f"pca {n}": of_latents(pcas, x, n) for n in PCA}
    columns["pca, all"] = [of_latents([one], x, len(one.components))[0] for one in pcas]
    columns |= {f"pca_localised {n}": of_latents(local, x, n) for n in LOCALISED}
    coordinates = voxels.coordinates(voxels.products(volumes, mask))
    return columns | {"voxels": [Columns(voxels.feature_maker(LATENTS, coordinates, []))] * FOLDS}


def judge(project: Project, cohort: Cohort, columns: dict[str, list[Columns]]) -> pd.DataFrame:
    """R2 of the planted score from each set of columns, and less that of the voxels, with the corrected interval."""
    real, planted = (masked(project.volumes(name), project.mask) for name in (REAL, named(cohort)))
    share = (planted - real).var(axis=0, ddof=1).sum() / real.var(axis=0, ddof=1).sum()
    y = scores(cohort[1], len(real))
    predicted = {name: cross_validate(cases(project, y, name, made), ["linear"]) for name, made in columns.items()}
    rows = []
    for name, part in predicted.items():
        r2 = next(row["value"] for row in metric_table(part, False, np.ones((1, len(part)))) if row["metric"] == "r2")
        row = {"share": cohort[0], "seed": cohort[1], "reached": float(share), "columns": name, "r2": r2}
        less = against(part, "voxels", predicted["voxels"])[0] if name != "voxels" else {}
        rows.append(row | {key: less.get(key) for key in ("difference", "ci_low", "ci_high")})
    return pd.DataFrame(rows)


def without_effect(project: Project) -> list[Fits]:
    """Localised components of the scans without a planted effect, of each fold; prints what their number explains."""
    volumes, folder = project.volumes(REAL), project.out / "components"
    found: list[Fits] = []
    for fold, split in enumerate(project.splits):
        rows = np.flatnonzero(split == "training")
        start = folder / f"{REAL}-{fold - 1}-{TAPER:g}.npz"
        found.append(all_tapers(volumes, rows, project.mask, f"{REAL}-{fold}", folder, start))
        x = {name: masked(volumes[split == name], project.mask) for name in ("training", "validation", "test")}
        print(f"fold {fold}: {json.dumps(by_number(found[-1], x))}", flush=True)
    return found


def main(asked: list[str]) -> None:
    torch.set_num_threads(1)
    given = dict(enumerate(asked))
    project = Project(Path(given.get(0, "results/ixi-2mm")), Path(given.get(1, "../shared/data/ixi")))
    seeds = range(JUDGING, JUDGING + int(given.get(2, 1)))
    cohorts = [(share, seed) for seed in seeds for share in SHARES]
    plant(project, cohorts)
    real, found = without_effect(project), []
    for cohort in cohorts:
        found.append(judge(project, cohort, columns_of(project, cohort, real)))
        pd.concat(found).to_csv(project.out / "table.tsv", sep="\t", index=False)
        print(found[-1].round(4).to_string(index=False), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
