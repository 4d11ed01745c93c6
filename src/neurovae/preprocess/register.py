"""Correct the bias field, register the brain to the template, and resample it once onto the grid."""

import tempfile
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ants
import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from neurovae.cli import cli
from neurovae.errors import InputError
from neurovae.io.files import plain_tempdir, sha256, write_beside, write_json
from neurovae.io.images import read_image
from neurovae.preprocess import affine, batch, bias, coverage, grid, orientation, source
from neurovae.preprocess.names import MASK, ON_GRID, SPACE, derivative, in_space, on_grid
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
    grids: Path | None = None,
) -> None:
    """Write every brain of a batch in MNI space.

    Example:
        snakemake --cores 2 --configfile config/demo.yaml --forcerun register

    Args:
        extracted: the batch's manifest of masks.
        list: the batch's scans, a key and a path per line.
        derivatives: folder of the BIDS derivatives.
        manifest: table to write, a row per scan.
        seconds: table to write of the seconds spent per scan and library call.
        stamp: digest of code and environment.
        suffix: BIDS suffix of the images ("T1w").
        transform: affine; syn (affine, then SyN; also writes the Jacobian determinant); none (already in MNI space).
        bias_field: n4 (Tustison 2010, inside the mask) or none.
        template_mm: voxel size of the template used for the registration.
        voxel_mm: voxel size of the output grid.
        nonfinite: what to do with NaN and Inf voxels.
        max_failed: fraction of failed scans above which the job fails.
        grids: file of the rule `grids`, with the template on the grids that are used.
    """
    grid.use(grids)
    plain_tempdir()
    ants.config.set_ants_deterministic(True, seed_value=1)
    arguments = [suffix, transform, bias_field, template_mm, voxel_mm, nonfinite]

    def step(row: batch.Row, clock: batch.Clock) -> batch.Work:
        scan, columns = _read(row, derivatives, nonfinite, bias_field, clock)
        name = partial(in_space, derivatives, row["scan"], voxel_mm)
        with tempfile.TemporaryDirectory() as folder:
            transforms, lead = _register(scan, transform, template_mm, Path(folder), clock)
            images = {name(f"desc-brain_{suffix}.nii.gz"): scan.brain, name(ON_GRID): scan.mask}
            with clock("resample"):
                images = {path: _resample(image, voxel_mm, transforms) for path, image in images.items()}
            recorded_on_grid = ants.apply_transforms(_fixed(voxel_mm), scan.recorded, transforms).numpy()
            if transform == "syn":
                images[name(f"desc-jacobian_{suffix}.nii.gz")] = _jacobian(transforms, voxel_mm)
            for path, image in images.items():
                _save(image, path)
            write_json(name(ON_GRID.replace(".nii.gz", ".json")), on_grid(voxel_mm))
            matrix = derivative(derivatives, row["scan"], f"from-{suffix}_to-{SPACE}_mode-image_xfm.mat")
            matrix_read = _keep_affine(transforms, scan.shear, matrix)
        written = [*images, *([matrix] if transforms else [])]
        outside = coverage.outside_fraction(recorded_on_grid, grid.brain_mask(voxel_mm))
        columns |= {"outside_fov": round(outside, 5), "orientation_lead": round(lead, 4)}
        return batch.Work(
            written, affine.columns(matrix_read) | columns, _describe(transform, bias_field, template_mm, voxel_mm)
        )

    batch.run(
        batch.read_manifest(extracted, list),
        step,
        sidecar=lambda row: in_space(derivatives, row["scan"], voxel_mm, f"desc-brain_{suffix}.json"),
        key=lambda row: batch.digest(
            "register",
            stamp,
            arguments,
            row["source_sha256"],
            row["volume"],
            sha256(derivative(derivatives, row["scan"], MASK)),
        ),
        manifest=manifest,
        max_failed=max_failed,
        seconds=seconds,
    )


class Scan(NamedTuple):
    """A scan in its own space, as ANTs images; ITK needs axes at right angles, so a sheared header is straightened."""

    brain: Any  # bias-corrected, zero outside the mask
    mask: Any
    recorded: Any  # 1 where the scan has data
    affine: np.ndarray  # voxel to straightened mm
    shear: np.ndarray  # straightened mm to mm of the header: the identity where nothing is sheared


def _read(
    row: batch.Row, derivatives: Path, nonfinite: str, bias_field: str, clock: batch.Clock
) -> tuple[Scan, batch.Row]:
    """Read the scan, correct its bias field, and measure columns on it."""
    path = Path(row["source"])
    if source.digest(path) != row["source_sha256"]:
        raise InputError(f"{path.name}: changed since its mask was made; rerun with --forcerun extract")
    image = read_canonical(path, nonfinite=nonfinite, volume=row["volume"])
    straight_affine, shear = affine.straighten(image.affine, image.shape)
    data = image.get_fdata(dtype=np.float32)
    image = nib.Nifti1Image(data, straight_affine)
    image.header.set_xyzt_units("mm", "sec")
    scan = ants.from_nibabel_nifti(image)
    mask_image = nib.as_closest_canonical(read_image(derivative(derivatives, row["scan"], MASK)))
    brain = np.asarray(mask_image.dataobj) > 0
    has_data = coverage.recorded(data, brain, voxel_sizes(straight_affine))
    mask, recorded = (scan.new_image_like(part.astype(np.float32)) for part in (brain, has_data))
    columns: batch.Row = {"negative": round(bias.negative_fraction(data, brain), 6), "bias_removed": None}
    if bias_field == "n4":
        with clock("n4"):
            scan, spread = bias.correct(scan, mask, path.name)
        columns["bias_removed"] = round(spread, 5)
    return Scan(scan * mask, mask, recorded, straight_affine, shear), columns


