"""Predict a later visit: the hidden last one of every held-out person, in latents and voxels, and one in the future.

Predicted volume = last scan + decode(predicted latents) - decode(latents of the last scan): a decoded volume alone
lacks a person's detail. It is compared with (i) the last scan, (ii) its reconstruction, and (iii) the last scan with
the mean change of the fitted people, each as the prediction of the hidden scan.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovae.cli import Json, cli
from neurovae.design.design import join
from neurovae.design.tables import STOPPING, joint_verdict, read_verdict, tidy, write_both
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import write_folder, write_image
from neurovae.io import latent_table
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import chunks, given, masked, read_volumes
from neurovae.trajectory.frame import confounds_of, timed
from neurovae.trajectory.growth_rows import redrawn
from neurovae.trajectory.hidden import Fold, Hidden, fit_fold, predict

LATENTS, VOXELS = "latents", "voxels"
AGAINST = {"last": "last scan", "reconstruction": "its reconstruction", "population": "last scan + mean change"}
IN_LATENTS = {"last": "last visit", "population": "last visit + mean change"}
SHOWN = 3  # people whose predicted volumes are written, if none are named
SAME = {"model": "object", "fold": "Int64", "seed": "Int64"}
HIDDEN = {"person": "object"} | SAME | {"scan_last": "object", "scan_hidden": "object", "visits": "Int64",
          "years_last": "float64", "years": "float64", "n_latents": "Int64", "covered": "Int64"} | dict.fromkeys(
    [f"latents_{name}" for name in ("model", *IN_LATENTS)] + [f"voxels_{name}" for name in ("model", *AGAINST)],
    "float64")  # fmt: skip
FORECAST = {"model": "object", "seed": "Int64", "space": "object", "measure": "object", "against": "object",
            "value": "float64", "ci_low": "float64", "ci_high": "float64", "n": "Int64", "folds": "Int64",
            "years": "float64", "resamples": "Int64", "status": "object", "reason": "object",
            "verdict": "object"}  # fmt: skip
Row = dict[str, Any]


def run(
    *,
    cohort: Path,
    qc: Path,
    times: Path,
    latents: list[Path],
    health: list[Path],
    weights: list[Path],
    volumes: Path,
    rows: Path,
    mask: Path,
    confounds: Json,
    age: str | None = None,
    ahead: float,
    people: list[str],
    bootstraps: int,
    seed: int,
    hidden: Path,
    out: Path,
    images: Path,
) -> None:
    """Write a row per held-out person whose last visit was hidden, ratios of errors, and predicted volumes.

    Example:
        snakemake --cores 2 --configfile my.yaml --forcerun forecast

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        times: times.parquet.
        latents: latents.parquet of each fold.
        health: health.json of each fold.
        weights: weights.safetensors of each fold.
        volumes: packed volumes; empty without images.
        rows: table of their rows.
        mask: the fixed mask; empty without images.
        confounds: the confounds of the configuration.
        age: column of the age, whose confound is left out.
        ahead: years after the last visit at which volumes are predicted.
        people: whose volumes are written; none: the first three.
        bootstraps: resamples of people.
        seed: of the resamples.
        hidden: table of people to write (.parquet, .tsv).
        out: table of ratios and coverage to write (.parquet, .tsv).
        images: folder to write: <person>_predicted.nii.gz and <person>_change.nii.gz.
    """
    torch.set_num_threads(1)
    base, of_people, rows_out = _base(latents[0], health), [], []
    with write_folder(images) as folder:
        written: set[str] = set()
        for fold_latents, fold_health, fold_weights in zip(latents, health, weights, strict=True):
            if base["verdict"] in STOPPING:
                break
            table = timed(
                join(read_parquet(cohort), latent_table.read(fold_latents), read_parquet(qc)), read_parquet(times)
            )
            decoder = read(fold_weights, fold_latents, mask, fold_health)
            z = table[decoder.names].to_numpy(float)
            fold, reason = fit_fold(table, confounds_of(table, confounds, age, with_split=False), z)
            if fold is None:
                rows_out.append(base | {"status": "too few people", "reason": reason})
                continue
            packed = read_volumes(volumes, rows) if given(mask) and decoder.decodes else None
            of_people += evaluate(fold, predict(fold), decoder, packed, z[fold_rows(table, fold)])
            if packed is not None:
                chosen = people or sorted(set(table.loc[table["latents_split"] == "test", "person"]))[:SHOWN]
                few = chosen if people else chosen[: SHOWN - len(written)]
                written |= write_volumes(folder, fold, predict(fold, ahead, few), decoder, packed, mask, ahead)
            print(f"fold {decoder.meta['fold']}: {len(of_people)} hidden visits {fold.note}", flush=True)
        rows_out += [base | {"space": VOXELS, "measure": f"predicted volume of {name}", "status": "not predicted",
                             "reason": "not a test participant of a trained fold, or excluded"}
                     for name in people if name not in written and base["verdict"] not in STOPPING]  # fmt: skip
    table = once(tidy(of_people, HIDDEN), read_parquet(cohort))
    write_both(hidden, table)
    if base["verdict"] in STOPPING:
        rows_out = [base | {"status": "not tested"}]
    family = {} if not len(table) else _families(read_parquet(cohort))
    write_both(out, tidy([*ratios(table, base, bootstraps, seed, family), *rows_out], FORECAST))


def _families(people: pd.DataFrame) -> dict[str, str]:
    """Family of each person of the cohort table; empty without families."""
    return dict(zip(people["person"], people["family"], strict=True)) if "family" in people else {}


def once(table: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """Keep one row per person: people outside the reference are held out of every fold, and stay in their own."""
    own = table["person"].map(cohort.drop_duplicates("person").set_index("person")["fold"])
    ordered = table.assign(other=(own != table["fold"]).astype(int)).sort_values("other", kind="stable")
    return ordered.drop_duplicates("person").drop(columns="other").sort_index().reset_index(drop=True)


def fold_rows(table: pd.DataFrame, fold: Fold) -> np.ndarray:
    """Positions in the table of visits of the rows of a fold's own table, which lacks people of unknown levels."""
    return np.flatnonzero(table["scan"].isin(set(fold.table["scan"])).to_numpy())


