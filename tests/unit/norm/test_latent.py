"""Percentiles of latents: uniform among the reference, blind to rotation and unit, and high for planted people."""

import numpy as np
from scipy import stats

from neurovae.norm import latent


def people(seed: int, n: int = 24, m: int = 20, size: int = 30):
    rng = np.random.default_rng(seed)
    age, sex = rng.uniform(20, 80, n + m), rng.choice(["F", "M"], n + m)
    mixing = rng.normal(size=(size, size)) / 4
    z = rng.normal(size=(n + m, size)) @ mixing + age[:, None] / 30 + (sex == "F")[:, None]
    return z, age, sex, n


def test_people_like_the_reference_have_uniform_percentiles_and_a_chi_squared_would_fail():
    alone, new, chi = [], [], []
    for seed in range(60):
        z, age, sex, n = people(seed)
        own, others = latent.percentiles(z[:n], age[:n], sex[:n], z[n:], age[n:], sex[n:])
        alone.append(own)
        new.append(others[:1])  # one person per cohort: independent
        chi.append(stats.chi2.sf(latent.distances(z[:n], age[:n], sex[:n], z[n:], age[n:], sex[n:]), 30) < 0.05)
    assert sorted(alone[0]) == [100 * (k + 1) / 24 for k in range(24)]
    count = int((np.concatenate(new) > 80).sum())
    low, high = stats.binom.ppf([0.005, 0.995], 60, 5 / 25)
    assert low <= count <= high
    assert abs(np.mean(chi) - 0.05) > 0.05  # what is not done


def test_rotation_and_unit_of_the_latents_change_nothing():
    z, age, sex, n = people(0)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))[0]
    before = latent.percentiles(z[:n], age[:n], sex[:n], z[n:], age[n:], sex[n:])
    turned = 7 * z @ turn
    after = latent.percentiles(turned[:n], age[:n], sex[:n], turned[n:], age[n:], sex[n:])
    np.testing.assert_allclose(before[0], after[0])
    np.testing.assert_allclose(before[1], after[1])


def test_a_planted_deviation_is_found_and_age_is_none():
    z, age, sex, n = people(2)
    z[n:] += 2.0 * np.random.default_rng(0).normal(size=z[n:].shape)
    assert np.median(latent.percentiles(z[:n], age[:n], sex[:n], z[n:], age[n:], sex[n:])[1]) > 90


def test_folds_are_combined_by_the_median_of_those_that_are_known():
    found = latent.combined(np.array([[10.0, np.nan, np.nan], [30.0, np.nan, 50.0], [80.0, np.nan, np.nan]]))
    np.testing.assert_array_equal(found, [30.0, np.nan, 50.0])
