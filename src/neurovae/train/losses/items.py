"""The clinical block's likelihood: every declared score by its type, from one linear predictor per score.

A decoder gives a predictor in standard deviations of the score; each type has its own link from there: the mean itself,
a logit, the location of a cumulative logit, the logarithm of a mean. Intercepts, slopes, thresholds and dispersions are
learned. A missing score is NaN and changes nothing to the bit.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor, nn

from neurovae.train.losses import likelihoods

TYPES = ("continuous", "binary", "ordinal", "count", "bounded")
SPREAD = 1.8  # standard deviation of the logistic distribution
FEWEST = 1e-3  # of a probability or a variance, before its logarithm is taken


class Items(nn.Module):
    """Links and thresholds of the scores; x holds codes: levels 0, 1, ... or points above the lowest."""

    mean: Tensor
    scale: Tensor
    total: Tensor
    inside: Tensor

    def __init__(self, described: list[dict[str, Any]]) -> None:
        """described: type, mean and scale of the codes; `levels` of an ordinal score, `total` of a bounded one."""
        super().__init__()
        self.places = {kind: [k for k, one in enumerate(described) if one["type"] == kind] for kind in TYPES}
        for name in ("mean", "scale"):
            self.register_buffer(name, torch.tensor([float(one[name]) for one in described]))
        self.register_buffer("total", torch.tensor([float(one.get("total") or 1) for one in described]))
        start = [_start(one) for one in described]
        self.base = nn.Parameter(torch.tensor([one[0] for one in start]))
        self.slope = nn.Parameter(torch.tensor([one[1] for one in start]))
        counts = [len(described[k]["frequencies"]) for k in self.places["ordinal"]]
        most = max(counts, default=2)
        self.register_buffer("inside", torch.arange(most - 1) < torch.tensor(counts)[:, None] - 1)
        raw = [_cuts(described[k]["frequencies"], most) for k in self.places["ordinal"]]
        self.cuts = nn.Parameter(torch.tensor(raw).flatten())  # flat, as what has one dimension is not decayed

    def nll(self, x: Tensor, predictor: Tensor, dispersion: Tensor) -> Tensor:
        """Negative log-likelihood (people,) in nats.

        Args:
            x: standardised codes (people, scores), NaN where missing.
            predictor: (people, scores).
            dispersion: (scores,) logarithm of the standard deviation, of alpha, or of the concentration.
        """
        known = ~x.isnan()
        whole = (torch.nan_to_num(x) * self.scale + self.mean).round()
        link = self.base + self.slope * predictor
        found = predictor.new_zeros(len(x))
        for kind, at in self.places.items():
            if not at:
                continue
            y, mask, eta, spread = whole[:, at], known[:, at], link[:, at], dispersion[at]
            if kind == "continuous":
                found = found + likelihoods.gaussian(torch.nan_to_num(x[:, at]), mask, predictor[:, at], spread)
            elif kind == "binary":
                found = found + likelihoods.bernoulli(y, mask, eta)
            elif kind == "ordinal":
                found = found + likelihoods.ordinal(y, mask, eta, self.thresholds())
            elif kind == "count":
                found = found + likelihoods.negative_binomial(y, mask, eta, spread)
            else:
                found = found + likelihoods.beta_binomial(y, mask, self.total[at], eta, spread)
        return found

    def thresholds(self) -> Tensor:
        """Rising thresholds of the ordinal scores (scores, levels - 1); infinite beyond a score's own levels."""
        return torch.where(self.inside, likelihoods.thresholds(self.cuts.view(self.inside.shape)), math.inf)

    def levels(self, predictor: Tensor) -> Tensor:
        """Probabilities (..., ordinal scores, levels) of each level."""
        at = self.places["ordinal"]
        eta = (self.base + self.slope * predictor)[..., at]
        below = torch.sigmoid(self.thresholds() - eta[..., None])
        ends = torch.zeros_like(below[..., :1])
        return torch.cat([below, ends + 1], dim=-1) - torch.cat([ends, below], dim=-1)

    def expected(self, predictor: Tensor) -> Tensor:
        """Expected codes (..., scores), in standard deviations from their mean as x is."""
        eta, codes = self.base + self.slope * predictor, predictor * self.scale + self.mean
        logistic = torch.sigmoid(eta)
        at = {kind: torch.isin(torch.arange(len(self.mean)), torch.tensor(k)) for kind, k in self.places.items()}
        codes = torch.where(at["binary"], logistic, codes)
        codes = torch.where(at["count"], eta.clamp(max=20).exp(), codes)
        codes = torch.where(at["bounded"], logistic * self.total, codes)
        if self.places["ordinal"]:
            p = self.levels(predictor)
            codes = codes.clone()
            codes[..., self.places["ordinal"]] = (p * torch.arange(p.shape[-1])).sum(dim=-1)
        return (codes - self.mean) / self.scale

    @torch.no_grad()
    def draw(self, predictor: Tensor, dispersion: Tensor, rng: np.random.Generator) -> np.ndarray:
        """Codes (..., scores) drawn from the likelihood of each predictor."""
        eta = (self.base + self.slope * predictor).double().numpy()
        codes = (predictor * self.scale + self.mean).double().numpy()
        spread, scale = np.exp(dispersion.double().numpy()), self.scale.numpy()
        for k in self.places["continuous"]:
            codes[..., k] += spread[k] * scale[k] * rng.standard_normal(codes.shape[:-1])
        for k in self.places["binary"]:
            codes[..., k] = rng.random(codes.shape[:-1]) < 1 / (1 + np.exp(-eta[..., k]))
        for k in self.places["count"]:
            rate = np.exp(np.minimum(eta[..., k], 20))
            codes[..., k] = rng.poisson(rate * rng.gamma(1 / spread[k], spread[k], codes.shape[:-1]))
        for k in self.places["bounded"]:
            p = 1 / (1 + np.exp(-eta[..., k]))
            chance = rng.beta(spread[k] * p + likelihoods.SMALLEST, spread[k] * (1 - p) + likelihoods.SMALLEST)
            codes[..., k] = rng.binomial(int(self.total[k]), chance)
        if at := self.places["ordinal"]:
            below = self.levels(predictor).double().numpy().cumsum(axis=-1)[..., :-1]
            codes[..., at] = (rng.random(below.shape[:-1])[..., None] > below).sum(axis=-1)
        return codes


