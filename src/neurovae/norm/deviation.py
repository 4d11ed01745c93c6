"""Deviation of each participant from the reference: maps, regions and latents, and whether the norm is calibrated."""

from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import stats

from neurovae.cli import cli
from neurovae.design.design import first_scans, join
from neurovae.design.rows import provenance
from neurovae.design.tables import STOPPING, joint_verdict, tidy, write_both
from neurovae.errors import InputError
from neurovae.interpret.atlas import read_atlas
from neurovae.interpret.decoder import Decoder, read
from neurovae.interpret.images import write_folder, write_image
from neurovae.io import latent_table
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet
from neurovae.io.volumes import given, read_mask, read_volumes
from neurovae.norm import calibration, latent, maps
from neurovae.norm.estimate import FEWEST, LEVEL, known, outermost
from neurovae.norm.held_out import HeldOut, held_out
from neurovae.norm.reference import people as reference_people
from neurovae.norm.reference import refuse_trained
from neurovae.norm.words import ALONE, IMAGE, MODEL, NO_NORM, NORMED
from neurovae.predict.folds import groups_of

DESCRIPTION = {
    MODEL: "z of scan minus its reconstruction by a model of the reference, smoothed, given age and sex; no diagnosis",
    IMAGE: "z of the smoothed scan given age and sex, without a model; no diagnosis",
}
KEYS = {"scan": "object", "person": "object", "session": "object", "site": "object", "fold": "Int64",
        "reference": "boolean", "age": "float64", "extrapolated": "boolean"}  # fmt: skip
STATE = {"model": "object", "seed": "Int64", "verdict": "object", "status": "object", "reason": "object"}
PEOPLE = KEYS | {"n_reference": "Int64", "outermost_centile": "float64"} | dict.fromkeys(
    ["extreme", "extreme_low", "extreme_image", "extreme_low_image"], "float64") | {
    "d2_percentile": "float64", "d2_folds": "Int64"} | STATE  # fmt: skip
REGIONS = {"scan": "object", "person": "object", "reference": "boolean", "way": "object", "region": "object",
           "hemisphere": "object"} | dict.fromkeys(["z", "centile", "centile_low", "centile_high"], "float64") | {
           "model": "object", "seed": "Int64"}  # fmt: skip
CALIBRATION = {"way": "object", "scope": "object", "level": "object", "tercile": "Int64"} | dict.fromkeys(
    ["share", "low", "high"], "float64") | {"within": "boolean", "n": "Int64", "model": "object",
    "seed": "Int64"}  # fmt: skip
DRAWS = 1000  # of the simultaneous bounds
Rows = list[dict[str, Any]]


