"""The columns of the quality table that limits and confounds can name (known before the first job)."""

AFFINE = tuple(f"{part}_{axis}" for part in ("rotation", "translation", "head_size") for axis in "xyz")
AFFINE = (*AFFINE, "head_size", "shear_xy", "shear_xz", "shear_yz")
QUALITY = ("mask_ml", "clipped", "mask_dice", "template_r", "snr", *AFFINE)
