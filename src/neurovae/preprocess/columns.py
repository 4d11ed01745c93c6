"""The columns of the quality table that limits and confounds can name (known before the first job)."""

AFFINE = tuple(f"{part}_{axis}" for part in ("rotation", "translation", "head_size") for axis in "xyz")
AFFINE = (*AFFINE, "head_size", "shear_xy", "shear_xz", "shear_yz")
REGISTER = ("negative", "bias_removed", "outside_fov", "orientation_lead")
QUALITY = ("mask_ml", "clipped", *REGISTER, "mask_dice", "template_r", "snr", "offset", "offset_x", "offset_y", "offset_z", *AFFINE)
