"""An ordinal score's test does not depend on how many levels its scale has."""

import numpy as np
import pytest
from scipy.stats import binom

from neurovae.design.rows import REASONS
from neurovae.stats import families
from neurovae.stats.diagnostics import robust


def ranks(levels: int, seed: int, effect: float, people: int = 66) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    age, z = rng.normal(size=(2, people))
    order = np.argsort(np.argsort(0.5 * age + effect * z + rng.logistic(size=people)))
    return np.floor(levels * order / people), np.column_stack([np.ones(people), age, (z - z.mean()) / z.std(ddof=1)])


def p_value(y: np.ndarray, x: np.ndarray) -> float:
    return families.nested_p(families.fit("ordinal", y, x[:, :-1]), families.fit("ordinal", y, x), 1, len(y))


def test_two_levels_are_a_binary_score():
    y, x = ranks(2, 0, 0.5)
    null, full = (families.fit("binary", y, columns) for columns in (x[:, :-1], x))
    assert np.isclose(p_value(y, x), families.nested_p(null, full, 1, 66), rtol=1e-8)
    ordinal = families.fit("ordinal", y, x)
    assert np.allclose(families.interval(ordinal, 66), families.interval(full, 66), rtol=1e-6)
    assert np.allclose(robust("ordinal", y, x, ordinal), robust("binary", y, x, full), rtol=1e-6)


@pytest.mark.parametrize("levels", [4, 20])
def test_level_and_power_at_few_and_at_many_levels(levels: int):
    null = [p_value(*ranks(levels, seed, 0.0)) < 0.05 for seed in range(150)]
    assert binom.ppf(0.001, 150, 0.05) <= sum(null) <= binom.ppf(0.999, 150, 0.05)
    assert np.mean([p_value(*ranks(levels, seed, 1.0)) < 0.05 for seed in range(40)]) > 0.8


def test_more_levels_than_a_scale_has_are_named():
    y, x = ranks(21, 0, 0.5)
    assert families.fit("ordinal", y, x).status == "many levels" and "declare it continuous" in REASONS["many levels"]
