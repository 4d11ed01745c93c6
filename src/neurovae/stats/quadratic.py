"""Is a score a quadratic function of a latent? Permutation test of the quadratic term given the linear one, max-T.

The null of each latent holds the confounds and the latent's linear term; statistic: the signed root of the score test
of the square given these (Gaussian scores: the t). For Gaussian scores the residual on that null is permuted and
refitted (Freedman & Lane 1983). For other scores the square's residual on confounds and linear term is permuted, as in
`maxt` that of the linear term.

Power relative to the test that knows shape and family (120 people, where that one finds a planted U in .5 to .9 of
cohorts): Gaussian .98 or more (robust quadratic of `spline`: .53; 400 cohorts), counts .91, binary .81 and .92 (their
likelihood ratios: .90, .95 and .96; 100 cohorts). It assumes that residuals which are permuted have equal variance.
Where a Gaussian score's standard deviation is |latent|, a linear truth is called quadratic in 33 % of 400 cohorts at 5
% (equal variance: 5.5 %; the robust quadratic: 6 % of 200), so the p of `spline` belongs beside this one.
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
class Curvature:
    """Scores that share people and confounds, Gaussian ones first, and the latents whose square can be tested."""

    basis: np.ndarray  # (q, n) orthonormal, of the confounds
    line: np.ndarray  # (latents, n) of length 1, beside the confounds
    square: np.ndarray  # (latents, n) of length 1, beside the confounds and the line
    gaussian: np.ndarray  # (Gaussian scores, n) residuals on the confounds
    score: np.ndarray  # (latents, other scores, n) s / sqrt(phi) from the null with the line; zeros where it has no fit
    weight: np.ndarray  # (latents, other scores, n)
    factor: np.ndarray  # (latents, other scores x parameters, n)
    tested: np.ndarray  # (scores, latents)


def quadratic(
    z: np.ndarray,
    x: np.ndarray,
    scores: list[Score],
    strata: np.ndarray,
    size: int,
    permutations: int,
    seed: int,
    threads: int = 1,
) -> list[list[dict[str, float | int | str]]]:
    """Statistic, single-test p and max-T p of the square of each latent, by score and latent; a status where there is
    no test.

    z: (n, latents), x: (n, q) confounds; scores: Gaussian ones first; size: permutations in a block, as of the lines.
    """
    unit = (z - z.mean(axis=0)) / z.std(axis=0)
    curved = [k for k in range(z.shape[1]) if varies(unit[:, k] ** 2, np.column_stack([x, unit[:, k]]))]
    none: dict[str, float | int | str] = {"quadratic_status": "constant square", "quadratic_reason": NO_SQUARE}
    rows = [[dict(none) for _ in range(z.shape[1])] for _ in scores]
    if not curved:
        return rows
    data, status = prepare(unit[:, curved], x, scores)
    observed = statistics(data, np.arange(len(x))[None, :])[0]
    permuted = draw([partial(statistics, data)], strata, size, permutations, seed, threads)[0]
    for j, numbers in enumerate(zip(observed, *maxt(observed, permuted), strict=True)):
        n_latents = int(data.tested[j].sum())
        for k, values in zip(curved, np.transpose(numbers), strict=True):
            word = status[j][curved.index(k)]
            rows[j][k] = {"quadratic_status": word, "quadratic_reason": WORDS[word]}
            if word == "ok":
                rows[j][k] |= dict(zip(NAMES, map(float, values), strict=True)) | {"m_quadratic": n_latents}
    return rows


def prepare(z: np.ndarray, x: np.ndarray, scores: list[Score]) -> tuple[Curvature, list[list[str]]]:
    """Prepare the permutations; return a status per score and latent as well. z: (n, latents) standardised."""
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
            nulls.append([null_fit for _, null_fit in fits])
            status.append([fit.status for fit, _ in fits])
    score, weight, factor = _stacked(nulls, n, z.shape[1])
    tested = np.array(status) == "ok"
    return Curvature(q.T, line, _unit(square).T, gaussian, score, weight, factor, tested), status


def statistics(data: Curvature, index: np.ndarray) -> np.ndarray:
    """Signed t or score statistics (draws, scores, latents) of permuted rows; zero where not tested. index: (draws, n).

    Row i has score i and confounds, line and square of row index[i] for a Gaussian score, else only the square of it.
    """
    draws, n_gaussian = len(index), len(data.gaussian)
    statistic = np.zeros((draws, *data.tested.shape))
    along = np.empty((0, draws, 0))
    if n_gaussian:
        both = np.vstack([data.gaussian, data.line]).T
        along = np.array([np.take(one, index) @ both for one in data.basis])  # (q, draws, Gaussian scores + latents)
    for k, one in enumerate(data.square):
        square = np.take(one, index)  # (draws, n)
        if n_gaussian:
            statistic[:, :n_gaussian, k] = _t(data, k, along, np.take(data.line[k], index), square)
        if data.score.shape[1]:
            top = square @ data.score[k].T
            explained = np.square(square @ data.factor[k].T).reshape(draws, top.shape[1], -1).sum(axis=2)
            statistic[:, n_gaussian:, k] = top / np.sqrt(np.square(square, out=square) @ data.weight[k].T - explained)
    return statistic * data.tested


def _t(data: Curvature, k: int, along: np.ndarray, line: np.ndarray, square: np.ndarray) -> np.ndarray:
    """t of the square in the permuted residuals of the Gaussian scores on confounds and line k: (draws, scores).

    The residual is that on the confounds less its share of the line, so that its products are differences of theirs.
    """
    n_gaussian, n = data.gaussian.shape
    slope = data.gaussian @ data.line[k]  # (scores,)
    pair = np.vstack([data.gaussian, data.line[k]]).T
    linear_part, top = (moved[:, :n_gaussian] - moved[:, n_gaussian:] * slope for moved in (line @ pair, square @ pair))
    on_confounds = along[:, :, :n_gaussian] - along[:, :, [n_gaussian + k]] * slope
    total = np.square(data.gaussian).sum(axis=1)
    remainder = total - slope**2 - linear_part**2 - np.square(on_confounds).sum(axis=0) - top**2
    return np.asarray(
        top * np.sqrt((n - len(data.basis) - 2) / np.maximum(remainder, 1e-20 * total))
    )  # 0 of 0: not tested


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
