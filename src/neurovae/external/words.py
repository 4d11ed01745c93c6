"""Words that the tables of the external validation and the report share."""

ALL = "all latents"  # in place of a latent, in the row over all of them
UNTOUCHED, RECALIBRATED, ADDED = "untouched", "recalibrated", "added to the own latents"  # applications of a predictor
