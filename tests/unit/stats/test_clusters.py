"""Errors clustered by family: against refits without each family, and against the errors of independent people."""

import numpy as np
import pytest
from simulated_tests import KINDS, draw
from statsmodels.regression.linear_model import OLS

from neurovae.design.rows import standard
from neurovae.stats import clusters, families
from neurovae.stats.likelihoods import last_hc2

FAMILY = np.repeat(np.arange(30), 2)


def problem(kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(30, 2))[FAMILY]
    columns = np.sqrt(0.7) * common + np.sqrt(0.3) * rng.normal(size=(60, 2))
    return draw(kind, 0.4 * columns[:, 0], rng), np.column_stack([np.ones(60), columns])


def test_without_relatives_cr2_is_hc2():
    y, x = problem("continuous")
    e = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.allclose(clusters.cr2(e, x, np.arange(60)), last_hc2(e, x))


def test_cr2_is_unbiased_where_people_are_independent():
    """E of CR2 is the variance of least squares under equal variances, whatever the families (Bell & McCaffrey)."""
    _, x = problem("continuous")
    true = np.linalg.inv(x.T @ x)[-1, -1]
    m = np.eye(60) - x @ np.linalg.pinv(x)
    mean = sum(clusters.cr2(column, x, FAMILY)[0] ** 2 for column in m.T)  # y'B y summed over unit vectors is tr B
    assert np.isclose(mean, true, rtol=1e-10)


def test_the_jackknife_is_that_of_refits_without_each_family():
    y, x = problem("continuous")
    full = families.fit("continuous", y, x)
    change = clusters.influence("continuous", y, x, full, FAMILY)
    refits = [full.coef - OLS(y[FAMILY != k], x[FAMILY != k]).fit().params for k in range(30)]
    assert np.allclose(change, refits)


@pytest.mark.parametrize("kind", KINDS)
def test_relatives_widen_the_interval_and_effects_stay(kind: str):
    y, x = problem(kind)
    alone, related = families.fit(kind, y, x), families.fit(kind, y, x, None, FAMILY)
    assert related.effect == alone.effect and related.test == families.CLUSTERED and related.df < 40
    doubled = families.fit(kind, np.tile(y, 2), np.vstack([x, x]), None, np.tile(np.arange(60), 2))
    naive = families.fit(kind, np.tile(y, 2), np.vstack([x, x]))
    low, high = families.interval(doubled, 120)
    tight_low, tight_high = families.interval(naive, 120)
    assert 1.2 < (high - low) / (tight_high - tight_low) < 2.2  # everybody twice tells nothing more: about root 2


def test_p_of_people_who_are_families_of_one_is_near_that_of_independent_people():
    y, x = problem("continuous")
    y = standard(y)
    for extra in (1, 2):
        null = families.fit("continuous", y, x[:, :-extra])
        plain = families.nested_p(null, families.fit("continuous", y, x), extra, 60)
        null, full = (families.fit("continuous", y, part, None, np.arange(60)) for part in (x[:, :-extra], x))
        single = families.nested_p(null, full, extra, 60)
        assert np.isclose(plain, single, rtol=0.1)
