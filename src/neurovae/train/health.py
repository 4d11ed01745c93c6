"""Does the model know people, or only the average brain? Measures and first verdict (rules.md, Measures)."""

from typing import Any

import numpy as np

ACTIVE = 0.01  # a unit is active when the variance of its posterior mean over people exceeds this (Burda 2016)
COLLAPSED = 0.05  # training share below this: the output does not depend on the input
GAP = 0.3  # training minus held-out share above this: overfit


def variance_share(error: np.ndarray, total: np.ndarray) -> float:
    """1 - sum |x - x_hat|^2 / sum |x - m|^2, summed over people before dividing; x_hat = m gives 0, x_hat = x gives 1.

    Args:
        error: squared reconstruction error per person over the fixed mask.
        total: squared distance per person to m, the mean of the training people.
    """
    return float(1 - error.sum() / total.sum())


def active_units(mu: np.ndarray) -> int:
    """Latents whose posterior mean varies over people, of mu (people, latents)."""
    return int(np.count_nonzero(mu.var(axis=0) > ACTIVE))


def judge(share: dict[str, float], active: int | None) -> dict[str, Any]:
    """Measures with verdict and its reason in words.

    Args:
        share: variance share by split.
        active: number of active units; None where the loss has no KL.
    """
    verdict, reason = _verdict(share["weights"], share["report"], active)
    measured = {f"share_{split}": round(value, 6) for split, value in share.items()}
    return {"verdict": verdict, "reason": reason, "active_units": active, **measured}


def _verdict(training: float, held_out: float, active: int | None) -> tuple[str, str]:
    found = f"share of variance reconstructed: training {training:.3f}, held-out {held_out:.3f}"
    if not np.isfinite([training, held_out]).all():
        return "collapsed", "the weights are not finite; lower learning_rate"
    if training < COLLAPSED:
        return "collapsed", f"{found}; training below {COLLAPSED}: lower beta, train longer"
    if active == 0:
        return "collapsed", f"{found}; no active unit: lower beta"
    if held_out <= 0 or training - held_out > GAP:
        return "overfit", f"{found}; more people, fewer latents"
    return "healthy", found
