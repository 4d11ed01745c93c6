"""Words of the tables that other stages read."""

REFERENCE, OTHERS = "reference", "others"
MODEL, IMAGE = "model", "image"  # norm of x - x_hat; of the smoothed scan itself
ALONE = "latents alone"  # status of a norm without maps
NORMED = ("ok", ALONE)
EXPECTED = 0.05  # share beyond 1.96 in a calibrated norm
