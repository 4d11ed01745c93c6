"""Does a score bend with a latent, by permutation: the quadratic term over the line, max-T over the latents.

The null of each latent holds the confounds and the latent's line; statistic: the signed root of the score test of the
square from there (Gaussian scores: the t). Gaussian scores: their residual on that null changes places and is refitted
(Freedman & Lane 1983). Others: the square's residual on confounds and line does, as in `maxt` that of the line.

Power over that of the test that knows shape and family (120 people, where it finds a planted U in .5 to .9 of cohorts):
Gaussian .98 or more (robust quadratic of `spline`: .53; 400 cohorts), counts .91, binary .81 and .92 (their likelihood
ratios: .90, .95 and .96; 100 cohorts). Its price: residuals that may change places have equal spread. Where a Gaussian
score's spread is |latent| a straight truth is called bent in 33 % of 400 cohorts at 5 % (equal spread: 5.5 %; the
robust quadratic: 6 % of 200), so that one's p belongs beside.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from neurovae.design.rows import REASONS, varies
from neurovae.stats.maxt import draw, maxt
from neurovae.stats.rao import Null, fit_null

NO_SQUARE = "its square does not vary between people beyond the confounds and its line"
WORDS = REASONS | {"ok": "", "constant score": "the confounds and the latent's line determine it"}
NAMES = ["statistic_quadratic", "p_quadratic_permutation", "p_quadratic_maxt"]
Score = tuple[Null, str, np.ndarray, str | None]  # its null without the line, type, values (n,), link


@dataclass(frozen=True)
class Bends:
    """Scores that share people and confounds, Gaussian ones first, and the latents whose square can be tested."""

    basis: np.ndarray  # (q, n) orthonormal, of the confounds
    line: np.ndarray  # (latents, n) of length 1, beside the confounds
    square: np.ndarray  # (latents, n) of length 1, beside the confounds and the line
    gaussian: np.ndarray  # (Gaussian scores, n) residuals on the confounds
    score: np.ndarray  # (latents, other scores, n) s / sqrt(phi) from the null with the line; zeros where it has no fit
    weight: np.ndarray  # (latents, other scores, n)
    factor: np.ndarray  # (latents, other scores x parameters, n)
    tested: np.ndarray  # (scores, latents)


def bent(
    z: np.ndarray,
    x: np.ndarray,
    scores: list[Score],
    strata: np.ndarray,
    size: int,
    permutations: int,
    seed: int,
    threads: int = 1,
) -> list[list[dict[str, float | int | str]]]:
    """Statistic, p alone and p of max-T of every latent's square, by score and latent; a status where there is none.

    z: (n, latents), x: (n, q) confounds; scores: Gaussian ones first; size: permutations in a block, as of the lines.
    """
    unit = (z - z.mean(axis=0)) / z.std(axis=0)
    curved = [k for k in range(z.shape[1]) if varies(unit[:, k] ** 2, np.column_stack([x, unit[:, k]]))]
    none: dict[str, float | int | str] = {"quadratic_status": "constant square", "quadratic_reason": NO_SQUARE}
    rows = [[dict(none) for _ in range(z.shape[1])] for _ in scores]
    if not curved:
        return rows
    data, status = bends(unit[:, curved], x, scores)
    seen = statistics(data, np.arange(len(x))[None, :])[0]
    found = draw([partial(statistics, data)], strata, size, permutations, seed, threads)[0]
    for j, numbers in enumerate(zip(seen, *maxt(seen, found), strict=True)):
        m = int(data.tested[j].sum())
        for k, values in zip(curved, np.transpose(numbers), strict=True):
            word = status[j][curved.index(k)]
            rows[j][k] = {"quadratic_status": word, "quadratic_reason": WORDS[word]}
            if word == "ok":
                rows[j][k] |= dict(zip(NAMES, map(float, values), strict=True)) | {"m_quadratic": m}
    return rows


def bends(z: np.ndarray, x: np.ndarray, scores: list[Score]) -> tuple[Bends, list[list[str]]]:
    """What the permutations need, and a status per score and latent. z: (n, latents) standardised."""
    n, q = len(x), np.linalg.qr(x)[0]
    line = _unit(_beside(z, q)).T
    square = z**2
    for _ in range(2):  # once more, against round-off
        square = _beside(square, q)
        square = square - line.T * np.sum(line.T * square, axis=0)
    gaussian = np.array([null.residual for null, *_ in scores if null.gaussian]).reshape(-1, n)
    spread = np.square(gaussian).sum(axis=1)[:, None]
    status = np.where(spread - (gaussian @ line.T) ** 2 > 1e-10 * spread, "ok", "constant score").tolist()
    nulls: list[list[Null | None]] = []  # by score and latent
    for null, kind, y, link in scores:
        if not null.gaussian:
            fits = [fit_null(kind, y, np.column_stack([x, one]), link) for one in z.T]
            nulls.append([found for _, found in fits])
            status.append([fit.status for fit, _ in fits])
    score, weight, factor = _stacked(nulls, n, z.shape[1])
    tested = np.array(status) == "ok"
    return Bends(q.T, line, _unit(square).T, gaussian, score, weight, factor, tested), status


def statistics(data: Bends, index: np.ndarray) -> np.ndarray:
    """Signed t or score statistics (draws, scores, latents) of permuted rows; zero where not tested. index: (draws, n).

    Row i has score i and confounds, line and square of row index[i] for a Gaussian score, else only the square of it.
    """
    draws, many = len(index), len(data.gaussian)
    found = np.zeros((draws, *data.tested.shape))
    along = np.empty((0, draws, 0))
    if many:
        both = np.vstack([data.gaussian, data.line]).T
        along = np.array([np.take(one, index) @ both for one in data.basis])  # (q, draws, Gaussian scores + latents)
    for k, one in enumerate(data.square):
        square = np.take(one, index)  # (draws, n)
        if many:
            found[:, :many, k] = _t(data, k, along, np.take(data.line[k], index), square)
        if data.score.shape[1]:
            top = square @ data.score[k].T
            taken = np.square(square @ data.factor[k].T).reshape(draws, top.shape[1], -1).sum(axis=2)
            found[:, many:, k] = top / np.sqrt(np.square(square, out=square) @ data.weight[k].T - taken)
    return found * data.tested


def _t(data: Bends, k: int, along: np.ndarray, line: np.ndarray, square: np.ndarray) -> np.ndarray:
    """t of the square in the permuted residuals of the Gaussian scores on confounds and line k: (draws, scores).

    The residual is that on the confounds less its share of the line, so that its products are differences of theirs.
    """
    many, n = data.gaussian.shape
    share = data.gaussian @ data.line[k]  # (scores,)
    pair = np.vstack([data.gaussian, data.line[k]]).T
    on_line, top = (moved[:, :many] - moved[:, many:] * share for moved in (line @ pair, square @ pair))
    on_confounds = along[:, :, :many] - along[:, :, [many + k]] * share
    whole = np.square(data.gaussian).sum(axis=1)
    left = whole - share**2 - on_line**2 - np.square(on_confounds).sum(axis=0) - top**2
    return np.asarray(top * np.sqrt((n - len(data.basis) - 2) / np.maximum(left, 1e-20 * whole)))  # 0 of 0: not tested


def _stacked(nulls: list[list[Null | None]], n: int, latents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, weights and factors by latent; a null without a fit has score 0 and weight 1."""
    width = max((null.factor.shape[1] for row in nulls for null in row if null is not None), default=0)
    score, weight = np.zeros((latents, len(nulls), n)), np.ones((latents, len(nulls), n))
    factor = np.zeros((latents, len(nulls), width, n))
    for j, row in enumerate(nulls):
        for k, null in enumerate(row):
            if null is not None:
                score[k, j], weight[k, j] = null.residual / np.sqrt(null.phi), null.weight
                factor[k, j, : null.factor.shape[1]] = null.factor.T
    return score, weight, factor.reshape(latents, -1, n)


def _beside(z: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.asarray(z - q @ (q.T @ z))


def _unit(z: np.ndarray) -> np.ndarray:
    return np.asarray(z / np.linalg.norm(z, axis=0))