def _start(one: dict[str, Any]) -> tuple[float, float]:
    """Intercept and slope at which the predictor, in standard deviations, moves the expected code by as many."""
    mean, scale = float(one["mean"]), float(one["scale"])
    if one["type"] == "continuous":
        return 0.0, 1.0
    if one["type"] == "ordinal":
        return 0.0, SPREAD
    if one["type"] == "count":
        mean = max(mean, FEWEST)
        return math.log(mean), scale / mean
    total = float(one.get("total") or 1)
    p = min(max(mean / total, FEWEST), 1 - FEWEST)
    return float(logit(p)), scale / (total * p * (1 - p))


def dispersion(one: dict[str, Any], left: float) -> float:
    """Where the dispersion of a score starts. left: fraction of its variance that is not explained."""
    mean, variance = float(one["mean"]), float(one["scale"]) ** 2 * left
    if one["type"] == "count":
        return math.log(min(max((variance - mean) / max(mean, FEWEST) ** 2, 0.01), 10))
    if one["type"] == "bounded":
        total = float(one["total"])
        p = min(max(mean / total, FEWEST), 1 - FEWEST)
        over = (variance / (total * p * (1 - p)) - 1) / max(total - 1, 1)
        return math.log(min(max(1 / max(over, FEWEST) - 1, 1), 1000))
    return math.log(max(left, FEWEST)) / 2


def _cuts(frequencies: list[float], most: int) -> list[float]:
    """Free numbers of the thresholds at which levels are as frequent as they are; see `likelihoods.thresholds`."""
    smooth = np.asarray(frequencies) + 0.5
    cuts = logit(np.cumsum(smooth)[:-1] / smooth.sum())
    steps = np.log(np.expm1(np.maximum(np.diff(cuts) - likelihoods.SMALLEST, 1e-3)))
    return [float(value) for value in np.pad(np.append(cuts[:1], steps), (0, most - len(smooth)))]
