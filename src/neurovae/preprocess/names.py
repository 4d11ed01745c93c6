"""BIDS names of the derivatives. A scan's key is its BIDS prefix ("sub-01_ses-1_run-2")."""

from pathlib import Path

SPACE = (
    "MNI152NLin2009aSym"  # the ICBM 152 2009a symmetric average, which nilearn bundles, as TemplateFlow would name it
)
MASK = "desc-brain_mask.nii.gz"  # ending of a scan's own brain mask, in its space
ON_GRID = "label-brain_probseg.nii.gz"  # of the same on the grid, where a voxel may lie partly inside


def derivative(folder: Path, scan: str, ending: str) -> Path:
    """Path of one derivative: derivative(d, "sub-01_ses-1", "desc-brain_mask.nii.gz") in sub-01/ses-1/anat."""
    entities = [part for part in scan.split("_") if part.startswith(("sub-", "ses-"))]
    return Path(folder, *entities, "anat", f"{scan}_{ending}")


def in_space(folder: Path, scan: str, voxel_mm: float, ending: str) -> Path:
    """Path of one derivative on a grid in MNI space; 2 -> "res-2mm", 1.5 -> "res-1p5mm"."""
    label = f"{voxel_mm:g}mm".replace(".", "p")
    return derivative(folder, scan, f"space-{SPACE}_res-{label}_{ending}")


def on_grid(voxel_mm: float) -> dict[str, str]:
    """Return the entries that BIDS asks for in the sidecar of an image on a grid in MNI space."""
    return {"SpatialReference": SPACE, "Resolution": f"{voxel_mm:g} mm, isotropic"}
