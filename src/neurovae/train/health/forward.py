"""How much of held-out scans the forward model of latents without a decoder explains, with an interval over people."""

from typing import Any

import numpy as np

from neurovae.io.volumes import chunks, masked
from neurovae.train.health.examine import Measures, Model
from neurovae.train.health.measures import gain
from neurovae.train.inputs import Inputs


def explained(model: Model, given: Inputs, seed: int) -> Measures:
    """Variance explained in scans of the test set, 95 % interval over people, and the penalty.

    As of a reconstruction (`measures.variance_explained`): 0 is the mean image of the training scans, which it is
    exactly where no penalty was better than the mean. Without a forward model (weights of an older version): nothing.

    Args:
        model: weights of a kind without a decoder.
        given: the latents' table, and the volumes of its scans.
        seed: of the bootstrap.
    """
    if "forward" not in model.tensors:
        return {}
    chosen = model.meta["architecture"]["forward_penalty"]
    values = (0.0, 0.0, 0.0) if chosen is None else _measured(model, given, seed)
    names = ("forward_explained_test", "forward_explained_test_low", "forward_explained_test_high")
    return dict(zip(names, values, strict=True)) | {"forward_penalty": chosen}


def _measured(model: Model, given: Inputs, seed: int) -> tuple[float, float, float]:
    """Variance explained and its interval."""
    person = given.table["person"].to_numpy()
    test = np.flatnonzero(np.isin(person, model.meta["people"]["test"]))
    mean, architecture = model.tensors["forward_mean"], model.meta["architecture"]
    error, total = np.empty(len(test)), np.empty(len(test))
    for part in chunks(len(test)):
        x = masked(given.volumes[given.rows[test[part]]], model.mask)
        mu = model.encode(given.array[test[part]])[0]
        x_hat = model.module.forward(mu, model.mask, model.tensors, architecture)
        error[part], total[part] = _squared(x - x_hat), _squared(x - mean)
    return gain(error, total, total, person[test], seed)


def _squared(difference: np.ndarray) -> Any:
    return np.square(difference).sum(axis=1, dtype=np.float64)
