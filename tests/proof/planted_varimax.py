"""Varimax on the planted cohort: power of single latents, and whether two fits find the same latents. After `planted.py`.

python tests/proof/planted_varimax.py [RESULTS [DATA [SHARES]]]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import planted_power as single
import torch
from planted import FOLDS, REAL, Project, named
from planted_cohort import JUDGING, SHARES, scores
from planted_models import Components

from neurovae.io.volumes import masked

TRAINED = (SHARES[0], JUDGING)  # the cohort on whose training people the models are fitted
KEY = ["model", "rotate"]


def power(project: Project, shares: tuple[float, ...]) -> Iterator[pd.DataFrame]:
    """Latents found in each replicate, fold by fold."""
    volumes, x = project.volumes(named(TRAINED)), masked(project.volumes(REAL), project.mask)
    per_sd = single.effect(x, masked(volumes, project.mask), scores(TRAINED[1], len(x)))
    for fold in range(FOLDS):
        training = project.splits[fold] == "training"
        with np.load(project.out / "components" / f"{named(TRAINED)}-{fold}.npz") as arrays:
            local = Components(arrays["mean"], arrays["components"])
        found = single.fits(volumes, np.flatnonzero(training), project.mask, local)
        yield pd.DataFrame(single.power(x, training, found, per_sd, shares, 1 + fold)).assign(fold=fold)


def matching(project: Project) -> Iterator[pd.DataFrame]:
    """Latents of two fits matched, fold by fold, without a planted effect."""
    volumes = project.volumes(REAL)
    for fold in range(FOLDS):
        for how in ("halves", "bootstraps"):
            rows = single.matching(volumes, project.splits[fold], project.mask, fold, how)
            yield pd.DataFrame(rows).assign(fold=fold)


def summary(table: pd.DataFrame) -> str:
    """Share of replicates with a latent found, and how many are found on average, by strength, model and rotation."""
    each = table.explode("hits").astype({"hits": int}).assign(found=lambda rows: rows["hits"] > 0)
    by_model = each.groupby(["share", *KEY]).agg(
        replicates=("hits", "size"), power=("found", "mean"), latents=("hits", "mean")
    )
    return str(by_model.round(3).to_string())


def main(asked: list[str]) -> None:
    torch.set_num_threads(1)
    given = dict(enumerate(asked))
    project = Project(Path(given.get(0, "results/ixi-2mm")), Path(given.get(1, "../shared/data/ixi")))
    shares = tuple(float(share) for share in given[2].split(",")) if 2 in given else SHARES
    parts: list[pd.DataFrame] = []
    for part in power(project, shares):
        parts.append(part)
        pd.concat(parts).to_csv(project.out / "power.tsv", sep="\t", index=False)
        print(summary(pd.concat(parts)), flush=True)
    matches: list[pd.DataFrame] = []
    for part in matching(project):
        matches.append(part)
        table = pd.concat(matches)
        table.to_csv(project.out / "matching.tsv", sep="\t", index=False)
        by_model = table.groupby(["how", *KEY])[["r", "by_chance", "share_matched"]].mean()
        print(f"{part['fold'].iloc[0] + 1} folds\n{by_model.round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
