"""Separation: is there a direction in which a likelihood rises without end? Decided by linear programming.

Albert & Anderson 1984; Konis 2007. A direction d of the parameters with A d >= 0 in every row and B d = 0, and some
row of A d > 0, raises the likelihood without end: complete or quasi-complete separation. The logit, the probit and the
complementary log-log share these directions, since all three are strictly increasing with log-concave tails; under an
identity or root link a count's maximum lies on the border of the range instead, which is no estimate either. The
likelihood of least squares and of a gamma falls in every direction. That of a survival score is judged by `cox.fit`.
"""

import numpy as np
from scipy.optimize import linprog

from neurovae.stats.ordinal import threshold_rows


def separated(kind: str, y: np.ndarray, x: np.ndarray) -> bool:
    """Whether the maximum likelihood of this score type on these columns does not exist. y: (n,), x: (n, columns)."""
    if kind in ("continuous", "gamma", "survival"):
        return False
    if kind in ("binary", "ordinal"):
        above, below = threshold_rows(np.unique(y, return_inverse=True)[1], x[:, 1:])
        return _rises(np.vstack([above, -below]), None)
    low, high = y == 0, (y == 1) & (kind == "bounded")
    return _rises(np.vstack([-x[low], x[high]]), x[~(low | high)])


def _rises(a: np.ndarray, b: np.ndarray | None) -> bool:
    if not len(a):
        return False
    if b is not None and len(b) >= b.shape[1] and np.linalg.matrix_rank(b) == b.shape[1]:
        return False
    zero = None if b is None or not len(b) else np.zeros(len(b))
    best = linprog(
        -a.sum(axis=0), A_ub=-a, b_ub=np.zeros(len(a)), A_eq=None if zero is None else b, b_eq=zero, bounds=(-1, 1)
    )
    return bool(best.status != 0 or -best.fun > 1e-4)
