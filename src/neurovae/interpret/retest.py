"""Test-retest of participants' features: agreement of two halves of a run, and identification by features."""

import numpy as np


def agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation over people of each feature (features,) of the first half with that of the second (people, features).

    NaN with fewer than three people.
    """
    if len(first) < 3:
        return np.full(first.shape[1], np.nan)
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    size = np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=0))
    return np.asarray(np.divide((a * b).sum(axis=0), size, out=np.full(first.shape[1], np.nan), where=size > 0))


def identified(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether the first half of each person (people,) resembles their own second half more than anybody else's.

    Features (people, features) are standardised over people within each half, and compared by correlation (Finn 2015).
    """
    spread = [np.where(one.std(axis=0) > 0, one.std(axis=0), 1) for one in (first, second)]
    a, b = ((one - one.mean(axis=0)) / s for one, s in zip((first, second), spread, strict=True))
    r = np.corrcoef(a, b)[: len(a), len(a) :]
    return np.asarray(r.argmax(axis=1) == np.arange(len(a)))
