"""The verdict on a model from its measures, the reason in words, and what to change.

The thresholds were fixed before the models that prove them (tests/proof/collapse.py) were trained.
"""

from typing import Any

import numpy as np

from neurovae.plan.latent_maps import is_map
from neurovae.train.health.measures import Identified
from neurovae.train.health.verdicts import STOPPING

COLLAPSED = 0.05  # training variance explained below this: the output does not depend on the input
DIVERGED = -1.0  # training variance explained below this: worse than any average brain could be
MOVED = 1e-3  # largest change of the training loss, as a share of it, below which nothing was learned
GAP = 0.3  # training minus test variance explained above this: overfit
PARTIAL = 0.5  # share of the latents that are active below this: partial


def judge(
    *,
    explained: dict[str, float],
    identification: dict[str, Identified],
    variance: np.ndarray,
    active: int | None,
    linear: bool,
    kept_epoch: int | None,
    has_trained: bool = True,
    elsewhere: bool = False,
) -> tuple[str, str]:
    """Return verdict and reason: the first that applies of diverged, untrained, collapsed, overfit, partial, healthy.

    Args:
        explained: variance explained by split.
        identification: on people of "training" and "test".
        variance: of each latent over the training people (latents,).
        active: number of active latents; None where the loss has no KL.
        linear: does the model have a part that is fitted in closed form, so that it is trained before its first step?
        kept_epoch: epoch of the weights; None for a model without epochs.
        has_trained: did the training loss change by more than `MOVED`? If not, or without an epoch, nothing was
            learned.
        elsewhere: fitted to another cohort: latents around its mean image can differ between people while the variance
            explained, which is relative to the mean image here, is negative. That is partial, and not a collapse.
    """
    if not np.isfinite([*explained.values(), *variance]).all():
        return "diverged", "weights, latents or reconstructions are not finite"
    measures_text = _measures_text(explained, identification, active, len(variance))
    tests = {
        "diverged": _diverged(explained),
        "untrained": _untrained(explained, linear, kept_epoch, has_trained),
        "collapsed": _collapsed(explained, identification["training"], active, len(variance), kept_epoch),
        "overfit": _overfit(explained),
        "partial": _partial(explained, identification["test"], active, len(variance)),
    }
    if elsewhere:
        tests = _fitted_elsewhere(explained, identification, active, variance)
    for verdict, reasons in tests.items():
        if reasons:
            return verdict, f"{', '.join(reasons)} ({measures_text})"
    return "healthy", measures_text


def _measures_text(
    explained: dict[str, float], identification: dict[str, Identified], active: int | None, latents: int
) -> str:
    training, test = identification["training"], identification["test"]
    counted = "" if active is None else f"; {active} of {latents} latents active"
    return (
        f"variance explained: training {_text(explained['training'])}, test {_text(explained['test'])}; identified: "
        f"training {training.rate * training.people:.0f} of {training.people} participants, test "
        f"{test.rate * test.people:.0f} of {test.people} (99th percentile of the chance distribution: "
        f"{test.chance * test.people:.0f}){counted}"
    )


def _text(explained: float) -> str:
    return f"{round(explained, 3) + 0.0:.3f}"  # never -0.000


def _diverged(explained: dict[str, float]) -> list[str]:
    return [f"training variance explained below {DIVERGED:g}"] if explained["training"] < DIVERGED else []


def _untrained(explained: dict[str, float], linear: bool, kept_epoch: int | None, has_trained: bool) -> list[str]:
    nothing = kept_epoch is not None and not linear and not has_trained and explained["training"] < COLLAPSED
    return ["the loss hardly changed while it was trained"] if nothing else []


def _collapsed(
    explained: dict[str, float], training: Identified, active: int | None, latents: int, kept_epoch: int | None
) -> list[str]:
    """One latent cannot identify people: correlations do not see its size. It is judged by the variance explained."""
    reasons = [
        *([f"training variance explained below {COLLAPSED:g}"] if explained["training"] < COLLAPSED else []),
        *(["training participants are identified at chance level"] if latents > 1 and training.by_chance else []),
        *(["no active latent"] if active == 0 else []),
    ]
    return reasons + (["no epoch was better than the weights before training"] if reasons and kept_epoch == 0 else [])


