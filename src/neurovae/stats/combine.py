"""One p value of several that test the same null on splits of the same people, and so depend on each other.

Averaging p values, or the statistics of dependent splits as if they were independent, is no test. Twice their median is
(Rueger 1978): with k of K values at or below a, P(null) <= K a / k whatever their dependence. Where the splits were
drawn in the same way one after another, their order is arbitrary and the values are exchangeable, and the smallest of
the combinations of the first 1, 2, ... K values is valid too (Gasparin, Wang & Ramdas 2025, section 4).
"""

import numpy as np


def ruger(p: np.ndarray) -> float:
    """K / k times the k-th smallest of K p values, k = K / 2 rounded up; at most 1. Any dependence. p: (K,)."""
    k = -(-len(p) // 2)
    return float(min(1.0, len(p) / k * np.sort(p)[k - 1]))


def exchangeable(p: np.ndarray) -> float:
    """The smallest of Rueger's combinations of the first l values, l = 1 to K, at the same k / K. At most `ruger`.

    p: (K,) in the order of drawing. Of the first l values the ceil(l k / K)-th smallest counts.
    """
    count = len(p)
    k = -(-count // 2)
    smallest = min(np.sort(p[:first])[-(-first * k // count) - 1] for first in range(1, count + 1))
    return float(min(1.0, count / k * smallest))
