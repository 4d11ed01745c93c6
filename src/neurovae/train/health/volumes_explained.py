"""How much of the volumes of each split a model of functional networks explains, with an interval over people."""

import numpy as np

from neurovae.io.volumes import SPLITS
from neurovae.train.health.examine import Measures, Model
from neurovae.train.health.measures import gain
from neurovae.train.inputs import Inputs


def explained(model: Model, given: Inputs, seed: int) -> Measures:
    """Variance explained of all volumes of a split, relative to the training mean, and its 95 % interval over people.

    Args:
        model: of kind networks.
        given: the series of each scan, and the table of the scans.
        seed: of the bootstrap.
    """
    found: Measures = {}
    person, architecture = given.table["person"].to_numpy(), model.meta["architecture"]
    for split in SPLITS:
        rows = np.flatnonzero(np.isin(person, model.meta["people"][split]))
        error, total = np.empty(len(rows)), np.empty(len(rows))
        for k, row in enumerate(rows):
            run = given.array[[row]][0].astype(np.float64)
            error[k] = np.square(run - model.module.reconstructed(run, model.tensors, architecture)).sum()
            total[k] = np.square(run - model.tensors["mean"]).sum()
        values = gain(error, total, total, person[rows], seed)
        names = [f"variance_explained_{split}{end}" for end in ("", "_low", "_high")]
        found |= dict(zip(names, values, strict=True))
    return found
