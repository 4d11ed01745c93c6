"""Names of the derivatives, as BIDS spells them; a scan's key is its BIDS prefix ("sub-01_ses-1_run-2")."""

from pathlib import Path

from neurovae.preprocess.grid import SPACE, label


def derivative(folder: Path, scan: str, ending: str) -> Path:
    """Path of one derivative: derivative(d, "sub-01_ses-1", "desc-brain_mask.nii.gz") in sub-01/ses-1/anat."""
    entities = [part for part in scan.split("_") if part.startswith(("sub-", "ses-"))]
    return Path(folder, *entities, "anat", f"{scan}_{ending}")


def in_space(folder: Path, scan: str, voxel_mm: float, ending: str) -> Path:
    """Path of one derivative on a grid in MNI space."""
    return derivative(folder, scan, f"space-{SPACE}_res-{label(voxel_mm)}_{ending}")


MASK = "desc-brain_mask.nii.gz"  # ending of a scan's own brain mask, in its space or on the grid