def evaluate(
    fold: Fold, found: Hidden, decoder: Decoder, packed: tuple[np.ndarray, pd.DataFrame] | None, z: np.ndarray
) -> list[Row]:
    """Squared errors of each hidden visit, summed over latents (in SD) and over voxels; z: (rows, latents)."""
    table, truth = fold.table, z[found.target]
    same = {"model": table["latents_model"].iloc[0], "fold": int(table["latents_fold"].iloc[0]),
            "seed": int(table["latents_seed"].iloc[0])}  # fmt: skip
    guesses = {"model": found.predicted, "last": found.z_last, "population": found.population}
    errors = {
        f"latents_{name}": np.square((guess - truth) / found.spread).sum(axis=1) for name, guess in guesses.items()
    }
    inside = ((truth >= found.low) & (truth <= found.high)).sum(axis=1)
    same["n_latents"] = int(np.isfinite(found.low).all(axis=0).sum())
    if packed is not None:
        errors |= _in_voxels(fold, found, decoder, packed)
    return [
        same | {"person": table["person"].iloc[last], "scan_last": table["scan"].iloc[last],
                "scan_hidden": table["scan"].iloc[target], "visits": int(found.visits[i]),
                "years_last": float(table["years"].iloc[last]), "years": float(found.years[i]),
                "covered": int(inside[i])} | {name: float(values[i]) for name, values in errors.items()}
        for i, (last, target) in enumerate(zip(found.last, found.target, strict=True))
    ]  # fmt: skip


