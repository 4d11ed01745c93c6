"""Local volume change associated with a score: decoded(low score) registered to decoded(high score), log-Jacobian.

Intensity cannot tell a ventricle that grew from a hippocampus that shrank, both darken; the determinant of the
registration's Jacobian is the ratio of local volumes (Ashburner and Friston 2000, "Voxel-based morphometry - the
methods"; SyN: Avants et al. 2008). The two volumes differ in contrast too, so that the metric is the local
cross-correlation. Measured at 4 mm on the template with planted changes of +20, -10 and -5 %: 93 to 104 % of the
log-volumes come back, 68 to 86 % where images are blurred by 6 mm more, as decoded ones are; contrast alone gives .015
at most. So a number here is rather too small, and has no test of its own.
"""

import csv
import tempfile
from pathlib import Path
from typing import Any

import ants
import nibabel as nib
import numpy as np
from scipy.ndimage import binary_dilation

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.interpret.images import in_file, read_maps, write_folder, write_maps
from neurovae.io.files import plain_tempdir, write_tsv
from neurovae.io.images import read_image
from neurovae.train.health.verdicts import FORWARD, NO_DECODER

SETTINGS: dict[str, Any] = {"syn_metric": "CC", "syn_sampling": 2, "reg_iterations": (40, 20, 10), "flow_sigma": 3}
BETWEEN = "the score's 5 and 95 % quantile (binary: its classes), confounds at their means; no test"
SHARED = ("score", "type", "model", "fold", "seed", "n")
COLUMNS = [*SHARED, "index", "region", "hemisphere", "voxels", "log_jacobian", "percent", "fraction_larger", "rank",
           "between", "status", "reason", "verdict"]  # fmt: skip
Row = dict[str, Any]


def run(*, maps: Path, table: Path, mask: Path, atlas: Path, out_folder: Path, out: Path, seed: int = 1) -> None:
    """Write `<score>_logjacobian.nii.gz` per score with maps, on the grid of the mask, and a table of score x region.

    Positive: larger at the high score than at the low one. Table: mean log-Jacobian of a region, the same as a change
    of volume in percent, 100 (exp(mean) - 1), the share of its voxels that are larger, and its rank by |mean|.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun jacobian

    Args:
        maps: folder of score maps, with `<score>_from.nii.gz` and `<score>_to.nii.gz`.
        table: maps.tsv, a row per score.
        mask: the fixed mask.
        atlas: regions on the grid of the mask (.nii.gz), with their table (index, name, hemisphere) beside it (.tsv).
        out_folder: folder of the images.
        out: table to write (.tsv).
        seed: of the registration, which runs in one thread.

    Raises:
        InputError: a score's volumes are not there, or the atlas has no such region.
    """
    plain_tempdir()
    ants.config.set_ants_deterministic(True, seed_value=seed)
    names = read_names(atlas)
    labels = read_maps(atlas, read_mask(mask)).astype(int)
    rows: list[Row] = []
    with write_folder(out_folder) as folder:
        for score in read_rows(table):
            shared = {name: score[name] for name in (*SHARED, "status", "reason", "verdict")}
            if score["status"] == "ok" and score.get("mapped_by") == FORWARD:  # no volumes that it could compare
                shared |= {"status": "no decoder", "reason": NO_DECODER}
            if shared["status"] != "ok":
                rows.append(shared)
                continue
            log_ratio = log_jacobian(*read_pair(maps, score["score"]), read_mask(mask))
            write_maps(folder / f"{in_file(score['score'])}_logjacobian.nii.gz", log_ratio, mask)
            places = in_regions(log_ratio, labels, names)
            rows += [shared | {"between": BETWEEN} | place for place in places]
            top = min(places, key=lambda place: place["rank"])
            print(f"{score['score']}: most in {top['hemisphere']} {top['region']}, {top['percent']:+.1f} %", flush=True)
    write_tsv(out, rows, COLUMNS)


def log_jacobian(low: nib.Nifti1Image, high: nib.Nifti1Image, inside: np.ndarray) -> np.ndarray:
    """Log of local volume in `high` over that in `low`, voxels of the mask (voxels,), on the grid of `low`.

    Both volumes lie in one space, so nothing but the warp is fitted; the metric looks at the mask and one voxel beyond.
    """
    fixed_image, moving_image = (ants.from_nibabel_nifti(image) for image in (low, high))
    near = fixed_image.new_image_like(binary_dilation(inside).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        registered = ants.registration(
            fixed_image,
            moving_image,
            "SyNOnly",
            initial_transform="identity",
            mask=near,
            outprefix=f"{folder}/",
            **SETTINGS,
        )
        jacobian = ants.create_jacobian_determinant_image(fixed_image, registered["fwdtransforms"][0], do_log=True)
    return np.asarray(jacobian.numpy()[inside], np.float64)


def in_regions(values: np.ndarray, labels: np.ndarray, names: dict[int, Row]) -> list[Row]:
    """A row per region that has voxels. values, labels: (voxels,) log-Jacobian and region; names: rows by index."""
    rows: list[Row] = []
    for index, name in names.items():
        part = values[labels == index]
        if part.size:
            mean = float(part.mean())
            numbers = {"log_jacobian": mean, "percent": 100 * float(np.expm1(mean))}
            rows.append(name | numbers | {"voxels": part.size, "fraction_larger": float((part > 0).mean())})
    for rank, row in enumerate(sorted(rows, key=lambda row: -abs(row["log_jacobian"])), start=1):
        row["rank"] = rank
    return rows


def read_mask(path: Path) -> np.ndarray:
    """The fixed mask (bool); as `volumes.read_mask`, whose module needs pandas."""
    return np.asarray(read_image(path).dataobj) > 0


def read_rows(path: Path) -> list[Row]:
    """Rows of a TSV; n/a is None."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [{name: None if cell == "n/a" else cell for name, cell in row.items()} for row in rows]


def read_names(atlas: Path) -> dict[int, Row]:
    """Index, region and hemisphere by index, from the table beside the label image."""
    table = atlas.with_name(f"{atlas.name.removesuffix('.nii.gz')}.tsv")
    if not table.is_file():
        raise InputError(f"{table}: the regions' table is not there; rerun with --forcerun atlas")
    rows = read_rows(table)
    return {
        int(row["index"]): {"index": int(row["index"]), "region": row["name"], "hemisphere": row.get("hemisphere")}
        for row in rows
    }


def read_pair(maps: Path, score: str) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """The volumes decoded at the low and at the high score."""
    paths = [maps / f"{in_file(score)}_{end}.nii.gz" for end in ("from", "to")]
    if missing := [path for path in paths if not path.is_file()]:
        raise InputError(f"{missing[0]}: not there, though the table says that {score} has maps; --forcerun maps")
    low, high = (read_image(path) for path in paths)
    for image in (low, high):
        image.header.set_xyzt_units("mm", "sec")  # else ANTs warns
    return low, high


if __name__ == "__main__":
    cli(run)
