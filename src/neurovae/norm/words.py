"""Words of the tables that other stages read."""

REFERENCE, OTHERS = "reference", "others"
MODEL, IMAGE = "model", "image"  # norm of x - x_hat; of the smoothed scan itself
ALONE = "latents alone"  # status of a norm without maps
NORMED = ("ok", ALONE)
NO_NORM = "no norm"  # status of a participant of a sex that few of the reference have
FEW = 5  # people, of fewer no bootstrap interval is made
EXPECTED = 0.05  # share beyond 1.96 in a calibrated norm
