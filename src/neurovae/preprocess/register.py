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
from neurovae.errors import InputError
from neurovae.io.files import sha256, write_beside
from neurovae.preprocess import affine, batch, grid
from neurovae.preprocess.names import MASK, SPACE, derivative, in_space
from neurovae.preprocess.scan import read_canonical

Transform = Literal["affine", "syn", "none"]
ANTS = {"affine": "Affine", "syn": "SyN"}


def run(
    *,
    extracted: Path,
    list: Path,
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

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun register

    Args:
        extracted: the bucket's manifest of masks.
        list: the bucket's scans, a key and a path per line.
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

    def step(row: batch.Row, clock: batch.Clock) -> batch.Work:
        brain, mask = _read(row, derivatives, nonfinite, bias_field, clock)
        name = partial(in_space, derivatives, row["scan"], voxel_mm)
        with tempfile.TemporaryDirectory() as folder:
            transforms = _register(brain, transform, template_mm, folder, clock)
            images = {name(f"desc-brain_{suffix}.nii.gz"): brain, name(MASK): mask}
            with clock("resample"):
                images = {path: _resample(image, voxel_mm, transforms) for path, image in images.items()}
            if transform == "syn":
                images[name(f"desc-jacobian_{suffix}.nii.gz")] = _jacobian(transforms, voxel_mm)
            for path, image in images.items():
                _save(image, path)
            matrix = derivative(derivatives, row["scan"], f"from-{suffix}_to-{SPACE}_mode-image_xfm.mat")
            found = _keep_affine(transforms, matrix)
        written = [*images, *([matrix] if transforms else [])]
        return batch.Work(written, affine.columns(found), _describe(transform, bias_field, template_mm))

    batch.run(
        batch.read_manifest(extracted, list),
        step,
        sidecar=lambda row: in_space(derivatives, row["scan"], voxel_mm, f"desc-brain_{suffix}.json"),
        key=lambda row: batch.digest(
            "register", stamp, arguments, row["source_sha256"], sha256(derivative(derivatives, row["scan"], MASK))
        ),
        manifest=manifest,
        max_failed=max_failed,
        seconds=seconds,
    )


def _read(row: batch.Row, derivatives: Path, nonfinite: str, bias_field: str, clock: batch.Clock) -> tuple[Any, Any]:
    """The bias-corrected brain and its mask, in the scan's space."""
    if sha256(Path(row["source"])) != row["source_sha256"]:
        raise InputError(f"{Path(row['source']).name}: changed since its mask was made; rerun with --forcerun extract")
    scan = ants.from_nibabel_nifti(read_canonical(row["source"], nonfinite=nonfinite))
    stored = nib.Nifti1Image.from_filename(derivative(derivatives, row["scan"], MASK))
    mask = scan.new_image_like(np.asarray(stored.dataobj).astype(np.float32))
    if bias_field == "n4":
        with clock("n4"):
            scan = ants.n4_bias_field_correction(scan, mask=mask)
    return scan * mask, mask


def _register(brain: Any, transform: Transform, template_mm: float, folder: str, clock: batch.Clock) -> list[str]:
    """Transforms that take points of the template to points of the scan, in the order that ANTs applies them."""
    if transform == "none":
        return []
    with clock("registration"):
        found = ants.registration(_fixed(template_mm), brain, type_of_transform=ANTS[transform], outprefix=f"{folder}/")
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
    found = ants.create_jacobian_determinant_image(_fixed(voxel_mm), transforms[0], do_log=False)
    warp = ants.resample_image_to_target(found, _fixed(voxel_mm))  # ANTs gives it on the warp's own grid
    linear = affine.read_itk(Path(transforms[-1]))[:3, :3]
    return warp * float(np.linalg.det(linear))


def _keep_affine(transforms: list[str], target: Path) -> np.ndarray:
    """Copy ITK's affine to its final name and read it (4 x 4, RAS mm); the identity where nothing was registered."""
    if not transforms:
        return np.eye(4)
    with write_beside(target) as temporary:
        temporary.write_bytes(Path(transforms[-1]).read_bytes())
    return affine.read_itk(target)


def _describe(transform: str, bias_field: str, template_mm: float) -> batch.Row:
    parameters = {"Transform": transform, "BiasField": bias_field, "TemplateVoxelMm": template_mm}
    return parameters | {"SkullStripped": True, "Method": f"antspyx {version('antspyx')}", "SpatialReference": SPACE}


def _save(image: Any, path: Path) -> None:
    with write_beside(path) as temporary:
        nib.save(nib.Nifti1Image(image.numpy().astype(np.float32), ants.to_nibabel_nifti(image).affine), temporary)


if __name__ == "__main__":
    cli(run)
