"""Ridge and L2 logistic regression of many targets on the same columns: one decomposition serves every permutation.

Ridge: |y - b0 - x b|^2 + penalty. Logistic: sum of log losses + penalty / 2, solved by the fixed bound of the Hessian,
x'x / 4 (Boehning & Lindsay 1988, Ann Inst Stat Math 40), so that no target needs its own inverse. Penalty: alpha |b|^2,
with one alpha for the confounds and one for what the latents hold beyond them, so that many latents do not shrink the
confounds away and a strong alpha gives back the confounds alone.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from neurovae.predict.features import Split

ALPHAS = (10000.0, 1000.0, 100.0, 10.0, 1.0)  # columns are standardised; of equals the first, the strongest
DIGITS = 8  # of a loss relative to that of the first candidate: losses that agree in them are equal on every machine
STEPS, CLOSE = 5000, 1e-5  # of the logistic solver: maximum of steps; largest change of a linear predictor at the end


@dataclass(frozen=True)
class Parts:
    """Training columns x in orthogonal directions x v = u diag(s): first of the latents, then of the confounds."""

    u: np.ndarray  # (n, rank)
    s: np.ndarray  # (rank,)
    v: np.ndarray  # (columns, rank)
    confound: np.ndarray  # (rank,) whether it is a direction of the confounds

    def only_confounds(self) -> "Parts":
        """The directions of the confounds alone."""
        return Parts(
            self.u[:, self.confound], self.s[self.confound], self.v[:, self.confound], self.confound[self.confound]
        )


def decompose(x: np.ndarray, confounds: int = 0) -> Parts:
    """Decompose centred training columns (n, columns), the last `confounds` of which are confounds.

    The latents enter as their residuals on the confounds; the v of their directions are in terms of x.
    """
    latents, confound_columns = np.split(x, [x.shape[1] - confounds], axis=1)
    u, s, v = _svd(confound_columns)
    projection = (v / s) @ (u.T @ latents)  # (confounds, latents)
    u_left, s_left, v_left = _svd(latents - confound_columns @ projection)
    of_latents = np.vstack([v_left, -projection @ v_left])
    of_confounds = np.vstack([np.zeros((latents.shape[1], len(s))), v])
    return Parts(
        np.hstack([u_left, u]),
        np.concatenate([s_left, s]),
        np.hstack([of_latents, of_confounds]),
        np.repeat([False, True], [len(s_left), len(s)]),
    )


def solve(binary: bool, parts: Parts, y: np.ndarray, alpha: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return intercepts (m,) and coefficients on the directions (rank, m) of the targets y (n, m).

    alpha: of the confounds and of the latents.
    """
    penalty = np.where(parts.confound, *alpha)
    return _logistic(parts, y, penalty) if binary else _ridge(parts, y, penalty)


def fitted(split: Split, y: np.ndarray, binary: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return intercepts (m,), coefficients (columns, m) and chosen alphas (m, 2) of targets y (all scans, m).

    Each target's alphas have the least squared error, or log loss, pooled over the inner folds of the training people:
    that of the confounds alone, then that of the latents beside them, then again that of the confounds.
    """
    alphas = _tuned(split, y, binary)
    parts, target = decompose(split.x_train, split.confounds), y[split.train]
    intercept, coef = np.empty(y.shape[1]), np.empty((split.x_train.shape[1], y.shape[1]))
    for alpha in np.unique(alphas, axis=0):
        targets = np.all(alphas == alpha, axis=1)
        intercept[targets], c = solve(binary, parts, target[:, targets], (alpha[0], alpha[1]))
        coef[:, targets] = parts.v @ c
    return intercept, coef, alphas


def log_losses(y: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Minus the log probability of the observed class, per scan."""
    return -np.log(np.clip(np.where(y == 1, probability, 1 - probability), 1e-12, None))


def _tuned(split: Split, y: np.ndarray, binary: bool) -> np.ndarray:
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
    return alphas


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
        intercept, c = solve(binary, parts, y[part.train], alpha)
        line, truth = intercept + (part.x_test @ parts.v) @ c, y[part.test]
        loss += np.sum(log_losses(truth, expit(line)) if binary else (truth - line) ** 2, axis=0)
    return loss


def _svd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    nonzero = s > 1e-8 * np.sqrt(len(x))  # columns are standardised, so that less is round-off
    return u[:, nonzero], s[nonzero], vt[nonzero].T


def _ridge(parts: Parts, y: np.ndarray, penalty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = y.mean(axis=0)
    return mean, (parts.s / (parts.s**2 + penalty))[:, None] * (parts.u.T @ (y - mean))


def _logistic(parts: Parts, y: np.ndarray, penalty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, ones = len(y), y.sum(axis=0)
    intercept, c = logit((ones + 0.5) / (n + 1)), np.zeros((len(parts.s), y.shape[1]))
    active = np.flatnonzero((ones > 0) & (ones < n))  # one class alone: its smoothed share and no slope
    x, target = np.vstack([np.ones(n), (parts.u * parts.s).T]).T, y[:, active]  # (n, 1 + rank)
    bound = np.concatenate([[n / 4], parts.s**2 / 4 + penalty])[:, None]
    weight, length = np.concatenate([[0.0], penalty])[:, None], np.concatenate([[1.0], parts.s])
    b = np.vstack([intercept, c])[:, active]
    extrapolated, restarts = b, np.zeros(len(active))
    for _ in range(STEPS):
        if not len(active):
            return intercept, c
        slope = x.T @ (target - expit(x @ extrapolated)) - weight * extrapolated
        proposal = extrapolated + slope / bound
        change, momentum = proposal - extrapolated, proposal - b
        # Nesterov's momentum, restarted where it points against the slope (O'Donoghue & Candes 2015)
        restarts = np.where(np.einsum("rm,rm->m", slope, momentum) < 0, 0, restarts + 1)
        b, extrapolated = proposal, proposal + restarts / (restarts + 3) * momentum
        converged = length**2 @ change**2 <= CLOSE**2
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