def _register(
    scan: Scan, transform: Transform, template_mm: float, folder: Path, clock: batch.Clock
) -> tuple[list[str], float]:
    """Register the scan; return the transforms in ANTs' order, which map template points to the scan, and the lead.

    A registration that agrees less with the template than a rough pose has stopped in a local optimum. It is restarted
    from that pose, and the best one is used. Otherwise it is kept as ANTs made it.
    """
    with clock("orientation"):
        coarse_scan = orientation.coarse(scan.brain.numpy(), scan.mask.numpy(), scan.affine)
        poses = orientation.best_poses(coarse_scan)
    if transform == "none":
        unshear = np.linalg.inv(scan.shear)
        affine.write_itk(unshear, folder / "straight.mat")
        is_sheared = not np.array_equal(unshear, np.eye(4))
        return [str(folder / "straight.mat")] if is_sheared else [], orientation.lead(coarse_scan, [unshear, poses[1]])
    with clock("registration"):
        first = _ants(scan.brain, transform, template_mm, folder / "first")
    trials = [first]
    for number, pose in enumerate(poses):
        if orientation.agreement(coarse_scan, pose) > orientation.agreement(coarse_scan, _linear(first)):
            affine.write_itk(pose, folder / f"start-{number}.mat")
            with clock("restart"):
                trials.append(
                    _ants(
                        scan.brain, transform, template_mm, folder / f"again-{number}", folder / f"start-{number}.mat"
                    )
                )
    linear = [_linear(transforms) for transforms in trials]
    best = max(range(len(trials)), key=lambda number: orientation.agreement(coarse_scan, linear[number]))
    return trials[best], orientation.lead(coarse_scan, [*linear, *poses])


def _ants(brain: Any, transform: Transform, template_mm: float, prefix: Path, start: Path | None = None) -> list[str]:
    """Run ANTs' registration, from the centres of mass or from a given start."""
    result = ants.registration(
        _fixed(template_mm),
        brain,
        type_of_transform=ANTS[transform],
        outprefix=f"{prefix}-",
        initial_transform=None if start is None else [str(start)],
    )
    return list(result["fwdtransforms"])


def _linear(transforms: list[str]) -> np.ndarray:
    return affine.read_itk(Path(transforms[-1]))


def _resample(image: Any, voxel_mm: float, transforms: list[str]) -> Any:
    """Resample once, linearly; first blur each axis that is finer than the grid, against aliasing.

    The blur is a Gaussian whose full width at half maximum makes up, with the voxel's own width, that of the grid.
    """
    blur = [max(0.0, voxel_mm**2 - spacing**2) ** 0.5 for spacing in image.spacing]
    if any(blur):
        image = ants.smooth_image(image, blur, sigma_in_physical_coordinates=True, FWHM=True)
    return ants.apply_transforms(_fixed(voxel_mm), image, transforms)


@lru_cache
def _fixed(voxel_mm: float) -> Any:
    return ants.from_nibabel_nifti(grid.template(voxel_mm))


def _jacobian(transforms: list[str], voxel_mm: float) -> Any:
    """Return local volume relative to the template, from warp and affine together: 1.2 is 20 % larger."""
    of_warp = ants.create_jacobian_determinant_image(_fixed(voxel_mm), transforms[0], do_log=False)
    warp = ants.resample_image_to_target(of_warp, _fixed(voxel_mm))  # ANTs returns it on the grid of the warp
    linear = affine.read_itk(Path(transforms[-1]))[:3, :3]
    return warp * float(np.linalg.det(linear))


def _keep_affine(transforms: list[str], shear: np.ndarray, target: Path) -> np.ndarray:
    """Copy ITK's affine to its final name and read it (4 x 4, RAS mm); the identity where nothing was registered."""
    if not transforms:
        return np.eye(4)
    with write_beside(target) as temporary:
        if np.array_equal(shear, np.eye(4)):
            temporary.write_bytes(Path(transforms[-1]).read_bytes())
        else:
            affine.write_itk(shear @ affine.read_itk(Path(transforms[-1])), temporary)
    return affine.read_itk(target)


def _describe(transform: str, bias_field: str, template_mm: float, voxel_mm: float) -> batch.Row:
    parameters = {"Transform": transform, "BiasField": bias_field, "TemplateVoxelMm": template_mm}
    parameters |= {"SkullStripped": True, "Method": f"antspyx {version('antspyx')}"}
    return parameters | on_grid(voxel_mm)


def _save(image: Any, path: Path) -> None:
    with write_beside(path) as temporary:
        nib.save(nib.Nifti1Image(image.numpy().astype(np.float32), ants.to_nibabel_nifti(image).affine), temporary)


if __name__ == "__main__":
    cli(run)
