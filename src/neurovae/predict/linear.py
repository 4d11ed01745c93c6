"""Ridge and L2 logistic regression of many targets on the same columns: one decomposition serves every permutation.

Ridge: |y - b0 - x b|^2 + penalty. Logistic: sum of log losses + penalty / 2, solved by the fixed bound of the Hessian,
x'x / 4 (Boehning & Lindsay 1988, Ann Inst Stat Math 40), so that no target needs its own inverse. Penalty: alpha |b|^2,
with one alpha for the coefficients of the confounds and one for those of the latents, so that many latents do not
shrink the confounds away and a strong alpha gives back the confounds alone. The latents are standardised, or multiplied
by their size in the image or its root (`POWERS`), whichever predicts best within the training people: with the full
size, ridge on all principal components is ridge on voxels; without it, small latents count as much as large ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from neurovae.predict.features import Split, weighted

ALPHAS = (10000.0, 1000.0, 100.0, 10.0, 1.0)  # columns are standardised; of equals the first, the strongest
POWERS = (0.0, 0.5, 1.0)  # of the latents' sizes, with which their columns are multiplied
DIGITS = 8  # of a loss relative to that of the first candidate: losses that agree in them are equal on every machine
STEPS, CLOSE = 5000, 1e-5  # of the logistic solver: maximum of steps; largest change of a linear predictor at the end


@dataclass(frozen=True)
class Parts:
    """Centred training columns: directions of the latents, z v with z'z = v diag(s2) v', and the confounds."""

    x: np.ndarray  # (n, rank + confounds)
    s2: np.ndarray  # (rank,)
    v: np.ndarray  # (latents, rank)

    def only_confounds(self) -> "Parts":
        """The confounds alone."""
        return Parts(self.x[:, len(self.s2) :], self.s2[:0], self.v[:0, :0])

    def inverse(self, alpha: tuple[float, float], scale: float) -> Callable[[np.ndarray], np.ndarray]:
        """Return the product with (scale x'x + penalty)^-1 as a function, by block elimination of the directions."""
        rank = len(self.s2)
        w, c = self.x[:, :rank], self.x[:, rank:]
        d, cross = 1 / (scale * self.s2 + alpha[1])[:, None], scale * w.T @ c
        left = scale * c.T @ c + alpha[0] * np.eye(c.shape[1]) - cross.T @ (d * cross)

        def product(right: np.ndarray) -> np.ndarray:
            of_latents = d * right[:rank]
            of_confounds = np.linalg.solve(left, right[rank:] - cross.T @ of_latents)
            return np.vstack([of_latents - d * (cross @ of_confounds), of_confounds])

        return product

    def columns(self, c: np.ndarray) -> np.ndarray:
        """Coefficients on the original columns (columns, m) from those on directions and confounds."""
        return np.vstack([self.v @ c[: len(self.s2)], c[len(self.s2) :]])


def decompose(x: np.ndarray, confounds: int = 0) -> Parts:
    """Decompose centred training columns (n, columns), the last `confounds` of which are confounds."""
    latents, confound_columns = np.split(x, [x.shape[1] - confounds], axis=1)
    u, s, vt = np.linalg.svd(latents, full_matrices=False)
    nonzero = s > 1e-8 * np.sqrt(len(x))  # columns are standardised, so that less is round-off
    return Parts(np.hstack([u[:, nonzero] * s[nonzero], confound_columns]), s[nonzero] ** 2, vt[nonzero].T)


def solve(binary: bool, parts: Parts, y: np.ndarray, alpha: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return intercepts (m,) and coefficients (columns, m) of the targets y (n, m).

    alpha: of the confounds and of the latents.
    """
    intercept, c = _logistic(parts, y, alpha) if binary else _ridge(parts, y, alpha)
    return intercept, parts.columns(c)


def fitted(split: Split, y: np.ndarray, binary: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return intercepts (m,), coefficients (columns, m) and chosen alphas (m, 2) of targets y (all scans, m).

    Each target's alphas have the least squared error, or log loss, pooled over the inner folds of the training people:
    that of the confounds alone, then that of the latents beside them, then again that of the confounds. Of the powers
    of the latents' sizes, the one whose alphas do best is used.
    """
    known = split.size is not None and split.confounds < split.x_train.shape[1]
    candidates = [weighted(split, power) for power in (POWERS if known else POWERS[:1])]
    tuned = [_tuned(part, y, binary) for part, _ in candidates]
    best = smallest(np.array([loss for _, loss in tuned]))
    alphas = np.array([tuned[power][0][target] for target, power in enumerate(best)])
    intercept, coef = np.empty(y.shape[1]), np.empty((split.x_train.shape[1], y.shape[1]))
    for power in np.unique(best):
        part, weights = candidates[power]
        parts, target = decompose(part.x_train, part.confounds), y[part.train]
        for alpha in np.unique(alphas[best == power], axis=0):
            targets = (best == power) & np.all(alphas == alpha, axis=1)
            intercept[targets], found = solve(binary, parts, target[:, targets], (alpha[0], alpha[1]))
            coef[:, targets] = found * weights[:, None]
    return intercept, coef, alphas


def log_losses(y: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Minus the log probability of the observed class, per scan."""
    return -np.log(np.clip(np.where(y == 1, probability, 1 - probability), 1e-12, None))


def _tuned(split: Split, y: np.ndarray, binary: bool) -> tuple[np.ndarray, np.ndarray]:
    """Alphas of each target (m, 2), and their loss over the inner folds (m,)."""
    inner = [(part, decompose(part.x_train, part.confounds)) for part in split.inner]
    alphas = np.full((y.shape[1], 2), ALPHAS[0])
    if split.confounds:
        confounds_only = [(part, parts.only_confounds()) for part, parts in inner]
        alphas[:, 0] = _best_alpha([_loss(confounds_only, y, binary, (alpha, alpha)) for alpha in ALPHAS])
    if split.confounds < split.x_train.shape[1]:
        for first in np.unique(alphas[:, 0]):
            targets = alphas[:, 0] == first
            alphas[targets, 1] = _best_alpha([_loss(inner, y[:, targets], binary, (first, alpha)) for alpha in ALPHAS])
        for second in np.unique(alphas[:, 1]) if split.confounds else []:
            targets = alphas[:, 1] == second
            alphas[targets, 0] = _best_alpha([_loss(inner, y[:, targets], binary, (alpha, second)) for alpha in ALPHAS])
    loss = np.empty(y.shape[1])
    for alpha in np.unique(alphas, axis=0):
        targets = np.all(alphas == alpha, axis=1)
        loss[targets] = _loss(inner, y[:, targets], binary, (alpha[0], alpha[1]))
    return alphas, loss


def smallest(losses: np.ndarray) -> np.ndarray:
    """Return the first candidate with the smallest loss, for each target; the same in any unit of the target.

    losses: (candidates, m) sums of squared errors or of log losses.
    """
    first = losses[0]
    relative = np.divide(losses, first, out=np.zeros_like(losses), where=first > 0)
    return np.asarray(np.argmin(np.round(relative, DIGITS), axis=0))


def _best_alpha(losses: list[np.ndarray]) -> np.ndarray:
    return np.array(ALPHAS)[smallest(np.array(losses))]


def _loss(inner: list[tuple[Split, Parts]], y: np.ndarray, binary: bool, alpha: tuple[float, float]) -> np.ndarray:
    loss = np.zeros(y.shape[1])
    for part, parts in inner:
        intercept, coef = solve(binary, parts, y[part.train], alpha)
        line, truth = intercept + part.x_test[:, -len(coef) :] @ coef, y[part.test]
        loss += np.sum(log_losses(truth, expit(line)) if binary else (truth - line) ** 2, axis=0)
    return loss


def _ridge(parts: Parts, y: np.ndarray, alpha: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    mean = y.mean(axis=0)
    return mean, parts.inverse(alpha, 1.0)(parts.x.T @ (y - mean))


def _logistic(parts: Parts, y: np.ndarray, alpha: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    n, ones = len(y), y.sum(axis=0)
    intercept, c = logit((ones + 0.5) / (n + 1)), np.zeros((parts.x.shape[1], y.shape[1]))
    active = np.flatnonzero((ones > 0) & (ones < n))  # one class alone: its smoothed share and no slope
    x, target = np.column_stack([np.ones(n), parts.x]), y[:, active]  # (n, 1 + columns)
    penalty = np.where(np.arange(parts.x.shape[1]) < len(parts.s2), alpha[1], alpha[0])
    weight, inverse = np.concatenate([[0.0], penalty])[:, None], parts.inverse(alpha, 0.25)
    b = np.vstack([intercept, c])[:, active]
    extrapolated, restarts = b, np.zeros(len(active))
    for _ in range(STEPS):
        if not len(active):
            return intercept, c
        slope = x.T @ (target - expit(x @ extrapolated)) - weight * extrapolated
        change = np.vstack([slope[:1] / (n / 4), inverse(slope[1:])])  # columns are centred: the bound has two blocks
        proposal = extrapolated + change
        momentum = proposal - b
        # Nesterov's momentum, restarted where it points against the slope (O'Donoghue & Candes 2015)
        restarts = np.where(np.einsum("rm,rm->m", slope, momentum) < 0, 0, restarts + 1)
        b, extrapolated = proposal, proposal + restarts / (restarts + 3) * momentum
        converged = 4 * np.einsum("rm,rm->m", slope, change) <= CLOSE**2  # at least |x change|^2, by the bound
        if 2 * converged.sum() >= len(active):  # seldom, as it copies
            intercept[active[converged]], c[:, active[converged]] = b[0, converged], b[1:, converged]
            active, target, b, extrapolated, restarts = (
                active[~converged],
                target[:, ~converged],
                b[:, ~converged],
                extrapolated[:, ~converged],
                restarts[~converged],
            )
    raise ArithmeticError(f"logistic regression: {len(active)} of {y.shape[1]} targets did not converge")
