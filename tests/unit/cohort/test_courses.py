"""Simulated visits: courses without numpy, dropout that rises with severity, a scanner that changes, the same bits."""

import numpy as np
import pytest

from neurovae.cohort.longitudinal import draw_visits, session_row
from neurovae.plan import courses, index

VISITS = {"most": 4, "years": 2.0, "dropout": 0.2, "new_scanner": 0.3}
MANY = [courses.course(number, seed=0, visits=VISITS) for number in range(1, 2001)]


def test_visits_and_gaps() -> None:
    counts = np.bincount([len(one.years) for one in MANY])
    assert counts[0] == 0 and (counts[1:] > 50).all() and len(counts) == 5
    gaps = np.concatenate([np.diff(one.years) for one in MANY])
    assert gaps.mean() == pytest.approx(2, abs=0.02) and 1.6 <= gaps.min() and gaps.max() <= 2.4


def test_severe_people_drop_out() -> None:
    """After the first visit with a probability of .4 times severity: the mean of both thirds within four SE."""
    severity = np.array([one.severity[0] for one in MANY])
    left = np.array([len(one.years) == 1 for one in MANY])
    for part in (severity < 0.3, severity > 0.6):
        expected = 0.4 * severity[part]
        se = np.sqrt((expected * (1 - expected)).sum()) / part.sum()
        assert left[part].mean() == pytest.approx(expected.mean(), abs=4 * se)


def test_severity_follows_onset_and_pace() -> None:
    one = MANY[4]
    argument = courses.RATE * np.exp(one.pace) * (one.age + np.array(one.years) - one.onset)
    np.testing.assert_allclose(one.severity, 1 / (1 + np.exp(-argument)))
    assert (np.diff(one.severity) > 0).all() or len(one.years) == 1


def test_scanners() -> None:
    several = [one for one in MANY if len(one.sites) == 4]
    changed = np.mean([len(set(one.sites)) > 1 for one in several])
    assert changed == pytest.approx(0.3, abs=0.06)
    assert all(one.sites[0] == "BA"[(k + 1) % 2] for k, one in enumerate(MANY))
    never = courses.course(3, seed=0, visits=VISITS | {"new_scanner": 0})
    assert set(never.sites) == {"A"}


def test_a_person_stays_the_same() -> None:
    """Sex, size, modes and regional deviations are constant; severity, pose and noise are not. Same bits twice."""
    number = next(k for k, one in enumerate(MANY, 1) if len(one.years) == 4)
    person, again = (draw_visits(np.random.default_rng(1), number, seed=0, visits=VISITS) for _ in range(2))
    assert person == again
    first, last = person.visits[0].truth, person.visits[-1].truth
    assert all(first[name] == last[name] for name in first if name.startswith("mode"))
    assert last["severity"] > first["severity"] and first["rotation_x"] != last["rotation_x"]
    assert last["scale_x"] / first["scale_x"] == pytest.approx(1, abs=0.02)
    row = session_row(4, person.visits[-1])
    assert row["session_id"] == "ses-4" and float(row["age"]) == pytest.approx(last["age"], abs=0.05)


def test_the_index_lists_the_visits() -> None:
    cohort = {"name": "a", "site": "site", "simulate": {"people": 20, "voxel_mm": 4, "seed": 0, "visits": VISITS}}
    found = index.look(cohort)
    assert len(found.scans) == sum(len(one.years) for one in MANY[:20]) and not found.problems
    assert found.order["sub-001_ses-1"] == 1
    assert [path for path in found.files if path.endswith("sub-003_sessions.tsv")]
    sites = {(scan.person, int(scan.session)): scan.site for scan in found.scans}
    assert all(sites[f"sub-{k:03d}", j + 1] == site for k, one in enumerate(MANY[:20], 1)
               for j, site in enumerate(one.sites))  # fmt: skip