def _fitted_elsewhere(
    explained: dict[str, float], identification: dict[str, Identified], active: int | None, variance: np.ndarray
) -> dict[str, list[str]]:
    """Reasons by verdict for a model of another cohort: nothing was trained here that could diverge or overfit."""
    latents = len(variance)
    poor = min(explained["training"], explained["test"]) < COLLAPSED
    chance = latents > 1 and identification["training"].by_chance
    return {
        "collapsed": ["no latent differs between training participants"] if not variance.any() else [],
        "partial": [
            *([f"variance explained here below {COLLAPSED:g}"] if poor else []),
            *(["training participants are identified at chance level"] if chance else []),
            *_partial({**explained, "test": COLLAPSED}, identification["test"], active, latents),
        ],
    }


def _overfit(explained: dict[str, float]) -> list[str]:
    gap = explained["training"] - explained["test"]
    return [
        *(["test variance explained not above 0"] if explained["test"] <= 0 else []),
        *([f"training minus test variance explained above {GAP:g}"] if gap > GAP else []),
    ]


def _partial(explained: dict[str, float], test: Identified, active: int | None, latents: int) -> list[str]:
    few_active = active is not None and active < PARTIAL * latents
    return [
        *([f"test variance explained below {COLLAPSED:g}"] if explained["test"] < COLLAPSED else []),
        *(["fewer than half of the latents are active"] if few_active else []),
        *(["test participants are identified at chance level"] if latents > 1 and test.by_chance else []),
    ]


def advice(verdict: str, options: dict[str, Any], kept_epoch: int | None, last: int | None) -> str:
    """Suggest changes of the model's entry, with its present values; empty for a healthy model and for a baseline.

    Args:
        verdict: of `judge`.
        options: the entry of train.models.
        kept_epoch: epoch of the weights; None for a model without epochs.
        last: the last epoch that was trained.
    """
    if options.get("capped"):  # a baseline beside a model with more latents: it has as many components as there are
        return ""
    if "centre" in options:  # a model of another cohort: nothing else of it can be changed
        return "set centre: own" if verdict == "partial" and options["centre"] == "source" else ""
    change = {
        "collapsed": ["lower beta", "raise warmup", "raise free_bits", "lower mmd_weight", "raise learning_rate"],
        "untrained": ["raise learning_rate", "raise patience", "lower beta", "lower mmd_weight"],
        "diverged": ["lower learning_rate", "lower clip"],
        "overfit": ["lower n_latent", "raise mixup", "raise jitter", "raise dropout", "raise beta"],
        "partial": ["lower beta", "raise free_bits", "lower n_latent"],
    }.get(verdict, [])
    set_options = {name: value for name, value in options.items() if value is not None}
    suggestions = [
        f"{suggestion} (now {set_options[suggestion.split()[1]]:g})"
        for suggestion in change
        if _possible(suggestion, set_options)
    ]
    if kept_epoch is not None and kept_epoch == last and verdict in ("collapsed", "untrained", "partial"):
        suggestions.insert(0, f"raise epochs (the last, {last}, was the best)")
    if set_options.get("linear") == "none" and verdict in ("collapsed", "untrained", "overfit"):
        suggestions.append("set latents: vector and linear: pca" if is_map(set_options) else "set linear: pca")
    if verdict == "overfit":
        suggestions += ["set flip: true"] if set_options.get("flip") is False else []
        suggestions.append("give more people")
    if verdict in STOPPING and not suggestions:
        suggestions.append("look at the volumes and the mask: the people may differ by noise alone")
    return "; ".join(suggestions)


def _possible(suggestion: str, options: dict[str, Any]) -> bool:
    """Whether the entry has the key, uses it, and its value can still be lowered."""
    direction, key = suggestion.split()
    kl = options.get("divergence", "none") != "none" and options.get("beta", 0) > 0
    in_use = {"mmd_weight": options.get("divergence") == "mmd", "beta": kl, "warmup": kl, "free_bits": kl}
    in_use["n_latent"] = not is_map(options)  # of a map it follows from the grid
    has_key = key in options and in_use.get(key, True)
    return has_key and not (direction == "lower" and options[key] <= (1 if key == "n_latent" else 0))
