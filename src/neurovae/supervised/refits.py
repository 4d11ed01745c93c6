"""Fit an aligned network again under permuted scores, and in random halves, as many times as asked.

Each permutation repeats every fold: the adjustment for confounds, the twin, the network and where it stops. Nothing is
kept from the models of the run but their options. A permutation costs as much as the training of all folds.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import cli
from neurovae.design.design import join
from neurovae.design.tables import tidy
from neurovae.io.parquet import read_parquet, write_table
from neurovae.io.volumes import SPLITS, read_mask, read_volumes
from neurovae.stats.aligned import partial_r
from neurovae.stats.products import products
from neurovae.supervised import inference
from neurovae.supervised.beside_twin import PERMUTATION, SPLIT
from neurovae.supervised.cases import cases, confounds_of, left_out, people
from neurovae.train import supervision, weights
from neurovae.train.models import aligned

COLUMNS = {"score": "object", "what": "object", "number": "Int64", "value": "float64"}
VALIDATION = 7  # of a half: one in so many of its people stops the training


def run(
    *,
    cohort: Path,
    qc: Path,
    volumes: Path,
    rows: Path,
    mask: Path,
    training_scores: list[Path],
    latents: list[Path],
    weights: list[Path],
    permutations: int,
    splits: int,
    seed: int,
    out: Path,
) -> None:
    """Write the partial correlation under each permuted score, and the p value of each random half.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun aligned_refits

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        training_scores: what the model of each fold was given.
        latents: latents.parquet of each fold, whose test rows say who is tested.
        weights: of each fold, whose options are used.
        permutations: of each score, the other scores of the model as they are.
        splits: random halves.
        seed: of permutations and splits.
        out: Parquet to write, a row per score and fit.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    array, scans = read_volumes(volumes, rows)
    brain = read_mask(mask)
    metas = [_meta(path) for path in weights]
    table = join(read_parquet(cohort), left_out([read_parquet(path) for path in latents]), read_parquet(qc))
    names = metas[0]["options"]["supervised_by"]
    split_of = {meta["fold"]: _splits(meta, scans) for meta in metas}
    files = {
        meta["fold"]: supervision.read(path, names, scans, split_of[meta["fold"]], meta["fold"])
        for path, meta in zip(training_scores, metas, strict=True)
    }
    found: list[dict[str, Any]] = []
    for name in names:
        fitter = Fitter(array, scans, brain, files, split_of, metas[0], name, table)
        for number, values in enumerate(fitter.permuted(permutations, seed)):
            found.append({"score": name, "what": PERMUTATION, "number": number, "value": values})
        halves = inference.split_p(fitter.data, fitter.half, splits, seed)
        found += [{"score": name, "what": SPLIT, "number": k, "value": p} for k, p in enumerate(halves)]
        print(f"{name}: {permutations} permutations, {splits} halves", flush=True)
    write_table(out, tidy(found, COLUMNS))


class Fitter:
    """Fits of the network of one score, to the people of a fold or of a half."""

    def __init__(
        self, array: np.ndarray, scans: pd.DataFrame, brain: np.ndarray, files: dict[int, supervision.Scores],
        split_of: dict[int, np.ndarray], meta: dict[str, Any], name: str, table: pd.DataFrame,
    ) -> None:  # fmt: skip
        self.array, self.scans, self.brain, self.files, self.split_of = array, scans, brain, files, split_of
        self.options, self.seed, self.name = meta["options"], meta["seed"], name
        self.column = self.options["supervised_by"].index(name)
        self.chosen = people(files, name, table)
        self.places = pd.Index(scans["scan"]).get_indexer(self.chosen["scan"])
        confounds = confounds_of(next(iter(files.values())), name)
        gram = products(array[self.places], brain)
        self.data = cases(self.chosen, name, confounds, table, gram)

    def permuted(self, permutations: int, seed: int) -> list[float]:
        """Partial correlation of the out-of-fold latents with each permuted score."""
        x = inference.given(self.data)
        draws = inference.permuted(self.data, permutations, seed) if permutations else iter(())
        return [float(partial_r(self.out_of_fold(y)[None], y[None], x)[0]) for block in draws for y in block]

    def out_of_fold(self, y: np.ndarray) -> np.ndarray:
        """Latents (n,) of the people from fits to the scores y (n,) of the other folds."""
        z = np.full(len(y), np.nan)
        for part in self.data.parts:
            fold = int(self.chosen["fold"].iloc[part.test[0]])
            z[part.test] = self.latent(self.files[fold], self.split_of[fold], y, part.test)
        return z

    def half(self, train: np.ndarray, test: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Latents of the test people (n,) from a fit to the others; x is not used: the fit makes its own design."""
        split = np.full(len(self.scans), "test", object)
        split[self.places[train]] = "training"
        order = np.random.default_rng(self.seed).permutation(self.data.family.max() + 1)[self.data.family[train]]
        split[self.places[train][order <= np.quantile(order, 1 / VALIDATION)]] = "validation"
        whole = pd.concat([one.table for one in self.files.values()]).drop_duplicates("scan")
        kept = whole[whole["scan"].isin(self.chosen["scan"].iloc[train])].reset_index(drop=True)
        first = next(iter(self.files.values()))
        return self.latent(first._replace(table=kept), split, self.data.y, test)

    def latent(self, scores: supervision.Scores, split: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Latents of some people from a fit to the scores y (n,) of those in a table."""
        value = pd.Series(y, index=self.chosen["scan"]).reindex(scores.table["scan"]).to_numpy()
        own = scores.table[self.name].to_numpy(float)
        changed = scores.table.assign(**{self.name: np.where(np.isnan(value), own, value)})
        with contextlib.redirect_stdout(io.StringIO()):
            tensors, architecture, _ = aligned.fit(
                self.array, split, self.brain, seed=self.seed, device="cpu", scores=scores._replace(table=changed),
                scans=self.scans, **self.options,
            )  # fmt: skip
        volumes = self.array[self.places[test]]
        return aligned.embed(volumes, self.brain, tensors, architecture)[0][:, self.column]


def _meta(path: Path) -> dict[str, Any]:
    return weights.load_own(path)[1]


def _splits(meta: dict[str, Any], scans: pd.DataFrame) -> np.ndarray:
    split_of = {person: split for split in SPLITS for person in meta["people"][split]}
    return np.asarray(scans["person"].map(split_of).to_numpy(object))


if __name__ == "__main__":
    cli(run)
