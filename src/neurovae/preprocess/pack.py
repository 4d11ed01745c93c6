"""Pack the scans that passed quality control into one memory-mapped array for training."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.files import sha256, write_beside
from neurovae.io.images import read_image
from neurovae.io.parquet import read_parquet, write_table
from neurovae.preprocess import grid
from neurovae.preprocess.names import in_space
from neurovae.preprocess.qc import read_manifest


def run(
    *,
    manifests: Path,
    batches: list[str],
    qc: Path,
    derivatives: Path,
    suffix: str,
    voxel_mm: float,
    volumes: Path,
    rows: Path,
    mask: Path,
) -> None:
    """Write the packed volumes (float16, scans x grid), the table of their rows, and the fixed mask.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun pack

    Args:
        manifests: folder of the batches' manifests.
        batches: the batches' names.
        qc: quality table.
        derivatives: folder of the BIDS derivatives.
        suffix: BIDS suffix of the images ("T1w").
        voxel_mm: voxel size of the grid.
        volumes: `.npy` to write.
        rows: Parquet to write: row number, scan, person, session, acquisition, run, sha256 of the image.
        mask: NIfTI to write.
    """
    columns = ["scan", "preproc_sha256"]
    table = pd.concat([read_manifest(manifests / f"{name}.tsv")[columns] for name in batches], ignore_index=True)
    packed = read_parquet(qc).query("not excluded")[["scan"]].merge(table, on="scan", validate="one_to_one")
    packed = packed.sort_values("scan", ignore_index=True)
    images = [in_space(derivatives, scan, voxel_mm, f"desc-preproc_{suffix}.nii.gz") for scan in packed["scan"]]
    check_images(images, list(packed["preproc_sha256"]))
    write_volumes(images, voxel_mm, volumes)
    entities = pd.DataFrame([split_key(scan) for scan in packed["scan"]])
    write_table(rows, pd.concat([packed[["scan"]], entities, packed[["preproc_sha256"]]], axis=1))
    with write_beside(mask) as temporary:
        nib.save(nib.Nifti1Image(grid.brain_mask(voxel_mm).astype(np.uint8), grid.box(voxel_mm)[1]), temporary)


def split_key(scan: str) -> dict[str, str]:
    """Return person, session, acquisition and run of a scan's key; only the person keeps its BIDS prefix."""
    parts = dict(part.split("-", 1) for part in scan.split("_"))
    labels = {"session": parts.get("ses", ""), "acquisition": parts.get("acq", ""), "run": parts.get("run", "")}
    return {"person": f"sub-{parts['sub']}", **labels}


def check_images(images: list[Path], digests: list[str]) -> None:
    """Refuse images that are missing or differ from the manifest."""
    problems = []
    for image, expected in zip(images, digests, strict=True):
        if not image.exists():
            problems.append(f"{image.name}: is in the manifest but not on disk; rerun with --forcerun normalise")
        elif sha256(image) != expected:
            problems.append(f"{image.name}: is not the file of the manifest; rerun with --forcerun normalise")
    if problems:
        raise InputError(problems)


def write_volumes(images: list[Path], voxel_mm: float, volumes: Path) -> None:
    """Write the images into one `.npy` file, one at a time, so that memory does not grow with the cohort."""
    shape, affine = grid.box(voxel_mm)
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(images), *shape)}
    with (
        write_beside(volumes) as temporary,
        temporary.open("wb") as file,
    ):  # not a memory map, whose pages would accumulate
        np.lib.format.write_array_header_1_0(file, header)
        for number, path in enumerate(images):
            image = read_image(path)
            if image.shape != shape or not np.allclose(image.affine, affine, atol=1e-4):
                raise InputError(f"{path.name}: shape {image.shape} or affine is not the grid's {shape}")
            file.write(half(image.get_fdata(dtype=np.float32), path.name).tobytes())
            if number % 100 == 99 or number + 1 == len(images):
                print(f"packed {number + 1}/{len(images)}", flush=True)
        file.flush()
        os.fsync(file.fileno())


def half(data: np.ndarray, name: str) -> np.ndarray:
    """Convert to half precision; refuse intensities that it cannot represent to about 1 in 1,000."""
    largest = float(np.abs(data).max())
    if not 1e-2 < largest < 6e4:
        raise InputError(
            f"{name}: intensities reach {largest:g}; packed volumes hold .01 to 60,000; choose another normalise.method"
        )
    return data.astype(np.float16)


if __name__ == "__main__":
    cli(run)
