"""The demo cohort's people: a hidden severity of disease, its effects on anatomy beside those of age, and scores.

Severity is uniform in 0-1, with a latent correlation of .3 with age. At severity 1 the ventricles grow 1.55 times, the
hippocampi shrink to .82 and the cortex to .90; each region also varies between people independently, the
ventricles about as much as severity moves them. Age alone shrinks the cerebellum, sex alone moves head size.
"""

from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from neurovae.cohort.anatomy import MODES, REGIONS

AT_SEVERITY_1 = np.log([1.55, 0.82, 0.90, 1.0])  # log-volume change, in the order of REGIONS
PER_DECADE = np.array([0.0, 0.0, 0.0, -0.025])
OWN = np.array([0.12, 0.03, 0.006, 0.02])  # standard deviation of log volume that is unrelated to severity and age
SCORES = ["motor", "falls", "diagnosis", "mmse", "ushape", "stage"]
FOLLOW_UP = ["years", "converted"]  # time to an event, and whether it was seen
HAZARD = 0.08, 3.0  # events per year at severity 0, and log hazard ratio of severity 1 to 0
OBSERVED = 1.0, 8.0  # years, the shortest and the longest observation
MISSING = 0.03  # fraction of n/a cells among the scores


def site_of(number: int) -> str:
    """Return the site of the person with this number, from 1."""
    return "A" if number % 2 else "B"


def draw_person(rng: np.random.Generator, number: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Draw a row for participants.tsv, and the true values behind it: log volumes, pose and scanner effects."""
    age_z, severity_z = rng.normal(size=2)
    age = float(np.clip(68 + 9 * age_z, 45, 92))
    severity = float(ndtr(0.3 * age_z + np.sqrt(1 - 0.3**2) * severity_z))
    sex = "F" if rng.random() < 0.5 else "M"
    changes = AT_SEVERITY_1 * severity + PER_DECADE * (age - 68) / 10 + OWN * rng.normal(size=len(REGIONS))
    truth = {"severity": severity}
    truth |= {f"log_{name}": float(change) for name, change in zip(REGIONS, changes, strict=True)}
    truth |= {f"mode_{k}": float(draw) for k, draw in enumerate(rng.normal(size=MODES))}
    truth |= draw_pose(rng, sex) | draw_scanner(rng, site_of(number))
    row = {"participant_id": f"sub-{number:03d}", "age": f"{age:.1f}", "sex": sex, "site": site_of(number)}
    later = rng.spawn(1)[0]  # its draws leave those of anatomy and images as they are
    return row | draw_scores(rng, severity) | draw_follow_up(later, severity), truth


def draw_pose(rng: np.random.Generator, sex: str) -> dict[str, float]:
    """Draw rotations in degrees, translations in mm, scales."""
    size = rng.normal(0.91 if sex == "F" else 0.945, 0.025)
    pose = {f"rotation_{axis}": float(rng.normal(0, sd)) for axis, sd in zip("xyz", (5, 3, 4), strict=True)}
    pose |= {f"translation_{axis}": float(rng.normal(0, 5)) for axis in "xyz"}
    return pose | {f"scale_{axis}": float(size * np.exp(rng.normal(0, 0.012))) for axis in "xyz"}


def draw_scanner(rng: np.random.Generator, site: str) -> dict[str, float]:
    """Draw gain, contrast (exponent on intensity), bias (sd of the field's log), noise (fraction of white matter)."""
    base_gain, base_contrast = (700, 1.0) if site == "A" else (420, 1.06)
    return {
        "gain": float(base_gain * np.exp(rng.normal(0, 0.08))),
        "contrast": float(base_contrast * np.exp(rng.normal(0, 0.015))),
        "bias": float(rng.uniform(0.05, 0.15)),
        "noise": float(rng.uniform(0.025, 0.04)),
    }


def draw_scores(rng: np.random.Generator, severity: float) -> dict[str, Any]:
    """Draw one score of each type; a few are missing."""
    scores = {
        "motor": f"{20 + 12 * severity + rng.normal(0, 1.2):.2f}",  # linear
        "falls": int(rng.poisson(np.exp(-1 + 2.6 * severity))),  # count
        "diagnosis": "patient" if rng.random() < expit(12 * (severity - 0.5)) else "control",
        "mmse": int(rng.binomial(30, expit(4.2 - 4 * severity**2))),  # bounded 0-30, saturates at its ceiling
        "ushape": f"{40 * (severity - 0.5) ** 2 + rng.normal(0, 0.8):.2f}",
        "stage": int(np.clip(np.floor(5 * severity + rng.logistic(0, 0.3)), 0, 4)),  # ordinal 0-4
    }
    missing = rng.random(len(SCORES)) < MISSING
    return {name: None if is_missing else scores[name] for name, is_missing in zip(SCORES, missing, strict=True)}


def draw_follow_up(rng: np.random.Generator, severity: float) -> dict[str, Any]:
    """Draw the years from the scan to conversion, which severity hastens, or to the end of observation."""
    event = rng.exponential() / (HAZARD[0] * np.exp(HAZARD[1] * severity))
    end = rng.uniform(*OBSERVED)
    return dict(zip(FOLLOW_UP, (f"{max(min(event, end), 0.01):.2f}", int(event <= end)), strict=True))
