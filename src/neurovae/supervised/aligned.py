"""Test, predict and map the latents of a supervised model in the people who were left out of each fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovae.associate.fitted import fitted, linear_fits
from neurovae.associate.glm import glm
from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.tables import tidy, write_both
from neurovae.errors import InputError
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import read_mask, read_volumes
from neurovae.predict.leakage import refuse
from neurovae.stats.aligned import Part, coefficients, decomposed
from neurovae.stats.exchangeability import rule
from neurovae.stats.products import centred, products
from neurovae.supervised import honest, inference
from neurovae.supervised.aligned_columns import FOLDS, PREDICTIONS, TESTS
from neurovae.supervised.beside_twin import beside_twin, of_refits
from neurovae.supervised.cases import cases, confounds_of, described, expected, left_out, people
from neurovae.supervised.honest import Weights, same, same_network
from neurovae.supervised.patterns import known, patterns, write
from neurovae.train import supervision, weights


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
    scores: Json,
    confounds: Json,
    fold: int,
    permutations: int,
    splits: int,
    bootstraps: int,
    seed: int,
    tests: Path,
    folds: Path,
    predictions: Path,
    mean: Path,
    sd: Path,
    refits: str = "",
) -> None:
    """Write the tests, the regressions per fold, the predictions and the patterns of one supervised model.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun aligned

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        volumes: packed volumes.
        rows: table of their rows.
        mask: the fixed mask.
        training_scores: what the model of each fold was given.
        latents: latents.parquet of each fold.
        weights: of each fold.
        scores: the scores of the configuration.
        confounds: the confounds of the configuration.
        fold: the fold of the single split.
        permutations: of the score, each with all fits repeated.
        splits: random halves.
        bootstraps: resamples of people for the intervals.
        seed: of permutations, splits and resamples.
        tests: Parquet to write, TSV beside it, a row per score.
        folds: the same, a row per score and fold.
        predictions: the same, a row per score and left-out person.
        mean: NIfTI to write, a volume per score: mean of the folds' patterns.
        sd: the same, their standard deviation over folds.
        refits: of the rule `aligned_refits`, for a network that is fitted again; empty: it is not.

    Raises:
        InputError: every sign that a score of test people has entered the fit of a model.
    """
    everybody = read_parquet(cohort)
    refuse(latents, weights, everybody)
    models = [_model(path) for path in weights]
    metas = [meta for _, meta in models]
    honest.same_files(training_scores, metas)
    array, scans = read_volumes(volumes, rows)
    brain = read_mask(mask)
    of_folds = [read_parquet(path) for path in latents]
    test_rows = left_out(of_folds)
    table = join(everybody, test_rows, read_parquet(qc))
    files = {
        int(meta["fold"]): supervision.read(
            path, meta["options"]["supervised_by"], scans, _split(meta, scans), meta["fold"]
        )
        for path, meta in zip(training_scores, metas, strict=True)
    }
    declared = {score["name"]: score for score in scores}
    settings = {"permutations": permutations, "splits": splits, "bootstraps": bootstraps, "seed": seed, "fold": fold}
    network = metas[0]["architecture"].get("network", "none")
    of_fold = {int(meta["fold"]): Weights(tensors, meta["architecture"]) for tensors, meta in models}
    again = read_parquet(Path(refits)) if refits else None
    found: dict[str, list[dict[str, Any]]] = {"tests": [], "folds": [], "predictions": []}
    maps = []
    for name, one in zip(metas[0]["architecture"]["targets"], metas[0]["architecture"]["latents"], strict=True):
        if name is None:  # a free latent
            continue
        base = {"track": supervision.SUPERVISED, "score": name, "type": declared[name]["type"], "latent": f"mu_{one}"}
        base |= {"model": test_rows["model"].iloc[0], "kind": metas[0]["kind"], "seed": metas[0]["seed"]}
        base |= {"direction": metas[0]["options"]["direction"], "network": network}
        given = {} if network == "none" else of_fold
        result, images = score_results(
            table, files, array, scans, brain, declared[name], confounds, base, settings, given, again
        )
        for key, value in result.items():
            found[key] += value
        maps.append(images)
        print(f"{name}: {result['tests'][0]}", flush=True)
    for path, key, columns in (
        (tests, "tests", TESTS),
        (folds, "folds", FOLDS),
        (predictions, "predictions", PREDICTIONS),
    ):
        write_both(path, tidy(found[key], columns))
    write(mean, sd, mask, np.array(maps))


def score_results(
    table: pd.DataFrame,
    files: dict[int, supervision.Scores],
    array: np.ndarray,
    scans: pd.DataFrame,
    brain: np.ndarray,
    score: dict[str, Any],
    declared: list[dict[str, Any]],
    base: dict[str, Any],
    settings: dict[str, int],
    networks: dict[int, Weights],
    refits: pd.DataFrame | None,
) -> tuple[dict[str, list[dict[str, Any]]], np.ndarray]:
    """Rows of the three tables of one score, and its patterns (folds, voxels).

    Args:
        table: joined cohort and test latents, a row per usable scan.
        files: what the model of each fold was given.
        array, scans: packed volumes and their rows.
        brain: the fixed mask.
        score: of the configuration.
        declared: the confounds of the configuration.
        base: columns that all rows share.
        settings: permutations, splits, bootstraps, seed, and the fold of the single split.
        networks: weights of each fold; empty: the latents are linear.
        refits: of a network that was fitted again, or None.
    """
    name, direction = score["name"], base["direction"]
    chosen = people(files, name, table)
    confounds = confounds_of(next(iter(files.values())), name)
    packed = pd.Index(scans["scan"]).get_indexer(chosen["scan"])
    data = cases(chosen, name, confounds, table, products(array[packed], brain))
    z = table.set_index("scan").loc[chosen["scan"], base["latent"]].to_numpy(float)
    twin = inference.out_of_fold(data.gram, data.parts, data.y[None], direction)[0]
    if networks:
        same_network(z, twin, array[packed], brain, chosen["fold"].to_numpy(int), networks, name)
    else:
        same(z, twin, name)
    by_fold = [_regression(table, chosen, part, score, declared, base) for part in data.parts]
    row = base | {"n": len(chosen), "confounds": described(chosen, name, confounds, declared)}
    row |= {"n_confound_columns": data.x.shape[1] - 1, "status": "ok"}
    site = table.set_index("scan").loc[chosen["scan"], "site"].to_numpy(str)
    related = None if len(set(data.family)) == len(data.family) else data.family
    row |= {"permutation": f"{rule(site, related)}, all folds refitted"}
    if networks:
        row |= beside_twin(data, z, twin, settings) | of_refits(data, z, refits, name)
        row |= {} if row["permutations"] else {"permutation": None}
    else:
        row |= inference.permutation(data, direction, settings["permutations"], settings["seed"])
        row |= inference.combined(inference.halves(data, direction, settings["splits"], settings["seed"]), "splits")
    row |= inference.interval(data, z, settings["bootstraps"], settings["seed"])
    empty = {"fold": settings["fold"], "n": 0}  # no participant of this fold has the score
    single = next((one for one in by_fold if one["fold"] == settings["fold"]), empty)
    row |= {"fold": single["fold"], "n_split": single["n"], "p_split": single.get("p_one_sided", np.nan)}
    row |= inference.combined(np.array([one.get("p_one_sided", np.nan) for one in by_fold]), "folds")
    predicted, r2 = _predictions(chosen, data, z, confounds, base)
    row |= {"twin_r2": _predictions(chosen, data, twin, confounds, base)[1]["r2"]} if networks else {}
    images = patterns(array, packed, brain, z, inference.given(data), data.parts)
    there = known(images)
    alike = np.corrcoef(images[there])[np.triu_indices(there.sum(), 1)] if there.sum() > 1 else np.array([np.nan])
    row |= r2 | {"pattern_r": float(alike.mean())}
    if not there.all():
        lacking = (
            f"{(~there).sum()} of {len(there)} folds have no pattern: the latent does not vary in their test people"
        )
        row["reason"] = "; ".join(filter(None, [row.get("reason"), lacking]))
    return {"tests": [row], "folds": by_fold, "predictions": predicted}, images


def _regression(
    table: pd.DataFrame, chosen: pd.DataFrame, part: Part, score: dict[str, Any], declared: list[dict[str, Any]],
    base: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The ordinary regression of the declared family in the test people of one fold."""
    fold = int(chosen["fold"].iloc[part.test[0]])
    rows = table[table["scan"].isin(chosen["scan"].iloc[part.test])].reset_index(drop=True)
    others = [name for name in rows.columns if str(name).startswith("mu_") and name != base["latent"]]
    rows = rows.drop(columns=others)
    fits = fitted(rows, score, declared)
    row = glm(rows, fits, [linear_fits(rows, one) for one in fits])[0]
    kept: dict[str, Any] = {
        name: row[name]
        for name in ("n", "family", "effect", "ci_low", "ci_high", "p", "status", "reason")
        if name in row
    }
    if row["status"] == "ok":
        positive = (row["effect"] > 0) != (row["link"] == "inverse")
        kept["p_one_sided"] = row["p"] / 2 if positive else 1 - row["p"] / 2
    return base | {"fold": fold, "n_training": len(part.train)} | kept


