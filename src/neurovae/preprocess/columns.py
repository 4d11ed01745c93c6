"""Columns of the quality table that thresholds and confounds can name, known before the first job."""

AFFINE = tuple(f"{part}_{axis}" for part in ("rotation", "translation", "scale") for axis in "xyz")
AFFINE = (*AFFINE, "head_size", "shear_xy", "shear_xz", "shear_yz")
OTHERS = ("mask_ml", "clipped", "noise", "sharpness", "negative", "bias_removed", "outside_fov", "orientation_lead")
NOTES = {  # what a value beyond its threshold means, added to the reason of the exclusion
    "outside_fov": "part of the brain was not scanned, or was erased",
    "orientation_lead": "the header may be turned or mirrored, so left and right are unknown",
}
OFFSET = ("offset", "offset_x", "offset_y", "offset_z")
QUALITY = (*OTHERS, "mask_dice", "template_r", "snr", "misalignment_mm", *OFFSET, *AFFINE)
