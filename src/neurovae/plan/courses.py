"""Courses of simulated people over several visits: when they come, how severe the disease is then, and who drops out.

Standard library only: the visits have to be known before anything is simulated. Severity follows a logistic curve of
age with an onset and a pace of the person's own (Schiratti et al. 2017): 1 / (1 + exp(-RATE e^pace (age - onset))).
"""

import math
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

AGE, AGE_SD, YOUNGEST, OLDEST = 70.0, 8.0, 50.0, 88.0  # years, at the first visit
ONSET, ONSET_SD = 2.0, 8.0  # years from the first visit to a severity of one half
RATE, PACE_SD = 0.25, 0.35  # per year; standard deviation of the log of a person's pace
JITTER = 0.2  # of the time between two visits, as a fraction


class Course(NamedTuple):
    """One simulated person: true onset (age) and pace, and per visit years since the first, severity and site."""

    age: float
    onset: float
    pace: float
    years: tuple[float, ...]
    severity: tuple[float, ...]
    sites: tuple[str, ...]


def course(number: int, *, seed: int, visits: Mapping[str, Any]) -> Course:
    """Draw one person, numbered from 1, from the seed and the number alone.

    Args:
        number: of the person; odd: site A.
        seed: of the cohort.
        visits: of cohort.simulate: `most`, `years` between two visits, `dropout` (probability after a visit at a
            severity of one half, proportional to severity), `new_scanner` (fraction of people who change the site).
    """
    rng = random.Random(f"{seed} course {number}")  # noqa: S311 - a simulation
    age = min(max(rng.gauss(AGE, AGE_SD), YOUNGEST), OLDEST)
    onset, pace = age + rng.gauss(ONSET, ONSET_SD), rng.gauss(0, PACE_SD)
    changes = rng.random() < visits["new_scanner"]
    first_changed = rng.randint(1, max(visits["most"] - 1, 1))
    years, severity = [0.0], [severity_at(age, onset, pace)]
    for _ in range(visits["most"] - 1):
        gap, leaves = visits["years"] * rng.uniform(1 - JITTER, 1 + JITTER), rng.random()
        if leaves < 2 * visits["dropout"] * severity[-1]:
            break
        years.append(years[-1] + gap)
        severity.append(severity_at(age + years[-1], onset, pace))
    own, other = ("A", "B") if number % 2 else ("B", "A")
    sites = tuple(other if changes and k >= first_changed else own for k in range(len(years)))
    return Course(age, onset, pace, tuple(years), tuple(severity), sites)


def severity_at(age: float, onset: float, pace: float) -> float:
    """Return the severity at an age, in 0-1."""
    return 1 / (1 + math.exp(-RATE * math.exp(pace) * (age - onset)))