def _predictions(
    chosen: pd.DataFrame, data: inference.Cases, z: np.ndarray, confounds: list[str], base: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """A row per left-out person, and R2 from confounds and image, from confounds alone, and their difference."""
    full, alone, mean = (np.empty(len(z)) for _ in range(3))
    for part in data.parts:
        among, _ = centred(data.gram, part.train, part.test)
        inside = among @ coefficients(decomposed(among, part.x), data.y[None, part.train], base["direction"])[0]
        full[part.test] = expected(chosen, base["score"], confounds, part, inside) + z[part.test]
        alone[part.test] = expected(chosen, base["score"], confounds, part, np.zeros(len(inside)))
        mean[part.test] = data.y[part.train].mean()
    total = np.square(data.y - mean).sum()
    r2, r2_confounds = (float(1 - np.square(data.y - one).sum() / total) for one in (full, alone))
    q = np.linalg.qr(inference.given(data))[0]
    frame = chosen[["scan", "person", "fold"]].assign(
        truth=data.y, value=z, prediction=full, prediction_confounds=alone, training_mean=mean,
        residual=data.y - q @ (q.T @ data.y), residual_value=z - q @ (q.T @ z),
    )  # fmt: skip
    rows = [base | {str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    return rows, {"r2": r2, "r2_confounds": r2_confounds, "r2_gain": r2 - r2_confounds}


def _model(path: Path) -> tuple[weights.Tensors, dict[str, Any]]:
    tensors, meta = weights.load_own(path)
    if meta.get("track") != supervision.SUPERVISED:
        raise InputError(f"{path}: not a supervised model")
    return tensors, meta


def _split(meta: dict[str, Any], scans: pd.DataFrame) -> np.ndarray:
    split_of = {person: split for split, members in meta["people"].items() for person in members}
    return scans["person"].map(split_of).to_numpy()


if __name__ == "__main__":
    cli(run)