def run(
    *,
    cohort: Path,
    qc: Path,
    reference: Path,
    latents: list[Path],
    weights: list[Path],
    health: list[Path],
    volumes: Path = Path(),
    rows: Path = Path(),
    mask: Path = Path(),
    atlas: Path = Path(),
    age: str,
    sex: str = "",
    smooth_mm: float,
    extreme: float,
    bootstraps: int,
    seed: int,
    people: Path,
    regions: Path,
    calibrated: Path,
    images: Path,
) -> None:
    """Write a row per participant, the z of regions, the calibration, and a folder of maps.

    Example:
        snakemake --cores 2 --configfile config/mystudy.yaml --forcerun deviation

    Args:
        cohort: cohort.parquet.
        qc: qc.parquet.
        reference: reference.tsv.
        latents: latents.parquet of each fold's model.
        weights: weights of these, in the same order.
        health: health.json of these.
        volumes: packed volumes; an empty path: a cohort without images has deviations of latents alone.
        rows: table of their rows.
        mask: the fixed mask.
        atlas: regions on its grid, their table beside them.
        age: column of the age.
        sex: column of the sex; empty: norms depend on age alone.
        smooth_mm: FWHM of the smoothing of residuals and scans.
        extreme: absolute z beyond which a voxel is extreme.
        bootstraps: resamples of people.
        seed: of these.
        people: table to write, a row per participant.
        regions: table to write, a row per participant, way and region.
        calibrated: table to write, shares beyond 1.96 in held-out reference people.
        images: folder to write, maps as NIfTI with their description.

    Raises:
        InputError: a model trained on people outside the reference, or fewer than 20 reference people to learn from.
    """
    chosen = reference_people(reference)
    if chosen is None:
        raise InputError("norm.deviation: no cohort.reference_group; give column and equals")
    cohort_table, checks = read_parquet(cohort), read_parquet(qc)
    paths = zip(weights, latents, health, strict=True)
    models = [read(model, table, mask, judged) for model, table, judged in paths]
    decoders = {int(model.meta["fold"]): model for model in models}
    tables = {k: first_scans(join(cohort_table, one.latents, checks)) for k, one in decoders.items()}
    for table, path in zip(tables.values(), latents, strict=True):
        refuse_trained(table, chosen, path)
    found = held_out(tables, chosen, age, sex or None)
    verdict, reason = joint_verdict({f"fold-{k}": (one.verdict, one.reason) for k, one in decoders.items()})
    state = _state(verdict, reason, found, models[0], given(volumes))
    own = _described(found)
    of_regions: Rows = []
    of_calibration: Rows = []
    with write_folder(images) as folder:
        if state["status"] in NORMED:
            _latent(own, tables, found)
        if state["status"] == "ok":
            scans, inside = maps.Scans(*read_volumes(volumes, rows), found.table["scan"]), read_mask(mask)
            regions_found = read_atlas(atlas, mask)
            voxel_mm = float(np.mean(nib.affines.voxel_sizes(read_image(mask).affine)))
            for way in (MODEL, IMAGE):
                values = (
                    maps.residuals(scans, partial(_decoded, decoders, found), inside, found.fold)
                    if way == MODEL
                    else maps.voxels(scans, inside)
                )
                values = maps.smoothed(values, inside, smooth_mm / voxel_mm)
                _write_maps(own, maps.crossfit(values, found)[0], way, extreme, folder, mask)
                parts = _regions(values, found, *regions_found, way, bootstraps, seed)
                of_regions, of_calibration = of_regions + parts[0], of_calibration + parts[1]
                print(f"deviation: {way} done", flush=True)
    stamp = {key: value for key, value in provenance(next(iter(tables.values()))).items() if key != "fold"}
    of_people = [row | state if state["status"] not in NORMED else state | row for row in own or [{}]]
    of_people.sort(key=lambda row: row["status"] == NO_NORM)  # rows with a norm come first
    write_both(people, tidy([stamp | {"verdict": verdict} | row for row in of_people], PEOPLE))
    write_both(regions, tidy([stamp | row for row in of_regions], REGIONS))
    write_both(calibrated, tidy([stamp | row for row in of_calibration], CALIBRATION))
    print(f"deviation: {len(own)} participants, {int(found.reference.sum())} of the reference; {state}", flush=True)


def _state(verdict: str, reason: str, found: HeldOut, model: Decoder, images: bool) -> dict[str, str]:
    """Status and reason of all rows."""
    smallest = min(maps.sizes(found).values(), default=0)
    if verdict in STOPPING:
        return {"status": "not tested", "reason": reason}
    if smallest < FEWEST:
        need = "use more folds of models (train.folds) or more people"
        text = f"{smallest} held-out people of the reference to learn a norm from, {FEWEST} are needed; {need}"
        return {"status": "too few people", "reason": text}
    if not images:
        return {"status": ALONE, "reason": "no images, so that there are no maps"}
    return {"status": "ok", "reason": ""} if model.decodes else {"status": ALONE, "reason": str(model.absent["reason"])}


def _described(found: HeldOut) -> Rows:
    """What is known of each participant, with the number of reference people in the norm and what they allow."""
    ages, n = found.table.loc[found.reference, "age_of"], maps.sizes(found)
    rows: Rows = []
    normed = maps.normed(found)
    for row, k, has_norm in zip(found.table.to_dict("records"), found.group, normed, strict=True):
        keys = {key: row[key] for key in KEYS if key in row}
        beyond = not ages.min() <= row["age_of"] <= ages.max()
        size = n[int(k)]
        keys |= {"age": row["age_of"], "extrapolated": beyond, "n_reference": size}
        why = "" if has_norm else f"no norm for sex {row['sex_of']}: fewer than {LEVEL} of it in the reference"
        keys |= {"outermost_centile": outermost(size) if size else np.nan}
        rows.append(keys | ({"status": NO_NORM, "reason": why} if why else {}))
    return rows


def _write_maps(own: Rows, z: np.ndarray, way: str, extreme: float, folder: Path, mask: Path) -> None:
    """Write each map, and add the shares of its extreme voxels to the participant's row. z: (people, voxels).

    Voxels that do not vary in the reference have no z, and people of a sex without a norm have no map.
    """
    suffix = "" if way == MODEL else "_image"
    for row, one in zip(own, z, strict=True):
        if not np.isfinite(one).any():
            continue
        row[f"extreme{suffix}"] = float((np.abs(one[np.isfinite(one)]) > extreme).mean())
        row[f"extreme_low{suffix}"] = float((one[np.isfinite(one)] < -extreme).mean())
        path = folder / f"{row['scan']}_{way}_z.nii.gz"
        write_image(path, one, mask, DESCRIPTION[way], Units="standard deviations of the reference")


