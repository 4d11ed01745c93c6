"""Correct the bias field, register the brain to the template, and resample it once to the grid."""

import tempfile
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import ants
import nibabel as nib
import numpy as np

from neurovae.cli import cli
from neurovae.files import sha256, write_beside
from neurovae.preprocess import affine, bucket, grid
from neurovae.preprocess.names import MASK, derivative, in_space
from neurovae.preprocess.scan import read_canonical

Transform = Literal["affine", "syn", "none"]
ANTS = {"affine": "Affine", "syn": "SyN"}


def run(
    *,
    extracted: Path,
    derivatives: Path,
    manifest: Path,
    seconds: Path,
    stamp: str,
    suffix: str,
    transform: Transform,
    bias_field: Literal["n4", "none"],
    template_mm: float,
    voxel_mm: float,
    nonfinite: Literal["fail", "zero"],
    max_failed: float,
) -> None:
    """Write every brain of a bucket in MNI space.

    Args:
        extracted: the bucket's manifest of masks.
        derivatives: folder of the BIDS derivatives.
        manifest: table to write, a row per scan.
        seconds: table to write of the seconds spent per scan and library call.
        stamp: digest of code and environment.
        suffix: BIDS suffix of the images ("T1w").
        transform: affine; syn (affine, then SyN; also writes the Jacobian determinant); none (already in MNI space).
        bias_field: n4 (Tustison 2010, inside the mask) or none.
        template_mm: voxel size of the template at which the registration is computed.
        voxel_mm: voxel size of the grid that the brain is resampled to.
        nonfinite: what to do with NaN and Inf voxels.
        max_failed: share of failed scans that ends the job.
    """
    ants.config.set_ants_deterministic(True, seed_value=1)
    arguments = [suffix, transform, bias_field, template_mm, voxel_mm, nonfinite]

    def key(row: bucket.Row) -> str:
        return bucket.digest("register", stamp, arguments, row["source_sha256"], sha256(_mask(derivatives, row)))

    bucket.run(
        bucket.read_manifest(extracted),
        partial(
            _step,
            derivatives=derivatives,
            suffix=suffix,
            transform=transform,
            bias_field=bias_field,
            template_mm=template_mm,
            voxel_mm=voxel_mm,
            nonfinite=nonfinite,
        ),
        sidecar=lambda row: in_space(derivatives, row["scan"], voxel_mm, f"desc-brain_{suffix}.json"),
        key=key,
        manifest=manifest,
        max_failed=max_failed,
        seconds=seconds,
    )


def _mask(derivatives: Path, row: bucket.Row) -> Path:
    return derivative(derivatives, row["scan"], MASK)


def _step(
    row: bucket.Row,
    clock: bucket.Clock,
    *,
    derivatives: Path,
    suffix: str,
    transform: Transform,
    bias_field: str,
    template_mm: float,
    voxel_mm: float,
    nonfinite: str,
) -> bucket.Work:
    scan = ants.from_nibabel_nifti(read_canonical(row["source"], nonfinite=nonfinite))
    mask = scan.new_image_like(np.asarray(nib.load(_mask(derivatives, row)).dataobj).astype(np.float32))
    if bias_field == "n4":
        with clock("n4"):
            scan = ants.n4_bias_field_correction(scan, mask=mask)
    brain = scan * mask
    name = partial(in_space, derivatives, row["scan"], voxel_mm)
    images = [name(f"desc-brain_{suffix}.nii.gz"), name(MASK)]
    columns: bucket.Row = dict(source_sha256=row["source_sha256"], source=row["source"], mask_ml=row["mask_ml"], clipped=row["clipped"])
    with tempfile.TemporaryDirectory() as folder:
        transforms = _register(brain, transform, template_mm, folder, clock)
        with clock("resample"):
            on_grid = [_resample(image, voxel_mm, transforms) for image in (brain, mask)]
        for path, image in zip(images, on_grid, strict=True):
            _save(image, path)
        if transform != "none":
            target = derivative(derivatives, row["scan"], f"from-{suffix}_to-{grid.SPACE}_mode-image_xfm.mat")
            with write_beside(target) as temporary:
                temporary.write_bytes(Path(transforms[-1]).read_bytes())
            images.append(target)
        columns |= affine.columns(affine.read_itk(Path(transforms[-1])) if transform != "none" else np.eye(4))
        if transform == "syn":
            images.append(name(f"desc-jacobian_{suffix}.nii.gz"))
            _save(_jacobian(transforms, voxel_mm), images[-1])
    parameters = {"SkullStripped": True, "Method": f"antspyx {version('antspyx')}", "Transform": transform}
    parameters |= {"BiasField": bias_field, "TemplateVoxelMm": template_mm, "SpatialReference": grid.SPACE}
    return bucket.Work(images, columns, parameters)


def _register(brain: Any, transform: Transform, template_mm: float, folder: str, clock: bucket.Clock) -> list[str]:
    """Transforms that take points of the template to points of the scan, in the order that ANTs applies them."""
    if transform == "none":
        return []
    with clock("registration"):
        found = ants.registration(
            _fixed(template_mm), brain, type_of_transform=ANTS[transform], outprefix=f"{folder}/"
        )
    return list(found["fwdtransforms"])


def _resample(image: Any, voxel_mm: float, transforms: list[str]) -> Any:
    """Resample once, linearly; first blur finer images to the grid's voxel size (full width), against aliasing."""
    blur = max(0.0, voxel_mm**2 - float(np.mean(image.spacing)) ** 2) ** 0.5
    if blur > 0:
        image = ants.smooth_image(image, blur, sigma_in_physical_coordinates=True, FWHM=True)
    return ants.apply_transforms(_fixed(voxel_mm), image, transforms)


@lru_cache
def _fixed(voxel_mm: float) -> Any:
    return ants.from_nibabel_nifti(grid.template(voxel_mm))


def _jacobian(transforms: list[str], voxel_mm: float) -> Any:
    """Local volume of the scan over the template's at each voxel: warp and affine together (1.2 = 20 % larger)."""
    warp = ants.create_jacobian_determinant_image(_fixed(voxel_mm), transforms[0], do_log=False)
    linear = affine.read_itk(Path(transforms[-1]))[:3, :3]
    return warp * float(np.linalg.det(linear))


def _save(image: Any, path: Path) -> None:
    with write_beside(path) as temporary:
        nib.save(nib.Nifti1Image(image.numpy().astype(np.float32), ants.to_nibabel_nifti(image).affine), temporary)


if __name__ == "__main__":
    cli(run)
