"""Brain extraction: a mask per scan, by deepbet, from the template, or from an image that is already skull-stripped."""

import ctypes
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import torch
from scipy.ndimage import binary_fill_holes

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.files import plain_tempdir, write_beside
from neurovae.preprocess import batch, source
from neurovae.preprocess.image_quality import image_quality
from neurovae.preprocess.names import MASK, derivative
from neurovae.preprocess.scan import as_stored, canonical, read_scan

Method = Literal["deepbet", "template", "mask", "none"]
TOPS_MM = (115.0, 125.0, 135.0, 145.0)  # depths below the top of the head that are tried for the template mask


def run(
    *,
    list: Path,
    derivatives: Path,
    manifest: Path,
    seconds: Path,
    stamp: str,
    method: Method,
    nonfinite: Literal["fail", "zero"],
    max_failed: float,
) -> None:
    """Write a brain mask for every scan of a batch, on the scan's own voxels.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun extract

    Args:
        list: a scan key and a path per line.
        derivatives: folder of the BIDS derivatives.
        manifest: table to write, a row per scan.
        seconds: table to write of the seconds spent per scan and library call.
        stamp: digest of code and environment.
        method: deepbet, template (its mask propagated by an affine), mask (the one in the list, of another tool), none
            (the image is already skull-stripped).
        nonfinite: what to do with NaN and Inf voxels.
        max_failed: fraction of failed scans above which the job fails.
    """
    torch.set_num_threads(1)
    arguments = {"method": method, "nonfinite": nonfinite}

    def key(row: batch.Row) -> str:
        return batch.digest(
            "extract", stamp, arguments, _source(row), row["volume"], row["mask"] and _digest(row["mask"])
        )

    batch.run(
        batch.read_list(list),
        partial(_step, derivatives=derivatives, method=method, nonfinite=nonfinite),
        sidecar=lambda row: derivative(derivatives, row["scan"], MASK.replace(".nii.gz", ".json")),
        key=key,
        manifest=manifest,
        max_failed=max_failed,
        seconds=seconds,
    )


def _source(row: batch.Row) -> str:
    return _digest(row["source"])


def _digest(path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"{Path(path).name}: the file is missing; was it moved while the pipeline ran?")
    return source.digest(Path(path))


def _step(row: batch.Row, clock: batch.Clock, *, derivatives: Path, method: Method, nonfinite: str) -> batch.Work:
    stored = read_scan(row["source"], nonfinite=nonfinite, volume=row["volume"])
    scan = canonical(stored)
    mask = {"deepbet": _deepbet, "template": _template, "mask": _other_tool(row["mask"]), "none": _nonzero}[method](
        scan, clock
    )
    data = scan.get_fdata(dtype=np.float32)
    if not mask.any():
        raise InputError(f"{Path(row['source']).name}: {method} found no brain; inspect the scan")
    target = derivative(derivatives, row["scan"], MASK)
    with write_beside(target) as temporary:
        nib.save(as_stored(mask, stored), temporary)
    columns = {
        "source_sha256": source.digest(Path(row["source"])),
        **({"source_volume": int(row["volume"])} if row["volume"] else {}),
        "mask_ml": round(float(mask.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000), 3),
        "clipped": round(float(np.mean(data[mask] >= data.max())), 6),
        **image_quality(data, mask, nib.affines.voxel_sizes(scan.affine)),
    }
    return batch.Work([target], columns, {"SkullStripped": True, "Method": _describe(method), "Type": "Brain"})