def _decoded(decoders: dict[int, Decoder], found: HeldOut, k: int) -> np.ndarray:
    """Reconstructions of the people whom the model of fold k reconstructs, (people, voxels)."""
    model = decoders[k]
    scans = found.table.loc[found.fold == k, "scan"]
    return model.decode(model.latents.set_index("scan").loc[scans, model.names].to_numpy(np.float64))


def _latent(own: Rows, tables: dict[int, pd.DataFrame], found: HeldOut) -> None:
    """Add each participant's median percentile over the folds, and the number of folds."""
    by_fold = np.full((len(tables), len(own)), np.nan)
    age, sex = found.table["age_of"].to_numpy(float), found.table["sex_of"].to_numpy(str)
    for place, (k, table) in enumerate(sorted(tables.items())):
        ordered = table.set_index("scan").loc[found.table["scan"]]
        unseen = (ordered["latents_split"] == "test").to_numpy()
        z = ordered[latent_table.columns(ordered)].to_numpy(float)
        unseen &= known(sex, sex[unseen & found.reference])
        inside, outside = unseen & found.reference, unseen & ~found.reference
        if inside.sum() < latent.FEWEST:
            continue
        alone, others = latent.percentiles(z[inside], age[inside], sex[inside], z[outside], age[outside], sex[outside])
        by_fold[place, inside], by_fold[place, outside] = alone, others
        print(f"deviation: latents of fold {k}, {int(inside.sum())} reference people", flush=True)
    count = np.isfinite(by_fold).sum(axis=0)
    for row, value, folds in zip(own, latent.combined(by_fold), count, strict=True):
        row |= {"d2_percentile": value, "d2_folds": int(folds)}


def _regions(
    values: np.ndarray, found: HeldOut, labels: np.ndarray, names: pd.DataFrame, way: str, draws: int, seed: int
) -> tuple[Rows, Rows]:
    """z and centile of each region with its interval, and the calibration over these regions."""
    z, error = maps.crossfit(maps.region_means(values, labels, names["index"].to_numpy()), found)
    keys = found.table[["scan", "person", "reference"]].to_dict("records")
    rows: Rows = []
    for person, one, its_error in zip(keys, z.astype(float), error.astype(float), strict=True):
        low, high = one - 1.96 * its_error, one + 1.96 * its_error
        centiles = [100 * stats.norm.cdf(value) for value in (one, low, high)]
        for region, *numbers in zip(names.to_dict("records"), one, *centiles, strict=True):
            row = dict(zip(("z", "centile", "centile_low", "centile_high"), map(float, numbers), strict=True))
            rows.append(
                {str(k): v for k, v in person.items()}
                | row
                | {"way": way, "region": region["name"], "hemisphere": region["hemisphere"]}
            )
    return rows, _calibration(z[found.reference], found.table[found.reference], names, way, draws, seed)


def _calibration(z: np.ndarray, table: pd.DataFrame, names: pd.DataFrame, way: str, draws: int, seed: int) -> Rows:
    """Rows over all regions, by age tercile, by site, and per region and tercile, of people and regions with z."""
    people, regions = np.isfinite(z).any(axis=1), np.isfinite(z[np.isfinite(z).any(axis=1)]).all(axis=0)
    z, table, names = z[people][:, regions], table[people], names[regions]
    if not z.size:
        return []
    labels = [f"{row.hemisphere} {row.name_}" for row in names.rename(columns={"name": "name_"}).itertuples()]
    tercile, group = calibration.terciles(table["age_of"].to_numpy(float)), groups_of(table)
    rows: Rows = [{"scope": "all regions", "level": "everybody"} | calibration.overall(z, group, draws, seed)]
    rows += [
        {"scope": "age tercile", "level": str(k + 1), "tercile": k + 1}
        | calibration.overall(z[tercile == k], group[tercile == k], draws, seed)
        for k in np.unique(tercile)
    ]
    site = table["site"].replace("n/a", None)
    rows += [
        {"scope": "site", "level": str(name)} | calibration.overall(z[here], group[here], draws, seed)
        for name in (sorted(site.dropna().unique()) if site.nunique() > 1 else [])
        for here in [(site == name).to_numpy()]
    ]
    cells = calibration.cells(z, tercile, labels, DRAWS, seed)
    rows += [{"scope": "region and age tercile", "level": row.pop("region")} | row for row in cells]
    return [row | {"way": way} for row in rows]


if __name__ == "__main__":
    cli(run)
