"""Simulated people with several visits: their course (plan.courses), and what changes from visit to visit."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np

from neurovae.cohort.anatomy import MODES, REGIONS
from neurovae.cohort.people import AT_SEVERITY_1, OWN, PER_DECADE, SCORES, draw_pose, draw_scanner, draw_scores
from neurovae.plan.courses import course

RESCALED = 0.003  # standard deviation of a scan's scale about the person's own, as of a scanner's gradients
ENTRY = date(2012, 1, 1)  # of the first person


class Visit(NamedTuple):
    """One visit: time, age, site, scores, and the true values behind the scan."""

    years: float
    day: str
    age: float
    site: str
    scores: dict[str, Any]
    truth: dict[str, float]


class Person(NamedTuple):
    """A simulated person and the visits in time."""

    person: str
    sex: str
    visits: list[Visit]


def draw_visits(rng: np.random.Generator, number: int, *, seed: int, visits: Mapping[str, Any]) -> Person:
    """Draw a person's constant anatomy once, and pose, scanner and scores anew at each visit of the course."""
    path = course(number, seed=seed, visits=visits)
    sex = "F" if rng.random() < 0.5 else "M"
    own = OWN * rng.normal(size=len(REGIONS))
    modes = {f"mode_{k}": float(draw) for k, draw in enumerate(rng.normal(size=MODES))}
    pose = draw_pose(rng, sex)
    entry = ENTRY + timedelta(days=int(rng.integers(0, 1500)))
    found = []
    for years, severity, site in zip(path.years, path.severity, path.sites, strict=True):
        age = path.age + years
        changes = AT_SEVERITY_1 * severity + PER_DECADE * (age - 68) / 10 + own
        truth = {"age": age, "years": years, "severity": severity, "onset": path.onset, "pace": path.pace}
        truth |= {f"log_{name}": float(change) for name, change in zip(REGIONS, changes, strict=True)}
        again = draw_pose(rng, sex)
        same = {name: pose[name] * float(np.exp(rng.normal(0, RESCALED))) for name in pose if name.startswith("scale")}
        truth |= modes | again | same | draw_scanner(rng, site)
        day = (entry + timedelta(days=round(365.25 * years))).isoformat()
        found.append(Visit(years, day, age, site, draw_scores(rng, severity), truth))
    return Person(f"sub-{number:03d}", sex, found)


def session_row(number: int, visit: Visit) -> dict[str, Any]:
    """Return the visit's row of the sessions table."""
    row = {"session_id": f"ses-{number}", "acq_time": visit.day, "age": f"{visit.age:.1f}", "site": visit.site}
    return row | {name: visit.scores[name] for name in SCORES}
