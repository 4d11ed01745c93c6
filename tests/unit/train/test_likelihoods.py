"""Likelihoods of clinical variables against scipy.stats, with every gradient finite and no trace of a masked item."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from neurovae.train.losses import likelihoods

PEOPLE, ITEMS = 40, 3
TOTAL = torch.tensor([30.0, 4.0, 132.0], dtype=torch.float64)
CUTS = likelihoods.thresholds(torch.tensor([[-2.0, 0.3, 1.0], [-1.0, 2.0, 0.1], [0.0, -3.0, 0.5]], dtype=torch.float64))


def drawn(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(PEOPLE, ITEMS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_item(seed: int) -> Tensor:
    return drawn(seed)[0]


def uniform(seed: int, highest: Tensor | float) -> Tensor:
    draws = torch.rand(PEOPLE, ITEMS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.floor(draws * (highest + 1))


def ordinal_logpmf(y: np.ndarray, location: np.ndarray) -> np.ndarray:
    edges = np.concatenate([np.full((ITEMS, 1), -np.inf), CUTS.numpy(), np.full((ITEMS, 1), np.inf)], axis=1)
    item = np.arange(ITEMS)
    high, low = (stats.logistic.cdf(edges[item, y.astype(int) + k] - location) for k in (1, 0))
    return np.log(high - low)


Case = tuple[Callable[..., Tensor], Tensor, list[Tensor], Callable[[np.ndarray], np.ndarray]]


def cases() -> dict[str, Case]:
    """Each likelihood with values, parameters, and the log-probability of scipy."""
    mean, spread, c = drawn(1, 2.0), by_item(2), by_item(3) + 1
    n, m, log_sd, alpha = mean.numpy(), np.exp(mean.numpy()), spread.numpy(), np.exp(spread.numpy())
    p, k = 1 / (1 + np.exp(-n)), np.exp(c.numpy())
    small = likelihoods.SMALLEST
    return {
        "gaussian": (likelihoods.gaussian, drawn(5), [mean, spread], lambda y: stats.norm.logpdf(y, n, np.exp(log_sd))),
        "bernoulli": (likelihoods.bernoulli, uniform(6, 1.0), [mean], lambda y: stats.bernoulli.logpmf(y, p)),
        "ordinal": (
            lambda y, mask, location: likelihoods.ordinal(y, mask, location, CUTS),
            uniform(7, 3.0), [mean], lambda y: ordinal_logpmf(y, n),
        ),
        "negative binomial": (
            likelihoods.negative_binomial, uniform(8, 20.0), [mean, spread],
            lambda y: stats.nbinom.logpmf(y, 1 / alpha, 1 / (1 + alpha * m)),
        ),
        "beta-binomial": (
            lambda y, mask, logit, size: likelihoods.beta_binomial(y, mask, TOTAL, logit, size),
            uniform(9, TOTAL), [mean, c],
            lambda y: stats.betabinom.logpmf(y, TOTAL.numpy(), k * p + small, k * (1 - p) + small),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", cases())
def test_closed_form_of_scipy(name: str) -> None:
    loss, y, parameters, logpmf = cases()[name]
    everything = torch.ones_like(y, dtype=torch.bool)
    expected = -logpmf(y.numpy()).sum(axis=1)
    np.testing.assert_allclose(loss(y, everything, *parameters).numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("hole", [math.nan, 1e30, -7.0])
def test_a_masked_item_changes_nothing_to_the_bit(name: str, hole: float) -> None:
    loss, y, parameters, _ = cases()[name]
    mask = drawn(11) > 0
    free = [one.clone().requires_grad_() for one in parameters]
    value = loss(y, mask, *free)
    value.sum().backward()
    again = [one.clone().requires_grad_() for one in parameters]
    other = loss(torch.where(mask, y, hole), mask, *again)
    other.sum().backward()
    assert torch.equal(value, other)
    for one, two in zip(free, again, strict=True):
        assert one.grad is not None and two.grad is not None
        assert torch.equal(one.grad, two.grad) and torch.isfinite(one.grad).all()
    assert free[0].grad is not None and (free[0].grad[~mask] == 0).all()
    assert (free[0].grad[mask] != 0).any()


def test_ordinal_is_finite_in_both_tails_and_its_levels_sum_to_one() -> None:
    location = torch.tensor([[-300.0] * ITEMS, [0.0] * ITEMS, [300.0] * ITEMS], dtype=torch.float64, requires_grad=True)
    everything = torch.ones(3, ITEMS, dtype=torch.bool)
    levels = [likelihoods.ordinal(torch.full((3, ITEMS), k), everything, location, CUTS) for k in range(4)]
    assert all(torch.isfinite(one).all() for one in levels)
    torch.stack(levels).sum().backward()
    assert location.grad is not None and torch.isfinite(location.grad).all()
    one_item = [
        likelihoods.ordinal(torch.full((1, 1), k), everything[:1, :1], location[1:2, :1], CUTS[:1]) for k in range(4)
    ]
    assert float(sum(torch.exp(-one) for one in one_item).detach()) == pytest.approx(1, abs=1e-12)  # type: ignore[union-attr]


def test_limits_are_the_poisson_and_the_binomial() -> None:
    everything, y = torch.ones(PEOPLE, ITEMS, dtype=torch.bool), uniform(8, 9.0)
    rate = drawn(1)
    poisson = likelihoods.negative_binomial(y, everything, rate, torch.full((ITEMS,), -16.0, dtype=torch.float64))
    expected = -stats.poisson.logpmf(y.numpy(), np.exp(rate.numpy())).sum(axis=1)
    np.testing.assert_allclose(poisson.numpy(), expected, rtol=1e-4)
    y = uniform(9, TOTAL)
    binomial = likelihoods.beta_binomial(y, everything, TOTAL, rate, torch.full((ITEMS,), 16.0, dtype=torch.float64))
    expected = -stats.binom.logpmf(y.numpy(), TOTAL.numpy(), 1 / (1 + np.exp(-rate.numpy()))).sum(axis=1)
    np.testing.assert_allclose(binomial.numpy(), expected, rtol=1e-3)
