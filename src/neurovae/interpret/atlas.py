"""Regions on the grid of the fixed mask: the coarse built-in ones, or a label image in MNI space of the user's.

They name locations; they do not delineate structures.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from neurovae.cli import cli
from neurovae.design.tables import tidy
from neurovae.errors import InputError
from neurovae.interpret.images import read_maps, write_maps
from neurovae.interpret.regions import builtin
from neurovae.io.images import read_image
from neurovae.io.parquet import write_table
from neurovae.io.volumes import read_mask
from neurovae.plan.user_tables import atlas_names, names_beside
from neurovae.preprocess.geometry import check_sides

COLUMNS = {"index": "Int64", "name": "object", "hemisphere": "object", "voxels": "Int64", "made": "object",
           "source": "object", "licence": "object"}  # fmt: skip
COVERED = 0.8  # share of the mask that a label image's box has to hold


def run(*, mask: Path, image: Path, table: Path, atlas: str = "builtin") -> None:
    """Write the regions on the grid of the mask, and their names.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun atlas

    Args:
        mask: the fixed mask.
        image: label image to write (.nii.gz), 0 where no region is.
        table: table to write (.tsv): index, name, hemisphere, voxels, made, source, licence.
        atlas: builtin, or a label image in MNI space with a table (index, name) of the same name beside it.

    Raises:
        InputError: the user's atlas has no table, labels without a name, or does not lie where the brain is.
    """
    inside = read_mask(mask)
    affine = read_image(mask).affine
    if atlas == "builtin":
        labels, from_affine, rows = builtin()
        names = pd.DataFrame(rows, index=np.arange(1, len(rows) + 1))
        labels_in_mask = fill(sample(labels, from_affine, inside, affine), inside)
    else:
        labels, from_affine, names = read_user(Path(atlas))
        labels_in_mask = sample(labels, from_affine, inside, affine)
        _check(Path(atlas), labels.shape, from_affine, labels_in_mask, inside, affine)
    counts = np.bincount(labels_in_mask, minlength=int(names.index.max()) + 1)
    records: list[dict[str, Any]] = [
        {"index": int(index), "voxels": int(counts[index]), **row.to_dict()} for index, row in names.iterrows()
    ]
    write_maps(image, labels_in_mask, mask)
    write_table(table, tidy(records, COLUMNS))
    print(f"{sum(row['voxels'] > 0 for row in records)} regions of {len(records)} lie in the mask", flush=True)


def sample(labels: np.ndarray, from_affine: np.ndarray, inside: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Nearest label of each voxel of the mask, (voxels,), 0 beyond the image; affines: voxel to mm."""
    points = nib.affines.apply_affine(affine, np.argwhere(inside))
    voxels = nib.affines.apply_affine(np.linalg.inv(from_affine), points)
    return np.asarray(ndimage.map_coordinates(labels, voxels.T, order=0, mode="constant", cval=0, prefilter=False))


def fill(labels_in_mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Fill the rim of the mask, which the template's brain may not reach, with the nearest region."""
    volume = np.zeros(inside.shape, labels_in_mask.dtype)
    volume[inside] = labels_in_mask
    nearest = ndimage.distance_transform_edt(volume == 0, return_distances=False, return_indices=True)
    return np.asarray(volume[tuple(nearest)][inside])


def read_user(path: Path) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Labels (x, y, z), affine, and per index: name, hemisphere, made, source, licence.

    Raises:
        InputError: no table with the same name as the image, columns missing, an index twice, labels without a name,
            or a header that does not say which side is left.
    """
    if not path.exists():
        raise InputError(f"interpret.atlas: {path} does not exist; correct the path")
    table_path = names_beside(path)
    rows, problems = atlas_names(table_path)
    if problems:
        raise InputError(problems)
    image, table = read_image(path), pd.DataFrame(rows)
    check_sides(image, path.name)
    data = np.asarray(image.dataobj)
    labels = np.rint(data).astype(np.int32)
    if data.ndim != 3 or not np.array_equal(labels, data) or labels.min() < 0:
        raise InputError(f"{path}: not a 3-D image of whole numbers from 0; give labels, not probabilities")
    index = pd.Index([int(float(text)) for text in table.pop("index")], name="index")
    without_name = sorted(set(np.unique(labels)) - {0, *index})
    if without_name:
        examples = ", ".join(map(str, without_name[:5]))
        raise InputError(f"{table_path}: {len(without_name)} labels without a name ({examples}); give each a row")
    common = {"made": "as given", "source": path.name, "licence": "the atlas's own"}
    names = table.assign(**common).set_index(index).query("index > 0")
    names["hemisphere"] = names["hemisphere"] if "hemisphere" in names else "as named"
    return labels, image.affine, names[["name", "hemisphere", "made", "source", "licence"]]


def read_atlas(image: Path, mask: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Region of each voxel of the mask (voxels,), 0 for none, and the regions that lie in it: index, name, hemisphere.

    image: as written by `run`, its table beside it.
    """
    labels = np.rint(read_maps(image, read_mask(mask))).astype(int)
    table = pd.read_csv(names_beside(Path(image)), sep="\t", keep_default_na=False, na_values=["n/a"])
    return labels, table.loc[table["voxels"] > 0, ["index", "name", "hemisphere"]].reset_index(drop=True)


def _check(
    path: Path,
    shape: tuple[int, ...],
    from_affine: np.ndarray,
    labels_in_mask: np.ndarray,
    inside: np.ndarray,
    affine: np.ndarray,
) -> None:
    points = nib.affines.apply_affine(affine, np.argwhere(inside))
    voxels = nib.affines.apply_affine(np.linalg.inv(from_affine), points)
    covered = np.mean(np.all((voxels > -0.5) & (voxels < np.array(shape) - 0.5), axis=1))
    if covered < COVERED or not labels_in_mask.any():
        coverage = f"its box holds {covered:.0%} of the brain, {np.mean(labels_in_mask > 0):.0%} is labelled"
        raise InputError(f"{path}: {coverage}; the atlas has to be in MNI space")


if __name__ == "__main__":
    cli(run)
