"""Random numbers by counter: a generator is made anew from seed, epoch and step, so that no state has to be kept."""

import numpy as np
import torch


def number(*counters: int) -> int:
    """A seed of 64 bits from several counters; equal counters give equal seeds."""
    return int(np.random.SeedSequence(counters).generate_state(1, np.uint64)[0] >> 1)


def generator(*counters: int) -> torch.Generator:
    """A generator on the CPU, so that a seed means the same on every device."""
    return torch.Generator().manual_seed(number(*counters))
