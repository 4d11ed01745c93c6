"""Errors and tests of a regression whose people are related: clustered by family, with small-sample corrections.

One column: CR2 errors and the degrees of freedom of Bell & McCaffrey (2002; Pustejovsky & Tipton 2018), on the weighted
least squares of the last step; of ordinal scores the jackknife over families. Several columns: Hotelling's T2 of the
families' sums of the score (Rao) contributions of the null, each over the root of one less the leverage; of ordinal
scores T2 of the jackknife's covariance. With 40 pairs correlated .8 in score and latent true nulls are rejected at 5 %
in 4.0-6.8 % by one column, in 3.3-6.3 % by the two or three of a spline (600 draws of each score type); tests that take
relatives for independent people reject 7.5-15 %.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import f

from neurovae.stats import ordinal, survival
from neurovae.stats.fits import CLUSTERED, Fit, Rows
from neurovae.stats.links import family
from neurovae.stats.scoring import working


def clustered(kind: str, y: np.ndarray, x: np.ndarray, full: Fit, group: np.ndarray) -> Fit:
    """Return the fit with errors and degrees of freedom clustered by family. group: (n,) codes 0, 1, ..."""
    change = influence(kind, y, x, full, group)
    df_residual = max(float(len(change) - full.counted), 1.0)
    n_estimates = change.shape[1]
    cov = np.full_like(full.cov, np.nan)
    cov[:n_estimates, :n_estimates] = change.T @ change
    se, df = float(np.sqrt(cov[full.last, full.last])), df_residual
    if kind not in ("ordinal", "survival"):
        s, weight, _ = working(y, predictor(kind, x, full), family(kind, full.link, full.alpha))
        se, df = cr2(s / np.sqrt(weight), np.sqrt(weight)[:, None] * x, group)
    return replace(full, cov=cov, se=se, df=df, df_several=df_residual, test=CLUSTERED, rows=Rows(kind, y, x, group))


def several_p(null: Fit, full: Fit, extra: int) -> float:
    """Return the p of the last `extra` columns of the full model."""
    rows, null_rows = full.rows, null.rows
    assert rows is not None and null_rows is not None
    if rows.kind in ("ordinal", "survival"):
        last = slice(full.last - extra + 1, full.last + 1)
        wald = full.coef[last] @ np.linalg.solve(full.cov[last, last], full.coef[last]) / extra
        return float(f.sf(wald * (full.df_several + 1) / (full.df_several + extra), extra, full.df_several + 1))
    x, extra_columns = null_rows.x, rows.x[:, -extra:]
    glm_family = family(rows.kind, null.link, null.alpha)
    s, weight, _ = working(rows.y, predictor(rows.kind, x, null), glm_family)
    inverse = np.linalg.inv(x.T @ (weight[:, None] * x))
    hat = weight * np.einsum("ij,jk,ik->i", x, inverse, x)
    adjusted = extra_columns - x @ (inverse @ (x.T @ (weight[:, None] * extra_columns)))
    sums = np.zeros((rows.group.max() + 1, extra))
    np.add.at(sums, rows.group, (s / np.sqrt(1 - hat))[:, None] * adjusted)
    mean, count = sums.mean(axis=0), len(sums)
    t2 = count * mean @ np.linalg.solve(np.cov(sums.T), mean)
    return float(f.sf((count - extra) / (extra * (count - 1)) * t2, extra, count - extra))


def cr2(e: np.ndarray, x: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """CR2 error of the last coefficient of least squares with residual e, and its degrees of freedom.

    The variance is the sum of (a_g'e_g)^2, a_g = (I - H_gg)^-1/2 x_g (x'x)^-1 c; with e = M y and equal variances it is
    y'B y, B = sum of v_g v_g', v_g = M_g a_g, and df = tr(B)^2 / tr(B^2); v_g'v_h = [g = h] a_g'a_g - u_g'u_h, u = Q'a.
    """
    q, r = np.linalg.qr(x)
    direction = q @ np.linalg.inv(r).T[:, -1]  # (n,)
    order = np.argsort(group, kind="stable")
    size, projected, variance = np.zeros(group.max() + 1), np.zeros((group.max() + 1, q.shape[1])), 0.0
    for code, rows in enumerate(np.split(order, np.cumsum(np.bincount(group))[:-1])):
        sizes, vectors = np.linalg.eigh(np.eye(len(rows)) - q[rows] @ q[rows].T)
        root = np.divide(1, np.sqrt(np.maximum(sizes, 0)), out=np.zeros_like(sizes), where=sizes > 1e-9)
        a = vectors @ (root * (vectors.T @ direction[rows]))
        variance += float(a @ e[rows]) ** 2
        size[code], projected[code] = a @ a, q[rows].T @ a
    length = np.square(projected).sum(axis=1)
    square = np.sum(size**2 - 2 * size * length) + np.square(projected.T @ projected).sum()
    return float(np.sqrt(variance)), float(np.sum(size - length) ** 2 / square)


def predictor(kind: str, x: np.ndarray, full: Fit) -> np.ndarray:
    """Return the linear predictor of each row of x (without thresholds), (n,)."""
    inner = x[:, 1:] if kind == "ordinal" else x
    return inner @ full.coef[: inner.shape[1]]


def influence(kind: str, y: np.ndarray, x: np.ndarray, full: Fit, group: np.ndarray) -> np.ndarray:
    """One-step change of the estimates when each group of people is left out, with alpha and 1 / shape fixed.

    Of a survival score with the risk sets fixed as well (`survival.influence`).

    group: (n,) codes 0, 1, ...; result: (groups, estimates).
    """
    if kind == "ordinal":
        codes = np.unique(y, return_inverse=True)[1]
        return jackknife(*ordinal.contributions(codes, x[:, 1:], full.coef, full.link), group)
    if kind == "survival":
        change = np.zeros((group.max() + 1, x.shape[1]))
        np.add.at(change, group, survival.influence(y, x, full))
        return change
    s, weight, _ = working(y, predictor(kind, x, full), family(kind, full.link, full.alpha))
    information = np.einsum("ni,nj->nij", weight[:, None] * x, x)
    return jackknife(s[:, None] * x, information, group)


def jackknife(score: np.ndarray, information: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return (I - I_g)^-1 score_g of each group.

    score: (n, estimates); information: (n, estimates, estimates).
    """
    scores, parts = np.zeros((group.max() + 1, score.shape[1])), np.zeros((group.max() + 1, *information.shape[1:]))
    np.add.at(scores, group, score)
    np.add.at(parts, group, information)
    return np.asarray(np.linalg.solve(information.sum(axis=0) - parts, scores[:, :, None])[:, :, 0])