def _keep_freed_memory() -> None:
    """Have the C library reuse what is freed, up to 2 GB, and not return it to the system after each layer.

    On Linux deepbet spent 40 % of its time on memory pages that the next layer asked for again. No number changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


@lru_cache
def _network() -> Any:
    from deepbet.bet import BrainExtraction

    _keep_freed_memory()
    with warnings.catch_warnings():  # deepbet 1.0.2 uses torch.jit, which torch has deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        return BrainExtraction(no_gpu=True)


def _deepbet(scan: nib.Nifti1Image, clock: batch.Clock) -> np.ndarray:
    """Fisch 2024, deepbet: threshold .5, largest component, holes filled."""
    network = _network()
    with clock("deepbet"):
        _, mask, _ = network.run(scan)
    return np.asarray(mask.dataobj) > 0


def _template(scan: nib.Nifti1Image, clock: batch.Clock) -> np.ndarray:
    """Return the template's mask, moved to the scan by the best of several affine registrations.

    A registration starts from the centres of mass, and the neck shifts that of a head away from the brain. So only the
    top of the head is registered, cut at several depths, with the metric inside the slightly dilated mask. Dice with
    DLMUSE was .940 to .955 on five `ixi` heads (deepbet: .98); with the whole head and one start, .58 to .90.

    Raises:
        InputError: no registration reaches a correlation of .45 inside the mask.
    """
    import ants

    from neurovae.preprocess.grid import brain_mask, template

    plain_tempdir()
    ants.config.set_ants_deterministic(True, seed_value=1)
    brain = brain_mask(2.0)
    fixed = ants.from_nibabel_nifti(template(2.0))
    mask = fixed.new_image_like(brain.astype(np.float32))
    dilated = ants.iMath(mask, "MD", 2)
    trials = []
    for depth in TOPS_MM:
        moving = ants.from_nibabel_nifti(_top(scan, depth))
        with clock("registration"):
            registered = ants.registration(
                fixed, moving, type_of_transform="Affine", mask=dilated, mask_all_stages=True
            )
            propagated = ants.apply_transforms(
                moving, mask, registered["fwdtransforms"], whichtoinvert=[True], interpolator="nearestNeighbor"
            )
        Path(registered["fwdtransforms"][0]).unlink()
        r = float(np.corrcoef(registered["warpedmovout"].numpy()[brain], fixed.numpy()[brain])[0, 1])
        trials.append((r, np.asarray(ants.to_nibabel_nifti(propagated).dataobj) > 0.5))
    best, best_mask = max(trials, key=lambda pair: pair[0])
    if best < 0.45:
        raise InputError(
            f"template: correlation {best:.2f} inside the propagated mask, at least .45 is needed; use deepbet"
        )
    return best_mask


def _top(scan: nib.Nifti1Image, depth: float) -> nib.Nifti1Image:
    """Zero everything over `depth` mm below the top of the head (first slice with 2 % of bright voxels)."""
    data = scan.get_fdata(dtype=np.float32).copy()
    head = (data > 0.15 * np.percentile(data, 99)).mean(axis=(0, 1)) > 0.02
    top = int(np.flatnonzero(head)[-1]) if head.any() else data.shape[2] - 1
    data[:, :, : max(0, top - round(depth / float(scan.header.get_zooms()[2])))] = 0
    return nib.Nifti1Image(data, scan.affine, scan.header)


def _other_tool(path: str) -> Callable[[nib.Nifti1Image, batch.Clock], np.ndarray]:
    """Return the mask of another tool, on the scan's own voxels."""
    return lambda scan, clock: source.given_mask(Path(path), scan)


def _nonzero(scan: nib.Nifti1Image, clock: batch.Clock) -> np.ndarray:
    """Return voxels of a stripped image that differ from its corners by over 1/1000 of its range, with holes filled."""
    data = scan.get_fdata(dtype=np.float32)
    background = np.median(data[np.ix_((0, -1), (0, -1), (0, -1))])
    differs = np.abs(data - background) > 1e-3 * float(np.ptp(data))
    return np.asarray(binary_fill_holes(differs))


def _describe(method: Method) -> str:
    if method == "mask":
        return "mask of the tool that preprocessed the scan"
    package = {"deepbet": "deepbet", "template": "antspyx", "none": None}[method]
    return (
        f"{package} {version(package)}" if package else "already skull-stripped: voxels that differ from the background"
    )


if __name__ == "__main__":
    cli(run)
