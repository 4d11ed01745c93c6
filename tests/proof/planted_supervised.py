"""A planted effect in real heads: what supervised models predict of left-out people, beside voxels and latents.

    python tests/proof/planted_supervised.py [RESULTS [DATA [SEEDS [FIRST]]]]

After `planted.py` or in its place: the same heads, strengths and folds, with scores of seeds that nothing was chosen on
(FIRST, 200, and those after it). Models have the settings that are the defaults of the configuration; there are no
confounds. R2 is out of fold, about the mean of each fold's training people.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from planted import (
    FOLDS,
    TAPER,
    Cohort,
    Columns,
    Project,
    best_pca,
    cases,
    named,
    of_latents,
    plant,
)
from planted_cohort import SHARES, scores
from planted_models import MOST, localised

from neurovae.io.volumes import masked
from neurovae.plan.config import load_schema, validate
from neurovae.predict import voxels
from neurovae.predict.compare import against
from neurovae.predict.features import LATENTS
from neurovae.predict.metrics import metric_table
from neurovae.predict.predict import cross_validate
from neurovae.supervised.joint_fold import Fold, predicted
from neurovae.train.models import joint, joint_inputs
from neurovae.train.supervision import Scores

FRESH = 200  # the first seed of scores; `planted.py` uses 0 to 4 and those from 100 on
NAME = "planted"
MODELS: dict[str, dict[str, Any]] = {
    "aligned, ridge": {"kind": "aligned"},
    "aligned, PLS": {"kind": "aligned", "direction": "pls"},
    "aligned, perceptron": {"kind": "aligned", "network": "perceptron"},
    "joint": {"kind": "joint"},
}


def entries() -> dict[str, dict[str, Any]]:
    """The options of each model: the defaults of the configuration."""
    given = [{"name": f"m{k}", "supervised_by": [NAME], **entry} for k, entry in enumerate(MODELS.values())]
    cohort = {"name": NAME, "bids": ".", "scores": [{"name": NAME, "type": "continuous"}]}
    config = validate({"cohort": cohort, "train": {"models": [{"name": "vae", "kind": "vae"}, *given]}}, load_schema())
    left = ("name", "transductive")
    rows = [{key: value for key, value in one.items() if key not in left and not (key == "n_latent" and value is None)}
            for one in config["train"]["models"][1:]]  # fmt: skip
    return dict(zip(MODELS, rows, strict=True))


def supervised(project: Project, volumes: np.ndarray, y: np.ndarray, split: np.ndarray, entry: dict[str, Any]) -> Any:
    """Predicted score of the test people of one fold, from a model that saw the scores of the others."""
    scans = pd.DataFrame({"scan": project.rows["scan"], "person": project.people})
    given = Scores(scans.assign(**{NAME: y})[split != "test"].reset_index(drop=True), [NAME], [])
    options = {key: value for key, value in entry.items() if key != "kind"}
    module, test = importlib.import_module(f"neurovae.train.models.{entry['kind']}"), np.flatnonzero(split == "test")
    if entry["kind"] == "joint":
        options["declared"] = [{"name": NAME, "type": "continuous", "bounds": None}]
    tensors, architecture, _ = module.fit(volumes, split, project.mask, seed=0, device="cpu", scores=given,
                                          scans=scans, **options)  # fmt: skip
    if entry["kind"] == "aligned":
        return y[split != "test"].mean() + module.embed(volumes[test], project.mask, tensors, architecture)[0][:, 0]
    x = joint_inputs.components_of(volumes, test, project.mask, tensors)
    fold = Fold(joint.network(tensors, architecture), architecture["items"], tensors, x, y[test, None], 0)
    return predicted(fold, "image", {NAME: [NAME]})[0][:, 0]


def unsupervised(project: Project, volumes: np.ndarray) -> dict[str, list[Columns]]:
    """Columns of PCAs, of localised components and of all voxels in each fold."""
    x = masked(volumes, project.mask)
    rows = [np.flatnonzero(split == "training") for split in project.splits]
    pcas = [best_pca(volumes, split, project.mask) for split in project.splits]
    local = [localised(volumes, one, project.mask, TAPER, MOST) for one in rows]
    coordinates = voxels.coordinates(voxels.products(volumes, project.mask))
    return {
        "voxels": [Columns(voxels.feature_maker(LATENTS, coordinates, []))] * FOLDS,
        "pca 48": of_latents(pcas, x, 48),
        "pca, all": [of_latents([one], x, len(one.components))[0] for one in pcas],
        f"pca_localised {MOST}": of_latents(local, x, MOST),
    }


def judge(project: Project, cohort: Cohort) -> pd.DataFrame:
    """R2 of the planted score by each way, and less that of ridge on voxels, with the corrected interval."""
    volumes, y = project.volumes(named(cohort)), scores(cohort[1], len(project.people))
    found = {
        name: cross_validate(cases(project, y, name, made), ["linear"])
        for name, made in unsupervised(project, volumes).items()
    }
    for name, entry in entries().items():
        value = pd.Series(np.nan, project.rows["scan"])
        for split in project.splits:
            value[split == "test"] = supervised(project, volumes, y, split, entry)
        found[name] = found["voxels"].assign(prediction=value[found["voxels"]["scan"]].to_numpy())
    rows = []
    for name, part in found.items():
        r2 = next(row["value"] for row in metric_table(part, False, np.ones((1, len(part)))) if row["metric"] == "r2")
        less = against(part, "voxels", found["voxels"])[0] if name != "voxels" else {}
        rows.append({"share": cohort[0], "seed": cohort[1], "model": name, "r2": r2}
                    | {key: less.get(key) for key in ("difference", "ci_low", "ci_high")})  # fmt: skip
    return pd.DataFrame(rows)


def main(asked: list[str]) -> None:
    torch.set_num_threads(1)
    given = dict(enumerate(asked))
    project = Project(Path(given.get(0, "results/ixi-2mm")), Path(given.get(1, "../shared/data/ixi")))
    first = int(given.get(3, FRESH))
    cohorts = [(share, seed) for seed in range(first, first + int(given.get(2, 1))) for share in SHARES]
    plant(project, cohorts)
    found = []
    for cohort in cohorts:
        found.append(judge(project, cohort))
        pd.concat(found).to_csv(project.out / "supervised.tsv", sep="\t", index=False)
        print(found[-1].round(4).to_string(index=False), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
