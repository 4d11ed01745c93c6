"""Images whose header is in metres or micrometres, as NIfTI allows: read in mm, as everything here expects."""

from typing import Any

import nibabel as nib
from nibabel.affines import voxel_sizes

MM = {"meter": 1000.0, "micron": 0.001}  # of the header's unit (xyzt_units)
VOXEL_MM = (0.05, 50.0)  # sizes within are millimetres, whatever the header says: many programs never set the unit


def in_mm(image: Any) -> Any:
    """Return the image with sform, qform and pixdim in mm, as ITK does; voxels stay.

    Where the sizes of voxels are plausible in mm already, the declared unit is wrong and nothing changes.
    """
    factor = MM.get(image.header.get_xyzt_units()[0]) if isinstance(image, nib.Nifti1Image) else None
    sizes = voxel_sizes(image.affine)
    if factor is None or (sizes.min() >= VOXEL_MM[0] and sizes.max() <= VOXEL_MM[1]):
        return image
    header = image.header.copy()
    for field in ("srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z"):
        header[field] = header[field] * factor
    header["pixdim"][1:4] *= factor
    header.set_xyzt_units("mm", image.header.get_xyzt_units()[1])
    return type(image)(image.dataobj, header.get_best_affine(), header)
