"""Columns of the quality table that thresholds and confounds can name, known before the first job."""

AFFINE = tuple(f"{part}_{axis}" for part in ("rotation", "translation", "scale") for axis in "xyz")
AFFINE = (*AFFINE, "head_size", "shear_xy", "shear_xz", "shear_yz")
OTHERS = ("mask_ml", "clipped", "negative", "bias_removed", "outside_fov", "orientation_lead")
QUALITY = (*OTHERS, "mask_dice", "template_r", "snr", *AFFINE)