def _in_voxels(
    fold: Fold, found: Hidden, decoder: Decoder, packed: tuple[np.ndarray, pd.DataFrame]
) -> dict[str, np.ndarray]:
    scans, errors = fold.table["scan"].to_numpy(), {name: np.empty(len(found.last)) for name in ("model", *AGAINST)}
    for part in chunks(len(found.last)):
        last, truth = (_voxels(scans[rows[part]], decoder, packed) for rows in (found.last, found.target))
        of_last = decoder.decode(found.z_last[part])
        guesses = {
            "model": last + decoder.decode(found.predicted[part]) - of_last,
            "last": last,
            "reconstruction": of_last,
            "population": last + decoder.decode(found.population[part]) - of_last,
        }
        for name, guess in guesses.items():
            errors[name][part] = np.square((guess - truth).astype(np.float64)).sum(axis=1)
    return {f"voxels_{name}": values for name, values in errors.items()}


def _voxels(scans: np.ndarray, decoder: Decoder, packed: tuple[np.ndarray, pd.DataFrame]) -> np.ndarray:
    array, rows = packed
    places = pd.Series(np.arange(len(rows)), index=rows["scan"])
    return masked(array[places.loc[scans].to_numpy()], decoder.mask)


def write_volumes(
    folder: Path,
    fold: Fold,
    found: Hidden,
    decoder: Decoder,
    packed: tuple[np.ndarray, pd.DataFrame],
    mask: Path,
    ahead: float,
) -> set[str]:
    """Write each person's predicted volume and its difference from the last scan; return who was written."""
    written = set()
    for i, row in enumerate(found.last):
        person, scan = fold.table["person"].iloc[row], fold.table["scan"].iloc[row]
        ends = decoder.decode(np.stack([found.z_last[i], found.predicted[i]]))
        fields = {"Scan": scan, "YearsAhead": ahead, "Fold": int(fold.table["latents_fold"].iloc[0])}
        last = _voxels(np.array([scan]), decoder, packed)[0]
        text = f"predicted {ahead:g} years after the last scan, by a model that was not trained on this participant"
        write_image(folder / f"{person}_predicted.nii.gz", last + ends[1] - ends[0], mask, f"Volume {text}", **fields)
        write_image(folder / f"{person}_change.nii.gz", ends[1] - ends[0], mask, f"Change {text}", **fields)
        written.add(person)
    return written


def ratios(
    table: pd.DataFrame, base: Row, bootstraps: int, seed: int, family: dict[str, str] | None = None
) -> list[Row]:
    """Ratios of summed squared errors (model over each alternative) and coverage, with bootstrap over people.

    family: of each person, where some are related: they are drawn together.
    """
    if not len(table):
        return []
    weights = redrawn(table["person"].map(family or {}).fillna(table["person"]).to_numpy(), bootstraps, seed)
    gap = float((table["years"] - table["years_last"]).mean())
    base = base | {"n": len(table), "folds": table["fold"].nunique(), "years": gap, "resamples": bootstraps}
    found = []
    for space, names in ((LATENTS, IN_LATENTS), (VOXELS, AGAINST)):
        if table[f"{space}_model"].isna().all():
            continue
        for name, words in names.items():
            values = _ratio(weights, table[f"{space}_model"], table[f"{space}_{name}"])
            found.append(base | {"space": space, "measure": "error ratio", "against": words} | _summary(values))
    values = _ratio(weights, table["covered"], table["n_latents"])
    return [*found, base | {"space": LATENTS, "measure": "coverage of the 90 % interval"} | _summary(values)]


def _ratio(weights: np.ndarray, above: pd.Series, below: pd.Series) -> np.ndarray:
    return np.asarray(weights @ above.to_numpy(float) / (weights @ below.to_numpy(float)))


def _summary(values: np.ndarray) -> Row:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": float(values[0]), "ci_low": float(low), "ci_high": float(high), "status": "ok", "reason": ""}


def _base(latents: Path, health: list[Path]) -> Row:
    table = read_parquet(latents, ["model", "seed"])
    verdict, reason = joint_verdict({path.parent.name: read_verdict(path) for path in health})
    return {"model": table["model"].iloc[0], "seed": int(table["seed"].iloc[0]), "verdict": verdict, "reason": reason}


if __name__ == "__main__":
    cli(run)
