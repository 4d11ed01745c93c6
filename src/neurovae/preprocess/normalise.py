"""Normalise intensities inside the brain, and measure the quality of each scan on the grid."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.files import sha256, write_beside
from neurovae.io.images import read_image
from neurovae.preprocess import batch, grid, placement
from neurovae.preprocess.alignment import misalignment_mm
from neurovae.preprocess.geometry import check_sides
from neurovae.preprocess.names import ON_GRID, in_space, on_grid

Method = Literal["zscore", "percentile", "white-matter", "reference", "none"]


def run(
    *,
    registered: Path,
    derivatives: Path,
    manifest: Path,
    seconds: Path,
    stamp: str,
    suffix: str,
    method: Method,
    reference: str | None,
    voxel_mm: float,
    max_failed: float,
    grids: Path | None = None,
) -> None:
    """Write every scan of a batch with normalised intensities, and its quality numbers.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun normalise

    Args:
        registered: the batch's manifest of registered brains.
        derivatives: folder of the BIDS derivatives.
        manifest: table to write, a row per scan.
        seconds: table to write of the seconds spent per scan and library call.
        stamp: digest of code and environment.
        suffix: BIDS suffix of the images ("T1w").
        method: zscore, percentile, white-matter (peak), reference (PET and SPECT: over the mean of a region) or none.
        reference: for `reference`, "brain" or a NIfTI mask in MNI space.
        voxel_mm: voxel size of the grid.
        max_failed: fraction of failed scans above which the job fails.
        grids: file of the rule `grids`, with the template on the grids that are used.
    """
    grid.use(grids)
    region = reference_region(reference, voxel_mm) if method == "reference" else None
    named = {"NormalisationReference": reference_name(reference)} if method == "reference" else {}
    region_digest = None if region is None else batch.digest(np.packbits(region).tolist())
    brain = partial(_brain, derivatives, suffix, voxel_mm)

    def key(row: batch.Row) -> str:
        return batch.digest("normalise", stamp, method, region_digest, sha256(brain(row)), sha256(_mask(brain(row))))

    batch.run(
        batch.read_manifest(registered),
        partial(_step, brain=brain, method=method, region=region, voxel_mm=voxel_mm, suffix=suffix, named=named),
        sidecar=lambda row: _preproc(brain(row), suffix).with_name(_preproc(brain(row), suffix).name[:-7] + ".json"),
        key=key,
        manifest=manifest,
        max_failed=max_failed,
        seconds=seconds,
    )


def _brain(derivatives: Path, suffix: str, voxel_mm: float, row: batch.Row) -> Path:
    return in_space(derivatives, row["scan"], voxel_mm, f"desc-brain_{suffix}.nii.gz")


def _mask(brain: Path) -> Path:
    return brain.with_name(brain.name.split("_desc-brain_")[0] + "_" + ON_GRID)


def _preproc(brain: Path, suffix: str) -> Path:
    return brain.with_name(brain.name.replace(f"_desc-brain_{suffix}", f"_desc-preproc_{suffix}"))


def _step(
    row: batch.Row,
    clock: batch.Clock,
    *,
    brain: Callable[[batch.Row], Path],
    method: Method,
    region: np.ndarray | None,
    voxel_mm: float,
    suffix: str,
    named: dict[str, str],
) -> batch.Work:
    image = read_image(brain(row))
    data = image.get_fdata(dtype=np.float32)
    own_mask = read_image(_mask(brain(row))).get_fdata(dtype=np.float32) >= 0.5
    fixed = grid.brain_mask(voxel_mm)
    with clock("normalise"):
        out = np.where(
            fixed, normalise(data, own_mask & fixed, method, region=region, white=grid.white_matter(voxel_mm)), 0
        )
    target = _preproc(brain(row), suffix)
    with write_beside(target) as temporary:
        nib.save(nib.Nifti1Image(out.astype(np.float32), image.affine), temporary)
    template = grid.template(voxel_mm)
    measures = quality(data, own_mask, fixed, template.get_fdata(), grid.white_matter(voxel_mm), template.affine)
    columns = {**measures, **placement.offset(data, voxel_mm), "preproc_sha256": sha256(target)}
    described = {"SkullStripped": True, "Normalisation": method, **named, **on_grid(voxel_mm)}
    return batch.Work([target], columns, described)


def normalise(
    data: np.ndarray, brain: np.ndarray, method: Method, *, region: np.ndarray | None, white: np.ndarray
) -> np.ndarray:
    """Bring intensities to a common scale by one linear function per scan.

    Args:
        data: intensities on the grid.
        brain: the scan's brain on the grid, where the statistics are computed.
        method: see `run`.
        region: reference region on the grid.
        white: the template's white matter on the grid.

    Raises:
        InputError: the statistics cannot be computed (no contrast, no signal in the region).
    """
    if not brain.any():
        raise InputError("no brain inside the template's mask; the registration has failed, inspect the scan")
    values = data[brain].astype(np.float64)
    low, high = {
        "zscore": lambda: (values.mean(), values.mean() + values.std()),
        "percentile": lambda: tuple(np.percentile(values, [1, 99])),
        "white-matter": lambda: (0.0, _peak(data[brain & white])),
        "reference": lambda: (0.0, data[region & brain].mean() if region is not None else np.nan),
        "none": lambda: (0.0, 1.0),
    }[method]()
    if not np.isfinite(high - low) or high <= low:
        raise InputError(f"{method} normalisation found no contrast (low {low:g}, high {high:g}); inspect the scan")
    return (data - low) / (high - low)


def _peak(values: np.ndarray) -> float:
    """Return the mode of white-matter intensities: highest bin of 64 between the 1st and 99th percentile."""
    if len(values) < 50:
        raise InputError("fewer than 50 white-matter voxels on this grid; use zscore or a finer grid")
    counts, edges = np.histogram(values, bins=64, range=tuple(np.percentile(values, [1, 99])))
    top = int(np.argmax(np.convolve(counts, np.ones(5), mode="same")))
    return float((edges[top] + edges[top + 1]) / 2)


def quality(
    data: np.ndarray,
    own_mask: np.ndarray,
    fixed: np.ndarray,
    template: np.ndarray,
    white: np.ndarray,
    affine: np.ndarray,
) -> dict[str, float]:
    """Measure the quality of one scan on the grid.

    mask_dice: Dice of its own mask and the template's; template_r: Pearson correlation of intensities with the
    template inside the template's mask; snr: mean over standard deviation of intensity in the template's white matter.
    These three serve to exclude failed scans; anatomy changes them too (large ventricles lower all three), so they are
    no measures of noise or of registration in the sensitivity checks. misalignment_mm: see `alignment`.
    """
    dice = 2 * np.count_nonzero(own_mask & fixed) / (np.count_nonzero(own_mask) + np.count_nonzero(fixed))
    r = np.corrcoef(data[fixed], template[fixed])[0, 1]
    snr = data[white].mean() / max(float(data[white].std()), 1e-12)
    return {
        "mask_dice": round(float(dice), 5),
        "template_r": round(float(r), 5),
        "snr": round(float(snr), 4),
        "misalignment_mm": round(misalignment_mm(data, template, fixed, affine), 4),
    }


def reference_name(reference: str | None) -> str:
    """What sidecars call a reference region: "brain", or the SHA-256 checksum of its mask's file."""
    return "brain" if reference in (None, "brain") else sha256(Path(str(reference)))


def reference_region(reference: str | None, voxel_mm: float) -> np.ndarray:
    """Return the reference region on the grid (bool): the whole brain, or a mask in MNI space from a file."""
    if reference in (None, "brain"):
        return grid.brain_mask(voxel_mm)
    image = nib.squeeze_image(read_image(str(reference)))
    check_sides(image, Path(str(reference)).name)
    mask = nib.Nifti1Image((image.get_fdata() > 0).astype(np.float32), image.affine)
    region = resample_from_to(mask, grid.box(voxel_mm), order=1).get_fdata() >= 0.5
    if not region.any():
        raise InputError(f"{reference}: no voxel of the reference region lies in the grid; is it in MNI space?")
    return region


if __name__ == "__main__":
    cli(run)
