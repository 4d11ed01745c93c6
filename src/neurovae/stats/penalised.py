"""A curve to draw: penalised natural cubic spline, its weight by restricted maximum likelihood. It has no p.

Penalty: weight times the integral of the squared second derivative (Wood 2017, Generalized Additive Models, sections
5.3.1 and 6.2). Weight: REML (Wood 2011, J. R. Statist. Soc. B 73; extended quasi-likelihood where the dispersion is
estimated), or GCV, with UBRE where the dispersion is 1. Band: Bayesian covariance (Wood 2017, section 6.10).
Why REML draws and not GCV: of straight truths (70 people, 11 confounds) GCV gave more than 7 df to 18 (binary),
7 (count) and 3 % (Gaussian), GCV with edf counted 1.4 times to 5, 0 and 2 %, REML to 2, 0 and 0 % (60 draws each).
A chi2 on edf rejects 7.8 % under a straight truth, so there is none.

statsmodels' GLMGam (0.15.0) is not used: `select_penweight` raises AttributeError ('scale'), its GCV is
dispersion / (1 - edf / n)^2, which for binary and count scores does not look at the data and for others cubes the
share that should be squared, and it has no natural spline. This one equals mgcv (a test).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from statsmodels.genmod.families.family import Family

from neurovae.stats.basis import curvature, natural_spline
from neurovae.stats.fits import Fit, quiet
from neurovae.stats.links import family, positive_only
from neurovae.stats.separation import separated

KNOTS, FEWEST = 10, 4
DRAWABLE = ("continuous", "gamma", "count", "binary", "bounded")  # an ordinal score has no single mean
UNIT_DISPERSION = ("count", "binary")
STEPS, HALVINGS = 100, 30
TOLERANCE = 1e-11  # relative change of the penalised deviance at which the search has arrived


@dataclass(frozen=True)
class Smooth:
    """One penalised model; coef and cov belong to x, then the columns of `natural_spline(z, knots)`."""

    status: str
    knots: np.ndarray
    coef: np.ndarray
    cov: np.ndarray
    edf: float  # of the curve without its constant: 1 is a line
    weight: float
    dispersion: float
    deviance: float
    df: float  # residual degrees of freedom, infinite where the dispersion is 1


def penalised(
    kind: str,
    y: np.ndarray,
    x: np.ndarray,
    z: np.ndarray,
    like: Fit,
    eta: np.ndarray,
    by: str = "REML",
    weight: float | None = None,
) -> Smooth:
    """Smooth y along z beside the unpenalised columns x (first: the intercept).

    Args:
        kind: one of DRAWABLE.
        y: (n,), a bounded score as a share of its range.
        x: (n, columns).
        z: (n,), five or more distinct values.
        like: unpenalised fit, which gives the link and the alpha of a count.
        eta: (n,) its linear predictor, where the search starts.
        by: REML or GCV (UBRE where the dispersion is 1).
        weight: of the penalty, for the deviance and in the units of z; None: found by `by`.
    """
    knots = penalised_knots(kind, y, x, z)
    if knots is None:
        return _without("separation")
    whiten = np.linalg.inv(np.linalg.cholesky(curvature(knots))).T  # makes the penalty the identity
    spline = natural_spline(z, knots)
    columns = np.column_stack([x, spline[:, 0], spline[:, 1:] @ whiten])
    made, positive = family(kind, like.link, like.alpha), positive_only(kind, like.link)
    model = _Model(made, y, columns, x.shape[1] + 1, kind in UNIT_DISPERSION, positive, by)
    with quiet():
        coef = np.linalg.lstsq(columns, eta, rcond=None)[0]
        try:
            weight = _best_weight(model, coef) if weight is None else weight
            found = None if weight is None else _search(model, weight, coef)
        except np.linalg.LinAlgError:
            found = None
        if found is None or weight is None:
            return _without("not converged")
        return _smooth(model, found, weight, knots, whiten)


def penalised_knots(kind: str, y: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray | None:
    """Ten knots at even quantiles of the distinct values, both ends among them (mgcv's); fewer where ten separate.

    With more knots than the data can bear the deviance reaches 0 without a penalty, and the weight goes there.
    None: even four separate.
    """
    distinct = np.unique(z)
    for count in range(min(KNOTS, len(distinct)), FEWEST - 1, -1):
        knots = np.quantile(distinct, np.linspace(0, 1, count))
        if not separated(kind, y, np.column_stack([x, natural_spline(z, knots)])):
            return knots
    return None


@dataclass(frozen=True)
class _Model:
    family: Family
    y: np.ndarray
    x: np.ndarray
    free: int  # the first columns, which bear no penalty
    unit: bool  # dispersion 1
    positive: bool  # only linear predictors above 0 have a mean
    by: str


@dataclass(frozen=True)
class _State:
    coef: np.ndarray
    mu: np.ndarray
    information: np.ndarray
    deviance: float


def _smooth(model: _Model, found: _State, weight: float, knots: np.ndarray, whiten: np.ndarray) -> Smooth:
    free, n, edf = model.free, len(model.y), _edf(model, found, weight)
    back = np.eye(len(found.coef))
    back[free:, free:] = whiten
    pearson = float(np.sum((model.y - found.mu) ** 2 / model.family.variance(found.mu)))
    dispersion, df = (1.0, np.inf) if model.unit else (pearson / (n - edf), n - edf)
    cov = back @ np.linalg.inv(_penalised(model, found.information, weight)) @ back.T * dispersion
    curve = edf - (free - 1)
    return Smooth("ok", knots, back @ found.coef, cov, curve, weight, dispersion, found.deviance, df)


def _without(status: str) -> Smooth:
    none, nan = np.empty(0), np.nan
    return Smooth(status, none, none, none, nan, nan, nan, nan, nan)


def _best_weight(model: _Model, coef: np.ndarray) -> float | None:
    """Least criterion over a grid, then between the grid's neighbours; None where no weight converges."""
    state = _at(model, coef)
    h, free = state.information, model.free
    bends = h[free:, free:] - h[free:, :free] @ np.linalg.solve(h[:free, :free], h[:free, free:])
    sizes = np.linalg.eigvalsh(bends)  # edf of the bends: sum of size / (size + weight)
    low, high = np.log(max(sizes[0], 1e-10 * sizes[-1])) - 3, np.log(sizes[-1]) + 9
    grid = np.linspace(high, low, int(high - low) // 2 + 2)
    values, starts = [], []
    for place in grid:  # from the line on, each from where the one before arrived
        found = _search(model, np.exp(place), coef)
        coef = coef if found is None else found.coef
        values.append(np.inf if found is None else _criterion(model, found, np.exp(place)))
        starts.append(coef)
    best = int(np.argmin(values))
    if not np.isfinite(values[best]):
        return None

    def value(place: float) -> float:
        found = _search(model, np.exp(place), starts[best])
        return np.inf if found is None else _criterion(model, found, np.exp(place))

    around = (grid[min(best + 1, len(grid) - 1)], grid[max(best - 1, 0)])
    finer = minimize_scalar(value, bounds=around, method="bounded", options={"xatol": 1e-7})
    return float(np.exp(finer.x if finer.fun < values[best] else grid[best]))


def _search(model: _Model, weight: float, coef: np.ndarray) -> _State | None:
    """Penalised iteratively re-weighted least squares with halved steps; None where it does not arrive."""
    state = _at(model, coef)
    cost = _cost(model, state, weight)
    for _ in range(STEPS):
        slope = model.family.link.deriv(state.mu)
        weights = model.family.weights(state.mu)
        right = model.x.T @ (weights * (model.x @ state.coef + (model.y - state.mu) * slope))
        step = np.linalg.solve(_penalised(model, state.information, weight), right) - state.coef
        for halving in range(HALVINGS):
            after = _at(model, state.coef + step / 2**halving)
            found = _cost(model, after, weight)
            if found <= cost + TOLERANCE * (abs(cost) + 0.1):
                break
        else:
            return None
        done = abs(cost - found) <= TOLERANCE * (abs(cost) + 0.1)
        state, cost = after, found
        if done:
            return state
    return None


def _at(model: _Model, coef: np.ndarray) -> _State:
    mu = model.family.link.inverse(model.x @ coef)
    information = model.x.T @ (model.family.weights(mu)[:, None] * model.x)
    return _State(coef, mu, information, float(model.family.deviance(model.y, mu)))


def _cost(model: _Model, state: _State, weight: float) -> float:
    if model.positive and np.any(model.x @ state.coef <= 0):
        return np.inf
    bends = state.coef[model.free :]
    return state.deviance + weight * float(bends @ bends)


def _penalised(model: _Model, information: np.ndarray, weight: float) -> np.ndarray:
    return information + weight * np.diag(np.arange(len(information)) >= model.free)


def _edf(model: _Model, state: _State, weight: float) -> float:
    return float(np.trace(np.linalg.solve(_penalised(model, state.information, weight), state.information)))


def _criterion(model: _Model, state: _State, weight: float) -> float:
    n = len(model.y)
    if model.by == "REML":  # minus its logarithm, without constants; the dispersion, where it is estimated, profiled
        cost, bends = _cost(model, state, weight), len(state.coef) - model.free
        spread = np.linalg.slogdet(_penalised(model, state.information, weight))[1] - bends * np.log(weight)
        return float((cost if model.unit else (n - model.free) * np.log(cost)) + spread) / 2
    edf = _edf(model, state, weight)
    return state.deviance / n + 2 * edf / n if model.unit else n * state.deviance / (n - edf) ** 2
