"""Metrics of cross-fitted predictions of a time to event, under person weights, so that one function gives the value
and its bootstrap. Weights: (draws, people); the first draw is ones. y: (n, 3), columns entry, time, event.

c_harrell  share of comparable pairs of people of one test fold whose predicted risks are in the order of their events
           (Harrell 1982); pairs of two folds are never compared, since their predictors come from other models. With
           delayed entry a pair is comparable if both were at risk at the earlier event.
c_uno      the same with pairs weighted by 1 / G(t)^2, up to tau, so that it does not depend on the censoring (Uno 2011,
           Stat Med 30:1105); G, the Kaplan-Meier curve of the censoring, is of the training people.
ibs        integrated Brier score from the first event to tau, weighted by 1 / G (Graf 1999, Stat Med 18:2529). 0: best.
ipa        1 - ibs / ibs of the Kaplan-Meier curve of the training people (index of prediction accuracy, Kattan & Gerds
           2018). 0: as good as that curve, negative: worse.
log_partial_likelihood  within test folds and per event, over that of no prediction (0); the statistic of the test.
tau: the last event with at least AT_RISK people, or a tenth of all, still at risk: beyond it weights explode. With
delayed entry c_uno, ibs and ipa are not made: censoring by G supposes that everybody is observed from 0 on.
"""

from dataclasses import dataclass

import numpy as np

from neurovae.predict.ridge_cox import held_out

AT_RISK = 5  # people
GRID = 100  # times at most of the Brier score


@dataclass(frozen=True)
class Curves:
    """Predicted survival at `times`, of the people (n, times) and by the Kaplan-Meier curve of their training set."""

    times: np.ndarray
    survival: np.ndarray
    reference: np.ndarray
    censoring: np.ndarray  # (n, times) G of the training set at `times`
    censoring_before: np.ndarray  # (n,) G of the training set just before the person's own time


def last_time(y: np.ndarray) -> float:
    """Tau: the last event at which enough people are still at risk."""
    at = np.unique(y[y[:, 2] == 1, 1])
    count = np.array([np.sum((y[:, 0] < time) & (y[:, 1] >= time)) for time in at])
    enough = at[count >= max(AT_RISK, len(y) / 10)]
    return float(enough[-1]) if len(enough) else float(at[0])


def grid(y: np.ndarray) -> np.ndarray:
    """Times of the Brier score: those of the events up to tau, thinned evenly to GRID of them."""
    times = np.unique(y[(y[:, 2] == 1) & (y[:, 1] <= last_time(y)), 1])
    return times[np.unique(np.linspace(0, len(times) - 1, min(GRID, len(times))).round().astype(int))]


def kaplan_meier(y: np.ndarray, at: np.ndarray, before: bool = False) -> np.ndarray:
    """Kaplan-Meier estimate of surviving beyond `at` (times,), or to just before it. Entry is heeded."""
    times, events = np.unique(y[y[:, 2] == 1, 1], return_counts=True)
    risk = np.array([np.sum((y[:, 0] < time) & (y[:, 1] >= time)) for time in times])
    curve = np.append(1.0, np.cumprod(1 - events / np.maximum(risk, 1)))
    return curve[np.searchsorted(times, at, side="left" if before else "right")]


def censoring(y: np.ndarray, at: np.ndarray, before: bool = False) -> np.ndarray:
    """G: Kaplan-Meier of the censoring; at tied times events come first."""
    times, lost = np.unique(y[y[:, 2] == 0, 1], return_counts=True)
    risk = np.array([np.sum(y[:, 1] >= time) - np.sum((y[:, 1] == time) & (y[:, 2] == 1)) for time in times])
    curve = np.append(1.0, np.cumprod(1 - lost / np.maximum(risk, 1)))
    return curve[np.searchsorted(times, at, side="left" if before else "right")]


def metrics(
    y: np.ndarray, predictor: np.ndarray, folds: list[np.ndarray], curves: Curves | None, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric (draws,); those that are not made are missing. folds: rows of each test fold.

    curves: None with delayed entry.
    """
    none = np.full(len(weights), np.nan)
    plain = np.ones(len(y))
    found = {"c_harrell": concordance(y, predictor, folds, plain, np.inf, weights), "c_uno": none}
    if curves is not None:
        squared = np.maximum(curves.censoring_before, 1e-12) ** -2
        found["c_uno"] = concordance(y, predictor, folds, squared, last_time(y), weights)
        found["ibs"] = integrated(curves.times, brier(y, curves, curves.survival), weights)
        found["ipa"] = 1 - found["ibs"] / integrated(curves.times, brier(y, curves, curves.reference), weights)
    else:
        found |= {"ibs": none, "ipa": none}
    # an interval of a partial likelihood would need its risk sets drawn anew
    tested = [np.isin(np.arange(len(y)), rows)[None] for rows in folds]
    found["log_partial_likelihood"] = np.append(held_out(y, predictor[None], tested), none[1:])
    return found


def concordance(
    y: np.ndarray, predictor: np.ndarray, folds: list[np.ndarray], of_event: np.ndarray, tau: float, weights: np.ndarray
) -> np.ndarray:
    """Weighted share of concordant pairs within folds (draws,). of_event: (n,) weight of pairs whose event it is."""
    above, below = np.zeros((2, len(weights)))
    for rows in folds:
        entry, time, event = y[rows].T
        early = (event == 1) & (time <= tau)
        pairs = (time[:, None] < time) | ((time[:, None] == time) & (event[None, :] == 0))  # first: whose event it is
        pairs = pairs & early[:, None] & (entry[None, :] < time[:, None])
        gap = predictor[rows][:, None] - predictor[rows]
        order = (gap > 0) + 0.5 * (gap == 0)
        weighted = weights[:, rows] * of_event[rows]
        above += np.einsum("di,di->d", weighted @ (pairs * order), weights[:, rows])
        below += np.einsum("di,di->d", weighted @ pairs.astype(float), weights[:, rows])
    with np.errstate(invalid="ignore", divide="ignore"):
        return above / below


def brier(y: np.ndarray, curves: Curves, survival: np.ndarray) -> np.ndarray:
    """Each person's weighted squared error at each time, (n, times); its mean over people is the Brier score."""
    _, time, event = y.T
    happened = (time[:, None] <= curves.times) & (event[:, None] == 1)
    later = time[:, None] > curves.times
    before = np.maximum(curves.censoring_before, 1e-12)[:, None]
    return happened * survival**2 / before + later * (1 - survival) ** 2 / np.maximum(curves.censoring, 1e-12)


def integrated(times: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Integral over time of the weighted mean error, divided by the length of time; (draws,)."""
    mean = weights @ errors / weights.sum(axis=1)[:, None]
    if len(times) < 2:
        return np.asarray(mean[:, 0])
    return np.asarray(np.trapezoid(mean, times, axis=1) / (times[-1] - times[0]))
